"""The answer's row."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from app.domain.answers import Answer, Notice, text_of
from app.domain.conversations import Summary
from app.domain.errors import TransientError
from app.domain.models import ModelCall
from app.domain.repositories import Database, WriteWork

_TITLE_CHARS = 80


def keep(database: Database, answer: Answer, calls: Sequence[ModelCall] = ()) -> Answer:
    """Write the answer's row, and the calls that it took into the books; gives the answer as it may be shown now.

    What it has of documents that were deleted since it was verified is left out of both: their purge may have been here
    already. Where the row can't be written (a full disk), the answer is given all the same, and says so.
    """
    try:
        with database.write() as work:
            there = work.documents.many(sorted({*answer.leant_on, *(each.document_id for each in answer.citations)}))
            if not there.keys() >= set(answer.leant_on):
                answer = without_leaning(answer)
            if not _noted(work, answer):
                _booked(work, calls)
                work.commit()
                gone = Notice(code="not_kept", message="the answer can't be read back: its conversation was deleted")
                return dataclasses.replace(answer, warnings=(*answer.warnings, gone))
            kept = without(answer, {each.n for each in answer.citations if each.document_id not in there})
            work.answers.add(kept)
            _booked(work, calls)
            work.commit()
    except TransientError as error:
        notice = Notice(code="not_kept", message=f"the answer can't be read back later: {error.message}")
        return dataclasses.replace(answer, warnings=(*answer.warnings, notice))
    return kept


def book(database: Database, calls: Sequence[ModelCall]) -> None:
    """Write calls into the books that no answer came of. Raises TransientError."""
    with database.write() as work:
        _booked(work, calls)
        work.commit()


def summarize(database: Database, summary: Summary) -> None:
    """Keep what turns come to, where nothing that it leans on has gone meanwhile. Raises TransientError."""
    with database.write() as work:
        work.conversations.set_summary(summary)
        work.commit()


def _booked(work: WriteWork, calls: Sequence[ModelCall]) -> None:
    """The last thing of a unit: it holds the sums of the day."""
    if calls:
        work.model_calls.add_many(calls)


def _noted(work: WriteWork, answer: Answer) -> bool:
    """Whether there still is the conversation that the answer is a turn of; its row is held before the answer's is there."""
    if answer.conversation_id is None:
        return True
    title = textwrap.shorten(answer.question, _TITLE_CHARS, placeholder=" …")
    return work.conversations.touch(answer.conversation_id, answer.created_at, title=title)


def without_leaning(answer: Answer) -> Answer:
    """The answer without the words that came from documents which it does not cite: a part of them is gone or closed."""
    text, sentences = text_of([each for each in answer.sentences if each.citations])
    trace = dataclasses.replace(answer.trace, output=None, fields=())
    if answer.trace.output is not None:
        text = ""
    return dataclasses.replace(answer, standalone=None, leant_on=(), text=text, sentences=sentences, trace=trace)


def without(answer: Answer, numbers: set[int]) -> Answer:
    """The answer without these citations and the sentences that stand on any of them."""
    if not numbers:
        return answer
    text, sentences = text_of([each for each in answer.sentences if numbers.isdisjoint(each.citations)])
    citations = tuple(each for each in answer.citations if each.n not in numbers)
    trace = dataclasses.replace(answer.trace, output=None, fields=())  # its fields can't be told apart any more
    text = "" if answer.trace.output is not None else text
    return dataclasses.replace(answer, text=text, sentences=sentences, citations=citations, trace=trace)
