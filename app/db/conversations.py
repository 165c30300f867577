"""Conversations in SQL."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa

from app.db.repository import Repository, Row, behind
from app.db.tables import answer
from app.db.tables import conversation as table
from app.domain.access import Principal
from app.domain.conversations import Conversation


class SqlConversations(Repository):
    """Implements `app.domain.repositories.Conversations`, which says what each method promises."""

    def add(self, conversation: Conversation) -> None:
        """Insert."""
        self.connection.execute(
            table.insert().values(
                id=conversation.id,
                workspace_id=conversation.workspace_id,
                key_id=conversation.key_id,
                user_name=conversation.user,
                title=conversation.title,
                created_at=conversation.created_at,
                updated_at=conversation.updated_at,
            )
        )

    def get(self, workspace_id: uuid.UUID, conversation_id: uuid.UUID) -> Conversation | None:
        """One by id."""
        query = sa.select(table).where(table.c.id == conversation_id, table.c.workspace_id == workspace_id)
        row = self.first(self.locked(query, table))
        return None if row is None else _conversation(row)

    def page(self, principal: Principal, *, after: uuid.UUID | None, limit: int) -> list[Conversation]:
        """The principal's own, in pages."""
        mine = table.c.key_id.is_(None) if principal.key_id is None else table.c.key_id == principal.key_id
        if principal.user is not None:
            mine = sa.or_(mine, table.c.user_name == principal.user)
        query = (
            sa.select(table)
            .where(table.c.workspace_id == principal.workspace_id, mine, behind(table.c.id, after))
            .order_by(table.c.id)
            .limit(limit)
        )
        return [_conversation(row) for row in self.connection.execute(query)]

    def rename(self, conversation_id: uuid.UUID, title: str) -> None:
        """Write the title."""
        self.change(table.update().where(table.c.id == conversation_id).values(title=title), "conversation")

    def touch(self, conversation_id: uuid.UUID, now: dt.datetime, *, title: str) -> bool:
        """Note a turn."""
        named = sa.case((table.c.title == "", title), else_=table.c.title)
        statement = table.update().where(table.c.id == conversation_id).values(updated_at=now, title=named)
        return self.connection.execute(statement).rowcount == 1

    def remove(self, conversation_id: uuid.UUID) -> int:
        """Delete with its answers."""
        self.connection.execute(table.delete().where(table.c.id == conversation_id))
        return self.connection.execute(answer.delete().where(answer.c.conversation_id == conversation_id)).rowcount

    def unused(self, *, updated_before: dt.datetime, limit: int) -> list[uuid.UUID]:
        """Those without a turn since."""
        query = sa.select(table.c.id).where(table.c.updated_at < updated_before).order_by(table.c.updated_at)
        return list(self.connection.execute(self.locked(query.limit(limit), table)).scalars())


def _conversation(row: Row) -> Conversation:
    return Conversation(
        id=row.id,
        workspace_id=row.workspace_id,
        key_id=row.key_id,
        user=row.user_name,
        title=row.title,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
