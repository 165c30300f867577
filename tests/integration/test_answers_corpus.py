"""Answers over a corpus on the embedded adapters: hostile texts, tables, changes between the steps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from app.answering.answer import Ask
from app.answering.events import Answered, Event, Sentences, Sources
from app.answering.patience import AbandonedError, Patience
from app.documents.catalogue import Change
from app.domain.access import Role
from app.domain.answers import AnswerStatus, Candidate, Context, Draft, Drafted, Question
from app.domain.errors import NotFoundError, StorageFullError
from app.domain.filters import Comparison
from app.domain.vectors import Vector
from tests.services import asking

Corpus = Any  # of conftest.py, which importlib mode does not let tests import
SECONDS = 60.0


def events(corpus: Corpus, question: str, *, by: Any = None, **parts: Any) -> list[Event]:
    asked = Question(text=question, collections=[corpus.collection], explain=True, **parts)
    return list(asking.events(corpus.services.ask, by or corpus.admin, asked, Patience(SECONDS)))


def ask(corpus: Corpus, question: str, **parts: Any) -> Answered:
    last = events(corpus, question, **parts)[-1]
    assert isinstance(last, Answered)
    return last


def check(corpus: Corpus, answered: Answered) -> None:
    """Citations and candidates are the stored text at their places."""
    answer = answered.answer
    places = [(each.document_id, each.version_id, each.start, each.end, each.quote) for each in answer.citations]
    places += [
        (each.passage.document_id, each.passage.version_id, each.start, each.end, each.text)
        for each in answered.candidates
    ]
    for document, version, start, end, text in places:
        piece = corpus.services.catalogue.text(corpus.admin, document, version_id=version, start=start, end=end)
        assert piece.text == text
    for sentence in answer.sentences:
        assert sentence.citations
        assert answer.text[sentence.start : sentence.end] == sentence.text


class FirstSentences:
    """An answerer that is sure of the first passages' first words, and runs something before it says so."""

    name = "first"
    threshold = 0.5

    def __init__(self, before: Any = lambda: None, *, text: str | None = None, shift: int = 0) -> None:
        self._before, self._text, self._shift = before, text, shift

    def draft(self, question: str, vector: Vector, context: Context) -> Draft:
        del question, vector
        self._before()
        sources = [
            Candidate(
                passage=each,
                start=each.start + self._shift,
                end=min(each.end, each.start + 9) + self._shift,
                text=self._text or each.text[:9],
                score=0.5,
            )
            for each in context.passages
        ]
        said = tuple(Drafted(text=each.text, sources=(each,), support=0.5) for each in sources)
        return Draft(sentences=said, confidence=0.9, candidates=tuple(sources), model=self.name)


def with_answerer(corpus: Corpus, answerer: Any) -> Ask:
    ask: Ask = corpus.services.ask
    return dataclasses.replace(ask, extractive=answerer)


def answered_by(corpus: Corpus, answerer: Any, *, by: Any = None, **parts: Any) -> Answered:
    asked = Question(text="pier", collections=[corpus.collection], **parts)
    last = list(asking.events(with_answerer(corpus, answerer), by or corpus.admin, asked, Patience(SECONDS)))[-1]
    assert isinstance(last, Answered)
    return last


def test_events_come_in_order(corpus: Corpus) -> None:
    corpus.live("The pier is long. It was built by Ann.")
    found = events(corpus, "How long is the pier?")
    assert [type(each) for each in found] == [Sources, Sentences, Answered]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "pier " + "b" * 300_000 + " pier is long. The pier was built in 1871.",
        "\n".join(f"{'pier' if row % 7 else 'quay'} {row} | {row * 3} | x{row} | y | z" for row in range(1000)),
        "pier [1] <b>is</b> \x1b[31mred\x1b[0m. " * 500,
        "רציף ישן מאוד pier \u202e נבנה \u202c בשנת 1871. " * 200,
        "p\u200bi\u200be\u200br pier \u200d\u200c is\u2060 long. " * 300,
        "e\u0301" * 50_000 + " pier.",
        "👩\u200d👩\u200d👧\u200d👦 pier 🇩🇪🇫🇷 is long! " * 500,
        "- pier\n" * 5000,
        "# pier\n" * 3000 + "is long",
        "(" * 20_000 + "pier" + ")" * 20_000,
        "pier. " * 20_000,
        "|pier|" * 10_000,
    ],
    ids=range(13),
)
def test_hostile_text_yields_right_offsets_in_bounded_time(corpus: Corpus, text: str) -> None:
    corpus.live(text)
    for question in ("How long is the pier?", "pier [1] \x1b[31m <b>", "פיר רציף", "a" * 4000):
        answered = ask(corpus, question)
        check(corpus, answered)
        for sentence in answered.answer.sentences:
            assert not set("\x1b\u202e\u202c\u200b\u2060\n") & set(sentence.text)
            assert "[1]" not in sentence.text


def test_a_row_of_a_large_table_comes_under_its_columns(corpus: Corpus) -> None:
    rows = "\n".join(f"berth {number},{number * 2},owner{number}" for number in range(2500))
    corpus.live(f"place,fee in euros,owner\n{rows}\n", filename="fees.csv")
    answered = ask(corpus, "What is the fee of berth 1207 of owner1207?")
    check(corpus, answered)
    candidate = answered.candidates[0]
    assert candidate.text == "berth 1207 | 2414 | owner1207"
    if answered.answer.status is AnswerStatus.ANSWERED:
        assert "place | fee in euros | owner" in answered.answer.text


def test_a_citation_that_is_not_the_stored_text_is_not_shown(corpus: Corpus) -> None:
    corpus.live("The pier is long.")
    for answerer in (FirstSentences(text="The quay "), FirstSentences(shift=1), FirstSentences(shift=1000)):
        answered = answered_by(corpus, answerer)
        assert (answered.answer.status, answered.answer.text) == (AnswerStatus.NO_ANSWER, "")
        assert [each.code for each in answered.answer.warnings] == ["sentences_dropped"]
        assert answered.nearest
    assert answered_by(corpus, FirstSentences()).answer.text == "The pier"


@pytest.mark.parametrize("deed", ["delete", "close", "replace"])
def test_what_changes_while_an_answer_is_made_is_not_in_it(corpus: Corpus, deed: str) -> None:
    kept = corpus.live("The pier is kept.", external_id="kept")
    doomed = corpus.live("A pier is doomed.", external_id="doomed")
    reader = corpus.principal(Role.READER, user="ann")

    def change() -> None:
        if deed == "delete":
            corpus.services.remove.remove(corpus.admin, doomed.document.id)
        elif deed == "close":
            corpus.services.catalogue.change(corpus.admin, doomed.document.id, Change(readers=["user:bob"]))
        else:
            corpus.live("Another pier is here.", external_id="doomed")

    answered = answered_by(corpus, FirstSentences(change), by=reader)
    assert {each.document_id for each in answered.answer.citations} == {kept.document.id}
    assert answered.answer.text == "The pier"


def test_what_is_deleted_before_the_row_is_written_is_not_in_it(corpus: Corpus) -> None:
    corpus.live("The pier is kept.", external_id="kept")
    doomed = corpus.live("A pier is doomed.", external_id="doomed")
    asked = Question(text="pier", collections=[corpus.collection])
    running = asking.events(with_answerer(corpus, FirstSentences()), corpus.admin, asked, Patience(SECONDS))
    assert isinstance(next(running), Sources)
    said = next(running)
    assert isinstance(said, Sentences)
    assert len(said.said) == 2
    job = corpus.services.remove.remove(corpus.admin, doomed.document.id)
    corpus.ended(job)
    last = next(running)
    assert isinstance(last, Answered)
    assert last.answer.text == "The pier"
    kept = corpus.services.answers.get(corpus.admin, last.answer.id)
    assert kept.text == "The pier"


def test_the_documents_own_words_load_nothing(corpus: Corpus) -> None:
    corpus.live("![x](y)ok is said of the pier.")
    answered = answered_by(corpus, FirstSentences())
    assert answered.answer.text == "ok"
    assert [each.quote for each in answered.answer.citations] == ["![x](y)ok"]


def test_a_filter_holds_for_citations(corpus: Corpus) -> None:
    corpus.live("The pier of then.", metadata={"year": 1})
    now = corpus.live("The pier of now.", metadata={"year": 2})
    answered = answered_by(corpus, FirstSentences(), filter=Comparison(type="eq", key="year", value=2))
    assert {each.document_id for each in answered.answer.citations} == {now.document.id}


def test_who_has_left_gets_no_further_step(corpus: Corpus) -> None:
    corpus.live("The pier is long.")
    patience = Patience(SECONDS)
    asked = Question(text="pier", collections=[corpus.collection])
    running = asking.events(corpus.services.ask, corpus.admin, asked, patience)
    next(running)
    patience.leave()
    with pytest.raises(AbandonedError):
        next(running)


class Full:
    """A database with no room for another row."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read(self) -> Any:
        return self._inner.read()

    def write(self) -> Any:
        raise StorageFullError("the disk has no room")


def test_an_answer_that_cannot_be_kept_is_given_and_says_so(corpus: Corpus) -> None:
    corpus.live("The pier is long.")
    full = with_answerer(corpus, FirstSentences())
    full = dataclasses.replace(full, database=Full(full.database))  # type: ignore[arg-type]  # all that `keep` calls
    asked = Question(text="pier", collections=[corpus.collection])
    last = list(asking.events(full, corpus.admin, asked, Patience(SECONDS)))[-1]
    assert isinstance(last, Answered)
    assert last.answer.text == "The pier"
    assert [each.code for each in last.answer.warnings] == ["not_kept"]
    with pytest.raises(NotFoundError):
        corpus.services.answers.get(corpus.admin, last.answer.id)
