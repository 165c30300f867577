"""What differs between the modes: the adapters of one process, opened."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

from app.db.unit_of_work import SqlDatabase
from app.domain.jobs import JobKind
from app.domain.ports import FileStore, JobQueue, RateLimits, VectorStore
from app.inference.embedder import BatchingEmbedder
from app.queues.in_process import Lane, Round
from ingestion.run_job import JobRunner

QueueOf = Callable[[JobRunner, Sequence[Lane], Sequence[Round]], JobQueue]
INGEST, UPKEEP = "ingest", "upkeep"  # names of lanes
KINDS = {INGEST: (JobKind.INGEST, JobKind.BATCH, JobKind.REINDEX), UPKEEP: (JobKind.PURGE, JobKind.REFRESH)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The adapters."""

    database: SqlDatabase
    files: FileStore
    stage: Callable[[], pathlib.Path]  # a fresh path for an upload
    vectors: VectorStore
    embedder: BatchingEmbedder  # of what is made now
    other_embedders: Sequence[BatchingEmbedder]  # of collections that were made before
    limits: RateLimits
    queue_of: QueueOf  # the queue that calls this runner
    alone: bool  # whether no other process works on this data: what another one held was lost with it
    announce: Callable[[str], None]  # says where this process listens
    release: Callable[[], None]  # lets go of what `open_parts` took
    backup: Callable[[pathlib.Path], dict[str, int]]  # writes one file with everything
