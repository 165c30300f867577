"""Brings the tables to the newest revision, and tells where tables and code differ."""

from __future__ import annotations

import pathlib

import sqlalchemy as sa

import migrations
from app.db.tables import metadata
from app.domain.errors import FolderNewerError

FOLDER = pathlib.Path(migrations.__file__).parent
REVISIONS = tuple(sorted(path.name.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py")))
_VERSION = sa.table("alembic_version", sa.column("version_num"))


def upgrade(engine: sa.Engine) -> None:
    """Bring the tables to the newest revision, in one transaction: a crash leaves the old ones.

    Raises:
        FolderNewerError: the database has a revision that this code does not know.
    """
    with engine.connect() as connection, connection.begin():
        now = revision(connection)
        if now == REVISIONS[-1]:
            return
        if now is not None and now not in REVISIONS:
            raise FolderNewerError(
                f"the database is at revision {now}, this version of Footnote knows {REVISIONS[-1]}: "
                "it was written by a newer version, use that"
            )
        _run(connection)


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
