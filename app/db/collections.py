"""Collections and their indexes in SQL."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from app.db.errors import conflict
from app.db.repository import Repository, Row, batches, behind
from app.db.tables import collection as table
from app.db.tables import collection_index, document
from app.domain.documents import Collection, Fingerprints, Index

_INDEX = [column.label(f"index_{column.name}") for column in collection_index.c]
_LIVE = (  # of a workspace, as every search asks: built once
    sa.select(table, *_INDEX)
    .join(collection_index, collection_index.c.id == table.c.live_index_id)
    .where(table.c.workspace_id == sa.bindparam("workspace_id"), table.c.deleted_at.is_(None))
    .order_by(table.c.id)
)
_LIVE_NAMED = _LIVE.where(table.c.name.in_(sa.bindparam("names", expanding=True)))
_NUL = "\0"


class SqlCollections(Repository):
    """Implements `app.domain.repositories.Collections`, which says what each method promises."""

    def add(self, collection: Collection, index: Index) -> None:
        """Insert both."""
        with conflict(f"a collection named {collection.name!r} exists already"):
            self.connection.execute(
                table.insert().values(
                    id=collection.id,
                    workspace_id=collection.workspace_id,
                    name=collection.name,
                    description=collection.description,
                    live_index_id=collection.live_index_id,
                    building_index_id=collection.building_index_id,
                    standby_index_id=collection.standby_index_id,
                    created_at=collection.created_at,
                    updated_at=collection.updated_at,
                )
            )
        self.add_index(index)

    def add_index(self, index: Index) -> None:
        """Insert an index."""
        self.connection.execute(
            collection_index.insert().values(
                id=index.id,
                workspace_id=index.workspace_id,
                collection_id=index.collection_id,
                chunker=index.fingerprints.chunker,
                dense=index.fingerprints.dense,
                sparse=index.fingerprints.sparse,
                dimensions=index.dimensions,
                created_at=index.created_at,
            )
        )

    def get(self, workspace_id: uuid.UUID, collection_id: uuid.UUID, *, alone: bool = False) -> Collection | None:
        """One by id."""
        return self._one(table.c.workspace_id == workspace_id, table.c.id == collection_id, alone=alone)

    def by_name(self, workspace_id: uuid.UUID, name: str, *, alone: bool = False) -> Collection | None:
        """One by name."""
        if _NUL in name:  # no name has it, and PostgreSQL takes no text with it
            return None
        return self._one(table.c.workspace_id == workspace_id, table.c.name == name, alone=alone)

    def _one(self, *conditions: sa.ColumnElement[bool], alone: bool = False) -> Collection | None:
        query = sa.select(table).where(table.c.deleted_at.is_(None), *conditions)
        if self.writes:
            query = query.with_for_update(read=not alone, of=table)
        row = self.first(query)
        return None if row is None else _collection(row)

    def named(self, workspace_id: uuid.UUID, names: Sequence[str] | None) -> list[tuple[Collection, Index]]:
        """Collections with their live index."""
        if names is None:
            found = self.connection.execute(_LIVE, {"workspace_id": workspace_id})
        else:
            possible = [name for name in names if _NUL not in name]
            found = self.connection.execute(_LIVE_NAMED, {"workspace_id": workspace_id, "names": possible})
        return [(_collection(row), _index(row)) for row in found]

    def page(self, workspace_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Collection]:
        """A workspace's collections, in pages."""
        query = (
            sa.select(table)
            .where(table.c.workspace_id == workspace_id, table.c.deleted_at.is_(None), behind(table.c.id, after))
            .order_by(table.c.id)
            .limit(limit)
        )
        return [_collection(row) for row in self.connection.execute(query)]

    def update(self, collection: Collection) -> None:
        """Write name, description, updated_at."""
        with conflict(f"a collection named {collection.name!r} exists already"):
            self.change(
                table.update()
                .where(table.c.id == collection.id, table.c.deleted_at.is_(None))
                .values(name=collection.name, description=collection.description, updated_at=collection.updated_at),
                "collection",
            )

    def index(self, index_id: uuid.UUID) -> Index | None:
        """One index by id."""
        row = self.first(sa.select(*_INDEX).where(collection_index.c.id == index_id))
        return None if row is None else _index(row)

    def indexes(self, collection_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Index]]:
        """All that uploads go into, the live one first."""
        place = sa.case(
            (collection_index.c.id == table.c.live_index_id, 0),
            (collection_index.c.id == table.c.building_index_id, 1),
            else_=2,
        )
        found: dict[uuid.UUID, list[Index]] = {}
        for some in batches(collection_ids):
            query = (
                sa.select(*_INDEX)
                .join(table, table.c.id == collection_index.c.collection_id)
                .where(
                    table.c.id.in_(some),
                    collection_index.c.id.in_(
                        [table.c.live_index_id, table.c.building_index_id, table.c.standby_index_id]
                    ),
                )
                .order_by(table.c.id, place)
            )
            for row in self.connection.execute(query):
                found.setdefault(row.index_collection_id, []).append(_index(row))
        return found

    def hold(self, collection_ids: Iterable[uuid.UUID]) -> None:
        """Let nobody change which indexes these have until this unit ends; SQLite has one writer."""
        if self.connection.dialect.name == "sqlite":
            return
        for some in batches(sorted(set(collection_ids))):
            query = sa.select(table.c.id).where(table.c.id.in_(some)).order_by(table.c.id)
            self.connection.execute(query.with_for_update(read=True, of=table)).all()

    def set_indexes(self, collection: Collection) -> None:
        """Write which index is live, which is being built and which stands by."""
        self.change(
            table.update()
            .where(table.c.id == collection.id)
            .values(
                live_index_id=collection.live_index_id,
                building_index_id=collection.building_index_id,
                standby_index_id=collection.standby_index_id,
                updated_at=collection.updated_at,
            ),
            "collection",
        )

    def drop_index(self, index_id: uuid.UUID, now: dt.datetime) -> None:
        """No collection names it any more."""
        self.connection.execute(
            collection_index.update().where(collection_index.c.id == index_id).values(dropped_at=now)
        )

    def dropped_indexes(self, *, dropped_before: dt.datetime) -> list[Index]:
        """Those that were dropped before that moment."""
        query = sa.select(*_INDEX).where(collection_index.c.dropped_at < dropped_before)
        return [_index(row) for row in self.connection.execute(query.order_by(collection_index.c.id))]

    def remove_index(self, index_id: uuid.UUID) -> None:
        """Delete the row of a dropped index."""
        self.connection.execute(
            collection_index.delete().where(
                collection_index.c.id == index_id, collection_index.c.dropped_at.is_not(None)
            )
        )

    def live_index(self, collection_id: uuid.UUID) -> Index | None:
        """The live index of a collection, a deleted one's too."""
        row = self.first(
            sa.select(*_INDEX)
            .join(table, table.c.live_index_id == collection_index.c.id)
            .where(table.c.id == collection_id)
        )
        return None if row is None else _index(row)

    def spaces(self) -> list[tuple[Fingerprints, int]]:
        """Fingerprints and dimensions of every index there is, each space once; of its chunkers the first by name."""
        of_space = (collection_index.c.dense, collection_index.c.sparse, collection_index.c.dimensions)
        query = (
            sa.select(sa.func.min(collection_index.c.chunker).label("chunker"), *of_space)
            .group_by(*of_space)
            .order_by(*of_space)
        )
        return [
            (Fingerprints(chunker=row.chunker, dense=row.dense, sparse=row.sparse), row.dimensions)
            for row in self.connection.execute(query)
        ]

    def mark_deleted(self, workspace_id: uuid.UUID, collection_id: uuid.UUID, now: dt.datetime) -> None:
        """Hide it; its name is free again."""
        self.connection.execute(
            table.update()
            .where(table.c.workspace_id == workspace_id, table.c.id == collection_id, table.c.deleted_at.is_(None))
            .values(deleted_at=now, updated_at=now)
        )

    def count_documents(self, collection_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """Undeleted documents of each."""
        counts = dict.fromkeys(collection_ids, 0)
        for some in batches(collection_ids):
            query = (
                sa.select(document.c.collection_id, sa.func.count())
                .where(document.c.collection_id.in_(some), document.c.deleted_at.is_(None))
                .group_by(document.c.collection_id)
            )
            counts.update((row[0], row[1]) for row in self.connection.execute(query))
        return counts


def _collection(row: Row) -> Collection:
    return Collection(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        description=row.description,
        live_index_id=row.live_index_id,
        building_index_id=row.building_index_id,
        standby_index_id=row.standby_index_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _index(row: Row) -> Index:
    return Index(
        id=row.index_id,
        workspace_id=row.index_workspace_id,
        collection_id=row.index_collection_id,
        fingerprints=Fingerprints(chunker=row.index_chunker, dense=row.index_dense, sparse=row.index_sparse),
        dimensions=row.index_dimensions,
        created_at=row.index_created_at,
    )
