"""The steps of an answer, each by itself."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Sequence

import pytest

from app.answering import context, generate, guard, rerank, rewrite
from app.answering.patience import AbandonedError, Patience
from app.domain.answers import AnswerSentence, Block, Candidate, Context, Draft, Passage, text_of
from app.domain.errors import BadQueryError, DeadlineExceededError
from app.domain.models import ChatRequest, Finished, Message, Usage, estimated
from app.domain.vectors import Vector
from app.inference.hashing_embedder import WordTokenizer
from app.text import shown
from tests.services.scripted_models import scripted


def passage(text: str, *, ordinal: int = 0, version: uuid.UUID | None = None, **parts: object) -> Passage:
    made = Passage(
        chunk_id=uuid.uuid4(),
        document_id=uuid.uuid4(),
        version_id=version or uuid.uuid4(),
        external_id=None,
        title="t",
        page=None,
        start=0,
        end=len(text),
        text=text,
        headings=(),
        ordinal=ordinal,
        score=0.5,
        cosine=0.5,
    )
    return dataclasses.replace(made, **parts)  # type: ignore[arg-type]


def test_a_question_is_read_without_what_nobody_sees() -> None:
    checked = guard.check("  wh\u200bo\u202e is\x1b[31m\x00 Ann\ufeff?\n", max_chars=100)
    assert checked.text == "who is Ann?"
    assert checked.refusal is None


def test_a_joiner_stays_where_a_script_needs_it() -> None:
    assert guard.check("می‌خواهم", max_chars=100).text == "می‌خواهم"
    assert guard.check("a\u200db", max_chars=100).text == "ab"


@pytest.mark.parametrize("question", ["", " \n", "\u200b\u200b", "\x00"])
def test_an_empty_question_is_an_error(question: str) -> None:
    with pytest.raises(BadQueryError) as raised:
        guard.check(question, max_chars=100)
    assert raised.value.code == "query_empty"


def test_a_question_over_the_limit_is_an_error_that_names_it() -> None:
    with pytest.raises(BadQueryError, match="101 characters, the limit is 100") as raised:
        guard.check("x" * 101, max_chars=100)
    assert raised.value.code == "query_too_long"


@pytest.mark.parametrize("question", ["???", "-- !", "“”"])
def test_marks_without_a_word_are_no_question(question: str) -> None:
    refusal = guard.check(question, max_chars=100).refusal
    assert refusal is not None
    assert refusal.code == "not_a_question"


@pytest.mark.parametrize(
    ("question", "foreign"),
    [
        ("Wann fährt die Fähre von Sennel ab?", True),
        ("Когда отходит паром?", True),
        ("渡し船はいつ出ますか", True),
        ("¿Cuándo sale el barco para la isla?", True),
        ("When does the ferry leave?", False),
        ("ferry departure Sunday morning", False),
        ("Who wrote Das Kapital?", False),
    ],
)
def test_a_question_in_another_language_is_answered_with_a_notice(question: str, *, foreign: bool) -> None:
    assert [each.code for each in guard.check(question, max_chars=100).notices] == (["language"] if foreign else [])


def test_a_question_stands_alone_as_it_is() -> None:
    assert rewrite.to_standalone("And in 2019?") == "And in 2019?"


class Backwards:
    """A reranker that likes long texts."""

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        del question
        return [float(len(text)) for text in texts]


def test_without_a_reranker_the_search_has_the_last_word() -> None:
    passages = [passage("one"), passage("twenty")]
    assert rerank.order(None, "q", passages) == tuple(passages)
    assert rerank.order(Backwards(), "q", passages) == tuple(reversed(passages))
    assert rerank.order(Backwards(), "q", []) == ()


def test_neighbours_of_one_version_stand_side_by_side_in_the_order_of_the_text() -> None:
    version = uuid.uuid4()
    third, first, second, far, other = (
        passage("third words", ordinal=3, version=version),
        passage("first words", ordinal=1, version=version),
        passage("second words", ordinal=2, version=version),
        passage("far away", ordinal=9, version=version),
        passage("elsewhere", ordinal=2),
    )
    packed = context.pack([other, third, far, first, second], tokenizer=WordTokenizer(), max_tokens=1000)
    assert [block.passages for block in packed.blocks] == [(other,), (first, second, third), (far,)]
    assert packed.passages == (other, third, far, first, second)


def test_what_does_not_fit_is_left_out_whole() -> None:
    tokenizer = WordTokenizer()
    small, large, last = passage("one two"), passage("word " * 100), passage("three")
    (two, _, one) = tokenizer.count([small.text, large.text, last.text])
    packed = context.pack([small, large, last], tokenizer=tokenizer, max_tokens=two + one)
    assert packed.passages == (small, last)
    assert packed.tokens == two + one


class Certain:
    """An answerer that must not be asked."""

    name = "certain"
    threshold = 0.5

    def draft(self, question: str, vector: Vector, context: Context) -> Draft:
        raise AssertionError((question, vector, context))


def test_without_evidence_nothing_is_generated() -> None:
    draft = generate.draft(Certain(), "q", None, Context(passages=(), blocks=(), tokens=0))
    assert (draft.sentences, draft.confidence, draft.model) == ((), 0.0, "certain")


def test_who_has_left_is_waited_for_no_more() -> None:
    patience = Patience(60)
    patience.require()
    assert 0 < patience.left_seconds <= 60
    patience.leave()
    with pytest.raises(AbandonedError):
        patience.require()


def test_a_deadline_passes() -> None:
    patience = Patience(0.01)
    time.sleep(0.02)
    with pytest.raises(DeadlineExceededError, match="FOOTNOTE_ANSWER_DEADLINE_SECONDS"):
        patience.require()
    assert patience.left_seconds == 0


def sentence(text: str) -> AnswerSentence:
    return AnswerSentence(text=text, start=0, end=0, citations=(1,), support=1.0)


def test_sentences_have_their_places_in_the_text() -> None:
    text, placed = text_of([sentence("One."), sentence("Two."), sentence("a | b"), sentence("- item")])
    assert text == "One. Two.\na | b\n- item"
    assert [text[each.start : each.end] for each in placed] == ["One.", "Two.", "a | b", "- item"]
    assert text_of([]) == ("", ())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("red \x1b[31malert\x1b[0m\x07", "red alert"),
        ("title \x1b]0;owned\x07set", "title set"),
        ("\x9b31mcolour", "colour"),
        ("one\n  two\tthree", "one two three"),
        ("as shown [1], [12,13] and [2\N{EN DASH}4]", "as shown (1), (12,13) and (2\N{EN DASH}4)"),
        ("list[int] [a]", "list[int] [a]"),
        ("pass\u00adword \u202ecod.exe", "password cod.exe"),
        ("flag \U000e0041\U000e0042 tag", "flag tag"),
        ("👩\u200d👩\u200d👧 family", "👩\u200d👩\u200d👧 family"),
        ("plain", "plain"),
    ],
)
def test_a_line_shows_what_a_reader_sees(text: str, line: str) -> None:
    assert shown.line(text) == line


def test_a_line_of_a_million_letters_takes_linear_time() -> None:
    for text in ("a" * 1_000_000, "\x1b[" * 500_000, "\x1b]" * 500_000, "[1" * 500_000, "\u200b" * 1_000_000):
        start = time.monotonic()
        shown.line(text)
        assert time.monotonic() - start < 30  # a bound on runaway, not a measurement


def test_a_block_is_plain_data() -> None:
    one = passage("x")
    assert Block(passages=(one,)).passages[0] is one
    assert Candidate(passage=one, start=0, end=1, text="x", score=1.0).passage is one


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        (900, 30, "told"),
        (8192, 100, "told"),
        (10**30, 30, "own"),
        (900, 10**8, "own"),
        (-1, 30, "own"),
        (900, -5, "own"),
    ],
)
def test_a_count_of_tokens_that_cannot_be_is_estimated_anew(prompt: int, completion: int, expected: str) -> None:
    told = Usage(prompt_tokens=prompt, completion_tokens=completion)
    request = ChatRequest(messages=(Message(role="user", text="Who signed it?"),), max_tokens=100)
    written = generate.Written(model=scripted("m", [], context_tokens=8192), request=request, heard="Ann did.")
    written.finished = Finished(reason="stop", usage=told)
    assert written.usage == (told if expected == "told" else estimated(request.messages, "Ann did."))
