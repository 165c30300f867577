"""Versions of prompt templates in SQL."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from app.db.errors import conflict
from app.db.repository import Repository, Row
from app.db.tables import template as table
from app.domain.policies import TemplateVersion

_LATEST = (  # as every question asks: built once
    sa.select(table)
    .where(table.c.workspace_id == sa.bindparam("workspace_id"), table.c.name == sa.bindparam("name"))
    .order_by(table.c.number.desc())
    .limit(1)
)


class SqlTemplates(Repository):
    """Implements `app.domain.repositories.Templates`, which says what each method promises."""

    def append(self, version: TemplateVersion) -> None:
        """Insert."""
        with conflict(
            f"the template {version.name!r} was set by somebody else in this moment: read it and set it again"
        ):
            self.connection.execute(
                table.insert().values(
                    id=version.id,
                    workspace_id=version.workspace_id,
                    name=version.name,
                    number=version.number,
                    system=version.system,
                    user=version.user,
                    note=version.note,
                    key_id=version.key_id,
                    created_at=version.created_at,
                )
            )

    def latest(self, workspace_id: uuid.UUID, name: str) -> TemplateVersion | None:
        """The one in force."""
        row = self.connection.execute(_LATEST, {"workspace_id": workspace_id, "name": name}).first()
        return None if row is None else _version(row)

    def get(self, workspace_id: uuid.UUID, name: str, number: int) -> TemplateVersion | None:
        """One by number."""
        row = self.first(
            sa.select(table).where(table.c.workspace_id == workspace_id, table.c.name == name, table.c.number == number)
        )
        return None if row is None else _version(row)

    def page(self, workspace_id: uuid.UUID, name: str, *, before: int | None, limit: int) -> list[TemplateVersion]:
        """Those with a smaller number, the greatest first."""
        query = sa.select(table).where(table.c.workspace_id == workspace_id, table.c.name == name)
        if before is not None:
            query = query.where(table.c.number < before)
        return [_version(row) for row in self.connection.execute(query.order_by(table.c.number.desc()).limit(limit))]

    def in_force(self, workspace_id: uuid.UUID) -> list[TemplateVersion]:
        """The latest of each name."""
        newest = (
            sa.select(table.c.name, sa.func.max(table.c.number).label("number"))
            .where(table.c.workspace_id == workspace_id)
            .group_by(table.c.name)
            .subquery()
        )
        query = (
            sa.select(table)
            .join(newest, (table.c.name == newest.c.name) & (table.c.number == newest.c.number))
            .where(table.c.workspace_id == workspace_id)
            .order_by(table.c.name)
        )
        return [_version(row) for row in self.connection.execute(query)]


def _version(row: Row) -> TemplateVersion:
    return TemplateVersion(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        number=row.number,
        system=row.system,
        user=row.user,
        note=row.note,
        created_at=row.created_at,
        key_id=row.key_id,
    )
