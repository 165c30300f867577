"""Canonical text and its stored form."""

import contextlib
import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.errors import DocumentError
from app.domain.passages import Page
from app.text.canonical import BLOCK_CHARS, CorruptTextError, TextReader, canonical, pack, read_slice, to_utf16

anything = st.text(alphabet=st.characters())
nasty = st.text(
    alphabet=st.sampled_from(
        "e\u0301\u0316\u0344\u0f71\u1100\u1161\u034f\ufeff\0\r\n\t\x85\ud83d\ude00\U0001f600a \u2028"
    )
)
storable = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(anything | nasty)
@example("a" + "\u0301\u0316" * 40)
@example("\u0344" * 40)
@example("\ud83d\ude00")
def test_canonical_text_is_in_canonical_form_already(text: str) -> None:
    once = canonical(text)

    assert canonical(once) == once


@given(anything | nasty)
def test_canonical_text_is_composed_and_holds_nothing_that_cannot_be_stored(text: str) -> None:
    said = canonical(text)

    assert unicodedata.is_normalized("NFC", said)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in said if char not in "\n\t")
    assert "\ufeff" not in said
    said.encode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("one\r\ntwo\rthree\x0bfour\x0cfive\x85six\u2028seven", "one\ntwo\nthree\nfour\nfive\nsix\nseven"),
        ("\ufeffcafe\u0301", "caf\u00e9"),
        ("a\0b\x07c\x9fd", "abcd"),
        ("lone \ud800 half", "lone \ufffd half"),
        ("\ud83d\ude00", "\U0001f600"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_each_kind_of_noise_has_its_own_end(raw: str, expected: str) -> None:
    assert canonical(raw) == expected


def test_a_long_run_of_marks_is_broken_up_instead_of_taking_the_square_of_its_length() -> None:
    said = canonical("a" + "\u0301\u0316" * 20_000)

    assert "\u034f" in said
    assert len(said) < 45_000


@given(storable, st.integers(0, 300), st.integers(0, 300))
def test_a_slice_of_a_stored_text_is_the_slice_of_the_text(text: str, start: int, end: int) -> None:
    assert read_slice(io.BytesIO(pack(text)), start, end) == text[start:end]


@given(text=st.text(alphabet="ab\u00e9\U0001f600", max_size=60), start=st.integers(0, 70), end=st.integers(0, 70))
def test_slices_and_utf16_offsets_hold_across_blocks(text: str, start: int, end: int) -> None:
    reader = TextReader(io.BytesIO(pack(text, block_chars=7)))

    assert reader.slice(start, end) == text[start:end]
    units = reader.utf16_offset(start)
    assert units == len(text[:start].encode("utf-16-le")) // 2 == to_utf16(text[:start])
    assert reader.code_point_offset(units) == min(start, len(text))


def test_an_offset_inside_a_surrogate_pair_is_before_the_pair() -> None:
    reader = TextReader(io.BytesIO(pack("a\U0001f600b")))

    assert [reader.code_point_offset(units) for units in range(6)] == [0, 1, 1, 2, 3, 3]


def test_pages_come_back_as_they_were_stored() -> None:
    pages = (Page(number=1, start=0, end=3), Page(number=2, start=5, end=5))

    reader = TextReader(io.BytesIO(pack("one\n\ntwo", pages)))

    assert reader.pages == pages
    assert reader.chars == 8


class _CountingStream(io.BytesIO):
    """Knows how many bytes were read from it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.taken += len(piece)
        return piece


def test_a_slice_reads_only_the_blocks_that_it_touches() -> None:
    text = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(10 * BLOCK_CHARS))
    stored = pack(text)
    stream = _CountingStream(stored)

    said = read_slice(stream, 5 * BLOCK_CHARS + 10, 5 * BLOCK_CHARS + 20)

    assert said == text[5 * BLOCK_CHARS + 10 : 5 * BLOCK_CHARS + 20]
    assert stream.taken < len(stored) / 8


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_damaged_stored_text_is_told_and_never_shown(place: int, flip: int) -> None:
    text = "A sentence that is stored. " * 30
    stored = bytearray(pack(text, [Page(number=1, start=0, end=5)]))
    stored[place % len(stored)] ^= flip

    with contextlib.suppress(CorruptTextError):
        assert read_slice(io.BytesIO(bytes(stored)), 0, len(text)) == text  # the flipped bit carried nothing


def test_the_error_of_a_damaged_text_fails_its_document_alone() -> None:
    with pytest.raises(DocumentError, match="damaged") as raised:
        TextReader(io.BytesIO(b"FNT0" + pack("text")[4:]))

    assert raised.value.code == "corrupt_text"


@pytest.mark.parametrize("kept_bytes", [0, 3, 12, 20, 60])
def test_a_stored_text_that_is_cut_off_is_told(kept_bytes: int) -> None:
    stored = pack("A sentence that is stored. " * 300)[:kept_bytes]

    with pytest.raises(CorruptTextError):
        read_slice(io.BytesIO(stored), 0, 100)
