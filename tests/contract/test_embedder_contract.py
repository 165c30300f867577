"""What every embedder owes its callers, run on each of them."""

from __future__ import annotations

import importlib.util
import pathlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from app.domain.errors import TransientError
from app.domain.ports import Embedder
from app.inference import catalogue

TEXTS = [
    "The mitochondrion is the powerhouse of the cell.",
    "",
    "Quarterly revenue grew by 12 % to $4.1 billion.",
    "短い文章。 Ünïcödé 🙂 a\u0301",
    "word " * 600,
    "yes",
]


def tiny_model(folder: pathlib.Path) -> pathlib.Path:
    """A sentence-transformers model with random weights: 2 layers, 32 dimensions, a window of 64 tokens."""
    import sentence_transformers  # noqa: PLC0415 - only where the extra `models` is installed
    import torch  # noqa: PLC0415 - as above
    import transformers  # noqa: PLC0415 - as above
    from sentence_transformers.sentence_transformer import modules  # noqa: PLC0415 - as above

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,%$"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    bert = folder / "bert"
    bert.mkdir(parents=True)
    (bert / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(vocabulary)})
    tokenizer.save_pretrained(bert)
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(bert)
    words = modules.Transformer(str(bert), max_seq_length=64)
    pooling = modules.Pooling(words.get_embedding_dimension())
    saved = folder / "model"
    sentence_transformers.SentenceTransformer(modules=[words, pooling], device="cpu").save(str(saved))
    return saved


@pytest.fixture(scope="module", params=["all-MiniLM-L6-v2", "hashing-16", "sentence-transformers"])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    folder = tmp_path_factory.mktemp("embedder")
    name = str(request.param)
    if name == "sentence-transformers":
        if importlib.util.find_spec("sentence_transformers") is None:
            pytest.skip("needs the extra `models`")
        name = str(tiny_model(folder))
    one: Embedder = catalogue.create(name=name, cache_folder=folder, numeric_path="f32")
    yield one
    one.close()


def test_vectors_have_unit_length_and_the_order_of_their_texts(embedder: Embedder) -> None:
    together = embedder.embed_passages(TEXTS)

    assert together.shape == (len(TEXTS), embedder.dimensions)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_allclose(embedder.embed_passages([text])[0], row, atol=1e-5)


def test_no_texts_give_an_empty_matrix(embedder: Embedder) -> None:
    assert embedder.embed_passages([]).shape == (0, embedder.dimensions)


def test_a_question_lies_nearest_to_the_passage_with_its_words(embedder: Embedder) -> None:
    passages = embedder.embed_passages(TEXTS)

    assert int(np.argmax(passages @ embedder.embed_query(TEXTS[2]))) == 2


def test_a_question_of_no_characters_or_of_one_half_of_a_surrogate_pair_is_no_error(embedder: Embedder) -> None:
    for text in ("", "\ud800", " \n\t"):
        assert np.isfinite(embedder.embed_query(text)).all()


def test_what_is_past_the_window_changes_nothing(embedder: Embedder) -> None:
    full = "a " * embedder.tokenizer.window_tokens

    short, longer = embedder.embed_passages([full, full + "b c d"])

    np.testing.assert_allclose(short, longer, atol=1e-5)


def test_the_last_token_of_the_window_counts(embedder: Embedder) -> None:
    window = embedder.tokenizer.window_tokens
    first, second = embedder.embed_passages(["a " * (window - 1) + "b", "a " * (window - 1) + "c"])

    assert not np.allclose(first, second, atol=1e-6)


def test_the_tokenizer_counts_what_its_spans_show_and_never_truncates(embedder: Embedder) -> None:
    tokenizer = embedder.tokenizer

    counts = tokenizer.count(TEXTS)

    assert counts[1] == 0
    assert counts[4] > tokenizer.window_tokens
    for text, count in zip(TEXTS, counts, strict=True):
        spans = tokenizer.spans(text)
        assert len(spans) == count
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert spans == sorted(spans)


def test_spans_count_code_points(embedder: Embedder) -> None:
    text = "🙂🙂 é word"

    assert text[slice(*embedder.tokenizer.spans(text)[-1])] in "word"
    assert embedder.tokenizer.spans(text)[-1][1] == len(text)


def test_the_fingerprint_is_stable_and_names_no_path(embedder: Embedder) -> None:
    assert embedder.fingerprint == embedder.fingerprint
    assert "/tmp" not in embedder.fingerprint  # noqa: S108 - it is looked for, not used
    assert not any(path in embedder.fingerprint for path in ("f32", "bf16", "int8"))


def test_callers_in_several_threads_get_their_own_vectors(embedder: Embedder) -> None:
    expected = embedder.embed_passages(TEXTS)
    wrong: list[int] = []

    def call(number: int) -> None:
        shift = number % len(TEXTS)
        rows = embedder.embed_passages(TEXTS[shift:] + TEXTS[:shift])
        if not np.allclose(rows, np.roll(expected, -shift, axis=0), atol=1e-5):
            wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_closed_embedder_says_so() -> None:
    closed = catalogue.create(name="hashing-16", cache_folder=pathlib.Path("unused"))
    closed.close()
    closed.close()

    with pytest.raises(TransientError):
        closed.embed_passages(["text"])
    with pytest.raises(TransientError):
        closed.embed_query("text")
