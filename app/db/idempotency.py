"""Replies by Idempotency-Key in SQL."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa

from app.db.engine import upsert
from app.db.repository import Repository, Row
from app.db.tables import idempotency as table
from app.domain.repositories import StoredReply


class SqlIdempotency(Repository):
    """Implements `app.domain.repositories.Idempotency`, which says what each method promises."""

    def reserve(
        self, workspace_id: uuid.UUID, key_id: uuid.UUID, name: str, fingerprint: str, now: dt.datetime
    ) -> StoredReply | None:
        """Take the name; gives the reply stored under it if it was taken before."""
        taken = self.connection.execute(
            upsert(self.connection, table)
            .values(
                workspace_id=workspace_id, key_id=key_id, name=name, fingerprint=fingerprint, body="", created_at=now
            )
            .on_conflict_do_nothing()
            .returning(table.c.name)
        )
        if taken.first() is not None:
            return None
        row = self.first(sa.select(table).where(_named(workspace_id, key_id, name)))
        return None if row is None else _reply(row)

    def complete(
        self, workspace_id: uuid.UUID, key_id: uuid.UUID, name: str, *, status: int, body: str, location: str | None
    ) -> None:
        """Store the reply."""
        self.connection.execute(
            table.update().where(_named(workspace_id, key_id, name)).values(status=status, body=body, location=location)
        )

    def release(self, workspace_id: uuid.UUID, key_id: uuid.UUID, name: str) -> None:
        """Forget a name whose request was not carried out."""
        self.connection.execute(table.delete().where(_named(workspace_id, key_id, name), table.c.status.is_(None)))

    def prune(self, created_before: dt.datetime) -> int:
        """Forget old ones."""
        return self.connection.execute(table.delete().where(table.c.created_at < created_before)).rowcount


def _named(workspace_id: uuid.UUID, key_id: uuid.UUID, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace_id == workspace_id, table.c.key_id == key_id, table.c.name == name)


def _reply(row: Row) -> StoredReply:
    return StoredReply(
        fingerprint=row.fingerprint,
        status=row.status,
        body=row.body,
        location=row.location,
        created_at=row.created_at,
    )
