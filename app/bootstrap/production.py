"""The production mode: PostgreSQL, a Qdrant server, a broker, and a bucket or a shared folder."""

from __future__ import annotations

import contextlib
import pathlib
import secrets

from app.bootstrap.embedded import embedder_of, other_embedders_of
from app.bootstrap.parts import KINDS, Parts
from app.db.unit_of_work import SqlDatabase
from app.domain.errors import ConfigurationError
from app.domain.ports import FileStore, RateLimits
from app.queues.celery_queue import CeleryQueue, make_app
from app.settings import Settings
from app.stores.folder_files import FolderFileStore
from app.stores.memory_limits import MemoryLimits
from app.stores.qdrant_vectors import Layout, Server, connect
from app.stores.redis_limits import RedisLimits
from app.stores.s3_files import Bucket, S3FileStore
from app.stores.small_files import SmallFilesInRows

_BUSY_SECONDS = 15.0  # longest wait for a connection to the database, and for rows that another unit holds
_ASIDE = 8  # connections beyond those that requests and workers use: sweeps, heartbeats


def open_parts(settings: Settings, undo: contextlib.ExitStack) -> Parts:
    """Open every adapter; `undo` closes them again.

    Raises:
        ConfigurationError: a setting is missing, or the database is not migrated; the message says what to do.
        FolderNewerError: the database was written by a newer version.
    """
    database = database_of(settings, patience_seconds=settings.database_timeout_seconds)
    undo.callback(database.close)
    database.require_newest()
    staging = settings.data_dir / "staging"
    staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    vectors = connect(
        Server(
            url=_required(settings.qdrant_url),
            api_key=settings.qdrant_api_key,
            grpc=settings.qdrant_grpc,
            timeout_seconds=settings.qdrant_timeout_seconds,
        ),
        prefix=settings.qdrant_prefix,
        layout=Layout(
            shards=settings.qdrant_shards,
            replicas=settings.qdrant_replicas,
            write_consistency=settings.qdrant_write_consistency,
            on_disk=settings.qdrant_on_disk,
        ),
        exact=settings.qdrant_exact,
    )
    undo.callback(vectors.close)
    embedder = embedder_of(settings)
    undo.callback(embedder.close)
    others = other_embedders_of(settings, undo)
    app = make_app(
        broker_url=_required(settings.broker_url),
        name=settings.queue_prefix,
        lanes=list(KINDS),
        lease_seconds=settings.lease_seconds,
    )
    return Parts(
        database=database,
        files=SmallFilesInRows(database, _files(settings), small_bytes=settings.small_file_bytes),
        stage=lambda: staging / secrets.token_hex(16),
        vectors=vectors,
        embedder=embedder,
        other_embedders=others,
        limits=_limits(settings),
        queue_of=lambda _runner, _lanes, _rounds: CeleryQueue(app, lanes=list(KINDS)),
        alone=False,
        announce=lambda _url: None,
        release=lambda: None,
        backup=_no_backup,
    )


def database_of(settings: Settings, *, patience_seconds: float | None = None) -> SqlDatabase:
    """The database alone: what `footnote migrate` needs, whose statements take as long as they take."""
    return SqlDatabase(
        _required(settings.database_url),
        pool_size=settings.request_workers + settings.ingest_workers + _ASIDE,
        busy_timeout_seconds=_BUSY_SECONDS,
        patience_seconds=patience_seconds,
    )


def _limits(settings: Settings) -> RateLimits:
    if settings.redis_url is None:  # `Settings.require_whole_mode` has seen to it that nothing is limited then
        return MemoryLimits()
    return RedisLimits(settings.redis_url, prefix=settings.queue_prefix)


def _files(settings: Settings) -> FileStore:
    if settings.s3_bucket is None:
        assert settings.files_dir is not None  # noqa: S101 - for the type checker: `Settings.missing` has seen to it
        return FolderFileStore(settings.files_dir)
    return S3FileStore(
        Bucket(
            name=settings.s3_bucket,
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            prefix=settings.s3_prefix,
            timeout_seconds=settings.s3_timeout_seconds,
        )
    )


def _required(value: str | None) -> str:
    assert value is not None  # noqa: S101 - for the type checker: `Settings.missing` has seen to it
    return value


def _no_backup(_: pathlib.Path) -> dict[str, int]:
    raise ConfigurationError(
        "in production mode each store is backed up by its own means: pg_dump, the bucket's versions; the index can be "
        "built anew from both",
        code="no_backup_here",
    )
