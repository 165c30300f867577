"""Questions that belong together, and whose they are."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

from app.domain.access import Principal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Its turns are answers."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    key_id: uuid.UUID | None
    user: str | None
    title: str
    created_at: dt.datetime
    updated_at: dt.datetime  # of its last turn

    def is_of(self, principal: Principal) -> bool:
        """Whether the caller began it: with this key, or as this user with another one. Admins see nobody else's."""
        mine = principal.began(key_id=self.key_id, user=self.user)
        return mine and principal.workspace_id == self.workspace_id


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question that was answered, as its owner may see it now."""

    typed: str  # as it was asked
    asked: str  # as it stands alone
    answer: str  # the answer's text, without what may not be shown any more
    documents: frozenset[uuid.UUID] = frozenset()  # that answer and question, as it stands alone, came from


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a conversation's turns up to one of them come to, for prompts. Who reads it looks first whether the caller may
    still read all documents that it leans on.
    """

    conversation_id: uuid.UUID
    through_id: uuid.UUID  # the last answer that is in it
    text: str
    documents: frozenset[uuid.UUID]  # that its words came from
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The receipt of a conversation's deletion."""

    conversation_id: uuid.UUID
    answers: int
    summaries: int
    deleted_at: dt.datetime
