"""Where rows contradict each other, in SQL; and the reports of earlier looks."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from app.db.filters_sql import ordered
from app.db.repository import Repository, batches, behind
from app.db.tables import (
    chunk,
    collection,
    document,
    document_fact,
    document_reader,
    drift_report,
    hidden_version,
    item,
    job,
    metadata,
    version,
)
from app.domain.documents import VersionState
from app.domain.drift import DriftKind, DriftReport
from app.domain.filters import kind_of
from app.domain.jobs import JobKind, JobState
from app.domain.repositories import Unpurged

_UNFINISHED = (JobState.QUEUED.value, JobState.RUNNING.value)
_KEPT_REPORTS = 100
_INGESTING = (JobKind.INGEST.value, JobKind.BATCH.value)
_UNDELETED = sa.and_(
    document.c.deleted_at.is_(None),
    sa.exists().where(collection.c.id == document.c.collection_id, collection.c.deleted_at.is_(None)),
)


class SqlAudit(Repository):
    """Implements `app.domain.repositories.Audit`, which says what each method promises."""

    def orphans(self) -> dict[str, int]:
        """Rows whose parent is gone, by table."""
        counts: dict[str, int] = {}
        for table, orphaned in _orphans():
            found = self.connection.execute(sa.select(sa.func.count()).select_from(table).where(orphaned)).scalar_one()
            if found:
                counts[table.name] = counts.get(table.name, 0) + int(found)
        return counts

    def remove_orphans(self) -> int:
        """Delete them, and what hangs on them."""
        removed = 0
        while any(gone := [self.connection.execute(t.delete().where(where)).rowcount for t, where in _orphans()]):
            removed += sum(gone)
        return removed

    def live_wrong(self, *, limit: int) -> list[uuid.UUID]:
        """Documents whose live version is none, and those with another version that is marked live."""
        named = sa.exists().where(
            version.c.id == document.c.live_version_id,
            version.c.document_id == document.c.id,
            version.c.state == VersionState.LIVE.value,
        )
        another = sa.exists().where(
            version.c.document_id == document.c.id,
            version.c.state == VersionState.LIVE.value,
            sa.func.coalesce(document.c.live_version_id != version.c.id, sa.true()),
        )
        query = (
            sa.select(document.c.id)
            .where(_UNDELETED, sa.or_(sa.and_(document.c.live_version_id.is_not(None), ~named), another))
            .order_by(document.c.id)
            .limit(limit)
        )
        return list(self.connection.execute(query).scalars())

    def live_hidden(self, *, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """(document id, version id) of live versions that a note hides."""
        query = (
            sa.select(document.c.id, version.c.id)
            .join(version, version.c.id == document.c.live_version_id)
            .where(
                _UNDELETED,
                version.c.state == VersionState.LIVE.value,
                sa.exists().where(hidden_version.c.version_id == version.c.id),
            )
            .order_by(document.c.id)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in self.connection.execute(query)]

    def stuck(self, *, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """(document id, version id) of pending versions that no unfinished item ingests."""
        at_it = sa.exists().where(
            item.c.version_id == version.c.id, item.c.kind.in_(_INGESTING), item.c.state.in_(_UNFINISHED)
        )
        query = (
            sa.select(document.c.id, version.c.id)
            .join(version, version.c.document_id == document.c.id)
            .where(_UNDELETED, version.c.state == VersionState.PENDING.value, ~at_it)
            .order_by(version.c.id)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in self.connection.execute(query)]

    def unpurged(self, *, limit: int) -> list[Unpurged]:
        """Deleted documents of collections that are not, which no unfinished item purges."""
        at_it = sa.exists().where(
            item.c.document_id == document.c.id, item.c.kind == JobKind.PURGE.value, item.c.state.in_(_UNFINISHED)
        )
        query = (
            sa.select(document.c.workspace_id, document.c.collection_id, document.c.id)
            .join(collection, collection.c.id == document.c.collection_id)
            .where(document.c.deleted_at.is_not(None), collection.c.deleted_at.is_(None), ~at_it)
            .order_by(document.c.id)
            .limit(limit)
        )
        return [
            Unpurged(workspace_id=row.workspace_id, collection_id=row.collection_id, document_id=row.id)
            for row in self.connection.execute(query)
        ]

    def unpurged_collections(self, *, limit: int) -> list[Unpurged]:
        """Deleted collections that still hold documents, which no unfinished job purges."""
        at_it = sa.exists().where(
            job.c.collection_id == collection.c.id,
            item.c.job_id == job.c.id,
            item.c.document_id.is_(None),
            item.c.kind == JobKind.PURGE.value,
            item.c.state.in_(_UNFINISHED),
        )
        query = (
            sa.select(collection.c.workspace_id, collection.c.id)
            .where(
                collection.c.deleted_at.is_not(None),
                sa.exists().where(document.c.collection_id == collection.c.id),
                ~at_it,
            )
            .order_by(collection.c.id)
            .limit(limit)
        )
        return [
            Unpurged(workspace_id=row.workspace_id, collection_id=row.id, document_id=None)
            for row in self.connection.execute(query)
        ]

    def unsettled(self, *, limit: int) -> list[uuid.UUID]:
        """Jobs that have not ended though all their items have."""
        under_way = sa.exists().where(item.c.job_id == job.c.id, item.c.state.in_(_UNFINISHED))
        query = sa.select(job.c.id).where(job.c.sealed, job.c.state.in_(_UNFINISHED), ~under_way).limit(limit)
        return list(self.connection.execute(query.order_by(job.c.id)).scalars())

    def conditions_wrong(self, *, after: uuid.UUID | None, limit: int) -> tuple[list[uuid.UUID], uuid.UUID | None]:
        """Of the next documents, those whose rows for conditions differ from what they say; and the last one looked at."""
        query = (
            sa.select(document.c.id, document.c.readers, document.c.metadata)
            .where(document.c.deleted_at.is_(None), behind(document.c.id, after))
            .order_by(document.c.id)
            .limit(limit)
        )
        rows = self.connection.execute(query).all()
        readers: dict[uuid.UUID, set[str]] = {row.id: set() for row in rows}
        facts: dict[uuid.UUID, set[tuple[str, str, str]]] = {row.id: set() for row in rows}
        for some in batches([row.id for row in rows]):
            for row in self.connection.execute(
                sa.select(document_reader).where(document_reader.c.document_id.in_(some))
            ):
                readers[row.document_id].add(row.reader)
            for row in self.connection.execute(sa.select(document_fact).where(document_fact.c.document_id.in_(some))):
                facts[row.document_id].add((row.key, row.kind, row.value))
        wrong = [
            row.id
            for row in rows
            if readers[row.id] != set(row.readers)
            or facts[row.id] != {(key, kind_of(value), ordered(value)) for key, value in row.metadata.items()}
        ]
        return wrong, rows[-1].id if rows else None

    def rewrite_conditions(self, document_ids: Sequence[uuid.UUID]) -> None:
        """Write the rows for conditions of these documents anew."""
        for some in batches(document_ids):
            for table in (document_reader, document_fact):
                self.connection.execute(table.delete().where(table.c.document_id.in_(some)))
            query = sa.select(document.c.id, document.c.readers, document.c.metadata).where(document.c.id.in_(some))
            rows = self.connection.execute(query).all()
            readers = [
                {"document_id": row.id, "reader": reader} for row in rows for reader in dict.fromkeys(row.readers)
            ]
            facts = [
                {"document_id": row.id, "key": key, "kind": kind_of(value), "value": ordered(value)}
                for row in rows
                for key, value in row.metadata.items()
            ]
            for table, values in ((document_reader, readers), (document_fact, facts)):
                if values:
                    self.connection.execute(table.insert(), values)

    def chunk_counts(self, version_ids: Sequence[uuid.UUID]) -> dict[tuple[uuid.UUID, uuid.UUID], int]:
        """Rows of chunks by (index id, version id)."""
        counts: dict[tuple[uuid.UUID, uuid.UUID], int] = {}
        for some in batches(version_ids):
            query = (
                sa.select(chunk.c.index_id, chunk.c.version_id, sa.func.count())
                .where(chunk.c.version_id.in_(some))
                .group_by(chunk.c.index_id, chunk.c.version_id)
            )
            counts.update({(row[0], row[1]): row[2] for row in self.connection.execute(query)})
        return counts

    def chunks_left(self, *, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """(document id, version id) of versions that answer no more, have chunks, and are noted nowhere."""
        ended = (VersionState.SUPERSEDED.value, VersionState.FAILED.value, VersionState.DELETED.value)
        query = (
            sa.select(version.c.document_id, version.c.id)
            .where(
                version.c.state.in_(ended),
                sa.exists().where(chunk.c.version_id == version.c.id),
                ~sa.exists().where(hidden_version.c.version_id == version.c.id),
            )
            .order_by(version.c.id)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in self.connection.execute(query)]

    def under_change(self, document_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Those documents that an unfinished item is at."""
        found: set[uuid.UUID] = set()
        for some in batches(document_ids):
            query = sa.select(item.c.document_id).where(item.c.document_id.in_(some), item.c.state.in_(_UNFINISHED))
            found.update(self.connection.execute(query).scalars())
        return found

    def live_page(self, *, after: uuid.UUID | None, limit: int) -> list[uuid.UUID]:
        """Undeleted documents that have a live version, whoever may read them, in pages."""
        query = (
            sa.select(document.c.id)
            .where(_UNDELETED, document.c.live_version_id.is_not(None), behind(document.c.id, after))
            .order_by(document.c.id)
            .limit(limit)
        )
        return list(self.connection.execute(query).scalars())

    def versions_page(self, *, after: uuid.UUID | None, limit: int) -> list[uuid.UUID]:
        """Versions of undeleted documents, in pages."""
        query = (
            sa.select(version.c.id)
            .join(document, document.c.id == version.c.document_id)
            .where(_UNDELETED, behind(version.c.id, after))
            .order_by(version.c.id)
            .limit(limit)
        )
        return list(self.connection.execute(query).scalars())

    def keep(self, report: DriftReport) -> None:
        """Insert a report; the last 100 are kept."""
        self.connection.execute(
            drift_report.insert().values(
                id=report.id,
                started_at=report.started_at,
                finished_at=report.finished_at,
                found=dict(report.found),
                repaired=dict(report.repaired),
            )
        )
        kept = sa.select(drift_report.c.id).order_by(drift_report.c.id.desc()).limit(_KEPT_REPORTS)
        self.connection.execute(drift_report.delete().where(drift_report.c.id.not_in(kept)))

    def last(self) -> DriftReport | None:
        """The newest report."""
        row = self.first(sa.select(drift_report).order_by(drift_report.c.id.desc()).limit(1))
        if row is None:
            return None
        return DriftReport(
            id=row.id,
            started_at=row.started_at,
            finished_at=row.finished_at,
            found={DriftKind(kind): count for kind, count in row.found.items()},
            repaired={DriftKind(kind): count for kind, count in row.repaired.items()},
        )


def _orphans() -> Iterator[tuple[sa.Table, sa.ColumnElement[bool]]]:
    """Each table with the condition that a row's parent is gone, once for each of its foreign keys."""
    for table in metadata.sorted_tables:
        for key in table.foreign_keys:
            parent = key.column.table.alias()
            there = sa.exists().where(parent.c[key.column.name] == key.parent)
            yield table, sa.and_(key.parent.is_not(None), ~there)
