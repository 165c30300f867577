"""What all repositories share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from app.domain.errors import NotFoundError

T = TypeVar("T")
Row = sa.Row[*tuple[Any, ...]]  # columns by name; the functions that read one know their types
Query = TypeVar("Query", bound=sa.Select[*tuple[Any, ...]])
BATCH = 500  # values of one IN list; SQLite as some systems build it allows 999 variables in a statement


class Repository:
    """One table family within one open unit of work."""

    def __init__(self, connection: sa.Connection, *, writes: bool) -> None:
        self.connection = connection
        self.writes = writes

    def locked(self, query: Query, table: sa.Table) -> Query:
        """The query, holding the rows of `table` that it finds until a writing unit ends.

        So that nobody changes a row between its reading and its writing. SQLite has one writer at a time and needs
        no such lock; its dialect leaves the clause out.
        """
        return query.with_for_update(of=table) if self.writes else query

    def first(self, query: sa.Select[*tuple[Any, ...]]) -> Row | None:
        """The first row or None."""
        return self.connection.execute(query).first()

    def change(self, statement: sa.Update, what: str) -> None:
        """Run an UPDATE of one row. Raises NotFoundError where there is no such row any more."""
        if self.connection.execute(statement).rowcount == 0:
            raise NotFoundError(f"the {what} is gone")

    def write_each(self, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> int:
        """Write each row's columns to the row whose id is `written`; all name the same columns. Gives how many there were."""
        if not rows:
            return 0
        columns = {name: sa.bindparam(name, type_=table.c[name].type) for name in rows[0] if name != "written"}
        statement = table.update().where(table.c.id == sa.bindparam("written", type_=table.c.id.type)).values(columns)
        return self.connection.execute(statement, list(rows)).rowcount


def batches(values: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """The values in order, `size` at a time."""
    for first in range(0, len(values), size):
        yield values[first : first + size]


def behind(column: sa.Column[Any], last: uuid.UUID | None) -> sa.ColumnElement[bool]:
    """Rows behind the last one seen; all of them where none was."""
    return sa.true() if last is None else column > last
