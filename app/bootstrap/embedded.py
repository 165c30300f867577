"""The embedded mode: everything in this process and one data folder."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import pathlib

import structlog

from app.bootstrap.models import catalogue_of
from app.bootstrap.parts import Parts, QueueOf
from app.db.engine import check_sqlite
from app.db.unit_of_work import SqlDatabase
from app.domain.ports import Clock
from app.inference import catalogue as models
from app.inference.embedder import BatchingEmbedder
from app.queues.in_process import InProcessQueue
from app.settings import Settings
from app.stores import folder_backup
from app.stores.edge_compact import compact_in_child
from app.stores.edge_vectors import ROOM_BYTES, EdgeVectorStore
from app.stores.folder_files import FolderFileStore
from app.stores.folder_lock import FolderLock, announce
from app.stores.memory_limits import MemoryLimits

DATABASE_FILE = "footnote.db"
_BUSY_SECONDS = 30.0  # longest wait for the one writer of SQLite
# In which the model comes to be compiled, 0.15 s on two cores, which goes on beside the opening of the index. That holds
# Python's lock throughout, 0.6 s for 100,000 chunks: opened at once, it comes before all of the model's 0.45 s.
_HEAD_START_SECONDS = 0.2
_COMPACT_SECONDS = 120.0  # 5 s for 100,000 points
_log = structlog.get_logger("footnote")


def open_parts(settings: Settings, clock: Clock, undo: contextlib.ExitStack) -> Parts:
    """Take the data folder, migrate, open everything; `undo` closes it again.

    Raises:
        FolderInUseError, FolderNewerError, ConfigurationError: the message says what to do.
    """
    folder = settings.data_dir
    lock = FolderLock(folder)
    lock.take()
    undo.callback(lock.release)
    database = SqlDatabase(
        folder / DATABASE_FILE, pool_size=settings.request_workers + 8, busy_timeout_seconds=_BUSY_SECONDS
    )
    undo.callback(database.close)
    database.migrate()
    files = FolderFileStore(folder / "files")
    files.sweep_staging()
    vectors = EdgeVectorStore(folder / "vectors", room_bytes=max(settings.min_free_bytes, ROOM_BYTES))
    undo.callback(vectors.close)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        loading = pool.submit(embedder_of, settings)
        concurrent.futures.wait([loading], timeout=_HEAD_START_SECONDS)
        try:
            _open_spaces(folder, database, vectors)
        finally:
            embedder = loading.result()
            undo.callback(embedder.close)
    others = other_embedders_of(settings, undo)
    return Parts(
        database=database,
        files=files,
        stage=files.stage,
        vectors=vectors,
        embedder=embedder,
        other_embedders=others,
        limits=MemoryLimits(),
        queue_of=queue_in_process(clock),
        alone=True,
        announce=lambda url: announce(folder, url=url),
        release=lock.release,
        backup=functools.partial(_backup, folder, database, files, vectors),
    )


def embedder_of(settings: Settings, name: str | None = None) -> BatchingEmbedder:
    """The embedder that the settings name, or another by name."""
    catalogue = catalogue_of(settings)
    return models.create(
        name=name or settings.embedder,
        cache_folder=settings.data_dir / "cache",
        numeric_path=settings.embedder_precision,
        threads=settings.embedder_threads,
        allow_download=settings.allow_downloads,
        declared=() if catalogue is None else catalogue.embedders,
    )


def other_embedders_of(settings: Settings, undo: contextlib.ExitStack) -> list[BatchingEmbedder]:
    """Those of collections that were made before."""
    others: list[BatchingEmbedder] = []
    for name in settings.other_embedders:
        others.append(embedder_of(settings, name))
        undo.callback(others[-1].close)
    return others


def queue_in_process(clock: Clock) -> QueueOf:
    """Threads of this process."""
    return lambda runner, lanes, rounds: InProcessQueue(
        run_slice=runner.run_slice,
        next_run_at=runner.next_run_at,
        stop_slices=runner.stop,
        lanes=lanes,
        rounds=rounds,
        clock=clock,
        on_error=lambda name, error: _log.error("thread_error", thread=name, exc_info=error),
    )


def restore(archive: pathlib.Path, data_dir: pathlib.Path) -> dict[str, int]:
    """Make a data folder of a backup: unpacked beside it, verified by checksum, then moved into place.

    Raises:
        ConfigurationError: the folder is not empty, or the archive is damaged, foreign or of a newer version.
        StorageFullError: no room.
    """
    return folder_backup.restore(archive, data_dir, check=lambda folder: check_sqlite(folder / DATABASE_FILE))


def _open_spaces(folder: pathlib.Path, database: SqlDatabase, vectors: EdgeVectorStore) -> None:
    """Open every index there is; first give back the disk of what was deleted, if that is much."""
    with database.read() as work:
        live_points = work.chunks.by_space()
    for space in vectors.spaces():
        reclaimed = compact_in_child(
            folder / "vectors", space, live_points=live_points.get(space.name, 0), deadline_seconds=_COMPACT_SECONDS
        )
        if reclaimed is not None:
            _log.info("index_compacted", bytes_reclaimed=reclaimed)
        vectors.ensure(space)


def _backup(
    folder: pathlib.Path, database: SqlDatabase, files: FolderFileStore, vectors: EdgeVectorStore, target: pathlib.Path
) -> dict[str, int]:
    """Writers wait while the database, the vectors and links to the files are set aside; readers do not."""
    with folder_backup.staging(folder) as aside:
        with database.write():
            database.backup_to(aside / DATABASE_FILE)
            vectors.copy_to(aside / "vectors")
            files.link_to(aside / "files")
        return folder_backup.pack(aside, target)
