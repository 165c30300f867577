"""The plain pipeline that ingestion is measured beside, in a process of its own.

    python -m benchmarks.plain (--lines CORPUS.jsonl.gz | --folder FILINGS) --store FOLDER

pypdf or plain text, LangChain's recursive splitter of 1,000 characters with 100 overlap, sentence-transformers in fp32
with batches of 32, qdrant-client's local mode on disk. Prints one line of JSON. The time is from the first byte read to
the last point written; imports and the loading of the model, which it warms up by one batch, are not in it.

Where there was a choice it is the faster one: passages are handed to the model 1,024 at a time, so that it sorts them by
length, and one by one nowhere.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import pathlib
import resource
import time
from collections.abc import Iterator
from typing import Any

CHUNK_CHARS = 1000
OVERLAP_CHARS = 100
BATCH = 32
_WINDOW = 1024
_COLLECTION = "plain"
_DIMENSIONS = 384

Passage = tuple[str, dict[str, Any]]  # text, and where it is from


def main() -> None:
    """Ingest and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--lines", type=pathlib.Path)
    what.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--store", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    model = _model()
    model.encode(["a warm start"] * BATCH, batch_size=BATCH)
    began = time.perf_counter()
    counts = {"documents": 0, "pages": 0}
    passages = _lines(arguments.lines, counts) if arguments.lines else _pdfs(arguments.folder, counts)
    chunks = _ingest(model, passages, arguments.store)
    seconds = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**counts, "chunks": chunks, "seconds": seconds, "rss_mb": round(peak_mb, 1)}))


def _ingest(model: Any, passages: Iterator[Passage], store: pathlib.Path) -> int:
    """Embed and write all; gives the number of chunks."""
    import qdrant_client  # noqa: PLC0415 - with the other heavy imports, before the clock started
    from qdrant_client import models  # noqa: PLC0415

    client = qdrant_client.QdrantClient(path=str(store))
    client.create_collection(
        _COLLECTION, vectors_config=models.VectorParams(size=_DIMENSIONS, distance=models.Distance.COSINE)
    )
    number = 0
    while window := list(itertools.islice(passages, _WINDOW)):
        vectors = model.encode([text for text, _ in window], batch_size=BATCH, show_progress_bar=False)
        points = [
            models.PointStruct(id=number + at, vector=vector.tolist(), payload={"text": text, **source})
            for at, ((text, source), vector) in enumerate(zip(window, vectors, strict=True))
        ]
        client.upsert(_COLLECTION, points)
        number += len(points)
    client.close()
    return number


def _lines(path: pathlib.Path, counts: dict[str, int]) -> Iterator[Passage]:
    """Title and text of each line, cut."""
    splitter = _splitter()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            counts["documents"] += 1
            for text in splitter.split_text(f"{row['title']}\n\n{row['text']}"):
                yield text, {"document": row["_id"]}


def _pdfs(folder: pathlib.Path, counts: dict[str, int]) -> Iterator[Passage]:
    """Each page's text, cut."""
    import pypdf  # noqa: PLC0415 - as above

    splitter = _splitter()
    for path in sorted(folder.glob("*.pdf")):
        counts["documents"] += 1
        for number, page in enumerate(pypdf.PdfReader(path).pages, 1):
            counts["pages"] += 1
            for text in splitter.split_text(page.extract_text()):
                yield text, {"document": path.name, "page": number}


def _splitter() -> Any:
    import langchain_text_splitters  # noqa: PLC0415 - as above

    return langchain_text_splitters.RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARS, chunk_overlap=OVERLAP_CHARS)


def _model() -> Any:
    """The same weights as the product's, by the library."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import langchain_text_splitters  # noqa: F401, PLC0415 - imports are no part of the time measured
    import pypdf  # noqa: F401, PLC0415
    import qdrant_client  # noqa: F401, PLC0415
    import sentence_transformers  # noqa: PLC0415

    from app.inference import openvino_embedder  # noqa: PLC0415

    return sentence_transformers.SentenceTransformer(str(openvino_embedder.model_folder()), device="cpu")


if __name__ == "__main__":
    main()
