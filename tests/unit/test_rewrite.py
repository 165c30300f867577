"""Follow-up questions, and how they read alone."""

from __future__ import annotations

import pytest

from app.answering.rewrite import to_standalone
from app.domain.conversations import Turn


def turn(asked: str, answer: str, typed: str | None = None) -> Turn:
    return Turn(typed=typed or asked, asked=asked, answer=answer)


WARSAW = turn(asked="When was Warsaw founded?", answer="The first settlements there date from the 9th century.")
RIVER = turn(asked="Which river flows through Warsaw?", answer="The Vistula flows through Warsaw.")
FRESNO = turn(asked="What was the population of Fresno in 2010?", answer="It was 494,665.")
BOWL = turn(
    asked="Which teams played in Super Bowl 50?",
    answer="The Denver Broncos and the Carolina Panthers played in Super Bowl 50.",
)
YUAN = turn(asked="Who founded the Yuan dynasty?", answer="Kublai Khan founded the Yuan dynasty.")
MUSEUM = turn(asked="Where is the Victoria and Albert Museum?", answer="It is in London.")
WARS = turn(asked="Did the French and Indian War or the Seven Years War start first?", answer="The former did.")
PACKETS = turn(asked="What is packet switching?", answer="It groups data into packets.")


@pytest.mark.parametrize(
    ("before", "typed", "alone"),
    [
        pytest.param(WARSAW, "Who founded it?", "Who founded Warsaw?", id="thing"),
        pytest.param(RIVER, "How long is it?", "How long is Vistula (Warsaw)?", id="thing-of-the-answer"),
        pytest.param(YUAN, "When was he born?", "When was Kublai Khan born?", id="person"),
        pytest.param(YUAN, "What was his title?", "What was Kublai Khan's title?", id="possessive"),
        pytest.param(FRESNO, "And in 2000?", "What was the population of Fresno in 2000?", id="year"),
        pytest.param(FRESNO, "in 1990", "What was the population of Fresno in 1990?", id="year-alone"),
        pytest.param(FRESNO, "What about Jacksonville?", "What was the population of Jacksonville in 2010?", id="name"),
        pytest.param(WARSAW, "Why?", "When was Warsaw founded, why?", id="bare"),
        pytest.param(WARS, "How long did the second one last?", "How long did Seven Years War last?", id="ordinal"),
        pytest.param(BOWL, "Where is the latter from?", "Where is Carolina Panthers from?", id="latter"),
        pytest.param(PACKETS, "Who invented it?", "Who invented packet switching?", id="no-name"),
        pytest.param(
            MUSEUM,
            "How many objects does the museum hold?",
            "How many objects does the museum hold (Victoria and Albert Museum)?",
            id="definite",
        ),
    ],
)
def test_what_leans_on_the_turn_before_stands_alone(before: Turn, typed: str, alone: str) -> None:
    assert to_standalone(typed, [before]) == alone


@pytest.mark.parametrize(
    "typed",
    [
        "How many members does the Scottish Parliament have?",
        "When did Tesla leave his job?",  # the name stands before its pronoun
        "Is there a largest prime number?",
        "What is the speed of light?",
        "Wann wurde die Stadt gegründet?",
        "?",
        "",
    ],
)
def test_what_stands_alone_stays_as_it_is(typed: str) -> None:
    assert to_standalone(typed, [YUAN]) == typed


def test_without_turns_nothing_is_known() -> None:
    assert to_standalone("Who founded it?") == "Who founded it?"


def test_the_other_one_is_what_was_not_spoken_of_last() -> None:
    turns = [BOWL, turn(asked="Where are the Denver Broncos from?", answer="From Denver.")]
    assert to_standalone("And where is the other one from?", turns) == "And where is Carolina Panthers from?"
