"""Follow-up questions, and how they read alone."""

from __future__ import annotations

import pytest

from app.answering.rewrite import as_said, to_standalone
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
FERRY = turn(
    asked="Who was the first captain of the ferry Marigold?",
    answer="The ferry belongs to the port of Sennel. The first captain of the Marigold was Joan Pell.",
)
RETIRED = turn(typed="When did she retire?", asked="When did Joan Pell retire?", answer="She retired in 1987.")
GULL = turn(
    asked="When does the ferry to Gull Island not run?", answer="No ferry runs to Gull Island on Christmas Day."
)
KEEPER = turn(
    asked="Who was the keeper of Carrow Point lighthouse?", answer="Ruth Amsel was the keeper of Carrow Point."
)
RENT = turn(asked="What is the rent of the flat?", answer="It is 900 EUR a month.")
DECLARED = turn(
    typed="When did he declare it?",
    asked="When did Kublai Khan declare it?",
    answer="By the Mandate of Heaven, in 1271.",
)
CARS = turn(asked="How many cars does the ferry carry?", answer="It carries 12 cars.")
BORNE = turn(asked="How many passengers were carried in 2017?", answer="12,000 passengers were carried.")


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


@pytest.mark.parametrize(
    ("turns", "typed", "alone"),
    [
        pytest.param([FERRY], "When did she retire?", "When did Joan Pell retire?", id="who-is-no-place"),
        pytest.param([FERRY, RETIRED], "What did she do then?", "What did Joan Pell do then?", id="she-again"),
        pytest.param([FERRY, RETIRED], "Where was it built?", "Where was Marigold built?", id="it-is-nobody"),
        pytest.param([YUAN, DECLARED], "What was its name?", "What was Yuan's name?", id="it-was-not-he"),
        pytest.param([KEEPER], "How old is it?", "How old is Carrow Point?", id="it-of-who"),
        pytest.param([RENT], "And the deposit?", "What is the deposit of the flat?", id="noun-for-noun"),
        pytest.param([BORNE], "And deckhands?", "How many deckhands were carried in 2017?", id="counted"),
        pytest.param([BORNE], "And in 2018?", "How many passengers were carried in 2018?", id="year-for-year"),
        pytest.param(
            [GULL], "And in winter?", "When does the ferry to Gull Island not run in winter?", id="one-part-more"
        ),
        pytest.param(
            [FERRY], "What about the ferry Rose?", "Who was the first captain of the ferry Rose?", id="name-for-name"
        ),
        pytest.param(
            [FERRY],
            "How many passengers does the ferry carry?",
            "How many passengers does the ferry carry (Marigold)?",
            id="noun-beside-a-name",
        ),
        pytest.param([CARS], "How long is it?", "How long is the ferry?", id="subject"),
        pytest.param([KEEPER], "How high?", "How high (Carrow Point)?", id="verbless"),
        pytest.param([MUSEUM], "And the garden?", "And the garden (Victoria and Albert Museum)?", id="no-such-part"),
    ],
)
def test_a_part_takes_the_place_of_one_of_its_kind(turns: list[Turn], typed: str, alone: str) -> None:
    assert to_standalone(typed, turns) == alone


@pytest.mark.parametrize(
    "typed",
    [
        "How many deckhands are there?",
        "What is the notice period?",
        "Who was the keeper in 1953?",
        "What about the revenue in 2018?",
        "What about the population of Fresno?",
        "What about the pier, who built it?",
        "Who is the tenant and when did she move in?",
        "Is it allowed to keep dogs?",
        "What time is it?",
        "What do both parties sign?",
        "Who was the former owner?",
        "Which is the oldest pier?",
        "During winter, which ferries run?",
        "thanks",
        "ok thanks",
        "Great!",
    ],
)
@pytest.mark.parametrize("turns", [[FERRY, RETIRED], [GULL], [KEEPER], [RENT], [BORNE], [BOWL]])
def test_an_independent_question_is_left_as_typed(turns: list[Turn], typed: str) -> None:
    assert to_standalone(typed, turns) == typed


@pytest.mark.parametrize(
    "said",
    [
        "When did Joan Pell, captain of the Marigold, retire?",
        'Question: "When did Joan Pell retire?"\nShe retired in 1987.',
    ],
)
def test_a_models_question_is_taken(said: str) -> None:
    alone = as_said(said, "When did she retire?", [FERRY], max_chars=4000)
    assert alone is not None
    assert alone.startswith("When did Joan Pell")


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("She carries 180 passengers and twelve cars.", "How many passengers does she carry?"),
        ("x", "When did she retire?"),
        ("x?", "When did she retire?"),
        ("", "When did she retire?"),
        ("You're welcome, anything else?", "thanks"),
        ("What is the capital of France?", "When did she retire?"),
        ("Who was the captain of the Marigold?", "And in 1950?"),  # the year is lost
        (f"When did Joan Pell retire{' from the Marigold' * 20}?", "When did she retire?"),
    ],
)
def test_what_a_model_makes_is_refused_where_it_is_no_such_question(said: str, typed: str) -> None:
    assert as_said(said, typed, [FERRY], max_chars=4000) is None
