"""Units of work over one connection, and the database that opens them."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import sqlalchemy as sa

from app.db import migrate
from app.db.answers import SqlAnswers
from app.db.audit import SqlAudit
from app.db.chunks import SqlChunks
from app.db.collections import SqlCollections
from app.db.contents import SqlContents
from app.db.conversations import SqlConversations
from app.db.deletions import SqlDeletions
from app.db.documents import SqlDocuments
from app.db.engine import copy_sqlite, open_engines, truncate_log
from app.db.idempotency import SqlIdempotency
from app.db.jobs import SqlJobs
from app.db.keys import SqlKeys
from app.db.model_calls import SqlModelCalls
from app.db.policies import SqlPolicies
from app.db.templates import SqlTemplates
from app.db.versions import SqlVersions
from app.db.workspaces import SqlWorkspaces
from app.domain.errors import OverloadedError


class SqlWork:
    """Implements `app.domain.repositories.ReadWork` and `WriteWork` over one connection."""

    def __init__(self, connection: sa.Connection, *, writes: bool) -> None:
        self._connection = connection
        self.workspaces = SqlWorkspaces(connection, writes=writes)
        self.keys = SqlKeys(connection, writes=writes)
        self.collections = SqlCollections(connection, writes=writes)
        self.documents = SqlDocuments(connection, writes=writes)
        self.versions = SqlVersions(connection, writes=writes)
        self.chunks = SqlChunks(connection, writes=writes)
        self.contents = SqlContents(connection, writes=writes)
        self.jobs = SqlJobs(connection, writes=writes)
        self.deletions = SqlDeletions(connection, writes=writes)
        self.answers = SqlAnswers(connection, writes=writes)
        self.conversations = SqlConversations(connection, writes=writes)
        self.policies = SqlPolicies(connection, writes=writes)
        self.templates = SqlTemplates(connection, writes=writes)
        self.model_calls = SqlModelCalls(connection, writes=writes)
        self.audit = SqlAudit(connection, writes=writes)
        self.idempotency = SqlIdempotency(connection, writes=writes)

    def commit(self) -> None:
        """Make it durable."""
        self._connection.commit()


class SqlDatabase:
    """Implements `app.domain.repositories.Database` for SQLite and PostgreSQL.

    Args:
        url: of the database, or the path of an SQLite file.
        pool_size: how many units may read at once; one more writes on SQLite, as many on PostgreSQL.
        busy_timeout_seconds: how long a unit waits for its connection, or to write, before it gives up.
        patience_seconds: the longest that one statement may take on PostgreSQL, and that it may be silent; None: no limit.
    """

    def __init__(
        self,
        url: str | pathlib.Path,
        *,
        pool_size: int,
        busy_timeout_seconds: float,
        patience_seconds: float | None = None,
    ) -> None:
        self._engines = open_engines(
            url, pool_size=pool_size, busy_timeout_seconds=busy_timeout_seconds, patience_seconds=patience_seconds
        )

    def migrate(self) -> None:
        """Bring the tables to the form that this code knows. Raises FolderNewerError where they are past it."""
        with self._engines.writing():
            migrate.upgrade(self._engines.writer)

    def revisions(self) -> tuple[str | None, str]:
        """The revision that the database is at, and the newest that this code knows. Raises FolderNewerError."""
        return migrate.revisions(self._engines.reader)

    def require_newest(self) -> None:
        """Raise where the tables are not of the form that this code knows.

        Raises:
            ConfigurationError: they are older; the message names the command that migrates.
            FolderNewerError: they are newer.
        """
        migrate.require_newest(self._engines.reader)

    @contextlib.contextmanager
    def read(self) -> Iterator[SqlWork]:
        """A unit that only reads; it waits for no writer."""
        with _connected(self._engines.reader) as connection:
            yield SqlWork(connection, writes=False)

    @contextlib.contextmanager
    def write(self) -> Iterator[SqlWork]:
        """A unit that may write; leaving it without `commit` undoes it."""
        with self._engines.writing(), _connected(self._engines.writer) as connection:
            yield SqlWork(connection, writes=True)

    def truncate_log(self) -> bool:
        """Let no log hold what was deleted; False where readers were in the way, and a later call will do it."""
        return truncate_log(self._engines)

    def ping(self) -> None:
        """Raise where the database does not answer."""
        with _connected(self._engines.reader) as connection:
            connection.execute(sa.select(1)).scalar_one()

    def backup_to(self, path: pathlib.Path) -> None:
        """Write one consistent copy to a file, while the database is in use; SQLite only."""
        copy_sqlite(self._engines.reader, path)

    def close(self) -> None:
        """Close every connection."""
        self._engines.dispose()


@contextlib.contextmanager
def _connected(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection within a transaction that has begun, rolled back at the end unless committed before."""
    try:
        connection = engine.connect()
    except sa.exc.TimeoutError as error:
        raise OverloadedError("every connection to the database is in use") from error
    with connection:
        connection.begin()
        yield connection
