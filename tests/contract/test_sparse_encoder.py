"""Every SparseEncoder, held to the port. A new one is one more entry in ENCODERS."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping

import pytest

from app.domain.ports import SparseEncoder
from app.stores.bm25_sparse import Bm25SparseEncoder

ENCODERS: Mapping[str, Callable[[], SparseEncoder]] = {"bm25": Bm25SparseEncoder}


@pytest.fixture(params=ENCODERS, scope="module")
def encoder(request: pytest.FixtureRequest) -> SparseEncoder:
    return ENCODERS[request.param]()


def finds(encoder: SparseEncoder, question: str, passage: str) -> bool:
    """Whether a passage holds every term of a question, and there is one."""
    asked = set(encoder.encode_query(question).indices)
    return bool(asked) and asked <= set(encoder.encode_passages([passage])[0].indices)


def test_the_fingerprint_names_the_parameters(encoder: SparseEncoder) -> None:
    assert encoder.fingerprint == type(encoder)().fingerprint
    assert "bm25" in encoder.fingerprint


@pytest.mark.parametrize("text", ["", "   \n", "the of and", "...", "\U0001f600"])
def test_a_text_without_terms_has_no_weights(encoder: SparseEncoder, text: str) -> None:
    assert not encoder.encode_query(text).indices
    assert not encoder.encode_passages([text])[0].indices


def test_passages_keep_their_order(encoder: SparseEncoder) -> None:
    texts = ["red fox", "", "blue whale"]

    together = encoder.encode_passages(texts)

    assert together == [encoder.encode_passages([text])[0] for text in texts]
    assert encoder.encode_passages([]) == []


@pytest.mark.parametrize(
    "text", ["word " * 5_000, "a" * 200_000, "zq36694x zq7870x", "\x00\x01", "x\u0301" * 300, "\u8a9e" * 5_000]
)
def test_terms_are_distinct_and_weights_positive(encoder: SparseEncoder, text: str) -> None:
    for sparse in (encoder.encode_passages([text])[0], encoder.encode_query(text)):
        assert len(set(sparse.indices)) == len(sparse.indices) == len(sparse.values)
        assert all(0 <= index < 2**32 for index in sparse.indices)
        assert all(value > 0 for value in sparse.values)


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("Running", "he RUNS daily"),
        ("resume", "a r\u00e9sum\u00e9 was sent"),
        ("stra\u00dfe", "Die STRASSE"),
        ("2024", "as of 2024-01-31"),
        ("1,234.5", "a total of 1,234.5 units"),
        ("COVID-19", "covid 19 cases"),
        ("foo bar", "the foo_bar function"),
        ("\u043c\u0438\u0440", "\u041f\u0440\u0438\u0432\u0435\u0442, \u041c\u0418\u0420!"),
        ("\u6771\u4eac", "\u79c1\u306f\u6771\u4eac\u306b\u4f4f\u3093\u3067\u3044\u307e\u3059"),
        ("\u5206\u8bcd", "\u4e2d\u6587\u5206\u8bcd\u6d4b\u8bd5"),
        ("\u0e44\u0e17\u0e22", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22\u0e07\u0e48\u0e32\u0e22"),
        ("GPU\u8a08\u7b97", "\u9ad8\u901f\u306aGPU\u8a08\u7b97\u6a5f"),
    ],
)
def test_a_question_meets_its_passage_in_every_script(encoder: SparseEncoder, question: str, passage: str) -> None:
    assert finds(encoder, question, passage)


def test_a_word_said_more_often_weighs_more_and_a_longer_passage_less(encoder: SparseEncoder) -> None:
    once, twice, long = encoder.encode_passages(["fox", "fox fox", "fox " + " ".join(f"w{n}" for n in range(300))])
    (term,) = encoder.encode_query("fox").indices

    weight = {id(each): each.values[list(each.indices).index(term)] for each in (once, twice, long)}

    assert weight[id(twice)] > weight[id(once)] > weight[id(long)]


def test_several_threads_get_what_one_gets(encoder: SparseEncoder) -> None:
    texts = [f"passage number {number} about foxes and {number * 7}" for number in range(200)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        encoded = list(pool.map(lambda text: encoder.encode_passages([text])[0], texts))

    assert encoded == encoder.encode_passages(texts)
