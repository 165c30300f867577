"""Which precision the embedder computes in: chosen once by measurement, never without a check against f32."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from app.domain.errors import ConfigurationError
from app.domain.vectors import Matrix
from app.inference import bert_graph, int8_graph, openvino_runtime, sample_passages
from app.inference.tokenizers_tokenizer import ModelTokenizer

Path = Literal["f32", "bf16", "int8"]
Choice = Literal["auto", "f32", "bf16", "int8"]

# The least cosine to f32 that a path may have; the figures. int8 is tried on prose alone, which it was not
# calibrated with: texts of a few odd characters fall to 0.97, so questions are never computed in int8.
FLOORS: Mapping[Path, float] = {"f32": 0.9999, "bf16": 0.999, "int8": 0.99}


Batch = list[npt.NDArray[np.int32]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A graph and the precision to compile it for."""

    path: Path
    graph: Any  # openvino.Model


def options(path: Path, *, streams: int, threads: int) -> dict[str, Any]:
    """Options of `compile_model`.

    Args:
        path: the precision.
        streams: how many requests run at once.
        threads: over all streams.
    """
    precision = "bf16" if path == "bf16" else "f32"  # an int8 graph computes in f32 what it has not quantised
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # the process has other threads, and two models share the cores
    }


def choose(
    graph: Any,
    *,
    tokenizer: ModelTokenizer,
    cache_folder: pathlib.Path,
    path: Choice,
    model_key: str,
    processor: openvino_runtime.Processor | None = None,
) -> Chosen:
    """The path that was asked for, or the fastest of those that this processor computes natively.

    "auto" compares f32 with bf16, and with int8 where such a graph was built before: building one takes a minute, so
    that is done only when int8 is asked for. The measurement takes about two seconds, once for each processor and
    version of OpenVINO; where only f32 is native there is nothing to measure.

    Args:
        graph: the f32 graph.
        tokenizer: of the model.
        cache_folder: keeps the choice and the int8 graph; may be read-only or absent.
        path: what was asked for.
        model_key: names the weights.
        processor: None for this machine's.

    Raises:
        ConfigurationError: an unknown path, one that this processor does not compute, or one that is not close enough
            to f32 on it.
    """
    if path not in get_args(Choice):
        raise ConfigurationError(f"the numeric path is {path!r}, not one of {', '.join(get_args(Choice))}")
    if path == "f32":
        return Chosen(path="f32", graph=graph)
    core = openvino_runtime.openvino().Core()
    processor = processor or openvino_runtime.processor(core)
    folder = cache_folder / f"{model_key}-{bert_graph.VERSION}"
    trial = _Trial(core, graph, tokenizer=tokenizer)
    if path == "bf16":
        if not processor.bf16:
            raise ConfigurationError(f"numeric path bf16: {processor.name} does not compute it; choose f32 or auto")
        return trial.checked(Chosen(path="bf16", graph=graph))
    if path == "int8":
        quantised = int8_graph.load(core, folder) or int8_graph.make(core, graph, tokenizer=tokenizer, folder=folder)
        return trial.checked(Chosen(path="int8", graph=quantised))
    return _fastest(core, graph, trial=trial, folder=folder, processor=processor)


def _fastest(
    core: Any, graph: Any, *, trial: _Trial, folder: pathlib.Path, processor: openvino_runtime.Processor
) -> Chosen:
    """What was found fastest before, or is found so now."""
    candidates: list[Path] = ["f32"]
    candidates += ["bf16"] if processor.bf16 else []
    candidates += ["int8"] if processor.int8 and int8_graph.exists(folder) else []
    if candidates == ["f32"]:
        return Chosen(path="f32", graph=graph)
    kept = folder / f"numeric-path-{processor.key}-{'-'.join(candidates)}.json"
    known = _read(kept, candidates)
    if known in ("f32", "bf16"):
        return Chosen(path=known, graph=graph)
    quantised = int8_graph.load(core, folder) if "int8" in candidates else None
    if known == "int8" and quantised is not None:
        return Chosen(path="int8", graph=quantised)
    fit = [Chosen(path=name, graph=graph) for name in candidates if name != "int8"]
    fit += [Chosen(path="int8", graph=quantised)] if quantised is not None else []  # it may be damaged since
    rates = trial.rates(fit)
    fastest = max(fit, key=lambda one: rates.get(one.path, 0.0))
    _write(kept, fastest.path, rates)
    return fastest


class _Trial:
    """Runs candidates over the sample passages."""

    def __init__(self, core: Any, graph: Any, *, tokenizer: ModelTokenizer) -> None:
        self._core = core
        self._graph = graph
        self._prose = _batches(tokenizer.ids(sample_passages.PROSE))
        self._odd = _batches(tokenizer.ids(sample_passages.ODD))

    def checked(self, candidate: Chosen) -> Chosen:
        """The candidate, if it is close enough to f32.

        Raises:
            ConfigurationError: it is not.
        """
        least = self._closeness(candidate)
        if least < FLOORS[candidate.path]:
            raise ConfigurationError(
                f"numeric path {candidate.path}: the smallest cosine to f32 is {least:.4f} on this processor, "
                f"the floor is {FLOORS[candidate.path]}; choose f32 or auto"
            )
        return candidate

    def rates(self, candidates: list[Chosen], *, rounds: int = 3) -> dict[Path, float]:
        """Passes over the sample a second by the candidates that are close enough; rounds alternate."""
        fit = [one for one in candidates if one.path == "f32" or self._closeness(one) >= FLOORS[one.path]]
        requests = {one.path: self._request(one) for one in fit}
        seconds: dict[Path, list[float]] = {path: [] for path in requests}
        for _ in range(rounds):
            for path, request in requests.items():
                began = time.perf_counter()
                self._vectors(request, self._prose)
                seconds[path].append(time.perf_counter() - began)
        return {path: 1 / statistics.median(took) for path, took in seconds.items()}

    def _closeness(self, candidate: Chosen) -> float:
        batches = self._prose if candidate.path == "int8" else [*self._prose, *self._odd]
        exact = self._vectors(self._request(Chosen(path="f32", graph=self._graph)), batches)
        near = self._vectors(self._request(candidate), batches)
        return float(np.min(np.sum(exact * near, axis=1)))

    def _request(self, candidate: Chosen) -> Any:
        compiled = self._core.compile_model(candidate.graph, "CPU", options(candidate.path, streams=1, threads=0))
        return compiled.create_infer_request()

    @staticmethod
    def _vectors(request: Any, batches: list[Batch]) -> Matrix:
        return np.concatenate([np.array(request.infer(batch)[0], dtype=np.float32) for batch in batches])


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
