"""What is promised of the SQLite file alone."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.db import migrate
from app.db.unit_of_work import SqlDatabase
from app.domain.access import Workspace
from app.domain.errors import ConfigurationError, OverloadedError, StorageFullError, TransientError
from app.domain.ids import new_id
from app.domain.repositories import Database

DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DIES_IN_A_TRANSACTION = """
import datetime as dt, os, pathlib, signal, sys
from app.db.unit_of_work import SqlDatabase
from app.domain.access import Workspace
from app.domain.ids import new_id
database = SqlDatabase(pathlib.Path(sys.argv[1]), pool_size=1, busy_timeout_seconds=5)
with database.write() as work:
    for number in range(20000):  # more than fits the cache, so that some of it reaches the disk
        work.workspaces.add(Workspace(id=new_id(), name=f"{number} " + "x" * 1000, created_at=dt.datetime.now(dt.UTC)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "footnote.sqlite"


@pytest.fixture
def database(path: pathlib.Path) -> Iterator[SqlDatabase]:
    opened = SqlDatabase(path, pool_size=2, busy_timeout_seconds=0.2)
    opened.migrate()
    yield opened
    opened.close()


def add_workspace(database: Database, name: str) -> None:
    with database.write() as work:
        work.workspaces.add(Workspace(id=new_id(), name=name, created_at=DAY))
        work.commit()


def names(database: Database) -> list[str]:
    with database.read() as work:
        return [each.name for each in work.workspaces.page(after=None, limit=100)]


def test_a_process_killed_in_a_transaction_leaves_the_old_state(database: SqlDatabase, path: pathlib.Path) -> None:
    add_workspace(database, "before")

    child = subprocess.run([sys.executable, "-c", DIES_IN_A_TRANSACTION, str(path)], check=False, timeout=60)

    assert child.returncode == -signal.SIGKILL
    assert names(database) == ["before"]
    add_workspace(database, "after")
    assert names(database) == ["before", "after"]
    with database._engines.reader.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def test_every_connection_is_set_up_to_keep_what_it_promises(database: SqlDatabase) -> None:
    with database._engines.writer.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "secure_delete")
        }
    with database._engines.reader.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1

    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 200,
        "secure_delete": 1,
    }


def test_who_waits_too_long_to_write_is_told_to_come_back(database: SqlDatabase) -> None:
    with database.write(), pytest.raises(TransientError, match="busy"):
        add_workspace(database, "second")


def test_another_process_that_writes_is_waited_for_and_then_given_up(database: SqlDatabase, path: pathlib.Path) -> None:
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="busy"):
            add_workspace(database, "second")
        other.execute("ROLLBACK")
    other.close()

    add_workspace(database, "second")
    assert names(database) == ["second"]


def test_the_log_is_emptied_of_what_was_deleted_unless_somebody_still_reads_it(
    database: SqlDatabase, path: pathlib.Path
) -> None:
    def held() -> set[str]:
        return {each.name for each in path.parent.iterdir() if b"Schwarzwurzel" in each.read_bytes()}

    add_workspace(database, "other")
    add_workspace(database, "Schwarzwurzel")
    with database.read() as work:
        found = work.workspaces.by_name("Schwarzwurzel")
        assert found is not None
        with database.write() as writing:
            writing.workspaces.remove(found.id)
            writing.commit()
        assert not database.truncate_log()
    assert f"{path.name}-wal" in held()

    assert database.truncate_log()

    assert held() == set()
    assert names(database) == ["other"]


def test_no_more_units_read_at_once_than_the_pool_holds(database: SqlDatabase) -> None:
    with database.read(), database.read(), pytest.raises(OverloadedError):
        names(database)


def test_a_writer_is_not_overtaken_for_ever_by_one_that_writes_in_a_loop(path: pathlib.Path) -> None:
    database = SqlDatabase(path, pool_size=2, busy_timeout_seconds=20)
    database.migrate()
    done, counted = threading.Event(), [0]

    def write_in_a_loop() -> None:
        while not done.is_set():
            add_workspace(database, f"loop {counted[0]}")
            counted[0] += 1

    loop = threading.Thread(target=write_in_a_loop)
    loop.start()
    for number in range(20):
        add_workspace(database, f"person {number}")
    done.set()
    loop.join()

    assert sum(name.startswith("person") for name in names(database)) == 20
    database.close()


def test_a_full_disk_is_said_to_be_full(database: SqlDatabase) -> None:
    with database._engines.writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(100):
            add_workspace(database, f"{number} " + "x" * 4000)

    with pytest.raises(StorageFullError) as refusal:
        fill()
    assert refusal.value.code == "storage_full"


def test_a_unit_that_only_reads_cannot_write(database: SqlDatabase) -> None:
    with database.read() as work, pytest.raises(ConfigurationError) as refusal:
        work.workspaces.add(Workspace(id=new_id(), name="a", created_at=DAY))
    assert refusal.value.code == "read_only"


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: pathlib.Path) -> None:
    database = SqlDatabase(tmp_path / "missing" / "footnote.sqlite", pool_size=1, busy_timeout_seconds=0.2)

    with pytest.raises(ConfigurationError) as refusal:
        database.migrate()

    assert refusal.value.code == "read_only"
    assert "missing" in refusal.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only files")
def test_a_read_only_file_is_said_to_be_read_only(database: SqlDatabase, path: pathlib.Path) -> None:
    database.close()
    path.chmod(0o400)

    with pytest.raises(ConfigurationError) as refusal:
        add_workspace(database, "a")

    assert refusal.value.code == "read_only"


def test_a_file_that_is_no_database_is_said_to_be_damaged(path: pathlib.Path) -> None:
    path.write_bytes(b"not a database at all" * 100)
    database = SqlDatabase(path, pool_size=1, busy_timeout_seconds=0.2)

    with pytest.raises(ConfigurationError) as refusal:
        database.migrate()

    assert refusal.value.code == "corrupt"


def test_a_mistake_in_sql_is_not_hidden(database: SqlDatabase) -> None:
    with database._engines.reader.connect() as connection, pytest.raises(sa.exc.OperationalError):
        connection.exec_driver_sql("SELECT nothing FROM nowhere")


@pytest.mark.parametrize("url", ["sqlite://", "mysql+pymysql://localhost/a"])
def test_only_files_and_postgresql_are_taken(url: str) -> None:
    with pytest.raises(ConfigurationError):
        SqlDatabase(url, pool_size=1, busy_timeout_seconds=1)


def test_a_backup_made_in_use_is_one_whole_file(database: SqlDatabase, tmp_path: pathlib.Path) -> None:
    add_workspace(database, "committed")
    folder = tmp_path / "backup"
    folder.mkdir()

    with database.write() as work:
        work.workspaces.add(Workspace(id=new_id(), name="under way", created_at=DAY))
        database.backup_to(folder / "copy.sqlite")
        work.commit()

    assert [each.name for each in folder.iterdir()] == ["copy.sqlite"]
    copy = SqlDatabase(folder / "copy.sqlite", pool_size=1, busy_timeout_seconds=1)
    copy.migrate()
    assert names(copy) == ["committed"]
    copy.close()


def test_a_backup_into_a_missing_folder_says_so(database: SqlDatabase, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigurationError):
        database.backup_to(tmp_path / "missing" / "copy.sqlite")


def test_the_known_revisions_are_those_of_alembic() -> None:
    script = ScriptDirectory(str(migrate.FOLDER))

    known = [each.revision for each in script.walk_revisions()]

    assert tuple(reversed(known)) == migrate.REVISIONS
    assert script.get_current_head() == migrate.REVISIONS[-1]


def test_the_first_revision_can_be_undone(database: SqlDatabase) -> None:
    with database._engines.writer.connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(migrate.FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    with database._engines.reader.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
