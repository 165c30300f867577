"""Documents in SQL."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from app.db.errors import conflict
from app.db.filters_sql import ordered, passes, readable
from app.db.repository import Repository, Row, batches, behind
from app.db.tables import collection, document_fact, document_reader, version
from app.db.tables import document as table
from app.domain.access import Principal
from app.domain.documents import Document
from app.domain.errors import NotFoundError
from app.domain.filters import Filter, Scalar, kind_of

_COLLECTION_IS_THERE = sa.exists().where(collection.c.id == table.c.collection_id, collection.c.deleted_at.is_(None))


class SqlDocuments(Repository):
    """Implements `app.domain.repositories.Documents`, which says what each method promises."""

    def add(self, document: Document) -> None:
        """Insert, with its readers and metadata."""
        taken = "the document" if document.external_id is None else f"the external id {document.external_id!r}"
        with conflict(f"{taken} exists already in this collection, or was deleted a moment ago"):
            self.connection.execute(
                table.insert().values(
                    id=document.id,
                    workspace_id=document.workspace_id,
                    collection_id=document.collection_id,
                    external_id=document.external_id,
                    title=document.title,
                    metadata=document.metadata,
                    readers=list(document.readers),
                    live_version_id=document.live_version_id,
                    created_at=document.created_at,
                    updated_at=document.updated_at,
                    deleted_at=document.deleted_at,
                )
            )
        self._add_readers(document.id, document.readers)
        self._add_facts(document.id, document.metadata)

    def get(self, workspace_id: uuid.UUID, document_id: uuid.UUID) -> Document | None:
        """One by id."""
        return self._one(table.c.id == document_id, table.c.workspace_id == workspace_id)

    def by_external_id(self, collection_id: uuid.UUID, external_id: str) -> Document | None:
        """One by external id."""
        return self._one(table.c.collection_id == collection_id, table.c.external_id == external_id)

    def _one(self, *conditions: sa.ColumnElement[bool]) -> Document | None:
        query = sa.select(table).where(table.c.deleted_at.is_(None), _COLLECTION_IS_THERE, *conditions)
        row = self.first(self.locked(query, table))
        return None if row is None else document_of(row)

    def page(
        self,
        principal: Principal,
        *,
        collection_id: uuid.UUID | None,
        condition: Filter | None,
        after: uuid.UUID | None,
        limit: int,
    ) -> list[Document]:
        """Documents that the principal may read, in pages."""
        query = (
            sa.select(table)
            .where(table.c.deleted_at.is_(None), _COLLECTION_IS_THERE, readable(principal), behind(table.c.id, after))
            .order_by(table.c.id)
            .limit(limit)
        )
        if collection_id is None:
            query = query.where(table.c.workspace_id == principal.workspace_id)
        else:  # one or the other decides which index is walked, and a collection's own is the shorter
            query = query.where(table.c.collection_id == collection_id, _collection_of(principal))
        if condition is not None:
            query = query.where(passes(condition))
        return [document_of(row) for row in self.connection.execute(query)]

    def update(self, document: Document) -> None:
        """Write title, metadata, readers, live_version_id, updated_at."""
        query = sa.select(table.c.metadata, table.c.readers).where(table.c.id == document.id)
        stored = self.first(self.locked(query, table))
        if stored is None:
            raise NotFoundError("the document is gone")
        self.connection.execute(
            table.update()
            .where(table.c.id == document.id)
            .values(
                title=document.title,
                metadata=document.metadata,
                readers=list(document.readers),
                live_version_id=document.live_version_id,
                updated_at=document.updated_at,
            )
        )
        if stored.readers != list(document.readers):
            self.connection.execute(document_reader.delete().where(document_reader.c.document_id == document.id))
            self._add_readers(document.id, document.readers)
        if json.dumps(stored.metadata) != json.dumps(document.metadata):  # in Python 1 equals True
            self.connection.execute(document_fact.delete().where(document_fact.c.document_id == document.id))
            self._add_facts(document.id, document.metadata)

    def _add_readers(self, document_id: uuid.UUID, readers: Sequence[str]) -> None:
        rows = [{"document_id": document_id, "reader": reader} for reader in dict.fromkeys(readers)]
        if rows:
            self.connection.execute(document_reader.insert(), rows)

    def _add_facts(self, document_id: uuid.UUID, metadata: Mapping[str, Scalar]) -> None:
        rows = [
            {"document_id": document_id, "key": key, "kind": kind_of(value), "value": ordered(value)}
            for key, value in metadata.items()
        ]
        if rows:
            self.connection.execute(document_fact.insert(), rows)

    def count_readable(self, principal: Principal, collection_id: uuid.UUID) -> int:
        """How many of a collection's documents the principal may read."""
        query = (
            sa.select(sa.func.count())
            .select_from(table)
            .where(
                table.c.collection_id == collection_id,
                table.c.workspace_id == principal.workspace_id,
                table.c.deleted_at.is_(None),
                _COLLECTION_IS_THERE,
                readable(principal),
            )
        )
        return int(self.connection.execute(query).scalar_one())

    def deleted(self, workspace_id: uuid.UUID, document_id: uuid.UUID) -> Document | None:
        """One that is marked as deleted and still has its row."""
        query = sa.select(table).where(
            table.c.id == document_id, table.c.workspace_id == workspace_id, table.c.deleted_at.is_not(None)
        )
        row = self.first(self.locked(query, table))
        return None if row is None else document_of(row)

    def in_collection(self, collection_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Document]:
        """A collection's documents whoever may read them, in pages; deleted documents and collections too."""
        query = (
            sa.select(table)
            .where(table.c.collection_id == collection_id, behind(table.c.id, after))
            .order_by(table.c.id)
            .limit(limit)
        )
        return [document_of(row) for row in self.connection.execute(query)]

    def mark_deleted(self, document_ids: Sequence[uuid.UUID], now: dt.datetime) -> None:
        """Hide documents at once; their external ids are free again."""
        for some in batches(document_ids):
            self.connection.execute(
                table.update()
                .where(table.c.id.in_(some), table.c.deleted_at.is_(None))
                .values(deleted_at=now, updated_at=now)
            )

    def remove(self, document_id: uuid.UUID) -> int:
        """Delete the row of a deleted document; versions, chunks, readers and metadata go by their foreign keys."""
        query = sa.select(sa.func.count()).select_from(version).where(version.c.document_id == document_id)
        versions = self.connection.execute(query).scalar_one()
        removed = self.connection.execute(
            table.delete().where(table.c.id == document_id, table.c.deleted_at.is_not(None))
        )
        return int(versions) + 1 if removed.rowcount else 0


def _collection_of(principal: Principal) -> sa.ColumnElement[bool]:
    """Whether the collection of the row at hand is in the principal's workspace."""
    return sa.exists().where(
        collection.c.id == table.c.collection_id, collection.c.workspace_id == principal.workspace_id
    )


def document_of(row: Row) -> Document:
    """A document from a row of its table."""
    return Document(
        id=row.id,
        workspace_id=row.workspace_id,
        collection_id=row.collection_id,
        external_id=row.external_id,
        title=row.title,
        metadata=row.metadata,
        readers=tuple(row.readers),
        live_version_id=row.live_version_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=row.deleted_at,
    )
