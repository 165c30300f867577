from __future__ import annotations

import pathlib
import sqlite3

import pytest

from app.db.errors import MissingParentError, TakenError, _of_sqlite, _of_sqlstate
from app.domain.errors import (
    ConfigurationError,
    FootnoteError,
    OverloadedError,
    PartDownError,
    StorageFullError,
    TransientError,
)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("23505", TakenError),
        ("23503", MissingParentError),
        ("25006", ConfigurationError),
        ("53100", StorageFullError),
        ("53300", OverloadedError),
        ("40001", TransientError),
        ("40P01", TransientError),
        ("57014", TransientError),
        ("25P03", PartDownError),
        ("57P01", PartDownError),
        ("42P01", type(None)),
    ],
)
def test_each_state_of_postgresql_has_its_error(state: str, expected: type[FootnoteError | None]) -> None:
    assert type(_of_sqlstate(state)) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, TransientError),
        (sqlite3.SQLITE_FULL, StorageFullError),
        (sqlite3.SQLITE_IOERR_FSYNC, TransientError),
        (sqlite3.SQLITE_READONLY_DIRECTORY, ConfigurationError),
        (sqlite3.SQLITE_CANTOPEN, ConfigurationError),
        (sqlite3.SQLITE_CORRUPT, ConfigurationError),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, TakenError),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, type(None)),
        (sqlite3.SQLITE_ERROR, type(None)),
        (None, type(None)),
    ],
)
def test_each_code_of_sqlite_has_its_error(
    code: int | None, expected: type[FootnoteError | None], tmp_path: pathlib.Path
) -> None:
    original = sqlite3.OperationalError("told apart by code")
    if code is not None:
        original.sqlite_errorcode = code

    assert type(_of_sqlite(original, str(tmp_path / "footnote.sqlite"))) is expected
