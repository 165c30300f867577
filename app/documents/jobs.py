"""Look at jobs, cancel them, try them again."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import uuid

from app.documents import enqueue
from app.documents.add import require_editor
from app.documents.room import QueueRoom
from app.domain.access import Principal
from app.domain.documents import VersionState
from app.domain.errors import ConflictError, NotFoundError
from app.domain.jobs import Failure, Item, Job, JobKind, JobState, Waiting
from app.domain.ports import Clock, JobQueue
from app.domain.repositories import Database, ReadWork, WriteWork

CANCELLED = Failure(code="cancelled", message="the job was cancelled", retryable=True)
_PRIORITIES = {JobKind.BATCH: enqueue.PRIORITY_BULK, JobKind.REINDEX: enqueue.PRIORITY_UPKEEP}  # of what is tried again
_PACE = dt.timedelta(minutes=10)  # what ended in it tells how fast the queue moves
_RETRY_PAGE = 1000  # items of a failed job that are read at once


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobDesk:
    """The use case; safe to call from many threads."""

    database: Database
    queue: JobQueue
    clock: Clock
    room: QueueRoom

    def get(self, principal: Principal, job_id: uuid.UUID) -> tuple[Job, Waiting | None]:
        """A job and its place in the queue (None once it runs), or NotFoundError."""
        with self.database.read() as work:
            job = _visible(work, principal, job_id)
            return job, self._waiting(work, job) if job.state is JobState.QUEUED else None

    def state(self, principal: Principal, job_id: uuid.UUID) -> Job:
        """A job without its place, which takes counting, or NotFoundError."""
        with self.database.read() as work:
            return _visible(work, principal, job_id)

    def _waiting(self, work: ReadWork, job: Job) -> Waiting | None:
        position = work.jobs.queue_position(job.id)
        if position is None:
            return None
        pace = work.jobs.pace(job.kind, now=self.clock.now(), window=_PACE)
        return Waiting(position=position, seconds=None if pace is None else math.ceil((position + 1) / pace))

    def page(self, principal: Principal, *, state: JobState | None, after: uuid.UUID | None, limit: int) -> list[Job]:
        """Jobs that the caller may see, newest first."""
        with self.database.read() as work:
            return work.jobs.page(principal, state=state, after=after, limit=limit)

    def stage(self, job: Job) -> tuple[str | None, int, int | None]:
        """For a job with one item: its stage, and units done and in all (chunks, or documents of a purge)."""
        with self.database.read() as work:
            items = work.jobs.items(job.id, state=None, after_ordinal=None, limit=2)
        if len(items) != 1:
            return None, 0, None
        return items[0].stage.value, items[0].units_done, items[0].units_total

    def items(
        self,
        principal: Principal,
        job_id: uuid.UUID,
        *,
        state: JobState | None,
        after_ordinal: int | None,
        limit: int,
    ) -> list[Item]:
        """A job's items in order, or NotFoundError."""
        with self.database.read() as work:
            job = _visible(work, principal, job_id)
            return work.jobs.items(job.id, state=state, after_ordinal=after_ordinal, limit=limit)

    def cancel(self, principal: Principal, job_id: uuid.UUID) -> Job:
        """Stop what has not ended. What the job has finished stays.

        Raises:
            ConflictError: it is final already, or it is a purge: what was deleted stays deleted.
            ForbiddenError, NotFoundError: see `get`.
        """
        require_editor(principal)
        now = self.clock.now()
        with self.database.write() as work:
            job = _visible(work, principal, job_id)
            if job.state.final:
                raise ConflictError(f"the job has ended already: {job.state}", code="job_final")
            if job.kind not in (JobKind.INGEST, JobKind.BATCH, JobKind.REINDEX):
                raise ConflictError(f"a job of kind {job.kind} can't be cancelled", code="not_cancellable")
            work.documents.hold([job.document_id])
            items = work.jobs.cancel_items(job_id=job.id, error=CANCELLED, now=now)
            work.versions.fail_pending([item.version_id for item in items if item.version_id is not None])
            work.jobs.settle([job.id], now)
            job = _visible(work, principal, job_id)
            work.commit()
        self.queue.nudge()
        return job

    def retry(self, principal: Principal, job_id: uuid.UUID, *, request_id: str | None = None) -> Job:
        """A new job for the items that failed or were cancelled.

        Raises:
            ConflictError: the job has not ended, another one is at it, or nothing is left to try: deleted or replaced since.
            QueueFullError: there is no room for so many.
            ForbiddenError, NotFoundError: see `get`.
        """
        require_editor(principal)
        now = self.clock.now()
        with self.database.write() as work:
            old = _visible(work, principal, job_id)
            if not old.state.final:
                raise ConflictError("the job has not ended yet", code="job_not_final")
            if old.kind is JobKind.REINDEX:
                _require_index_to_build(work, old)
            job = enqueue.new_job(
                old.kind,
                workspace_id=old.workspace_id,
                now=now,
                collection_id=old.collection_id,
                document_id=old.document_id,
                request_id=request_id,
                key_id=principal.key_id,
                retry_of=old.id,
            )
            work.jobs.add(job)
            items = []
            for item in _unsuccessful(work, old.id):
                if not self._reopen(work, principal, item):
                    continue
                items.append(
                    enqueue.new_item(
                        job, ordinal=item.ordinal, document_id=item.document_id, version_id=item.version_id, now=now
                    )
                )
            if not items:
                raise ConflictError(
                    "nothing is left to try again: its documents were deleted, replaced or went through",
                    code="nothing_to_retry",
                )
            if old.kind in (JobKind.INGEST, JobKind.BATCH):
                self.room.require(old.workspace_id, len(items))
            work.jobs.add_items(items, priority=_PRIORITIES.get(old.kind, enqueue.PRIORITY_PERSON))
            job = _visible(work, principal, job.id)
            work.commit()
        self.queue.nudge()
        return job

    def _reopen(self, work: WriteWork, principal: Principal, item: Item) -> bool:
        """Whether the item can be tried again; makes its version pending once more."""
        if item.kind not in (JobKind.INGEST, JobKind.BATCH):
            return True
        version = work.versions.get(principal.workspace_id, item.version_id) if item.version_id else None
        document = work.documents.get(principal.workspace_id, item.document_id) if item.document_id else None
        if version is None or document is None or version.state is not VersionState.FAILED:
            return False
        if not principal.may_read(document.readers):
            return False
        newest = work.versions.of_document(document.id)[0]
        if newest.seq > version.seq and newest.state is not VersionState.FAILED:
            return False
        work.versions.update(dataclasses.replace(version, state=VersionState.PENDING))
        return True


def _visible(work: ReadWork, principal: Principal, job_id: uuid.UUID) -> Job:
    job = work.jobs.visible(principal, job_id)
    if job is None:
        raise NotFoundError("no such job", code="job_not_found")
    return job


def _require_index_to_build(work: WriteWork, job: Job) -> None:
    """Raise ConflictError where another job builds the collection's second index, or where there is none any more."""
    collection = work.collections.get(job.workspace_id, job.collection_id, alone=True) if job.collection_id else None
    if collection is None or collection.building_index_id is None:
        raise ConflictError("the index that this job built was changed over to, or dropped", code="nothing_to_retry")
    if (at_it := work.jobs.unfinished(collection.id, JobKind.REINDEX)) is not None:
        raise ConflictError(f"job {at_it} builds it already", code="reindex_running")


def _unsuccessful(work: ReadWork, job_id: uuid.UUID) -> list[Item]:
    found: list[Item] = []
    for state in (JobState.FAILED, JobState.CANCELLED):
        after: int | None = None
        while page := work.jobs.items(job_id, state=state, after_ordinal=after, limit=_RETRY_PAGE):
            found += page
            after = page[-1].ordinal
    return sorted(found, key=lambda item: item.ordinal)
