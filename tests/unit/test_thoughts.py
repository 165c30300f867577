"""Thoughts that models write into what they say."""

from __future__ import annotations

import pytest

from app.text.thoughts import Thoughts

CASES = [
    ("Plain words.", "Plain words."),
    ("<think>The user wants X.</think>The tower is high.", "The tower is high."),
    ("<THINKING>\nOkay.\n</THINKING>\n\nThe tower is high.", "\n\nThe tower is high."),
    ("<think></think>Yes.", "Yes."),
    ("<think>It never ends", ""),
    ("It hides its begin.</think>The tower is high.", "The tower is high."),
    ("One. <think>two</think>Three. <reasoning>four</reasoning>Five.", "One. Three. Five."),
    ("a < b and c <d", "a < b and c <d"),
    ("<b>bold</b> <thin", "<b>bold</b> <thin"),
]


@pytest.mark.parametrize(("text", "said"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_thoughts_are_taken_out_wherever_the_text_is_cut(text: str, said: str, size: int) -> None:
    thoughts, found = Thoughts(), ""
    for start in range(0, len(text), size):
        piece, voids = thoughts.feed(text[start : start + size])
        found = piece if voids else found + piece
    assert found + thoughts.end() == said


def test_what_is_no_tag_is_not_held_back() -> None:
    thoughts = Thoughts()
    assert thoughts.feed("a <b") == ("a <b", False) or thoughts.feed("r>")[0].startswith("<b")
    assert thoughts.feed("plain ")[0].endswith("plain ")
