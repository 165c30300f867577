"""API keys in SQL."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa

from app.db.errors import conflict
from app.db.repository import Repository, Row, behind
from app.db.tables import api_key
from app.domain.access import Key, Role

_BY_HASH = sa.select(api_key).where(
    api_key.c.secret_hash == sa.bindparam("secret_hash")
)  # of every request: built once


class SqlKeys(Repository):
    """Implements `app.domain.repositories.Keys`, which says what each method promises."""

    def add(self, key: Key) -> None:
        """Insert."""
        with conflict("this key exists already"):
            self.connection.execute(
                api_key.insert().values(
                    id=key.id,
                    workspace_id=key.workspace_id,
                    name=key.name,
                    prefix=key.prefix,
                    secret_hash=key.secret_hash,
                    role=key.role.value,
                    user_name=key.user,
                    group_names=list(key.groups),
                    created_at=key.created_at,
                    expires_at=key.expires_at,
                    revoked_at=key.revoked_at,
                )
            )

    def get(self, workspace_id: uuid.UUID, key_id: uuid.UUID) -> Key | None:
        """One by id."""
        row = self.first(sa.select(api_key).where(api_key.c.id == key_id, api_key.c.workspace_id == workspace_id))
        return None if row is None else _key(row)

    def by_secret_hash(self, secret_hash: str) -> Key | None:
        """One by the hash of its secret."""
        row = self.connection.execute(_BY_HASH, {"secret_hash": secret_hash}).first()
        return None if row is None else _key(row)

    def page(self, workspace_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Key]:
        """A workspace's keys, in pages."""
        query = (
            sa.select(api_key)
            .where(api_key.c.workspace_id == workspace_id, behind(api_key.c.id, after))
            .order_by(api_key.c.id)
            .limit(limit)
        )
        return [_key(row) for row in self.connection.execute(query)]

    def revoke(self, workspace_id: uuid.UUID, key_id: uuid.UUID, now: dt.datetime) -> bool:
        """Mark as revoked."""
        works = sa.and_(
            api_key.c.revoked_at.is_(None), sa.or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > now)
        )
        revoked = self.connection.execute(
            api_key.update()
            .where(api_key.c.id == key_id, api_key.c.workspace_id == workspace_id, works)
            .values(revoked_at=now)
        )
        return revoked.rowcount == 1


def _key(row: Row) -> Key:
    return Key(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        prefix=row.prefix,
        secret_hash=row.secret_hash,
        role=Role(row.role),
        user=row.user_name,
        groups=tuple(row.group_names),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
