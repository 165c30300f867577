"""Brings the tables to the newest revision, and tells where tables and code differ."""

from __future__ import annotations

import pathlib

import sqlalchemy as sa

import migrations
from app.db.tables import metadata
from app.domain.errors import ConfigurationError, FolderNewerError

FOLDER = pathlib.Path(migrations.__file__).parent
REVISIONS = tuple(sorted(path.name.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py")))
_LOCK = 0x466F6F746E6F7465  # of PostgreSQL, held while tables change: "Footnote"
_VERSION = sa.table("alembic_version", sa.column("version_num"))


def upgrade(engine: sa.Engine) -> None:
    """Bring the tables to the newest revision, in one transaction: a crash leaves the old ones.

    Raises:
        FolderNewerError: the database has a revision that this code does not know.
    """
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":  # two that migrate at once do so one after the other
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if _known(connection) != REVISIONS[-1]:
            _run(connection)


def revisions(engine: sa.Engine) -> tuple[str | None, str]:
    """The revision that the database is at, and the newest that this code knows. Raises FolderNewerError."""
    with engine.connect() as connection:
        return _known(connection), REVISIONS[-1]


def require_newest(engine: sa.Engine) -> None:
    """Raise ConfigurationError where the tables are older than the code, FolderNewerError where they are newer."""
    with engine.connect() as connection:
        if (now := _known(connection)) != REVISIONS[-1]:
            raise ConfigurationError(
                f"the database is at revision {now or 'none'}, this version of Footnote needs {REVISIONS[-1]}: "
                "run `footnote migrate`",
                code="not_migrated",
            )


def _known(connection: sa.Connection) -> str | None:
    """The revision of the database, or FolderNewerError."""
    now = revision(connection)
    if now is not None and now not in REVISIONS:
        raise FolderNewerError(
            f"the database is at revision {now}, this version of Footnote knows {REVISIONS[-1]}: "
            "it was written by a newer version, use that"
        )
    return now


def revision(connection: sa.Connection) -> str | None:
    """The revision that the database is at; None where it is empty."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    stored: str | None = connection.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()
    return stored


def _run(connection: sa.Connection) -> None:
    # Alembic takes most of a second to import, and all starts but the first have nothing to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check(engine: sa.Engine) -> list[str]:
    """Where the tables of the database differ from those that the code declares; empty where nothing does."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - as above
    from alembic.migration import MigrationContext  # noqa: PLC0415

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [repr(difference) for difference in compare_metadata(context, metadata)]
