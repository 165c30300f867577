"""Documents in SQL."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from app.db.errors import conflict
from app.db.filters_sql import ordered, passes, readable
from app.db.repository import Repository, Row, batches, behind
from app.db.tables import collection, document_fact, document_reader, version
from app.db.tables import document as table
from app.domain.access import Principal
from app.domain.documents import Document
from app.domain.errors import NotFoundError
from app.domain.filters import Filter, kind_of

_COLLECTION_IS_THERE = sa.exists().where(collection.c.id == table.c.collection_id, collection.c.deleted_at.is_(None))


class SqlDocuments(Repository):
    """Implements `app.domain.repositories.Documents`, which says what each method promises."""

    def add(self, document: Document) -> None:
        """Insert, with its readers and metadata."""
        self.add_many([document])

    def add_many(self, documents: Sequence[Document]) -> None:
        """Insert several."""
        if not documents:
            return
        one = documents[0].external_id if len(documents) == 1 else None
        taken = "the document" if one is None else f"the external id {one!r}"
        rows = [
            {
                "id": document.id,
                "workspace_id": document.workspace_id,
                "collection_id": document.collection_id,
                "external_id": document.external_id,
                "created_at": document.created_at,
                "deleted_at": document.deleted_at,
                **_changeable(document),
            }
            for document in documents
        ]
        with conflict(
            f"{taken} exists already in this collection, or was deleted and is not purged yet: try again in a moment"
        ):
            self.connection.execute(table.insert(), rows)
        self._add_readers(documents)
        self._add_facts(documents)

    def get(self, workspace_id: uuid.UUID, document_id: uuid.UUID) -> Document | None:
        """One by id."""
        return self._one(table.c.id == document_id, table.c.workspace_id == workspace_id)

    def by_external_id(self, collection_id: uuid.UUID, external_id: str) -> Document | None:
        """One by external id."""
        return self._one(table.c.collection_id == collection_id, table.c.external_id == external_id)

    def _one(self, *conditions: sa.ColumnElement[bool]) -> Document | None:
        return next(iter(self._several(*conditions)), None)

    def many(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Document]:
        """Several by id."""
        found = [each for some in batches(document_ids) for each in self._several(table.c.id.in_(some))]
        return {document.id: document for document in found}

    def hold(self, document_ids: Iterable[uuid.UUID | None]) -> None:
        """Let nobody else change these documents until this unit ends."""
        if self.connection.dialect.name == "sqlite":
            return  # it has one writer
        for some in batches(sorted({each for each in document_ids if each is not None})):
            query = sa.select(table.c.id).where(table.c.id.in_(some)).order_by(table.c.id)
            self.connection.execute(self.locked(query, table)).all()

    def by_external_ids(self, collection_id: uuid.UUID, external_ids: Sequence[str]) -> dict[str, Document]:
        """Several by external id."""
        found = [
            each
            for some in batches(external_ids)
            for each in self._several(table.c.collection_id == collection_id, table.c.external_id.in_(some))
        ]
        return {document.external_id: document for document in found if document.external_id is not None}

    def _several(self, *conditions: sa.ColumnElement[bool]) -> list[Document]:
        query = sa.select(table).where(table.c.deleted_at.is_(None), _COLLECTION_IS_THERE, *conditions)
        rows = self.connection.execute(self.locked(query.order_by(table.c.id), table))
        return [document_of(row) for row in rows]

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
        self.update_many([document])

    def update_many(self, documents: Sequence[Document]) -> None:
        """The same of several; readers and metadata are written anew where they differ."""
        stored: dict[uuid.UUID, Row] = {}
        for some in batches([document.id for document in documents]):
            query = sa.select(table.c.id, table.c.metadata, table.c.readers).where(table.c.id.in_(some))
            stored |= {row.id: row for row in self.connection.execute(self.locked(query.order_by(table.c.id), table))}
        if any(document.id not in stored for document in documents):
            raise NotFoundError("the document is gone")
        self.write_each(table, [{"written": document.id, **_changeable(document)} for document in documents])
        read_by = [each for each in documents if stored[each.id].readers != list(each.readers)]
        # In Python 1 equals True.
        said = [each for each in documents if json.dumps(stored[each.id].metadata) != json.dumps(each.metadata)]
        for changed, of in ((read_by, document_reader), (said, document_fact)):
            for some in batches([document.id for document in changed]):
                self.connection.execute(of.delete().where(of.c.document_id.in_(some)))
        self._add_readers(read_by)
        self._add_facts(said)

    def _add_readers(self, documents: Sequence[Document]) -> None:
        rows = [
            {"document_id": document.id, "reader": reader}
            for document in documents
            for reader in dict.fromkeys(document.readers)
        ]
        if rows:
            self.connection.execute(document_reader.insert(), rows)

    def _add_facts(self, documents: Sequence[Document]) -> None:
        rows = [
            {"document_id": document.id, "key": key, "kind": kind_of(value), "value": ordered(value)}
            for document in documents
            for key, value in document.metadata.items()
        ]
        if rows:
            self.connection.execute(document_fact.insert(), rows)

    def count_readable(self, principal: Principal, collection_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """How many documents of each collection the principal may read."""
        counts = dict.fromkeys(collection_ids, 0)
        for some in batches(collection_ids):
            query = (
                sa.select(table.c.collection_id, sa.func.count())
                .where(
                    table.c.collection_id.in_(some),
                    table.c.workspace_id == principal.workspace_id,
                    table.c.deleted_at.is_(None),
                    _COLLECTION_IS_THERE,
                    readable(principal),
                )
                .group_by(table.c.collection_id)
            )
            counts.update((row[0], row[1]) for row in self.connection.execute(query))
        return counts

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

    def remove(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """Delete the rows of deleted documents; versions, chunks, readers and metadata go by their foreign keys."""
        removed: dict[uuid.UUID, int] = {}
        for some in batches(document_ids):
            deleted = sa.and_(table.c.id.in_(some), table.c.deleted_at.is_not(None))
            query = (
                sa.select(table.c.id, sa.func.count(version.c.id))
                .outerjoin(version, version.c.document_id == table.c.id)
                .where(deleted)
                .group_by(table.c.id)
            )
            removed.update({row[0]: int(row[1]) + 1 for row in self.connection.execute(query)})
            self.connection.execute(table.delete().where(deleted))
        return removed

    def count_matching(self, principal: Principal, *, collection_id: uuid.UUID, condition: Filter | None) -> int:
        """How many documents of a collection the principal may read pass a condition."""
        query = (
            sa.select(sa.func.count())
            .select_from(table)
            .where(
                table.c.collection_id == collection_id,
                table.c.deleted_at.is_(None),
                _collection_of(principal),
                _COLLECTION_IS_THERE,
                readable(principal),
            )
        )
        if condition is not None:
            query = query.where(passes(condition))
        return int(self.connection.execute(query).scalar_one())


def _collection_of(principal: Principal) -> sa.ColumnElement[bool]:
    """Whether the collection of the row at hand is in the principal's workspace."""
    return sa.exists().where(
        collection.c.id == table.c.collection_id, collection.c.workspace_id == principal.workspace_id
    )


def _changeable(document: Document) -> dict[str, object]:
    return {
        "title": document.title,
        "metadata": document.metadata,
        "readers": list(document.readers),
        "live_version_id": document.live_version_id,
        "updated_at": document.updated_at,
    }


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
