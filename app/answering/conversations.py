"""Conversations: begun, listed, renamed, read, exported and deleted by who began them, and by nobody else."""

from __future__ import annotations

import dataclasses
import uuid

from app.answering.answers import as_shown
from app.domain.access import Principal
from app.domain.answers import Answer
from app.domain.conversations import Conversation, Removal, Turn
from app.domain.errors import InvalidInputError, NotFoundError
from app.domain.ids import new_id
from app.domain.ports import Clock
from app.domain.repositories import Database, ReadWork

MAX_TITLE_CHARS = 200
_RECALLED = 4  # turns that a question may lean on; further back nobody points


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
        """Delete it with all its answers; they are gone when this returns. Raises as `get`."""
        with self.database.write() as work:
            found = _own(work, principal, conversation_id)
            answers = work.conversations.remove(found.id)
            work.commit()
        return Removal(conversation_id=found.id, answers=answers, deleted_at=self.clock.now())


def recall(database: Database, principal: Principal, conversation_id: uuid.UUID | None) -> list[Turn]:
    """The turns that a question may lean on, oldest first, as they may be shown now; none outside a conversation.

    Raises:
        NotFoundError: no such conversation, or somebody else's.
    """
    if conversation_id is None:
        return []
    with database.read() as work:
        _own(work, principal, conversation_id)
        answers = as_shown(work, principal, work.answers.last_of_conversation(conversation_id, limit=_RECALLED))
    return [
        Turn(
            typed=each.question,
            asked=each.standalone or each.question,
            answer=each.text,
            documents=frozenset((*(cited.document_id for cited in each.citations), *each.leant_on)),
        )
        for each in answers
    ]


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
