"""Small contents in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from app.db.engine import upsert
from app.db.repository import Repository, batches
from app.db.tables import small_content as table

_BY_KEY = sa.select(table.c.content).where(table.c.key == sa.bindparam("key"))


class SqlContents(Repository):
    """Implements `app.domain.repositories.Contents`, which says what each method promises."""

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Keep these; what stood under a key is replaced."""
        if not contents:
            return
        insert = upsert(self.connection, table)
        statement = insert.on_conflict_do_update(
            index_elements=[table.c.key], set_={"content": insert.excluded.content}
        )
        rows = [{"key": key, "content": content} for key, content in sorted(contents.items())]  # one order of locks
        self.connection.execute(statement, rows)

    def read(self, key: str) -> bytes | None:
        """The content, or None."""
        found: bytes | None = self.connection.execute(_BY_KEY, {"key": key}).scalar_one_or_none()
        return found

    def remove(self, keys: Sequence[str]) -> dict[str, int]:
        """Delete; gives the bytes of those that were there, by key."""
        removed: dict[str, int] = {}
        for some in batches(sorted(keys)):
            statement = (
                table.delete().where(table.c.key.in_(some)).returning(table.c.key, sa.func.length(table.c.content))
            )
            removed.update((row[0], row[1]) for row in self.connection.execute(statement))
        return removed

    def keys(self, prefix: str, *, after: str, limit: int) -> list[str]:
        """Keys that begin so, in order, behind one."""
        query = sa.select(table.c.key).where(table.c.key > after).order_by(table.c.key).limit(limit)
        if prefix:
            query = query.where(table.c.key >= prefix, table.c.key < prefix[:-1] + chr(ord(prefix[-1]) + 1))
        return list(self.connection.execute(query).scalars())
