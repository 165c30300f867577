"""The answer's row."""

from __future__ import annotations

import dataclasses
import textwrap

from app.domain.answers import Answer, Notice, text_of
from app.domain.errors import TransientError
from app.domain.repositories import Database, WriteWork

_TITLE_CHARS = 80


def keep(database: Database, answer: Answer) -> Answer:
    """Write the answer's row; gives the answer as it may be shown now.

    What it has of documents that were deleted since it was verified is left out of both: their purge may have been here
    already. Where the row can't be written (a full disk), the answer is given all the same, and says so.
    """
    try:
        with database.write() as work:
            there = work.documents.many(sorted({*answer.leant_on, *(each.document_id for each in answer.citations)}))
            if not there.keys() >= set(answer.leant_on):
                answer = dataclasses.replace(answer, standalone=None, leant_on=())
            if not _noted(work, answer):
                gone = Notice(code="not_kept", message="the answer can't be read back: its conversation was deleted")
                return dataclasses.replace(answer, warnings=(*answer.warnings, gone))
            kept = without(answer, {each.n for each in answer.citations if each.document_id not in there})
            work.answers.add(kept)
            work.commit()
    except TransientError as error:
        notice = Notice(code="not_kept", message=f"the answer can't be read back later: {error.message}")
        return dataclasses.replace(answer, warnings=(*answer.warnings, notice))
    return kept


def _noted(work: WriteWork, answer: Answer) -> bool:
    """Whether there still is the conversation that the answer is a turn of; its row is held before the answer's is there."""
    if answer.conversation_id is None:
        return True
    title = textwrap.shorten(answer.question, _TITLE_CHARS, placeholder=" …")
    return work.conversations.touch(answer.conversation_id, answer.created_at, title=title)


def without(answer: Answer, numbers: set[int]) -> Answer:
    """The answer without these citations and the sentences that stand on any of them."""
    if not numbers:
        return answer
    text, sentences = text_of([each for each in answer.sentences if numbers.isdisjoint(each.citations)])
    citations = tuple(each for each in answer.citations if each.n not in numbers)
    return dataclasses.replace(answer, text=text, sentences=sentences, citations=citations)
