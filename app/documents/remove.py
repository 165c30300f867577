"""Delete a document or a collection: hidden when the call returns, purged afterwards, with a receipt."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

from app.documents import enqueue
from app.documents.add import collection_named, require_editor
from app.domain.access import Principal
from app.domain.documents import Collection, Deletion, Document, VersionState
from app.domain.errors import NotFoundError
from app.domain.ids import new_id
from app.domain.jobs import Failure, Job, JobKind
from app.domain.ports import Clock, JobQueue
from app.domain.repositories import Database, ReadWork, WriteWork

DOCUMENT_DELETED = Failure(
    code="document_deleted", message="the document was deleted before it was ingested", retryable=False
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RemoveDocuments:
    """The use case; safe to call from many threads."""

    database: Database
    queue: JobQueue
    clock: Clock

    def remove(self, principal: Principal, document_id: uuid.UUID, *, request_id: str | None = None) -> Job:
        """Hide a document and ask for its purge; gives the purge's job.

        Raises:
            ForbiddenError: a reader's key.
            NotFoundError: no such document, or not for this caller.
        """
        require_editor(principal)
        now = self.clock.now()
        with self.database.write() as work:
            document = readable(work, principal, document_id)
            job = enqueue.new_job(
                JobKind.PURGE,
                workspace_id=document.workspace_id,
                now=now,
                collection_id=document.collection_id,
                document_id=document.id,
                request_id=request_id,
            )
            job = enqueue.single(work, job, version_id=None, now=now)
            hide(work, [document], spaces=spaces_of(work, document.collection_id), job_id=job.id, now=now)
            work.commit()
        self.queue.nudge()
        return job

    def remove_collection(self, principal: Principal, name: str, *, request_id: str | None = None) -> Job:
        """Hide a collection with all its documents and ask for their purge; gives the purge's job.

        Editors do not pass readers, so only one who may read every document of a collection may delete it.

        Raises:
            ForbiddenError: a reader's key, or an editor's while documents are there that it may not read.
            NotFoundError: no such collection.
        """
        require_editor(principal)
        now = self.clock.now()
        with self.database.write() as work:
            collection = collection_named(work, principal, name, alone=True)
            self._require_all_readable(work, principal, collection)
            work.collections.mark_deleted(principal.workspace_id, collection.id, now)
            job = enqueue.new_job(
                JobKind.PURGE,
                workspace_id=principal.workspace_id,
                now=now,
                collection_id=collection.id,
                document_id=None,
                request_id=request_id,
            )
            job = enqueue.single(work, job, version_id=None, now=now)
            work.commit()
        self.queue.nudge()
        return job

    def receipt(self, principal: Principal, document_id: uuid.UUID) -> Deletion:
        """What a delete has removed so far.

        Raises:
            NotFoundError: never deleted, or not for this caller.
        """
        with self.database.read() as work:
            deletion = work.deletions.of_document(principal, document_id)
        if deletion is None:
            raise NotFoundError("no deletion of such a document")
        return deletion

    def _require_all_readable(self, work: ReadWork, principal: Principal, collection: Collection) -> None:
        if principal.passes_readers:
            return
        every = work.collections.count_documents([collection.id]).get(collection.id, 0)
        if every != work.documents.count_readable(principal, [collection.id])[collection.id]:
            raise NotFoundError(
                "this collection holds documents that this key may not read; an admin can delete it", code="not_found"
            )


def readable(work: ReadWork, principal: Principal, document_id: uuid.UUID) -> Document:
    """The document, or NotFoundError where it does not exist for this caller."""
    document = work.documents.get(principal.workspace_id, document_id)
    if document is None or not principal.may_read(document.readers):
        raise NotFoundError("no such document", code="document_not_found")
    return document


def spaces_of(work: ReadWork, collection_id: uuid.UUID) -> list[str]:
    """The vector spaces in which a collection's points lie, deleted collections' too."""
    return sorted({index.space.name for index in work.collections.indexes([collection_id]).get(collection_id, [])})


def hide(
    work: WriteWork, documents: Sequence[Document], *, spaces: Sequence[str], job_id: uuid.UUID, now: dt.datetime
) -> None:
    """Mark documents deleted, stop what ingests them, and open their receipts; all in the caller's transaction."""
    ids = [document.id for document in documents]
    work.documents.mark_deleted(ids, now)
    versions = work.versions.of_documents(ids)
    every = [version for each in versions.values() for version in each]
    pending = [version.id for version in every if version.state is VersionState.PENDING]
    cancelled = work.jobs.cancel_items(version_ids=pending, error=DOCUMENT_DELETED, now=now)
    work.jobs.settle(sorted({item.job_id for item in cancelled}), now)
    answering = [each for each in every if each.state in (VersionState.PENDING, VersionState.LIVE)]
    work.versions.update_many([dataclasses.replace(each, state=VersionState.DELETED) for each in answering])
    for space in spaces:
        work.versions.hide(
            [each.id for each in every], document_ids=[each.document_id for each in every], space=space, now=now
        )
    work.deletions.add_many([(_receipt(document, job_id, now), document.readers) for document in documents])


def _receipt(document: Document, job_id: uuid.UUID, now: dt.datetime) -> Deletion:
    return Deletion(
        id=new_id(),
        workspace_id=document.workspace_id,
        document_id=document.id,
        job_id=job_id,
        requested_at=now,
        finished_at=None,
        rows=0,
        chunks=0,
        vectors=0,
        bytes=0,
        bytes_reclaimed=0,
    )
