"""What a model writes, without anything that acts; and its sentences as they end."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.text import inert as inert_module
from app.text.claims import Claimed, Claims
from app.text.inert import Stream, inert, unlinked

LIVE = re.compile(r"\]\(|\]\[|!\[|<[a-zA-Z/!?]|[a-z][a-z0-9+.-]*://|javascript:|data:\S|\bwww\.", re.IGNORECASE)
PIECES = [
    "![x](http://evil.example/a.png?q=1)",
    "[click here](https://evil.example/a)",
    "[text][ref]",
    "\n[ref]: http://evil.example/x\n",
    "<img src=http://evil.example/x.png>",
    "<a href='javascript:alert(1)'>here</a>",
    "<https://evil.example>",
    "https://evil.example/x?y=1",
    "www.evil.example",
    "//evil.example/x",
    "javascript:alert(1)",
    "data:text/html,x",
    "mailto:ann@evil.example",
    "<!-- hidden -->",
    "[1]",
    "[2, 3]",
    "【4†source】",
    "![a][b]",
    "plain words.",
    "a < b and c > d",
    "3:4",
    "[",
    "](",
    "!",
    "<",
    "`code`",
    "**bold**",
]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("See ![x](http://evil.example/p.png) it.", "See  it."),
        ("See [the page](https://evil.example/a_(b)) now.", "See the page now."),
        ("Go to https://evil.example/x?secret=1 now", "Go to (link) now"),
        ("Revenue was 3 [1]. It grew [2, 3]. Done [^4][source 5]【6†x】.", "Revenue was 3. It grew. Done."),
        ("a < b, 3:4, Note: this [sic] stays", "a < b, 3:4, Note: this (sic) stays"),
        ("<script>alert(1)</script>ok<!-- no -->", "alert(1)ok"),
        ("It costs **5 euros** and `x`", "It costs 5 euros and x"),
        ("<scr<b>ipt>x</scr<b>ipt>, <`a href=x>y", "ipt>xipt>, y"),
        ("ht[](x)tps://evil.example/x", "(link)"),
        ("Go to http:\\\\evil.example\\x or https:evil.example now", "Go to (link) or (link) now"),
        ("Done ⑦. High⁷ enough.⁸ Seen {7}. So (7)(8). And (¹).", "Done. High enough. Seen. So. And."),
        ("It covers 12 km² at 10³ and item (7) stays", "It covers 12 km² at 10³ and item (7) stays"),
    ],
)
def test_links_images_mark_up_and_marks_are_taken_out_and_words_stay(written: str, shown: str) -> None:
    assert inert(written) == shown


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.integers())
@example(["[click here](https://evil.example/a)", "[1]"], 3)
@settings(max_examples=300)
def test_nothing_that_acts_is_left_whole_or_in_pieces(pieces: list[str], seed: int) -> None:
    text = " ".join(pieces)
    assert not LIVE.search(inert(text))
    rng = random.Random(seed)
    stream, told, at = Stream(), "", 0
    while at < len(text):
        step = rng.randint(1, 7)
        told += stream.feed(text[at : at + step])
        at += step
    told += stream.end()
    assert not LIVE.search(told)


@given(st.text(alphabet="[]()!<>`*_ ab:/\n1.", max_size=120))
@settings(max_examples=300)
def test_any_text_in_single_characters_ends_without_anything_that_acts(text: str) -> None:
    stream = Stream()
    told = "".join(stream.feed(char) for char in text) + stream.end()
    assert not LIVE.search(told)
    assert not LIVE.search(inert(text))


def test_what_comes_to_life_when_escapes_are_undone_is_taken_out_too() -> None:
    def read(text: str) -> str:
        return text.replace("&lt;", "<").replace("&#58;", ":")

    stream = Stream(read=read)
    told = "".join(stream.feed(char) for char in "See &lt;img src=x> and http&#58;//evil.example/x now") + stream.end()
    assert not LIVE.search(told)
    claims = Claims(read=read)
    found = claims.feed("User&#58; see &lt;img src=x> it [1].") + claims.end()
    assert [each.text for each in found] == ["see it."]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("The quarry ![x](http://evil.example/a.png) opened.", "The quarry  opened."),
        (
            "See [details](javascript:alert(1)) at http://quarry.example/track.",
            "See details at http://quarry.example/track.",
        ),
        ("The <img src=http://evil.example/b.png> quarry if a<b and c>d [1]", "The  quarry if a<b and c>d [1]"),
        ("![a](x)](y)<im<img>g src=z>", "](y)"),
    ],
)
def test_a_documents_own_words_load_and_follow_nothing(written: str, told: str) -> None:
    assert unlinked(written) == told


@given(st.text(alphabet="ab wW.<[]!(){}*_`:/【】①⁷²1-@\\", max_size=30))
def test_what_has_nothing_special_would_be_left_as_it_is(text: str) -> None:
    if not inert_module._SPECIAL.search(text):
        assert inert_module._once(text, marks=False) == text


def test_an_endless_bracket_is_not_held_back_for_ever() -> None:
    stream = Stream()
    told = "".join(stream.feed(f"word{number} ") for number in range(10))
    told += stream.feed("[")
    told += "".join(stream.feed(f"word{number} ") for number in range(200))
    assert len(told) > 500


def said(text: str, *, step: int = 1) -> list[Claimed]:
    claims = Claims()
    found = [each for at in range(0, len(text), step) for each in claims.feed(text[at : at + step])]
    return found + claims.end()


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_sentences_carry_the_marks_behind_and_within_them(step: int) -> None:
    text = "Revenue was $3.2 million [1]. It grew by 5 %. [2, 3] Dr. Smith said so [4-6].\n- one item [1]\n- two [2]\nThe end"
    assert said(text, step=step) == [
        Claimed(text="Revenue was $3.2 million.", marks=(1,)),
        Claimed(text="It grew by 5 %.", marks=(2, 3)),
        Claimed(text="Dr. Smith said so.", marks=(4, 5, 6)),
        Claimed(text="- one item", marks=(1,)),
        Claimed(text="- two", marks=(2,)),
        Claimed(text="The end", marks=()),
    ]


def test_several_marks_in_a_row_go_with_the_sentence_before_them() -> None:
    text = "It grew by 5 %. [1][2] Then it fell [3][4]. It rests.[5] [6]"
    assert [each.marks for each in said(text, step=1000)] == [(1, 2), (3, 4), (5, 6)]


def test_a_sentence_with_its_mark_is_given_with_its_last_character() -> None:
    claims = Claims()
    assert claims.feed("The pier is long [1]") == []
    assert claims.feed(".") == [Claimed(text="The pier is long.", marks=(1,))]
    assert claims.feed(" It is old. [2") == []
    assert claims.feed("]") == [Claimed(text="It is old.", marks=(2,))]


def test_headings_and_lines_without_a_word_are_no_sentences() -> None:
    assert said("## Revenue\n---\n...\n[1]\n| a | b |\n") == [Claimed(text="| a | b |", marks=())]


def test_a_sentence_does_not_begin_as_a_turn_of_a_chat() -> None:
    assert [each.text for each in said("System: who won? [1]\nUser: Ann won [2].\nThe system: it is old [3].")] == [
        "who won?",
        "Ann won.",
        "The system: it is old.",
    ]


def test_a_mark_names_no_more_than_a_few_sources() -> None:
    (claim,) = said("All of it [1-9999].")
    assert len(claim.marks) <= 21


@given(st.text(max_size=400))
@settings(max_examples=200)
def test_no_text_is_said_twice_or_breaks_the_cutting(text: str) -> None:
    whole = said(text, step=1000)
    assert sum(len(each.text) for each in whole) <= 2 * len(text) + 20
    assert all("[" not in each.text for each in whole)
