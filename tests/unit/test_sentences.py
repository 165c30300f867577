"""Sentences and grapheme boundaries."""

from __future__ import annotations

import itertools
import random

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from app.text import graphemes, sentences

# Marks that join, pair up, end sentences or open lists, so that short random texts meet the hard cases.
NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from("aA1 .!?\n\t\"')]…。！।؟-•e\u0301\u200d\u200b\ufe0f\u0600가가👩👧🇩🇪🏽क्ष"),  # noqa: RUF001 - the marks themselves
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=200,
)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences.spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains. It pours.", ["It rains.", "It pours."]),
        ("Mr. and Mrs. Smith met Dr. Jones. They left.", ["Mr. and Mrs. Smith met Dr. Jones.", "They left."]),
        (
            "J. R. R. Tolkien wrote it. John F. Kennedy did not.",
            ["J. R. R. Tolkien wrote it.", "John F. Kennedy did not."],
        ),
        ("Take vitamin C. The dose is low.", ["Take vitamin C.", "The dose is low."]),
        ("Sales of Acme Inc. Europe rose 3.5%. Fine.", ["Sales of Acme Inc. Europe rose 3.5%.", "Fine."]),
        ("He sold Acme Inc. The price was low.", ["He sold Acme Inc.", "The price was low."]),
        (
            "The U.S. Senate sat, e.g. Monday, at 5 p.m. Then it rose.",
            ["The U.S. Senate sat, e.g. Monday, at 5 p.m.", "Then it rose."],
        ),
        ("See Fig. 3 and No. 5. Is it so? No. Never.", ["See Fig. 3 and No. 5.", "Is it so?", "No.", "Never."]),
        ("On Jan. 5 it rose. It was 2019. 40 left.", ["On Jan. 5 it rose.", "It was 2019.", "40 left."]),
        ("“Really?” he asked. “Yes!” (She left.) Gone.", ["“Really?” he asked.", "“Yes!”", "(She left.)", "Gone."]),
        ("Well... and so on... Then what?! Nothing…", ["Well... and so on...", "Then what?!", "Nothing…"]),
        ("It is known.[12] Others agree.[3][4] Done.", ["It is known.[12]", "Others agree.[3][4]", "Done."]),
        ("1. First point. More.\n2. Second\n• third", ["1. First point.", "More.", "2. Second", "• third"]),
        ("Item 1A. Risk Factors\n\nNote 5. Leases", ["Item 1A.", "Risk Factors", "Note 5. Leases"]),
        ("A line that\nis wrapped. Next.", ["A line that\nis wrapped.", "Next."]),
        ("A title\n \n\nA text", ["A title", "A text"]),
        ("这是一句。第二句！「好。」再见", ["这是一句。", "第二句！", "「好。」", "再见"]),  # noqa: RUF001 - the marks themselves
        ("यह वाक्य है। दूसरा॥ هل هذا؟ نعم۔", ["यह वाक्य है।", "दूसरा॥", "هل هذا؟", "نعم۔"]),  # noqa: RUF001 - the marks themselves
        ("Version 2.0.1 of www.example.org works.", ["Version 2.0.1 of www.example.org works."]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_a_sentence_ends_where_a_reader_ends_it(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@given(NASTY)
def test_nothing_but_white_space_lies_between_sentences(text: str) -> None:
    spans = sentences.spans(text)

    edges = [0, *itertools.chain.from_iterable(spans), len(text)]
    assert edges == sorted(edges)
    assert all(start < end for start, end in spans)
    outside = [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    assert not "".join(outside).strip()


@given(NASTY)
def test_no_sentence_begins_or_ends_within_a_grapheme(text: str) -> None:
    edges = {0, *(cluster.end() for cluster in regex.finditer(r"\X", text))}

    assert {edge for span in sentences.spans(text) for edge in span} <= edges


@given(NASTY)
def test_a_boundary_is_where_a_cluster_ends(text: str) -> None:
    edges = {0, *(cluster.end() for cluster in regex.finditer(r"\X", text))}

    assert {at for at in range(len(text) + 1) if graphemes.is_boundary(text, at)} == edges


@pytest.mark.parametrize("known", [0, 500])
def test_flags_are_kept_whole_in_a_long_run(known: int) -> None:
    text = "🇩🇪" * 1_000

    assert graphemes.floor(text, 601, known=known) == 600
    assert graphemes.floor(text, 600, known=known) == 600


def test_a_cluster_longer_than_any_writing_needs_is_cut() -> None:
    text = "e" + "\u0301" * 10_000

    assert graphemes.floor(text, 5_000) == 5_000
    assert graphemes.cut(text, 0, 30, len(text)) == graphemes.LONGEST


@pytest.mark.parametrize(
    "piece", ["a", ".", "'.", "\n", ". ", "\n ", "1. ", "好", "。", "\u0301", "🇩", "\u200b", " \u0301", "👩\u200d"]
)
def test_a_text_without_end_is_cut_into_bounded_sentences(piece: str) -> None:
    text = "x" + piece * 20_000

    spans = sentences.spans(text)

    assert all(end - start <= sentences.LONGEST for start, end in spans)
    assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())


def test_what_runs_on_is_cut_at_a_space() -> None:
    rng = random.Random(1)
    words = " ".join("w" * rng.randint(1, 12) for _ in range(2_000))

    pieces = cut(words)

    assert " ".join(pieces) == words
    assert len(pieces) < 10
