"""What every installation begins with: a workspace, its collection, and an admin's key."""

from __future__ import annotations

import os
import pathlib

from app.bootstrap.services import ADMIN_KEY_FILE
from app.db.unit_of_work import SqlDatabase
from app.documents.collections import Collections
from app.domain.access import Role, Workspace
from app.domain.ids import new_id
from app.domain.ports import Clock
from app.gateway.keys import DEFAULT_WORKSPACE, KeyRequest, new_key
from app.settings import Settings

DEFAULT_COLLECTION = "default"


def first_start(
    settings: Settings, database: SqlDatabase, collections: Collections, clock: Clock, *, key_again: bool
) -> bool:
    """Make the default workspace, its collection and its admin key where they are missing; True if the first was.

    Args:
        settings: say where the key goes.
        database: migrated.
        collections: make the first one.
        clock: for all of them.
        key_again: also make a key where the workspace is there and the file is not. An embedded installation is its folder;
            in production each machine has one, and each migration of a new one would leave a key behind.
    """
    path = settings.data_dir / ADMIN_KEY_FILE
    with database.read() as work:
        workspace = work.workspaces.by_name(DEFAULT_WORKSPACE)
    if workspace is not None and (path.exists() or not key_again):
        return False
    now = clock.now()
    with database.write() as work:
        if first := workspace is None:
            workspace = Workspace(id=new_id(), name=DEFAULT_WORKSPACE, created_at=now)
            work.workspaces.add(workspace)
            work.collections.add(*collections.fresh(workspace.id, DEFAULT_COLLECTION))
        key, secret = new_key(workspace.id, KeyRequest(name="admin", role=Role.ADMIN), now)
        work.keys.add(key)
        _write_secret(path, secret)  # before the commit: a key without its file could never be used
        work.commit()
    return first


def _write_secret(path: pathlib.Path, secret: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
