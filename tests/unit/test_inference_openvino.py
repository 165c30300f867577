"""The default embedder: the graph that is built from the weights, held to sentence-transformers."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from app.domain.errors import ConfigurationError
from app.inference import bert_graph, catalogue, numeric_path, openvino_embedder, openvino_runtime, sample_passages
from app.inference.batcher import Kind
from app.inference.embedder import BatchingEmbedder
from app.inference.tokenizers_tokenizer import ModelTokenizer

# Every 48th of 384 numbers by sentence-transformers 6.2.0, torch 2.13.0, fp32, normalised.
PUBLISHED = {
    "The mitochondrion is the powerhouse of the cell.": (
        [-0.047873, 0.003277, 0.051346, -0.086433, 0.131972, 0.053261, -0.033223, -0.037527]
    ),
    "": [-0.118838, 0.063324, 0.029042, 0.007964, -0.086478, 0.069688, -0.022747, -0.104721],
    "¿Cuánto cuesta? 短い文章 🙂 ½ ﬁ": (
        [0.012581, 0.00741, 0.056273, 0.018721, -0.037362, 0.011373, 0.104905, 0.105572]
    ),
    "revenue grew by 12 %, " * 120: (
        [0.042181, -0.083011, 0.014343, -0.034487, -0.025386, 0.074438, 0.016806, -0.030449]
    ),
}


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchingEmbedder]:
    one = catalogue.create(
        name=openvino_embedder.NAME, cache_folder=tmp_path_factory.mktemp("cache"), numeric_path="f32"
    )
    yield one
    one.close()


def test_vectors_are_those_that_sentence_transformers_gives(embedder: BatchingEmbedder) -> None:
    vectors = embedder.embed_passages(list(PUBLISHED))

    np.testing.assert_allclose(vectors[:, ::48], list(PUBLISHED.values()), atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None, reason="the extra `models` is not installed"
)
@pytest.mark.parametrize("path", [*numeric_path.FLOORS, "auto"])
def test_the_least_cosine_to_sentence_transformers_is_above_the_floor(
    path: numeric_path.Choice, tmp_path: pathlib.Path
) -> None:
    import sentence_transformers  # noqa: PLC0415 - only where it is installed

    processor = openvino_runtime.processor(openvino_runtime.openvino().Core())
    if path not in numeric_path.native(processor) and path != "auto":
        pytest.skip(f"{processor.name} does not compute {path}")
    library = sentence_transformers.SentenceTransformer(str(openvino_embedder.model_folder()), device="cpu")
    expected = library.encode(list(sample_passages.VARIED), normalize_embeddings=True, show_progress_bar=False)
    embedder = catalogue.create(name=openvino_embedder.NAME, cache_folder=tmp_path, numeric_path=path)

    cosines = np.sum(embedder.embed_passages(sample_passages.VARIED) * expected, axis=1)
    embedder.close()

    encoder = embedder.encoder
    assert isinstance(encoder, openvino_embedder.OpenVinoEncoder)
    assert cosines.min() >= numeric_path.FLOORS[encoder.numeric_path]


def test_a_question_and_a_passage_of_the_same_text_have_the_same_vector(embedder: BatchingEmbedder) -> None:
    text = sample_passages.VARIED[7]

    np.testing.assert_allclose(embedder.embed_query(text), embedder.embed_passages([text])[0], atol=1e-5)


def test_padding_changes_nothing(embedder: BatchingEmbedder) -> None:
    encoder = embedder.encoder
    alone = [encoder.encode(Kind.PASSAGE, encoder.prepare([text]))[0] for text in sample_passages.VARIED]

    together = encoder.encode(Kind.PASSAGE, encoder.prepare(sample_passages.VARIED))

    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_text_that_spells_a_padding_token_is_text(embedder: BatchingEmbedder) -> None:
    one, two = embedder.embed_passages(["cell", "cell [PAD] [PAD]"])

    assert one @ two < 0.999


def test_the_window_is_254_word_pieces(embedder: BatchingEmbedder) -> None:
    assert embedder.tokenizer.window_tokens == 254
    assert embedder.dimensions == 384
    assert embedder.encoder.prepare(["word " * 1000])[0].tokens == 256


def test_another_model_file_is_refused(tmp_path: pathlib.Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"not the published weights")

    with pytest.raises(ConfigurationError, match=r"has sha256 [0-9a-f]{64}, not 53aa5117"):
        openvino_runtime.check_sha256(weights, openvino_embedder.WEIGHTS_SHA256)
    with pytest.raises(ConfigurationError, match="can't be read"):
        openvino_runtime.check_sha256(tmp_path / "absent", openvino_embedder.WEIGHTS_SHA256)


def test_a_model_that_the_graph_does_not_compute_is_refused(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "roberta", "hidden_act": "gelu"}', encoding="utf-8")

    with pytest.raises(ConfigurationError, match="roberta"):
        bert_graph.BertShape.read(config)


def test_weights_that_are_missing_are_named() -> None:
    weights = {"embeddings.LayerNorm.weight": np.ones(16, dtype=np.float32)}

    with pytest.raises(ConfigurationError, match=r"embeddings\.position_embeddings"):
        bert_graph.build(weights, bert_graph.BertShape(layers=1, heads=2, epsilon=1e-12))


def test_a_file_that_holds_no_tokenizer_is_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}", encoding="utf-8")

    for path in (file, tmp_path / "absent.json"):
        with pytest.raises(ConfigurationError, match="holds no tokenizer"):
            ModelTokenizer.read(path, window_tokens=8)


def test_the_default_embedder_loads_no_torch_and_no_telemetry(tmp_path: pathlib.Path) -> None:
    program = """
import pathlib, sys
from app.inference import catalogue
embedder = catalogue.create(name="all-MiniLM-L6-v2", cache_folder=pathlib.Path("cache"))
embedder.embed_query("does it leave the machine?")
embedder.close()
loaded = {"torch", "transformers", "sentence_transformers", "requests"} & set(sys.modules)
assert not loaded, loaded
assert sys.modules["openvino_telemetry"] is None
"""
    root = str(pathlib.Path(__file__).parents[2])
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": root}

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "intel").exists()  # where the telemetry keeps its id
