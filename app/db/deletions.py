"""Receipts of deletions in SQL."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from app.db.repository import Repository, Row, batches
from app.db.tables import deletion as table
from app.domain.access import Principal
from app.domain.documents import Deletion


class SqlDeletions(Repository):
    """Implements `app.domain.repositories.Deletions`, which says what each method promises."""

    def add_many(self, deletions: Sequence[tuple[Deletion, Sequence[str]]]) -> None:
        """Insert, each with the readers that its document had."""
        rows = [
            {
                "id": deletion.id,
                "workspace_id": deletion.workspace_id,
                "document_id": deletion.document_id,
                "job_id": deletion.job_id,
                "readers": list(readers),
                "requested_at": deletion.requested_at,
                **_counts(deletion),
            }
            for deletion, readers in deletions
        ]
        if rows:
            self.connection.execute(table.insert(), rows)

    def of_document(self, principal: Principal, document_id: uuid.UUID) -> Deletion | None:
        """The receipt of a document's deletion, if the principal could read the document."""
        query = (
            sa.select(table)
            .where(table.c.document_id == document_id, table.c.workspace_id == principal.workspace_id)
            .order_by(table.c.id.desc())
            .limit(1)
        )
        row = self.first(self.locked(query, table))
        return _deletion(row) if row is not None and principal.may_read(row.readers) else None

    def unfinished(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Deletion]:
        """The receipts of documents whose purge has not ended, by document."""
        found: dict[uuid.UUID, Deletion] = {}
        for some in batches(document_ids):
            query = sa.select(table).where(table.c.document_id.in_(some), table.c.finished_at.is_(None))
            for row in self.connection.execute(self.locked(query.order_by(table.c.id), table)):
                found[row.document_id] = _deletion(row)
        return found

    def update_many(self, deletions: Sequence[Deletion]) -> None:
        """Write the counts and finished_at."""
        self.write_each(table, [{"written": each.id, **_counts(each)} for each in deletions])


def _counts(deletion: Deletion) -> dict[str, object]:
    return {
        "finished_at": deletion.finished_at,
        "rows": deletion.rows,
        "chunks": deletion.chunks,
        "vectors": deletion.vectors,
        "bytes": deletion.bytes,
        "bytes_reclaimed": deletion.bytes_reclaimed,
    }


def _deletion(row: Row) -> Deletion:
    return Deletion(
        id=row.id,
        workspace_id=row.workspace_id,
        document_id=row.document_id,
        job_id=row.job_id,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        rows=row.rows,
        chunks=row.chunks,
        vectors=row.vectors,
        bytes=row.bytes,
        bytes_reclaimed=row.bytes_reclaimed,
    )
