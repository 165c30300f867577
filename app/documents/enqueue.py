"""Rows of a job with one item, as every use case writes them."""

from __future__ import annotations

import datetime as dt
import uuid

from app.domain.ids import new_id
from app.domain.jobs import Item, Job, JobKind, JobState, Stage
from app.domain.repositories import WriteWork

PRIORITY_PERSON = 0  # what a person waits for goes before a bulk import
PRIORITY_BULK = 10
PRIORITY_UPKEEP = 20  # what nobody waits for

_FIRST_STAGE = {
    JobKind.INGEST: Stage.LOAD,
    JobKind.BATCH: Stage.LOAD,
    JobKind.PURGE: Stage.PURGE,
    JobKind.REFRESH: Stage.INDEX,
    JobKind.REINDEX: Stage.LOAD,
}


def new_job(
    kind: JobKind,
    *,
    workspace_id: uuid.UUID,
    now: dt.datetime,
    collection_id: uuid.UUID | None,
    document_id: uuid.UUID | None,
    request_id: str | None,
    key_id: uuid.UUID | None = None,
    retry_of: uuid.UUID | None = None,
) -> Job:
    """A queued job without items."""
    return Job(
        id=new_id(),
        workspace_id=workspace_id,
        kind=kind,
        state=JobState.QUEUED,
        collection_id=collection_id,
        document_id=document_id,
        retry_of=retry_of,
        total=0,
        done=0,
        failed=0,
        warnings=(),
        error=None,
        request_id=request_id,
        key_id=key_id,
        created_at=now,
        started_at=None,
        finished_at=None,
    )


def new_item(
    job: Job, *, ordinal: int, document_id: uuid.UUID | None, version_id: uuid.UUID | None, now: dt.datetime
) -> Item:
    """A waiting item of a job."""
    return Item(
        id=new_id(),
        job_id=job.id,
        workspace_id=job.workspace_id,
        kind=job.kind,
        ordinal=ordinal,
        document_id=document_id,
        version_id=version_id,
        state=JobState.QUEUED,
        stage=_FIRST_STAGE[job.kind],
        units_done=0,
        units_total=None,
        lease_owner=None,
        lease_expires_at=None,
        lease_token=0,
        failures=0,
        losses=0,
        next_run_at=now,
        warnings=(),
        error=None,
    )


def single(
    work: WriteWork,
    job: Job,
    *,
    version_id: uuid.UUID | None,
    now: dt.datetime,
    priority: int = PRIORITY_PERSON,
) -> Job:
    """Insert a job with its one item; gives the job as it now is."""
    work.jobs.add(job)
    item = new_item(job, ordinal=0, document_id=job.document_id, version_id=version_id, now=now)
    work.jobs.add_items([item], priority=priority)
    return work.jobs.get(job.workspace_id, job.id) or job
