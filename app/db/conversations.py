"""Conversations in SQL."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from app.db.engine import upsert
from app.db.repository import Repository, Row, batches, behind
from app.db.tables import answer, conversation_summary, document, summary_leaning
from app.db.tables import conversation as table
from app.domain.access import Principal
from app.domain.conversations import Conversation, Summary


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

    def remove(self, conversation_id: uuid.UUID) -> tuple[int, int]:
        """Delete with its answers and its summary."""
        summarised = conversation_summary.c.conversation_id == conversation_id
        summaries = self.connection.execute(conversation_summary.delete().where(summarised)).rowcount
        self.connection.execute(table.delete().where(table.c.id == conversation_id))
        answers = self.connection.execute(answer.delete().where(answer.c.conversation_id == conversation_id)).rowcount
        return answers, summaries

    def unused(self, *, updated_before: dt.datetime, limit: int) -> list[uuid.UUID]:
        """Those without a turn since."""
        query = sa.select(table.c.id).where(table.c.updated_at < updated_before).order_by(table.c.updated_at)
        return list(self.connection.execute(self.locked(query.limit(limit), table)).scalars())

    def summary(self, conversation_id: uuid.UUID) -> Summary | None:
        """What its turns so far come to, with every document that this leans on."""
        row = self.first(
            sa.select(conversation_summary).where(conversation_summary.c.conversation_id == conversation_id)
        )
        if row is None:
            return None
        leant = sa.select(summary_leaning.c.document_id).where(summary_leaning.c.conversation_id == conversation_id)
        return Summary(
            conversation_id=row.conversation_id,
            through_id=row.through_id,
            text=row.text,
            documents=frozenset(self.connection.execute(leant).scalars()),
            created_at=row.created_at,
        )

    def set_summary(self, summary: Summary) -> bool:
        """Write it in place of the one before, where all that it stands on is there and it reaches further.

        Documents are held first, as by their purge, then the conversation: two clients do not wait crosswise.
        """
        documents = sorted(summary.documents)
        if not self._are_there(documents) or not self._is_there(summary.conversation_id):
            return False
        writing = upsert(self.connection, conversation_summary).values(
            conversation_id=summary.conversation_id,
            through_id=summary.through_id,
            text=summary.text,
            created_at=summary.created_at,
        )
        written = self.connection.execute(
            writing.on_conflict_do_update(
                index_elements=[conversation_summary.c.conversation_id],
                set_={name: writing.excluded[name] for name in ("through_id", "text", "created_at")},
                where=conversation_summary.c.through_id < writing.excluded.through_id,
            ).returning(conversation_summary.c.conversation_id)
        )
        if written.first() is None:
            return False
        mine = summary_leaning.c.conversation_id == summary.conversation_id
        self.connection.execute(summary_leaning.delete().where(mine))
        if documents:
            rows = [{"conversation_id": summary.conversation_id, "document_id": each} for each in documents]
            self.connection.execute(summary_leaning.insert(), rows)
        return True

    def forget(self, document_ids: Sequence[uuid.UUID]) -> int:
        """Delete the summaries that lean on any of these documents."""
        leaning: set[uuid.UUID] = set()
        for some in batches(document_ids):
            query = sa.select(summary_leaning.c.conversation_id).where(summary_leaning.c.document_id.in_(some))
            leaning.update(self.connection.execute(query).scalars())
        forgotten = 0
        for some in batches(sorted(leaning)):
            there = conversation_summary.c.conversation_id.in_(some)
            held = sa.select(conversation_summary.c.conversation_id).where(there)
            ordered = held.order_by(conversation_summary.c.conversation_id)  # so that two purges do not wait crosswise
            self.connection.execute(self.locked(ordered, conversation_summary)).all()
            forgotten += self.connection.execute(conversation_summary.delete().where(there)).rowcount
        return forgotten

    def _are_there(self, document_ids: Sequence[uuid.UUID]) -> bool:
        """Whether none of the documents is gone or deleted, from now until the unit ends."""
        found = 0
        for some in batches(document_ids):
            query = sa.select(document.c.id).where(document.c.id.in_(some), document.c.deleted_at.is_(None))
            found += len(self.connection.execute(self.locked(query.order_by(document.c.id), document)).all())
        return found == len(document_ids)

    def _is_there(self, conversation_id: uuid.UUID) -> bool:
        query = sa.select(table.c.id).where(table.c.id == conversation_id)
        return self.first(self.locked(query, table)) is not None


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
