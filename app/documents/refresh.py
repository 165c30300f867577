"""Carry changed readers and metadata to the index, without re-embedding.

What must not be shown is not shown from the commit on: the database check after the index is the truth. What newly may
be shown is found when its points carry the change, so the caller is answered only then. The change and the job that
carries it to the index are one transaction: should the process die in between, the job does it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import threading
import uuid
from collections.abc import Sequence

from app.documents import enqueue
from app.domain.access import scope
from app.domain.documents import Document, Index, chunk_ids
from app.domain.errors import TransientError
from app.domain.jobs import Item, Job, JobKind, JobState
from app.domain.leases import Lease
from app.domain.ports import Clock, VectorStore
from app.domain.repositories import Database, Outcome, WriteWork


def request_refresh(
    work: WriteWork,
    document: Document,
    *,
    now: dt.datetime,
    request_id: str | None,
    key_id: uuid.UUID | None,
) -> Job:
    """Note in the same transaction that changed a document that its points are to be changed too."""
    job = enqueue.new_job(
        JobKind.REFRESH,
        workspace_id=document.workspace_id,
        now=now,
        collection_id=document.collection_id,
        document_id=document.id,
        request_id=request_id,
        key_id=key_id,
    )
    return enqueue.single(work, job, version_id=None, now=now)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """Brings points up to date: at once, before a caller is answered, and as items of kind refresh."""

    database: Database
    vectors: VectorStore
    clock: Clock
    # One at a time: else one that read an earlier state could write it over a later one, until it looks again.
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def __call__(self, items: Sequence[Item], lease: Lease) -> None:
        """Bring each document's points up to date; the state at this moment, whatever asked for it."""
        for item in items:
            if item.document_id is not None and item.id in lease.held([item.id]):
                self._refresh(item.workspace_id, item.document_id)
        with self.database.write() as work:
            outcomes = [
                Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.COMPLETED) for item in items
            ]
            work.jobs.finish(outcomes, self.clock.now())
            work.jobs.settle(sorted({item.job_id for item in items}), self.clock.now())
            work.commit()

    def at_once(self, documents: Sequence[Document]) -> None:
        """Carry committed changes to the index now; where it can't answer, their jobs will when it can."""
        with contextlib.suppress(TransientError):
            for document in documents:
                self._refresh(document.workspace_id, document.id)

    def _refresh(self, workspace_id: uuid.UUID, document_id: uuid.UUID) -> None:
        """Write until what was written is what the database says: another change may come in between."""
        written: tuple[Document, list[tuple[Index, int]]] | None = None
        with self.lock:
            while (wanted := self._wanted(workspace_id, document_id)) is not None and wanted != written:
                document, indexes = wanted
                for index, chunks in indexes:
                    if document.live_version_id is not None:  # else going live writes the points' lists itself
                        self.vectors.set_access(
                            index.space,
                            chunk_ids(index.id, document.live_version_id, chunks),
                            scope=scope(index.id, document.readers),
                            metadata=document.metadata,
                        )
                written = wanted

    def _wanted(
        self, workspace_id: uuid.UUID, document_id: uuid.UUID
    ) -> tuple[Document, list[tuple[Index, int]]] | None:
        """The document, and each index that has its live version, with the number of chunks there."""
        with self.database.read() as work:
            document = work.documents.get(workspace_id, document_id)
            if document is None or document.live_version_id is None:
                return None
            indexes = work.collections.indexes([document.collection_id]).get(document.collection_id, [])
            noted = work.chunks.indexed([document.live_version_id])
        pairs = [(index, noted.get((index.id, document.live_version_id))) for index in indexes]
        return document, [(index, note.chunks) for index, note in pairs if note is not None]
