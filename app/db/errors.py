"""What drivers raise, in the vocabulary of the domain. Matched on types and codes, never on text."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext

from app.domain.errors import (
    ConfigurationError,
    ConflictError,
    FootnoteError,
    OverloadedError,
    PartDownError,
    StorageFullError,
    TransientError,
)

_ROOM_BYTES = 1 << 20  # an input/output error with less than this free is taken for a full disk


class TakenError(ConflictError):
    """A unique constraint refused the row; never leaves app.db, see `conflict`."""

    code = "taken"


class MissingParentError(ConflictError):
    """A foreign key refused the row or its removal."""


@contextlib.contextmanager
def conflict(sentence: str) -> Iterator[None]:
    """Say `sentence` where a unique constraint refuses what is done inside."""
    try:
        yield
    except TakenError as refusal:
        raise ConflictError(sentence) from refusal


def translate(context: ExceptionContext) -> FootnoteError | None:
    """The domain's error for a driver's; None leaves SQLAlchemy's own: a mistake in our SQL, which nobody should catch."""
    original = context.original_exception
    if isinstance(original, sqlite3.Error):
        path = context.engine.url.database if context.engine is not None else None
        return _of_sqlite(original, path)
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str):
        return _of_sqlstate(state)
    if context.is_disconnect or isinstance(context.sqlalchemy_exception, sa.exc.OperationalError):
        return PartDownError("the database can't be reached")
    return None


@contextlib.contextmanager
def translating(path: pathlib.Path) -> Iterator[None]:
    """The same for what is done to the SQLite file at `path` past SQLAlchemy."""
    try:
        yield
    except sqlite3.Error as original:
        error = _of_sqlite(original, str(path))
        if error is None:
            raise
        raise error from original


def _of_sqlite(original: sqlite3.Error, path: str | None) -> FootnoteError | None:
    code = getattr(original, "sqlite_errorcode", None)
    if code is None:
        return None
    if code & 0xFF == sqlite3.SQLITE_IOERR and path is not None and _no_room(path):
        code = sqlite3.SQLITE_FULL
    make = _BY_SQLITE_CODE.get(code) or _BY_SQLITE_CODE.get(code & 0xFF)  # the upper bits narrow the lower eight
    return None if make is None else make(f"the database {path}")


def _no_room(path: str) -> bool:
    return shutil.disk_usage(pathlib.Path(path).parent).free < _ROOM_BYTES


def _of_sqlstate(state: str) -> FootnoteError | None:
    make = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2])  # the first two name the class
    return None if make is None else make("the database")


_Make = Callable[[str], FootnoteError]


def _taken(_database: str) -> FootnoteError:
    return TakenError("a row with this key is there already")


def _missing_parent(_database: str) -> FootnoteError:
    return MissingParentError("what this belongs to is gone, or something still belongs to it")


def _busy(database: str) -> FootnoteError:
    return TransientError(f"{database} is busy or can't be reached")


def _down(database: str) -> FootnoteError:
    return PartDownError(f"{database} can't be reached")


def _full(database: str) -> FootnoteError:
    return StorageFullError(f"the disk that holds {database} is full")


def _crowded(database: str) -> FootnoteError:
    return OverloadedError(f"{database} takes no more connections")


def _read_only(database: str) -> FootnoteError:
    return ConfigurationError(f"{database} can't be written: it, or its folder, is read-only", code="read_only")


def _unopened(database: str) -> FootnoteError:
    return ConfigurationError(
        f"{database} can't be opened: its folder is missing or may not be written", code="read_only"
    )


def _damaged(database: str) -> FootnoteError:
    return ConfigurationError(f"{database} is damaged: restore a backup", code="corrupt")


_BY_SQLITE_CODE: Mapping[int, _Make] = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: _taken,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: _taken,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: _missing_parent,
    sqlite3.SQLITE_BUSY: _busy,
    sqlite3.SQLITE_LOCKED: _busy,
    sqlite3.SQLITE_INTERRUPT: _busy,
    sqlite3.SQLITE_NOMEM: _busy,
    sqlite3.SQLITE_IOERR: _busy,
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_READONLY: _read_only,
    sqlite3.SQLITE_PERM: _read_only,
    sqlite3.SQLITE_CANTOPEN: _unopened,
    sqlite3.SQLITE_CORRUPT: _damaged,
    sqlite3.SQLITE_NOTADB: _damaged,
}
_BY_SQLSTATE: Mapping[str, _Make] = {
    "23505": _taken,
    "23503": _missing_parent,
    "25006": _read_only,
    "53100": _full,
    "53300": _crowded,
    "08": _down,  # connection
    "25P03": _down,  # cut, after it stood still with a transaction open
    "40": _busy,  # serialization, deadlock
    "53": _busy,  # resources
    "55": _busy,  # a lock that was not given
    "57": _busy,  # cancelled
    "57P01": _down,  # shut down
    "57P02": _down,  # crashed
    "57P03": _down,  # starting
}
