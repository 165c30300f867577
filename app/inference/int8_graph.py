"""The embedder's graph with weights and activations of one byte, made once by `nncf` and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import pathlib
import shutil
import tempfile
from typing import Any

from app.domain.errors import ConfigurationError
from app.inference import bert_graph, openvino_runtime, sample_passages
from app.inference.tokenizers_tokenizer import ModelTokenizer

CALIBRATION_PASSAGES = 300  # as design section 7; takes about a minute on two cores

log = logging.getLogger(__name__)


def exists(folder: pathlib.Path) -> bool:
    """Whether a graph was made and kept in this folder."""
    return (_kept(folder) / "manifest.json").is_file()


def load(core: Any, folder: pathlib.Path) -> Any | None:
    """The graph that is kept; None where there is none, or it is not whole.

    Args:
        core: an `openvino.Core`.
        folder: of the caches of this model and graph.
    """
    kept = _kept(folder)
    try:
        manifest = json.loads((kept / "manifest.json").read_text(encoding="utf-8"))
        whole = manifest == _hashes(kept)
    except (OSError, ValueError):
        return None
    if not whole:
        log.warning("the int8 graph in %s is damaged", kept)
        return None
    return core.read_model(kept / "model.xml")


def make(
    core: Any,
    graph: Any,
    *,
    tokenizer: ModelTokenizer,
    folder: pathlib.Path,
    passages: int = CALIBRATION_PASSAGES,
) -> Any:
    """Quantise the graph and keep the result, where the folder can be written to.

    Args:
        core: an `openvino.Core`.
        graph: in f32.
        tokenizer: of the model.
        folder: of the caches of this model and graph.
        passages: how many to calibrate with.

    Raises:
        ConfigurationError: nncf is not installed.
    """
    openvino_runtime.openvino()
    try:
        import nncf  # noqa: PLC0415 - seconds and 200 MB, only where a graph is quantised
    except ImportError as error:
        raise ConfigurationError("numeric path int8 needs nncf: pip install 'footnote[int8]'") from error
    # The odd texts are not held out: without them their cosines fall under 0.9, with them they stay above 0.96.
    ids = tokenizer.ids([*sample_passages.documentation(passages), *sample_passages.ODD])
    dataset = nncf.Dataset([bert_graph.inputs([one]) for one in ids])
    # By itself nncf cuts the pooled sum to one byte too, and the smallest cosine falls to 0.92.
    tail = nncf.IgnoredScope(types=["NormalizeL2", "ReduceSum"])
    quantised = nncf.quantize(
        graph.clone(), dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(ids), ignored_scope=tail
    )
    try:
        _keep(quantised, folder)
    except OSError as error:
        log.warning("the int8 graph can't be kept and will be made again at the next start: %s", error)
        return quantised
    return load(core, folder) or quantised


def _keep(graph: Any, folder: pathlib.Path) -> None:
    """Write the graph, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    building = pathlib.Path(tempfile.mkdtemp(prefix="int8-", dir=folder))
    try:
        openvino_runtime.openvino().save_model(graph, building / "model.xml", compress_to_fp16=False)
        (building / "manifest.json").write_text(json.dumps(_hashes(building)), encoding="utf-8")
        shutil.rmtree(_kept(folder), ignore_errors=True)  # a damaged one
        building.replace(_kept(folder))
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _hashes(folder: pathlib.Path) -> dict[str, str]:
    hashes = {}
    for name in ("model.xml", "model.bin"):
        with (folder / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _kept(folder: pathlib.Path) -> pathlib.Path:
    return folder / "int8"
