"""The default embedder beside sentence-transformers in fp32, on the same texts in the same run.

    python benchmarks/embedder.py [--corpus FILE.jsonl.gz] [--limit 200] [--rounds 3] [--json FILE]

The two take turns, so that a machine that slows down slows both. Besides texts a second of wall-clock time it gives
texts a second of processor time on all cores: on a machine that others use too, only that is comparable.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import pathlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from app.domain.vectors import Matrix
from app.inference import catalogue, openvino_embedder, openvino_runtime
from app.inference.embedder import BatchingEmbedder

CORPUS = pathlib.Path(__file__).parents[2] / "shared/data/scifact/corpus.jsonl.gz"
QUESTION = "does vitamin D lower the risk of respiratory infection in adults?"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=pathlib.Path, default=CORPUS, help="JSON lines with `title` and `text`")
    parser.add_argument("--limit", type=int, default=200, help="texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--numeric-path", default="auto", choices=["auto", "f32", "bf16", "int8"])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    arguments = parser.parse_args()
    texts = read(arguments.corpus, arguments.limit)
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        embedder = catalogue.create(
            name=openvino_embedder.NAME, cache_folder=pathlib.Path(cache), numeric_path=arguments.numeric_path
        )
        ready_seconds = time.perf_counter() - began
    memory_bytes = resident_bytes()
    figures = compare(embedder, texts, rounds=arguments.rounds)
    questions = {"alone": latencies(embedder), "while passages saturate": latencies(embedder, load=texts)}
    embedder.close()
    result = {
        "processor": described(),
        "numeric_path": getattr(embedder.encoder, "numeric_path", None),
        "texts": len(texts),
        "ready_seconds": ready_seconds,
        "resident_bytes_when_ready": memory_bytes,
        "throughput": figures,
        "question_ms": questions,
    }
    print_table(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def read(corpus: pathlib.Path, limit: int) -> list[str]:
    """Title and text of the first documents."""
    texts: list[str] = []
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        for line in lines:
            if len(texts) == limit:
                break
            document = json.loads(line)
            texts.append(f"{document['title']}\n{document['text']}")
    return texts


def compare(embedder: BatchingEmbedder, texts: Sequence[str], *, rounds: int) -> dict[str, Any]:
    """Texts a second of both, and how close the vectors are."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import sentence_transformers  # noqa: PLC0415 - five seconds, after our own start was timed

    library = sentence_transformers.SentenceTransformer(str(openvino_embedder.model_folder()), device="cpu")

    def plain(some: Sequence[str]) -> Matrix:
        vectors = library.encode(list(some), batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    ways: dict[str, Callable[[Sequence[str]], Matrix]] = {
        "footnote": embedder.embed_passages,
        "sentence-transformers fp32, batches of 32": plain,
    }
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, Matrix] = {}
    for embed in ways.values():
        embed(texts[:16])  # the first run lays out weights
    for _ in range(rounds):
        for name, embed in ways.items():
            began, used = time.perf_counter(), time.process_time()
            vectors[name] = embed(texts)
            wall[name].append(len(texts) / (time.perf_counter() - began))
            processor[name].append(len(texts) / (time.process_time() - used))
    cosines = np.sum(vectors["footnote"] * vectors["sentence-transformers fp32, batches of 32"], axis=1)
    rows = {
        name: {
            "texts_per_second": statistics.median(wall[name]),
            "texts_per_processor_second": statistics.median(processor[name]),
        }
        for name in ways
    }
    return {"rows": rows, "least_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())}


def latencies(embedder: BatchingEmbedder, *, load: Sequence[str] = (), number: int = 100) -> dict[str, float]:
    """Milliseconds of one question, asked again and again, with passages waiting all the while or without."""
    done = threading.Event()

    def saturate() -> None:
        while not done.is_set():
            embedder.embed_passages(load)

    loading = threading.Thread(target=saturate, daemon=True)
    if load:
        loading.start()
    took = []
    for _ in range(number):
        began = time.perf_counter()
        embedder.embed_query(QUESTION)
        took.append(1000 * (time.perf_counter() - began))
        time.sleep(0.02)
    done.set()
    if load:
        loading.join()
    return {"p50": float(np.percentile(took, 50)), "p95": float(np.percentile(took, 95)), "max": max(took)}


def resident_bytes() -> int:
    """What the process holds now; 0 where the system does not say."""
    try:
        return int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def described() -> str:
    """The processor, as a table should name it."""
    processor = openvino_runtime.processor(openvino_runtime.openvino().Core())
    native = [name for name, has in (("bf16", processor.bf16), ("int8", processor.int8)) if has]
    return f"{processor.name}, {processor.cores} cores, native: {', '.join(['f32', *native])}"


def print_table(result: dict[str, Any]) -> None:
    """For people."""
    print(f"{result['processor']}; {result['texts']} texts; numeric path {result['numeric_path']}")
    print(f"ready in {result['ready_seconds']:.2f} s, {result['resident_bytes_when_ready'] / 2**20:.0f} MB resident")
    throughput = result["throughput"]
    print(f"{'':45}{'texts/s':>10}{'texts/processor-s':>20}")
    for name, row in throughput["rows"].items():
        print(f"{name:45}{row['texts_per_second']:>10.1f}{row['texts_per_processor_second']:>20.1f}")
    print(f"cosine: least {throughput['least_cosine']:.6f}, mean {throughput['mean_cosine']:.6f}")
    for name, row in result["question_ms"].items():
        print(f"one question {name}: p50 {row['p50']:.1f} ms, p95 {row['p95']:.1f} ms, max {row['max']:.1f} ms")


if __name__ == "__main__":
    main()
