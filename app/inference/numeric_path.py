"""Which precision the embedder computes in: chosen once by measurement, never without a check against f32."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from app.domain.errors import ConfigurationError
from app.domain.vectors import Matrix
from app.inference import bert_graph, openvino_runtime, sample_passages
from app.inference.tokenizers_tokenizer import ModelTokenizer

Path = Literal["f32", "bf16", "int8"]
Choice = Literal["auto", "f32", "bf16", "int8"]

# The least cosine to f32 that a path may have over the sample passages; the figures.
FLOORS: Mapping[Path, float] = {"f32": 0.9999, "bf16": 0.999, "int8": 0.99}

# Inputs of a product that share one scale in int8. Fewer are closer to f32 and slower, more are neither; see
# docs/decisions/0003-embedder.md.
GROUP = 128

Batch = list[npt.NDArray[np.int32]]


class Graphs(Protocol):
    """Builds the graph of a model, an `openvino.Model`."""

    def __call__(self, *, bytewise: bool = False) -> Any:
        """The graph; its products' weights as bytes if so asked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A graph and how to compile it."""

    path: Path
    graph: Any  # openvino.Model
    precision: Literal["f32", "bf16"]  # of all that is not a product of bytes

    def options(self, *, streams: int, threads: int) -> dict[str, Any]:
        """Options of `compile_model`.

        Args:
            streams: how many requests run at once.
            threads: over all streams.
        """
        return {
            "INFERENCE_PRECISION_HINT": self.precision,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP if self.path == "int8" else 0,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # the process has other threads, and two models share the cores
        }


def choose(
    graphs: Graphs,
    *,
    tokenizer: ModelTokenizer,
    cache_folder: pathlib.Path,
    path: Choice,
    model_key: str,
    processor: openvino_runtime.Processor | None = None,
) -> Chosen:
    """The path that was asked for, or the fastest of those that this processor computes natively.

    The measurement takes some three seconds, once for each processor and version of OpenVINO; where only f32 is native
    there is nothing to measure.

    Args:
        graphs: builds the graph.
        tokenizer: of the model.
        cache_folder: keeps the choice; may be read-only or absent.
        path: what was asked for.
        model_key: names the weights.
        processor: None for this machine's.

    Raises:
        ConfigurationError: an unknown path, one that this processor does not compute, or one that is not close enough
            to f32 on it.
    """
    if path not in get_args(Choice):
        raise ConfigurationError(f"the numeric path is {path!r}, not one of {', '.join(get_args(Choice))}")
    core = openvino_runtime.openvino().Core()
    processor = processor or openvino_runtime.processor(core)
    computed = native(processor)
    if path == "auto":
        kept = cache_folder / f"{model_key}-{bert_graph.VERSION}" / f"numeric-path-{processor.key}.json"
        return _candidate(graphs, _fastest(core, graphs, tokenizer=tokenizer, kept=kept, paths=computed), computed)
    if path not in computed:
        raise ConfigurationError(f"numeric path {path}: {processor.name} does not compute it; choose f32 or auto")
    chosen = _candidate(graphs, path, computed)
    if path != "f32":
        least = _Trial(core, graphs, tokenizer=tokenizer).closeness(chosen)
        if least < FLOORS[path]:
            raise ConfigurationError(
                f"numeric path {path}: the smallest cosine to f32 is {least:.4f} on this processor, "
                f"the floor is {FLOORS[path]}; choose f32 or auto"
            )
    return chosen


def native(processor: openvino_runtime.Processor) -> list[Path]:
    """What the processor computes without emulation."""
    paths: list[Path] = ["f32"]
    paths += ["bf16"] if processor.bf16 else []
    paths += ["int8"] if processor.int8 else []
    return paths


def _candidate(graphs: Graphs, path: Path, paths: list[Path]) -> Chosen:
    return Chosen(
        path=path,
        graph=graphs(bytewise=path == "int8"),
        precision="bf16" if path != "f32" and "bf16" in paths else "f32",
    )


def _fastest(core: Any, graphs: Graphs, *, tokenizer: ModelTokenizer, kept: pathlib.Path, paths: list[Path]) -> Path:
    """What was found fastest before, or is found so now."""
    if paths == ["f32"]:
        return "f32"
    known = _read(kept, paths)
    if known is not None:
        return known
    trial = _Trial(core, graphs, tokenizer=tokenizer)
    rates = trial.rates([_candidate(graphs, path, paths) for path in paths])
    fastest = max(rates, key=lambda path: rates[path])
    _write(kept, fastest, rates)
    return fastest


class _Trial:
    """Runs candidates over the sample passages, on one core, as each batch of passages is run."""

    def __init__(self, core: Any, graphs: Graphs, *, tokenizer: ModelTokenizer) -> None:
        self._core = core
        self._batches = _batches(tokenizer.ids(sample_passages.VARIED))
        self._exact = self._vectors(self._request(Chosen(path="f32", graph=graphs(), precision="f32")))

    def closeness(self, candidate: Chosen) -> float:
        """The smallest cosine to f32."""
        return float(np.min(np.sum(self._exact * self._vectors(self._request(candidate)), axis=1)))

    def rates(self, candidates: list[Chosen], *, rounds: int = 3) -> dict[Path, float]:
        """Passes over the sample a second by the candidates that are close enough; rounds alternate."""
        fit = [one for one in candidates if one.path == "f32" or self.closeness(one) >= FLOORS[one.path]]
        requests = {one.path: self._request(one) for one in fit}
        seconds: dict[Path, list[float]] = {path: [] for path in requests}
        for number in range(rounds + 1):
            for path, request in requests.items():
                began = time.perf_counter()
                self._vectors(request)
                if number:  # weights are laid out in the first
                    seconds[path].append(time.perf_counter() - began)
        return {path: 1 / statistics.median(took) for path, took in seconds.items()}

    def _request(self, candidate: Chosen) -> Any:
        compiled = self._core.compile_model(candidate.graph, "CPU", candidate.options(streams=1, threads=1))
        return compiled.create_infer_request()

    def _vectors(self, request: Any) -> Matrix:
        return np.concatenate([np.array(request.infer(batch)[0], dtype=np.float32) for batch in self._batches])


def _batches(ids: list[list[int]]) -> list[Batch]:
    ordered = sorted(ids, key=len)
    return [bert_graph.inputs(ordered[start : start + 4]) for start in range(0, len(ordered), 4)]


def _read(path: pathlib.Path, candidates: list[Path]) -> Path | None:
    """What was chosen before; None where nothing usable is kept."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fastest = kept.get("fastest") if isinstance(kept, dict) else None
    return fastest if fastest in candidates else None


def _write(path: pathlib.Path, fastest: Path, rates: Mapping[Path, float]) -> None:
    """Keep the choice, whole or not at all; a folder that can't be written to only costs the next start two seconds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
            json.dump({"fastest": fastest, "passes_per_second": rates}, file)
        pathlib.Path(file.name).replace(path)
    except OSError:
        return
