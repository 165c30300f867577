"""Jobs as people see them, and the items that workers claim."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid


class JobKind(enum.StrEnum):
    """What a job does to its items."""

    INGEST = "ingest"  # one document version: load, chunk, embed, index, go live
    BATCH = "batch"  # the same for each line of a batch
    PURGE = "purge"  # remove what a delete has hidden from every store
    REFRESH = "refresh"  # carry changed readers and metadata to the index
    REINDEX = "reindex"  # bring live versions into an index that lacks them


class JobState(enum.StrEnum):
    """The last four are final and never change; a retry is a new job that names the old one."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_WARNINGS = "completed_with_warnings"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether this state never changes."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Stage(enum.StrEnum):
    """What an item is at; a resumed item starts at the first stage that is not finished."""

    LOAD = "load"
    CHUNK = "chunk"
    INDEX = "index"  # embed and upsert, slice by slice; what is already in the index is skipped
    PURGE = "purge"
    DONE = "done"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Warning_:  # noqa: N801 - `Warning` is a builtin
    """Something a person should know of a job that went through."""

    code: str
    message: str
    page: int | None = None  # 1-based


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an item or a job failed."""

    code: str
    message: str
    retryable: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of long work, as a person sees it."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    kind: JobKind
    state: JobState
    collection_id: uuid.UUID | None
    document_id: uuid.UUID | None
    retry_of: uuid.UUID | None
    total: int  # items
    done: int  # items that ended well, with or without warnings
    failed: int  # items that failed; cancelled ones count in neither
    warnings: tuple[Warning_, ...]
    error: Failure | None
    request_id: str | None  # of the request that asked for it
    key_id: uuid.UUID | None = None  # that asked for it, and may follow it whatever it may read
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Where a waiting job stands, and when its first item may begin."""

    position: int  # waiting items that are claimed before its own; see Jobs.queue_position
    seconds: int | None  # at the pace of late; None where nothing tells of one


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One unit of a job: one document version."""

    id: uuid.UUID
    job_id: uuid.UUID
    workspace_id: uuid.UUID
    kind: JobKind
    ordinal: int  # 0-based within the job; the line of a batch
    document_id: uuid.UUID | None
    version_id: uuid.UUID | None
    state: JobState
    stage: Stage
    units_done: int  # chunks indexed so far, or documents purged
    units_total: int | None  # None before it is known
    lease_owner: str | None
    lease_expires_at: dt.datetime | None
    lease_token: int  # rises with every claim; fences off a worker that lost its lease
    failures: int  # errors, and losses without progress
    losses: int  # leases that ran out since it last got further; after two the item runs alone
    next_run_at: dt.datetime
    warnings: tuple[Warning_, ...]
    error: Failure | None
