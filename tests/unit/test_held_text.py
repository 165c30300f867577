"""Bytes of a model as text: whole characters, and nothing of a stop mark."""

from __future__ import annotations

import pytest

from app.inference.chat.held_text import HeldText


def shown(pieces: list[bytes], *, stops: tuple[str, ...] = ()) -> list[str]:
    text = HeldText(stops=stops)
    return [*(text.add(piece) for piece in pieces), text.end()]


def test_a_character_is_shown_once_all_its_bytes_are_there() -> None:
    whole = "é日🙂a"
    assert "".join(shown([bytes([byte]) for byte in whole.encode()])) == whole
    assert shown([b"a\xf0\x9f", b"\x99", b"\x82b"]) == ["a", "", "🙂b", ""]


def test_half_a_character_at_the_end_becomes_one_replacement() -> None:
    assert shown([b"a\xe6\x97"]) == ["a", "\ufffd"]


@pytest.mark.parametrize(
    "wrong", [b"\xe0\x82\x80", b"\xed\xa0\x80", b"\xf8\x80\x80\x80", b"\xc1\x81", b"\x80", b"\xf5\x80\x80\x80"]
)
def test_what_looks_like_a_character_and_is_none_becomes_one_replacement(wrong: bytes) -> None:
    assert "".join(shown([b"a" + wrong + b"b"])) == "a\ufffdb"
    assert "".join(shown([b"a", *(bytes([byte]) for byte in wrong), b"b"])) == "a\ufffdb"


def test_a_character_that_breaks_off_takes_nothing_of_the_next_one() -> None:
    assert "".join(shown([b"\xe6\x97", b'"'])) == '\ufffd"'
    assert "".join(shown([b"\xf0\x9f\xc3\xa9"])) == "\ufffdé"


def test_nothing_of_a_stop_mark_and_nothing_after_it_is_shown() -> None:
    assert "".join(shown([b"yes<|im", b"_end|>", b"more"], stops=("<|im_end|>",))) == "yes"
    assert "".join(shown([b"yes<|im_end|>more"], stops=("<|im_end|>", "<|other|>"))) == "yes"


def test_what_only_begins_like_a_stop_mark_is_shown_after_all() -> None:
    assert shown([b"a<", b"|x", b"<|"], stops=("<|im_end|>",)) == ["a", "<|x", "", "<|"]


def test_of_two_stop_marks_the_first_in_the_text_holds() -> None:
    text = HeldText(stops=("BB", "AA"))
    assert text.add(b"1AA2BB") == "1"
    assert text.stopped
    assert (text.add(b"3"), text.end()) == ("", "")
