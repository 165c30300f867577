"""Engines for reading and for writing, and all that differs between databases."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import sqlite3
from collections.abc import Callable
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.errors import translate, translating
from app.db.fair_lock import FairLock
from app.domain.errors import ConfigurationError

Upsert = sqlite.Insert | postgresql.Insert
_DECODER = json.JSONDecoder()
_CACHE_KIB = 2048  # pages of one connection, of which there are a dozen; the system caches the file
_TRUNCATE_MS = 200  # that writers wait for the last reader of the write-ahead log before it is left as it is
_JOURNAL_BYTES = 64 << 20  # what the write-ahead log is cut back to after a large transaction


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Connections that only read, connections that may write, and the border of a writing unit."""

    reader: sa.Engine
    writer: sa.Engine
    writing: Callable[[], contextlib.AbstractContextManager[None]]  # held around one writing unit

    def dispose(self) -> None:
        """Close every connection."""
        self.reader.dispose()
        self.writer.dispose()


def open_engines(
    url: str | pathlib.Path, *, pool_size: int, busy_timeout_seconds: float, patience_seconds: float | None = None
) -> Engines:
    """Engines for a database URL, or for the path of an SQLite file. Connects to nothing yet.

    Raises:
        ConfigurationError: neither SQLite nor PostgreSQL.
    """
    parsed = sa.URL.create("sqlite", database=str(url)) if isinstance(url, pathlib.Path) else sa.make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engines(parsed, pool_size, busy_timeout_seconds)
        case "postgresql":
            return _postgresql_engines(parsed, pool_size, busy_timeout_seconds, patience_seconds)
        case other:
            raise ConfigurationError(f"the database is SQLite or PostgreSQL, not {other}")


def upsert(connection: sa.Connection, table: sa.Table) -> Upsert:
    """An INSERT that can say ON CONFLICT."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _engine(url: sa.URL, *, pool_size: int, timeout_seconds: float, **options: Any) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        json_serializer=_to_json,
        hide_parameters=True,  # no document text in messages and logs
        **options,
    )
    sa.event.listen(engine, "handle_error", translate)
    return engine


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _from_json(text: str) -> Any:
    return _DECODER.raw_decode(text)[0]  # as json.loads, but without looking for blanks around what we wrote ourselves


def _sqlite_engines(url: sa.URL, pool_size: int, busy_timeout_seconds: float) -> Engines:
    """One writing connection beside `pool_size` that read; the driver's own transactions are turned off.

    Left to itself the driver begins a transaction at the first write, so that two that read before they write lose an
    update. Here a writing unit begins with BEGIN IMMEDIATE, a reading one with BEGIN, which shows one state of the
    database until it ends and waits for no writer.
    """
    if url.database in (None, "", ":memory:"):
        raise ConfigurationError("an SQLite database needs a file")
    options: dict[str, Any] = {
        "connect_args": {"timeout": busy_timeout_seconds, "isolation_level": None},
        "json_deserializer": _from_json,
    }
    reader = _engine(url, pool_size=pool_size, timeout_seconds=busy_timeout_seconds, **options)
    writer = _engine(url, pool_size=1, timeout_seconds=busy_timeout_seconds, **options)
    for engine, begin, pragmas in (
        (reader, "BEGIN", ("query_only = ON",)),
        (
            writer,
            "BEGIN IMMEDIATE",
            (
                "journal_mode = WAL",
                "synchronous = FULL",
                f"journal_size_limit = {_JOURNAL_BYTES}",
                # What is deleted is overwritten with zeros. 4,000 documents of 5 chunks in transactions of 100: inserts
                # 0.26 s for 0.22, deletes 0.49 s for 0.40. Some systems' SQLite does so by default, others' does not.
                "secure_delete = ON",
            ),
        ),
    ):
        common = ("foreign_keys = ON", f"cache_size = -{_CACHE_KIB}", "temp_store = MEMORY")
        sa.event.listen(engine, "connect", _with_pragmas((*common, *pragmas)))
        sa.event.listen(engine, "begin", _beginning_with(begin))
    return Engines(reader=reader, writer=writer, writing=FairLock(timeout_seconds=busy_timeout_seconds).held)


def _with_pragmas(pragmas: tuple[str, ...]) -> Callable[[sqlite3.Connection, object], None]:
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    return connected


def _beginning_with(statement: str) -> Callable[[sa.Connection], None]:
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statement)

    return begun


def _postgresql_engines(url: sa.URL, pool_size: int, timeout_seconds: float, patience_seconds: float | None) -> Engines:
    """Reading units see one state (REPEATABLE READ); writing units lock the rows that they are about to change."""
    reader = _engine(
        url, pool_size=pool_size, timeout_seconds=timeout_seconds, isolation_level="REPEATABLE READ", pool_pre_ping=True
    ).execution_options(postgresql_readonly=True)
    writer = _engine(
        url, pool_size=pool_size, timeout_seconds=timeout_seconds, isolation_level="READ COMMITTED", pool_pre_ping=True
    )
    for engine in (reader, writer):
        sa.event.listen(engine, "connect", _with_limits(timeout_seconds, patience_seconds))
    if patience_seconds is not None:
        from app.db.patience import Patience  # noqa: PLC0415 - its driver is installed where it is used

        patience = Patience(patience_seconds)
        for engine in (reader, writer):
            sa.event.listen(engine, "do_connect", _connecting_by(patience.connect))
    return Engines(reader=reader, writer=writer, writing=contextlib.nullcontext)


def _connecting_by(connect: Callable[..., Any]) -> Callable[..., Any]:
    def connecting(_dialect: object, _record: object, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return connect(*arguments, **options)

    return connecting


def _with_limits(timeout_seconds: float, patience_seconds: float | None) -> Callable[[Any, object], None]:
    """No unit waits longer than this for rows of another; one whose process stands still loses them before that.

    The server itself ends a statement that nobody waits for any longer.
    """
    milliseconds = round(timeout_seconds * 1000)
    shortest = milliseconds if patience_seconds is None else min(milliseconds, round(patience_seconds * 1000))

    def connected(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {milliseconds}")
            cursor.execute(f"SET idle_in_transaction_session_timeout = {shortest * 2 // 3}")
            if patience_seconds is not None:
                cursor.execute(f"SET statement_timeout = {round(patience_seconds * 1000)}")
        connection.commit()

    return connected


def truncate_log(engines: Engines) -> bool:
    """Bring SQLite's write-ahead log into the database and empty it: until then it holds what was deleted since.

    Most is done beside readers and writers; only the end holds writers up, and gives up after a moment.

    Returns:
        False where a reader that began before was still at it; the log is then emptied by a later call.
    """
    if engines.writer.dialect.name != "sqlite":
        return True
    path = pathlib.Path(str(engines.writer.url.database))
    with translating(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL").close()
        connection.execute(f"PRAGMA busy_timeout = {_TRUNCATE_MS}").close()
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        with engines.writing():
            refused: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not refused


def copy_sqlite(engine: sa.Engine, target: pathlib.Path) -> None:
    """Write one consistent copy of an SQLite database that may be in use; what is committed meanwhile is not in it.

    Raises:
        ConfigurationError: not an SQLite database, or a folder that may not be written.
        StorageFullError: no room for the copy.
    """
    if engine.dialect.name != "sqlite":
        raise ConfigurationError("a backup of this kind is made of SQLite only; use pg_dump for PostgreSQL")
    with (
        translating(target),
        engine.connect() as connection,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source = cast("sqlite3.Connection", connection.connection.driver_connection)
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").close()  # one file, nothing beside it


def check_sqlite(path: pathlib.Path) -> str | None:
    """What is wrong with an SQLite file that nobody has open; None where nothing is."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            said: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    return None if said == "ok" else said
