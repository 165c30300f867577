"""Conversations: begun, listed, renamed, read, exported and deleted by who began them, and by nobody else."""

from __future__ import annotations

import dataclasses
import uuid

from app.answering.answers import as_shown
from app.domain.access import Principal
from app.domain.answers import Answer
from app.domain.conversations import Conversation, Removal, Summary, Turn
from app.domain.errors import InvalidInputError, NotFoundError
from app.domain.ids import new_id
from app.domain.ports import Clock
from app.domain.repositories import Database, ReadWork

MAX_TITLE_CHARS = 200
RECALLED = 4  # turns that a question may lean on; further back nobody points


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """The use case; safe to call from many threads."""

    database: Database
    clock: Clock

    def begin(self, principal: Principal, *, title: str | None = None) -> Conversation:
        """A conversation without a turn; its title is that of its first question where none is given.

        Raises:
            InvalidInputError: the title is empty or too long.
        """
        now = self.clock.now()
        made = Conversation(
            id=new_id(),
            workspace_id=principal.workspace_id,
            key_id=principal.key_id,
            user=principal.user,
            title="" if title is None else _checked(title),
            created_at=now,
            updated_at=now,
        )
        with self.database.write() as work:
            work.conversations.add(made)
            work.commit()
        return made

    def page(self, principal: Principal, *, after: uuid.UUID | None, limit: int) -> list[Conversation]:
        """The caller's own, in order of creation."""
        with self.database.read() as work:
            return work.conversations.page(principal, after=after, limit=limit)

    def get(self, principal: Principal, conversation_id: uuid.UUID) -> Conversation:
        """One of the caller's. Raises NotFoundError: no such conversation, or somebody else's."""
        with self.database.read() as work:
            return _own(work, principal, conversation_id)

    def turns(
        self, principal: Principal, conversation_id: uuid.UUID, *, after: uuid.UUID | None, limit: int
    ) -> list[Answer]:
        """Its answers in order, as they may be shown now. Raises as `get`."""
        with self.database.read() as work:
            _own(work, principal, conversation_id)
            answers = work.answers.of_conversation(conversation_id, after=after, limit=limit)
            return as_shown(work, principal, answers)

    def rename(self, principal: Principal, conversation_id: uuid.UUID, title: str) -> Conversation:
        """Give it a title. Raises as `get` and `begin`."""
        title = _checked(title)
        with self.database.write() as work:
            found = _own(work, principal, conversation_id)
            work.conversations.rename(found.id, title)
            work.commit()
        return dataclasses.replace(found, title=title)

    def remove(self, principal: Principal, conversation_id: uuid.UUID) -> Removal:
        """Delete it with its answers and its summary; they are gone when this returns. Raises as `get`."""
        with self.database.write() as work:
            found = _own(work, principal, conversation_id)
            answers, summaries = work.conversations.remove(found.id)
            work.commit()
        return Removal(conversation_id=found.id, answers=answers, summaries=summaries, deleted_at=self.clock.now())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What a question may lean on."""

    conversation: uuid.UUID | None = None
    turns: tuple[Turn, ...] = ()  # the last ones, oldest first
    summary: Summary | None = None  # of older ones

    @property
    def documents(self) -> frozenset[uuid.UUID]:
        """That turns and summary came from."""
        of_summary = self.summary.documents if self.summary else frozenset[uuid.UUID]()
        return of_summary.union(*(turn.documents for turn in self.turns))


def recall(database: Database, principal: Principal, conversation_id: uuid.UUID | None) -> Recalled:
    """What a question may lean on, as it may be shown now; nothing outside a conversation.

    Raises:
        NotFoundError: no such conversation, or somebody else's.
    """
    if conversation_id is None:
        return Recalled()
    with database.read() as work:
        _own(work, principal, conversation_id)
        answers = as_shown(work, principal, work.answers.last_of_conversation(conversation_id, limit=RECALLED))
        summary = work.conversations.summary(conversation_id)
        if summary is not None:
            there = work.documents.many(sorted(summary.documents))
            readable = {key for key, document in there.items() if principal.may_read(document.readers)}
            if not readable >= summary.documents:
                summary = None
    return Recalled(conversation=conversation_id, turns=tuple(map(_turn, answers)), summary=summary)


def turns_after(
    database: Database, principal: Principal, conversation_id: uuid.UUID, *, after: uuid.UUID | None, limit: int
) -> list[tuple[uuid.UUID, Turn]]:
    """Turns that no summary has yet, each with its answer's id, oldest first: the last ones of all where none is there.

    Raises:
        NotFoundError: no such conversation, or somebody else's.
    """
    with database.read() as work:
        _own(work, principal, conversation_id)
        if after is None:
            answers = work.answers.last_of_conversation(conversation_id, limit=limit)
        else:
            answers = work.answers.of_conversation(conversation_id, after=after, limit=limit)
        return [(each.id, _turn(each)) for each in as_shown(work, principal, answers)]


def _turn(answer: Answer) -> Turn:
    return Turn(
        typed=answer.question,
        asked=answer.standalone or answer.question,
        answer=answer.text,
        documents=frozenset((*(cited.document_id for cited in answer.citations), *answer.leant_on)),
    )


def _own(work: ReadWork, principal: Principal, conversation_id: uuid.UUID) -> Conversation:
    found = work.conversations.get(principal.workspace_id, conversation_id)
    if found is None or not found.is_of(principal):
        raise NotFoundError("no such conversation", code="conversation_not_found")
    return found


def _checked(title: str) -> str:
    title = " ".join(title.split())
    if not 0 < len(title) <= MAX_TITLE_CHARS or not title.isprintable():
        raise InvalidInputError(f"a title has 1 to {MAX_TITLE_CHARS} printable characters", code="bad_title")
    return title
