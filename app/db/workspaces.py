"""Workspaces in SQL."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from app.db.errors import conflict
from app.db.repository import Repository, Row, behind
from app.db.tables import collection, document
from app.db.tables import workspace as table
from app.domain.access import Workspace
from app.domain.errors import ConflictError


class SqlWorkspaces(Repository):
    """Implements `app.domain.repositories.Workspaces`, which says what each method promises."""

    def add(self, workspace: Workspace) -> None:
        """Insert."""
        with conflict(f"a workspace named {workspace.name!r} exists already"):
            self.connection.execute(
                table.insert().values(id=workspace.id, name=workspace.name, created_at=workspace.created_at)
            )

    def get(self, workspace_id: uuid.UUID) -> Workspace | None:
        """One by id."""
        row = self.first(sa.select(table).where(table.c.id == workspace_id))
        return None if row is None else _workspace(row)

    def by_name(self, name: str) -> Workspace | None:
        """One by name."""
        row = self.first(sa.select(table).where(table.c.name == name))
        return None if row is None else _workspace(row)

    def page(self, *, after: uuid.UUID | None, limit: int) -> list[Workspace]:
        """All, in pages."""
        query = sa.select(table).where(behind(table.c.id, after)).order_by(table.c.id).limit(limit)
        return [_workspace(row) for row in self.connection.execute(query)]

    def remove(self, workspace_id: uuid.UUID) -> None:
        """Delete the row and what hangs on it; what is left of deleted collections too, once they are purged."""
        undeleted = sa.exists().where(collection.c.workspace_id == workspace_id, collection.c.deleted_at.is_(None))
        unpurged = sa.exists().where(document.c.workspace_id == workspace_id)
        if self.connection.execute(sa.select(undeleted | unpurged)).scalar_one():
            raise ConflictError("the workspace still holds a collection, or documents that are not purged yet")
        self.connection.execute(collection.delete().where(collection.c.workspace_id == workspace_id))
        self.connection.execute(table.delete().where(table.c.id == workspace_id))


def _workspace(row: Row) -> Workspace:
    return Workspace(id=row.id, name=row.name, created_at=row.created_at)
