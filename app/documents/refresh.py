"""Carry changed readers and metadata to the index, without re-embedding.

Searches do not wait for it: the database check after the index is the truth. Until a refresh has run, a document whose
readers were widened may be missing from the new readers' searches; one whose readers were narrowed is never shown.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

from app.documents import enqueue
from app.domain.access import scope
from app.domain.documents import Document, Index
from app.domain.jobs import Item, Job, JobKind, JobState
from app.domain.leases import Lease
from app.domain.ports import Clock, VectorStore
from app.domain.repositories import Database, Outcome, WriteWork
from app.domain.vectors import Space


def request_refresh(work: WriteWork, document: Document, *, now: dt.datetime, request_id: str | None) -> Job:
    """Note in the same transaction that changed a document that its points are to be changed too."""
    job = enqueue.new_job(
        JobKind.REFRESH,
        workspace_id=document.workspace_id,
        now=now,
        collection_id=document.collection_id,
        document_id=document.id,
        request_id=request_id,
    )
    return enqueue.single(work, job, version_id=None, now=now)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunRefresh:
    """Runs items of kind refresh."""

    database: Database
    vectors: VectorStore
    clock: Clock

    def __call__(self, items: Sequence[Item], lease: Lease) -> None:
        """Bring each document's points up to date; the state at this moment, whatever asked for it."""
        for item in items:
            if item.id in lease.held([item.id]):
                self._refresh(item)
        with self.database.write() as work:
            outcomes = [
                Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.COMPLETED) for item in items
            ]
            work.jobs.finish(outcomes, self.clock.now())
            work.jobs.settle(sorted({item.job_id for item in items}), self.clock.now())
            work.commit()

    def _refresh(self, item: Item) -> None:
        """Write until what was written is what the database says: another change may come in between."""
        written: tuple[uuid.UUID, Document] | None = None
        while (wanted := self._wanted(item)) is not None:
            index, document = wanted
            if document.live_version_id is None or written == (document.live_version_id, document):
                return  # not live yet: going live writes the points' lists itself
            self.vectors.set_access(
                Space(name=index.fingerprints.space, dimensions=index.dimensions),
                document.live_version_id,
                scope=scope(index.id, document.readers),
                metadata=document.metadata,
            )
            written = (document.live_version_id, document)

    def _wanted(self, item: Item) -> tuple[Index, Document] | None:
        with self.database.read() as work:
            document = work.documents.get(item.workspace_id, item.document_id) if item.document_id else None
            index = work.collections.live_index(document.collection_id) if document else None
        return (index, document) if index is not None and document is not None else None
