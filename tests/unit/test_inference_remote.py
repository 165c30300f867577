"""Embedders and rerankers of the catalogue: over HTTP on a server of this machine, and a CrossEncoder in the process."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.domain.errors import ConfigurationError, ModelRefusedError, PartDownError
from app.inference import catalogue
from app.inference.batcher import Kind
from app.inference.embedder import BatchingEmbedder
from app.inference.hashing_embedder import HashingEncoder
from app.inference.http_embedder import HttpEncoder
from app.inference.http_reranker import HttpReranker
from app.inference.rough_tokenizer import RoughTokenizer
from app.inference.specs import EmbedderSpec, Remote, RerankerSpec
from tests.services.embeddings import Answer, Embeddings, served

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None, reason="the extra `models` is not installed"
)


@pytest.fixture
def server() -> Iterator[Embeddings]:
    with served() as running:
        yield running


def spec(server: Embeddings, *, timeout_seconds: float = 20, **parts: Any) -> EmbedderSpec:
    remote = Remote(base_url=f"{server.url}/v1", api_key="sk-1", timeout_seconds=timeout_seconds)
    plain = EmbedderSpec(name="e", model="some/e5", remote=remote, dimensions=16, batch_size=3)
    return dataclasses.replace(plain, **parts)


@contextlib.contextmanager
def embedder(server: Embeddings, **parts: Any) -> Iterator[BatchingEmbedder]:
    one = catalogue.create(name="e", cache_folder=pathlib.Path("none"), declared=[spec(server, **parts)])
    with contextlib.closing(one):
        yield one


def test_vectors_come_in_batches_with_prefixes_and_the_key(server: Embeddings) -> None:
    texts = [f"text number {number}" for number in range(7)]
    with embedder(server, passage_prefix="passage: ", query_prefix="query: ", send_dimensions=True) as one:
        rows = one.embed_passages(texts)
        one.embed_query("who?")

    local = HashingEncoder(dimensions=16)
    expected = local.encode(Kind.PASSAGE, local.prepare([f"passage: {text}" for text in texts]))
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    sent = [body["input"] for _, body in server.requests]
    assert max(map(len, sent)) == 3
    assert ["query: who?"] in sent
    assert {headers["Authorization"] for headers, _ in server.requests} == {"Bearer sk-1"}
    assert {(body["model"], body["dimensions"]) for _, body in server.requests} == {("some/e5", 16)}


def test_no_more_is_sent_than_the_window_holds(server: Embeddings) -> None:
    with embedder(server, window_tokens=32) as one:
        one.embed_passages(["word " * 500])

    assert server.requests[0][1]["input"] == [("word " * 32).strip()]


def test_the_fingerprint_tells_models_dimensions_windows_and_prefixes_apart_but_not_servers(server: Embeddings) -> None:
    elsewhere = Remote(base_url="http://127.0.0.1:1", api_key="other")
    kinds = [
        spec(server),
        spec(server, model="m"),
        spec(server, dimensions=8),
        spec(server, window_tokens=99),
        spec(server, query_prefix="q"),
        spec(server, passage_prefix="q"),
    ]
    prints = [HttpEncoder(each).fingerprint for each in kinds]

    assert len(set(prints)) == 6
    assert prints[0] == "some/e5@16/openai_compatible/254"
    assert HttpEncoder(spec(server, remote=elsewhere)).fingerprint == prints[0]


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (Answer(status=500), PartDownError, "answered with the status 500"),
        (Answer(status=429), PartDownError, "answered with the status 429"),
        (Answer(status=401), PartDownError, "answered with the status 401"),
        (Answer(status=413), ModelRefusedError, "refused a text with the status 413"),
        (Answer(body=b"<html>"), PartDownError, "is no JSON"),
        (Answer(body=b"[]"), PartDownError, "holds no vectors"),
        (Answer(body=b'{"data": []}'), PartDownError, "does not hold one vector for each of 1 texts"),
        (Answer(body=b'{"data": [{"index": 0, "embedding": [1, 2]}]}'), PartDownError, "vectors of 2 dimensions, the catalogue says 16"),
        (Answer(body=b'{"data": [{"index": 0, "embedding": ["x"]}]}'), PartDownError, "holds no vectors"),
        (Answer(body=json.dumps({"data": [{"index": 0, "embedding": [0.0] * 16}]}).encode()), PartDownError, "no direction"),
        (Answer(body=json.dumps({"data": [{"index": 0, "embedding": [float("nan")] * 16}]}).encode()), PartDownError, "no direction"),
        (Answer(cut=True), PartDownError, "does not answer"),
        (Answer(drip_seconds=0.1), PartDownError, "did not end in 0.4 s"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)  # fmt: skip
def test_what_is_no_good_answer_is_an_error_of_the_product(
    server: Embeddings, answer: Answer, error: type[Exception], sentence: str
) -> None:
    server.answer = answer
    seconds = 0.4 if answer.drip_seconds else 20
    with embedder(server, timeout_seconds=seconds) as one, pytest.raises(error, match=sentence) as caught:
        one.embed_query("who?")

    assert "sk-1" not in str(caught.value)


def test_a_server_that_is_down_is_asked_once_for_a_batch_not_for_each_text(server: Embeddings) -> None:
    server.answer = Answer(status=503)
    with embedder(server, batch_size=64) as one, pytest.raises(PartDownError):
        one.embed_passages(["a", "b", "c", "d"])

    assert len(server.requests) == 1


def test_nothing_that_listens_is_a_part_that_is_down() -> None:
    remote = Remote(base_url="http://127.0.0.1:1", timeout_seconds=2)
    encoder = HttpEncoder(EmbedderSpec(name="e", model="m", remote=remote, dimensions=2))
    with pytest.raises(PartDownError, match="the embedder e does not answer: ConnectError"):
        encoder.encode(Kind.QUESTION, encoder.prepare(["x"]))
    encoder.close()


def test_an_embedder_without_its_key_does_not_start() -> None:
    remote = Remote(base_url="http://127.0.0.1:1", unset="the environment variable K is not set")
    with pytest.raises(ConfigurationError, match="the embedder e can't be used: the environment variable K is not set"):
        catalogue.create(
            name="e",
            cache_folder=pathlib.Path("none"),
            declared=[EmbedderSpec(name="e", model="m", remote=remote, dimensions=2)],
        )


def test_rough_tokens_are_pieces_of_words_single_letters_of_other_scripts_and_marks() -> None:
    tokenizer = RoughTokenizer(window_tokens=99)
    text = "Mitochondria, 短い!"

    assert [text[start:end] for start, end in tokenizer.spans(text)] == ["Mito", "chon", "dria", ",", "短", "い", "!"]
    assert tokenizer.count([text, ""]) == [7, 0]


@pytest.mark.parametrize("form", ["cohere", "tei"])
def test_a_reranker_over_http_scores_each_text_in_the_order_given(server: Embeddings, form: Any) -> None:
    reranker = HttpReranker(
        RerankerSpec(name="r", model="m", remote=Remote(base_url=server.url), form=form, batch_size=2)
    )
    texts = ["a cat", "the dog and the cat", "no animal", "cat cat"]

    with contextlib.closing(reranker):
        assert list(reranker.scores("cat", texts)) == [1.0, 1.0, 0.0, 2.0]
        assert list(reranker.scores("cat", [])) == []
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"results": [{"index": 0, "relevance_score": 1}]}', b'{"results": [{"index": 0}, {"index": 1}]}', b"3"],
)
def test_scores_that_are_none_are_a_part_that_is_down(server: Embeddings, body: bytes) -> None:
    server.answer = Answer(body=body)
    reranker = HttpReranker(RerankerSpec(name="r", model="m", remote=Remote(base_url=server.url)))

    with contextlib.closing(reranker), pytest.raises(PartDownError, match="the answer of the reranker r"):
        reranker.scores("cat", ["a", "b"])


def test_a_reranker_that_is_not_declared_is_refused_with_those_that_are() -> None:
    declared = [RerankerSpec(name="ms", model="m"), RerankerSpec(name="bge", model="m")]
    with pytest.raises(ConfigurationError, match="FOOTNOTE_RERANKER names msx, the file of models declares ms, bge"):
        catalogue.reranker("msx", declared=declared)


def tiny_cross_encoder(folder: pathlib.Path, *, labels: int = 1) -> pathlib.Path:
    """A CrossEncoder with random weights: 2 layers, 32 dimensions, a window of 64 tokens."""
    import torch  # noqa: PLC0415 - only where the extra `models` is installed
    import transformers  # noqa: PLC0415 - as above

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,%$"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(vocabulary)})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=labels,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@needs_library
def test_a_cross_encoder_scores_each_text_whatever_else_is_scored_with_it(tmp_path: pathlib.Path) -> None:
    declared = [RerankerSpec(name="ms", model=str(tiny_cross_encoder(tmp_path)), batch_size=2)]
    texts = ["one passage", "another " * 200, "", "\ud800 third"]

    with contextlib.closing(catalogue.reranker("ms", declared=declared)) as reranker:
        together = list(reranker.scores("which?", texts))
        alone = [reranker.scores("which?", [text])[0] for text in texts]
        other = list(reranker.scores("what else is there", texts))
        assert list(reranker.scores("which?", [])) == []

    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == 4
    assert other != pytest.approx(together, abs=1e-6)


@needs_library
def test_a_model_that_gives_several_scores_is_no_reranker(tmp_path: pathlib.Path) -> None:
    declared = [RerankerSpec(name="nli", model=str(tiny_cross_encoder(tmp_path, labels=3)))]
    with pytest.raises(ConfigurationError, match="the reranker nli is none: it gives 3 scores"):
        catalogue.reranker("nli", declared=declared)


@needs_library
def test_a_reranker_that_is_not_here_is_not_fetched() -> None:
    declared = [RerankerSpec(name="ms", model="footnote-tests/absent-model")]
    with pytest.raises(ConfigurationError, match="not on this machine, and downloads are not allowed"):
        catalogue.reranker("ms", declared=declared)
