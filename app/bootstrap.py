"""Settings -> Services: the one place that branches on the mode and imports adapters."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import os
import pathlib
import random
import socket
import uuid
from collections.abc import Callable, Sequence

import structlog

from app.answering.answer import Ask
from app.answering.answers import Answers
from app.answering.search import Search
from app.db.engine import check_sqlite
from app.db.unit_of_work import SqlDatabase
from app.documents.add import AddDocuments
from app.documents.catalogue import Catalogue
from app.documents.collections import Collections
from app.documents.jobs import JobDesk
from app.documents.purge import Purge
from app.documents.refresh import Refresh
from app.documents.remove import RemoveDocuments
from app.documents.uploads import Staged
from app.domain.access import Role, Workspace
from app.domain.documents import Fingerprints
from app.domain.errors import FootnoteError
from app.domain.events import Observer, Silent
from app.domain.ids import new_id
from app.domain.jobs import Item, JobKind
from app.domain.ports import Clock, Embedder, SparseEncoder
from app.domain.retry import RetryPolicy
from app.domain.vectors import Space
from app.gateway.keys import DEFAULT_WORKSPACE, KeyRequest, Keys, new_key
from app.gateway.workspaces import Workspaces
from app.inference import catalogue as models
from app.inference.embedder import BatchingEmbedder
from app.inference.extractive.answerer import ExtractiveAnswerer
from app.queues.in_process import InProcessQueue, Lane, Round
from app.settings import Settings
from app.stores import folder_backup
from app.stores.bm25_sparse import Bm25SparseEncoder
from app.stores.edge_compact import compact_in_child
from app.stores.edge_vectors import ROOM_BYTES, EdgeVectorStore
from app.stores.folder_files import FolderFileStore
from app.stores.folder_lock import FolderLock, announce
from ingestion.chunk.chunker import Chunker
from ingestion.load import registry
from ingestion.load.assembly import Limits
from ingestion.load.isolated import IsolatedLoader
from ingestion.pipeline import Pipeline
from ingestion.run_job import JobRunner

DEFAULT_COLLECTION = "default"
ADMIN_KEY_FILE = "admin.key"
_DATABASE_FILE = "footnote.db"
_BUSY_SECONDS = 30.0  # longest wait for the one writer of SQLite
# In which the model comes to be compiled, 0.15 s on two cores, which goes on beside the opening of the index. That holds
# Python's lock throughout, 0.6 s for 100,000 chunks: opened at once, it comes before all of the model's 0.45 s.
_HEAD_START_SECONDS = 0.2
_SWEEP_SECONDS = 5.0
_COMPACT_SECONDS = 120.0  # 5 s for 100,000 points
_HOUSEKEEPING_SECONDS = 600.0
_PRUNE_JOBS = 1000
_PRUNE_ANSWERS = 5000
_log = structlog.get_logger("footnote")


class SystemClock:
    """The machine's time."""

    def now(self) -> dt.datetime:
        """See Clock."""
        return dt.datetime.now(dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a surface calls; built once a process."""

    settings: Settings
    clock: Clock
    observer: Observer
    database: SqlDatabase
    files: FolderFileStore
    vectors: EdgeVectorStore
    embedder: Embedder
    sparse: SparseEncoder
    queue: InProcessQueue
    runner: JobRunner
    purge: Purge
    loader: IsolatedLoader
    lock: FolderLock
    keys: Keys
    workspaces: Workspaces
    collections: Collections
    add: AddDocuments
    remove: RemoveDocuments
    catalogue: Catalogue
    jobs: JobDesk
    search: Search
    ask: Ask
    answers: Answers
    first_start: bool
    started_at: dt.datetime

    @property
    def admin_key_path(self) -> pathlib.Path:
        """Where the first start wrote the admin key."""
        return self.settings.data_dir / ADMIN_KEY_FILE

    @property
    def space(self) -> Space:
        """The space of collections that are built with this process's encoders."""
        return Space(name=self.collections.fingerprints.space, dimensions=self.collections.dimensions)

    def start(self) -> None:
        """Put back what a dead predecessor held, then begin to work."""
        recovered = self.runner.recover()
        if recovered:
            _log.warning("items_recovered", count=recovered)
        self.queue.start()

    def stop(self) -> None:
        """Stop in order: workers, then what they use, then the folder. Safe to call twice."""
        self.queue.stop(grace_seconds=self.settings.stop_grace_seconds)
        self.loader.close()
        self.embedder.close()
        self.vectors.close()
        self.database.close()
        self.lock.release()

    def ready(self) -> dict[str, str | None]:
        """By part: None if it is well, else what is wrong with it."""
        return {
            "database": _trouble(self.database.ping),
            "vectors": _trouble(lambda: self.vectors.count(self.space)),
            "queue": None if self.queue.alive() else "a worker thread has ended",
            "disk": self._disk_trouble(),
        }

    def index_size(self) -> dict[str, int]:
        """Points and bytes of the index, and chunks of live versions."""
        with self.database.read() as work:
            chunks = work.chunks.total()
        return {
            "points": self.vectors.count(self.space),
            "chunks": chunks,
            "bytes": self.vectors.disk_bytes(self.space),
        }

    def stage(self) -> pathlib.Path:
        """A fresh path for an upload, in the store's own file system."""
        return self.files.stage()

    def announce(self, url: str) -> None:
        """Say in the data folder where this process listens."""
        announce(self.settings.data_dir, url=url)

    def backup(self, target: pathlib.Path) -> dict[str, int]:
        """Write one file that `restore` takes, while the service runs; gives documents, files and bytes in it.

        Writers wait while the database, the vectors and links to the files are set aside; readers do not.

        Raises:
            ConflictError: the target exists.
            StorageFullError: no room.
        """
        with folder_backup.staging(self.settings.data_dir) as folder:
            with self.database.write():
                self.database.backup_to(folder / _DATABASE_FILE)
                self.vectors.copy_to(folder / "vectors")
                self.files.link_to(folder / "files")
            return folder_backup.pack(folder, target)

    def _disk_trouble(self) -> str | None:
        free = self.files.free_bytes()
        least = self.settings.min_free_bytes
        if free is None or free >= least:
            return None
        return f"{free} bytes are free, uploads need {least}: FOOTNOTE_MIN_FREE_BYTES"


def _trouble(check: Callable[[], object]) -> str | None:
    try:
        check()
    except FootnoteError as error:
        return error.message
    return None


def build(settings: Settings, *, observer: Observer | None = None, clock: Clock | None = None) -> Services:
    """Take the data folder, migrate, open everything. Nothing runs before `Services.start`.

    Raises:
        FolderInUseError, FolderNewerError, ConfigurationError: the message says what to do.
    """
    observer = observer or Silent()
    clock = clock or SystemClock()
    lock = FolderLock(settings.data_dir)
    lock.take()
    with contextlib.ExitStack() as undo:
        undo.callback(lock.release)
        services = _open(settings, lock, observer, clock, undo)
        undo.pop_all()
    return services


def _open(
    settings: Settings, lock: FolderLock, observer: Observer, clock: Clock, undo: contextlib.ExitStack
) -> Services:
    """Open the embedded adapters and join everything; what was opened is closed again if a later part fails."""
    folder = settings.data_dir
    database = SqlDatabase(
        folder / _DATABASE_FILE, pool_size=settings.request_workers + 8, busy_timeout_seconds=_BUSY_SECONDS
    )
    undo.callback(database.close)
    database.migrate()
    files = FolderFileStore(folder / "files")
    files.sweep_staging()
    vectors = EdgeVectorStore(folder / "vectors", room_bytes=max(settings.min_free_bytes, ROOM_BYTES))
    undo.callback(vectors.close)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_embedder, settings)
        concurrent.futures.wait([loading], timeout=_HEAD_START_SECONDS)
        try:
            _open_spaces(folder, database, vectors)
        finally:
            embedder = loading.result()
            undo.callback(embedder.close)
    sparse = Bm25SparseEncoder()
    chunker = Chunker(embedder.tokenizer)
    loader = IsolatedLoader(
        processes=settings.loader_processes,
        deadline_seconds=settings.load_deadline_seconds,
        memory_bytes=settings.loader_memory_bytes,
        limits=Limits(
            max_text_chars=settings.max_text_chars, max_pages=settings.max_pages, max_cells=settings.max_cells
        ),
    )
    undo.callback(loader.close)
    fingerprints = Fingerprints(chunker=chunker.fingerprint, dense=embedder.fingerprint, sparse=sparse.fingerprint)
    collections = Collections(database=database, clock=clock, fingerprints=fingerprints, dimensions=embedder.dimensions)
    vectors.ensure(Space(name=fingerprints.space, dimensions=embedder.dimensions))
    pipeline = Pipeline(
        database=database,
        files=files,
        vectors=vectors,
        embedder=embedder,
        sparse=sparse,
        loader=loader,
        chunker=chunker,
        clock=clock,
        observer=observer,
    )
    purge = Purge(
        database=database,
        vectors=vectors,
        files=files,
        clock=clock,
        lease_seconds=settings.lease_seconds,
        kept_versions=settings.kept_versions,
    )
    refresh = Refresh(database=database, vectors=vectors, clock=clock)
    runner = _runner(settings, database, pipeline, purge, refresh, clock, observer)
    started_at = clock.now()
    queue = _queue(settings, runner, purge, database, clock, started_at)
    search = Search(
        database=database,
        embedder=embedder,
        sparse=sparse,
        vectors=vectors,
        max_query_chars=settings.max_query_chars,
    )
    return Services(
        settings=settings,
        clock=clock,
        observer=observer,
        database=database,
        files=files,
        vectors=vectors,
        embedder=embedder,
        sparse=sparse,
        queue=queue,
        runner=runner,
        purge=purge,
        loader=loader,
        lock=lock,
        keys=Keys(database=database, clock=clock),
        workspaces=Workspaces(database=database, clock=clock),
        collections=collections,
        add=AddDocuments(
            database=database,
            files=files,
            queue=queue,
            clock=clock,
            refresh=refresh,
            loader_fingerprint=registry.FINGERPRINT,
            sniff=_sniff,
        ),
        remove=RemoveDocuments(database=database, queue=queue, clock=clock),
        catalogue=Catalogue(
            database=database,
            files=files,
            queue=queue,
            clock=clock,
            refresh=refresh,
            max_text_chars=settings.max_slice_chars,
        ),
        jobs=JobDesk(database=database, queue=queue, clock=clock),
        search=search,
        ask=Ask(
            database=database,
            search=search,
            tokenizer=embedder.tokenizer,
            reranker=None,
            extractive=ExtractiveAnswerer(embedder),
            clock=clock,
            max_query_chars=settings.max_query_chars,
            context_tokens=settings.context_tokens,
        ),
        answers=Answers(database=database),
        first_start=_first_start(settings, database, collections, clock),
        started_at=started_at,
    )


def _embedder(settings: Settings) -> BatchingEmbedder:
    return models.create(
        name=settings.embedder,
        cache_folder=settings.data_dir / "cache",
        numeric_path=settings.embedder_precision,
        threads=settings.embedder_threads,
        allow_download=settings.allow_downloads,
    )


def _open_spaces(folder: pathlib.Path, database: SqlDatabase, vectors: EdgeVectorStore) -> None:
    """Open every index there is; first give back the disk of what was deleted, if that is much."""
    with database.read() as work:
        live_points = work.chunks.total()
    for space in vectors.spaces():
        reclaimed = compact_in_child(
            folder / "vectors", space, live_points=live_points, deadline_seconds=_COMPACT_SECONDS
        )
        if reclaimed is not None:
            _log.info("index_compacted", bytes_reclaimed=reclaimed)
        vectors.ensure(space)


def _runner(
    settings: Settings,
    database: SqlDatabase,
    pipeline: Pipeline,
    purge: Purge,
    refresh: Refresh,
    clock: Clock,
    observer: Observer,
) -> JobRunner:
    return JobRunner(
        database=database,
        runs={
            JobKind.INGEST: pipeline,
            JobKind.BATCH: pipeline,
            JobKind.PURGE: purge,
            JobKind.REFRESH: refresh,
        },
        clock=clock,
        policy=RetryPolicy(attempts=settings.max_attempts),
        max_losses=settings.max_losses,
        lease_seconds=settings.lease_seconds,
        owner=f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}",
        observer=observer,
        unexpected=_record_unexpected,
        rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
    )


def _queue(
    settings: Settings,
    runner: JobRunner,
    purge: Purge,
    database: SqlDatabase,
    clock: Clock,
    started_at: dt.datetime,
) -> InProcessQueue:
    def housekeeping() -> None:
        now = clock.now()
        with database.write() as work:
            retained = dt.timedelta(days=settings.job_retention_days)
            work.jobs.prune(finished_before=now - retained, limit=_PRUNE_JOBS)
            work.idempotency.prune(now - dt.timedelta(hours=settings.idempotency_hours))
            kept = dt.timedelta(days=settings.answer_retention_days)
            work.answers.prune(created_before=now - kept, limit=_PRUNE_ANSWERS)
            work.commit()
        purge.sweep_orphans(started_at=started_at)

    return InProcessQueue(
        run_slice=runner.run_slice,
        next_run_at=runner.next_run_at,
        stop_slices=runner.stop,
        lanes=[
            Lane(name="ingest", kinds=(JobKind.INGEST, JobKind.BATCH), threads=settings.ingest_workers),
            Lane(name="upkeep", kinds=(JobKind.PURGE, JobKind.REFRESH), threads=1),
        ],
        rounds=[
            Round(name="heartbeat", every_seconds=settings.lease_seconds / 3, call=runner.heartbeat),
            Round(name="sweep", every_seconds=_SWEEP_SECONDS, call=runner.sweep),
            Round(name="purge", every_seconds=_SWEEP_SECONDS, call=purge.sweep),
            Round(name="housekeeping", every_seconds=_HOUSEKEEPING_SECONDS, call=housekeeping),
        ],
        clock=clock,
        on_error=lambda name, error: _log.error("thread_error", thread=name, exc_info=error),
    )


def _sniff(staged: Staged, filename: str, media_type: str | None) -> str:
    return registry.sniff(staged.path, filename=filename, media_type=media_type).media_type


def _record_unexpected(error: BaseException, items: Sequence[Item]) -> None:
    _log.error("unexpected_error", jobs=sorted({str(item.job_id) for item in items}), exc_info=error)


def _first_start(settings: Settings, database: SqlDatabase, collections: Collections, clock: Clock) -> bool:
    """Make the default workspace, its collection and its admin key where they are missing; True if the first was."""
    path = settings.data_dir / ADMIN_KEY_FILE
    with database.read() as work:
        workspace = work.workspaces.by_name(DEFAULT_WORKSPACE)
    if workspace is not None and path.exists():
        return False
    now = clock.now()
    with database.write() as work:
        if first := workspace is None:
            workspace = Workspace(id=new_id(), name=DEFAULT_WORKSPACE, created_at=now)
            work.workspaces.add(workspace)
            work.collections.add(*collections.fresh(workspace.id, DEFAULT_COLLECTION))
        key, secret = new_key(workspace.id, KeyRequest(name="admin", role=Role.ADMIN), now)
        work.keys.add(key)
        _write_secret(path, secret)  # before the commit: a key without its file could never be used
        work.commit()
    return first


def _write_secret(path: pathlib.Path, secret: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def restore(archive: pathlib.Path, data_dir: pathlib.Path) -> dict[str, int]:
    """Make a data folder of a backup: unpacked beside it, verified by checksum, then moved into place.

    Raises:
        ConfigurationError: the folder is not empty, or the archive is damaged, foreign or of a newer version.
        StorageFullError: no room.
    """
    return folder_backup.restore(archive, data_dir, check=lambda folder: check_sqlite(folder / _DATABASE_FILE))
