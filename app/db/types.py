"""Column types that mean the same on every database."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


class _SixteenBytes(sa.LargeBinary):
    """A UUID as its 16 bytes, for databases without a type for it: half the size of text, and in the same order."""

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        """Python to database."""
        del dialect
        return lambda value: None if value is None else value.bytes

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        """Database to Python."""
        del dialect, coltype
        return lambda value: None if value is None else _uuid(value)


@functools.lru_cache(maxsize=8192)  # about 1 MB; most ids in a result are those of few workspaces and documents
def _uuid(value: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=value)


class _UtcText(sqlite.DATETIME):
    """A moment as text of one width with its offset, so that it sorts as it should and is read back by the C parser.

    SQLAlchemy's own way takes two regular expressions a value, a third of the time of reading back a document.
    """

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        """Python to database."""
        del dialect
        return lambda value: None if value is None else _utc(value).isoformat(sep=" ", timespec="microseconds")

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        """Database to Python."""
        del dialect, coltype
        return lambda value: None if value is None else dt.datetime.fromisoformat(value)


class _UtcDateTime(sa.TypeDecorator[dt.datetime]):
    """A moment in the database's own type; servers give it back in the zone of their session."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Python to database."""
        del dialect
        return None if value is None else _utc(value)

    def process_result_value(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Database to Python."""
        del dialect
        return None if value is None else _utc(value)


def _utc(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None:
        message = f"{value} has no time zone"
        raise ValueError(message)
    return value.astimezone(dt.UTC)


ID = sa.Uuid().with_variant(_SixteenBytes(), "sqlite")
_UTC_TEXT = _UtcText()  # type: ignore[no-untyped-call]  # SQLAlchemy annotates its SQLite types only in part
MOMENT = _UtcDateTime().with_variant(_UTC_TEXT, "sqlite")  # aware and in UTC on this side
JSON = sa.JSON(none_as_null=True)
ORDERED_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")  # by code point, as SQLite does
