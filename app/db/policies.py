"""Versions of policies in SQL."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.db.errors import conflict
from app.db.repository import Repository, Row
from app.db.tables import collection, document
from app.db.tables import policy as table
from app.domain.policies import OutputFormat, PersonalData, Policy, PolicyVersion, Unsupported

_ENUMS = {"unsupported": Unsupported, "personal_data": PersonalData, "output_format": OutputFormat}
_FIELDS = tuple(each.name for each in dataclasses.fields(Policy))
_TUPLES = ("models", "refused_topics")
_NEWEST = (
    sa.select(table.c.scope, sa.func.max(table.c.number).label("number"))
    .where(table.c.workspace_id == sa.bindparam("workspace_id"))
    .group_by(table.c.scope)
    .subquery()
)
_IN_FORCE = (  # as every question asks: built once
    sa.select(table, collection.c.name.label("collection_name"))
    .join(_NEWEST, (table.c.scope == _NEWEST.c.scope) & (table.c.number == _NEWEST.c.number))
    .outerjoin(collection, (collection.c.id == table.c.collection_id) & collection.c.deleted_at.is_(None))
    .where(table.c.workspace_id == sa.bindparam("workspace_id"))
    .where(table.c.collection_id.is_(None) | collection.c.id.is_not(None))
    .order_by(table.c.scope)
)
_IN_FORCE_NAMED = _IN_FORCE.where(
    table.c.collection_id.is_(None)
    | collection.c.name.in_(sa.bindparam("names", expanding=True))
    | table.c.collection_id.in_(
        sa.select(document.c.collection_id).where(document.c.id.in_(sa.bindparam("documents", expanding=True)))
    )
)
_NUL = "\0"


class SqlPolicies(Repository):
    """Implements `app.domain.repositories.Policies`, which says what each method promises."""

    def append(self, version: PolicyVersion) -> None:
        """Insert."""
        with conflict("the policy was set by somebody else in this moment: read it and set it again"):
            self.connection.execute(
                table.insert().values(
                    id=version.id,
                    workspace_id=version.workspace_id,
                    collection_id=version.collection_id,
                    scope=_scope(version.collection_id),
                    number=version.number,
                    body=dataclasses.asdict(version.policy),
                    note=version.note,
                    key_id=version.key_id,
                    created_at=version.created_at,
                )
            )

    def latest(self, workspace_id: uuid.UUID, collection_id: uuid.UUID | None) -> PolicyVersion | None:
        """The one in force."""
        return next(iter(self.page(workspace_id, collection_id, before=None, limit=1)), None)

    def get(self, workspace_id: uuid.UUID, collection_id: uuid.UUID | None, number: int) -> PolicyVersion | None:
        """One by number."""
        row = self.first(
            sa.select(table).where(
                table.c.workspace_id == workspace_id, table.c.scope == _scope(collection_id), table.c.number == number
            )
        )
        return None if row is None else _version(row)

    def page(
        self, workspace_id: uuid.UUID, collection_id: uuid.UUID | None, *, before: int | None, limit: int
    ) -> list[PolicyVersion]:
        """Those with a smaller number, the greatest first."""
        query = sa.select(table).where(table.c.workspace_id == workspace_id, table.c.scope == _scope(collection_id))
        if before is not None:
            query = query.where(table.c.number < before)
        return [_version(row) for row in self.connection.execute(query.order_by(table.c.number.desc()).limit(limit))]

    def in_force(
        self, workspace_id: uuid.UUID, names: Sequence[str] | None, *, documents: Sequence[uuid.UUID] = ()
    ) -> list[tuple[PolicyVersion, str | None]]:
        """The latest of each scope, with its collection's name."""
        values: dict[str, Any] = {"workspace_id": workspace_id}
        if names is not None:
            values |= {"names": [name for name in names if _NUL not in name], "documents": list(documents)}
        rows = self.connection.execute(_IN_FORCE if names is None else _IN_FORCE_NAMED, values)
        return [(_version(row), row.collection_name) for row in rows]


def _scope(collection_id: uuid.UUID | None) -> str:
    return "" if collection_id is None else str(collection_id)


def _version(row: Row) -> PolicyVersion:
    return PolicyVersion(
        id=row.id,
        workspace_id=row.workspace_id,
        collection_id=row.collection_id,
        number=row.number,
        policy=_policy(row.body),
        note=row.note,
        created_at=row.created_at,
        key_id=row.key_id,
    )


def _policy(body: dict[str, Any]) -> Policy:
    """What was stored; a field that was not there yet has its default."""
    known = {name: body[name] for name in _FIELDS if name in body}
    for name in _TUPLES:
        if known.get(name) is not None:
            known[name] = tuple(known[name])
    return Policy(**known | {name: kind(known[name]) for name, kind in _ENUMS.items() if name in known})
