"""Answers that were given before, as they may be shown now."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence

from app.answering.remember import without, without_leaning
from app.domain import filters
from app.domain.access import Principal
from app.domain.answers import MAX_SOURCES, Answer, Notice, Question
from app.domain.errors import NotFoundError
from app.domain.repositories import Database, ReadWork

_HIDDEN = Notice(
    code="sources_hidden", message="a document that this answer stood on was deleted, or may not be read any more"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The use case; safe to call from many threads."""

    database: Database

    def get(self, principal: Principal, answer_id: uuid.UUID) -> Answer:
        """One answer, for who asked and, outside of conversations, for admins, as `as_shown` gives it.

        Raises:
            NotFoundError: no such answer, or somebody else's.
        """
        with self.database.read() as work:
            answer = work.answers.get(principal.workspace_id, answer_id)
            if answer is None or not _is_for(principal, answer):
                raise NotFoundError("no such answer", code="answer_not_found")
            return as_shown(work, principal, [answer])[0]

    def again(self, principal: Principal, answer_id: uuid.UUID) -> tuple[Answer, Question]:
        """An answer, and its question as it may be asked again: alone, with what was asked for then. Raises as `get`."""
        answer = self.get(principal, answer_id)
        request = answer.trace.request
        condition = request.get("filter")
        question = Question(
            text=answer.standalone or answer.question,
            collections=request.get("collections"),
            filter=None if condition is None else filters.parse(condition),
            max_sources=request.get("max_sources", MAX_SOURCES),
            model=request.get("model"),
            response_schema=request.get("response_schema"),
        )
        return answer, question


def as_shown(work: ReadWork, principal: Principal, answers: Sequence[Answer]) -> list[Answer]:
    """The answers without what was deleted or may no longer be read, and a warning where something is left out."""
    cited = {each.document_id for answer in answers for each in answer.citations}
    cited.update(document_id for answer in answers for document_id in answer.leant_on)
    cited.update(each.document_id for answer in answers for each in answer.trace.evidence)
    there = work.documents.many(sorted(cited))
    readable = {key for key, document in there.items() if principal.may_read(document.readers)}
    return [_shown(answer, readable) for answer in answers]


def _shown(answer: Answer, readable: set[uuid.UUID]) -> Answer:
    hidden = {each.n for each in answer.citations if each.document_id not in readable}
    leant = not readable.issuperset(answer.leant_on)
    evidence = tuple(each for each in answer.trace.evidence if each.document_id in readable)
    if len(evidence) < len(answer.trace.evidence):
        answer = dataclasses.replace(answer, trace=dataclasses.replace(answer.trace, evidence=evidence))
    if not hidden and not leant:
        return answer
    if leant:
        answer = without_leaning(answer)
    return dataclasses.replace(without(answer, hidden), warnings=(*answer.warnings, _HIDDEN))


def _is_for(principal: Principal, answer: Answer) -> bool:
    """Whether the caller asked: with this key, or as this user with another one. Admins see their workspace's."""
    mine = principal.began(key_id=answer.key_id, user=answer.user)
    if answer.conversation_id is not None:
        return mine
    return principal.passes_readers or mine
