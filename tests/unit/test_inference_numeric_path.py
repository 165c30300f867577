"""The choice of a numeric path, over a small BERT with random weights."""

from __future__ import annotations

import functools
import json
import os
import pathlib
from typing import Any

import numpy as np
import pytest

from app.domain.errors import ConfigurationError
from app.inference import bert_graph, numeric_path, openvino_embedder, openvino_runtime
from app.inference.tokenizers_tokenizer import ModelTokenizer

PLAIN = openvino_runtime.Processor(name="plain", flags=frozenset(), cores=2, bf16=False, int8=False)
WITH_BF16 = openvino_runtime.Processor(name="newer", flags=frozenset({"amx"}), cores=2, bf16=True, int8=False)


@pytest.fixture(scope="module")
def tokenizer() -> ModelTokenizer:
    return ModelTokenizer.read(openvino_embedder.model_folder() / "tokenizer.json", window_tokens=254)


@pytest.fixture(scope="module")
def graphs() -> numeric_path.Graphs:
    rng = np.random.default_rng(7)
    hidden, wide, words = 16, 32, 30_522

    def noise(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": noise(words, hidden),
        "embeddings.position_embeddings.weight": noise(256, hidden),
        "embeddings.token_type_embeddings.weight": noise(2, hidden),
    }
    layer = "encoder.layer.0"
    for name, (rows, columns) in {
        "attention.self.query": (hidden, hidden),
        "attention.self.key": (hidden, hidden),
        "attention.self.value": (hidden, hidden),
        "attention.output.dense": (hidden, hidden),
        "intermediate.dense": (wide, hidden),
        "output.dense": (hidden, wide),
    }.items():
        weights[f"{layer}.{name}.weight"] = noise(rows, columns) / 4
        weights[f"{layer}.{name}.bias"] = noise(rows)
    for name in ("embeddings.LayerNorm", f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"):
        weights[f"{name}.weight"] = np.ones(hidden, dtype=np.float32)
        weights[f"{name}.bias"] = np.zeros(hidden, dtype=np.float32)
    shape = bert_graph.BertShape(layers=1, heads=2, epsilon=1e-12)
    return functools.partial(bert_graph.build, weights, shape)


def choose(
    graphs: numeric_path.Graphs,
    tokenizer: ModelTokenizer,
    folder: pathlib.Path,
    *,
    path: Any = "auto",
    processor: openvino_runtime.Processor = WITH_BF16,
) -> numeric_path.Path:
    return numeric_path.choose(
        graphs, tokenizer=tokenizer, cache_folder=folder, path=path, model_key="tiny", processor=processor
    ).path


def test_where_only_f32_is_native_nothing_is_measured(
    graphs: numeric_path.Graphs, tokenizer: ModelTokenizer, tmp_path: pathlib.Path
) -> None:
    assert choose(graphs, tokenizer, tmp_path, processor=PLAIN) == "f32"
    assert list(tmp_path.iterdir()) == []


def test_the_choice_is_measured_once_and_kept(
    graphs: numeric_path.Graphs, tokenizer: ModelTokenizer, tmp_path: pathlib.Path
) -> None:
    first = choose(graphs, tokenizer, tmp_path)
    (kept,) = tmp_path.rglob("*.json")
    assert set(json.loads(kept.read_text(encoding="utf-8"))["passes_per_second"]) == {"f32", "bf16"}

    other = {"f32": "bf16", "bf16": "f32"}[first]
    kept.write_text(json.dumps({"fastest": other}), encoding="utf-8")

    assert choose(graphs, tokenizer, tmp_path) == other


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fastest": "fp4"}'])
def test_a_damaged_choice_is_measured_again(
    graphs: numeric_path.Graphs, tokenizer: ModelTokenizer, tmp_path: pathlib.Path, content: str
) -> None:
    choose(graphs, tokenizer, tmp_path)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text(content, encoding="utf-8")

    choose(graphs, tokenizer, tmp_path)

    assert json.loads(kept.read_text(encoding="utf-8"))["fastest"] in ("f32", "bf16")


def test_where_bytes_are_native_they_take_part(
    graphs: numeric_path.Graphs, tokenizer: ModelTokenizer, tmp_path: pathlib.Path
) -> None:
    bytewise = openvino_runtime.Processor(name="bytes", flags=frozenset(), cores=2, bf16=False, int8=True)

    choose(graphs, tokenizer, tmp_path, processor=bytewise)

    (kept,) = tmp_path.rglob("*.json")
    assert set(json.loads(kept.read_text(encoding="utf-8"))["passes_per_second"]) == {"f32", "int8"}


def test_another_processor_is_measured_anew(
    graphs: numeric_path.Graphs, tokenizer: ModelTokenizer, tmp_path: pathlib.Path
) -> None:
    choose(graphs, tokenizer, tmp_path)
    choose(
        graphs,
        tokenizer,
        tmp_path,
        processor=openvino_runtime.Processor(name="other", flags=frozenset(), cores=2, bf16=True, int8=False),
    )

    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_a_folder_that_cannot_be_written_to_is_no_error(
    graphs: numeric_path.Graphs, tokenizer: ModelTokenizer, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "a file where a folder should be"
    file.touch()

    assert choose(graphs, tokenizer, file) in ("f32", "bf16")


def test_a_path_that_the_processor_lacks_or_nobody_knows_is_refused(
    graphs: numeric_path.Graphs, tokenizer: ModelTokenizer, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ConfigurationError, match="plain does not compute it"):
        choose(graphs, tokenizer, tmp_path, path="bf16", processor=PLAIN)
    with pytest.raises(ConfigurationError, match="not one of auto, f32, bf16, int8"):
        choose(graphs, tokenizer, tmp_path, path="fp4")


def test_this_machine_is_described() -> None:
    processor = openvino_runtime.processor(openvino_runtime.openvino().Core())

    assert processor.cores == len(os.sched_getaffinity(0))
    assert processor.name
    assert len(processor.key) == 16
