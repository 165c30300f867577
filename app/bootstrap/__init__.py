"""Settings -> Services: the one place that branches on the mode and imports adapters."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import socket
import uuid
from collections.abc import Sequence

import structlog

from app.answering import prompt
from app.answering.answers import Answers
from app.answering.compare import Compare
from app.answering.conversations import Conversations
from app.answering.search import Search
from app.bootstrap import asking, embedded, founding
from app.bootstrap import rounds as rounds_
from app.bootstrap.embedded import restore
from app.bootstrap.founding import DEFAULT_COLLECTION
from app.bootstrap.models import CataloguedModels, catalogue_of
from app.bootstrap.parts import Parts
from app.bootstrap.services import ADMIN_KEY_FILE, ClosableReranker, Services
from app.db.unit_of_work import SqlDatabase
from app.documents.add import AddDocuments
from app.documents.archive.importing import ImportCollection
from app.documents.archive.writing import ExportCollection
from app.documents.bulk import Bulk
from app.documents.catalogue import Catalogue
from app.documents.collections import Collections
from app.documents.doctor import Doctor
from app.documents.jobs import JobDesk
from app.documents.purge import Purge
from app.documents.refresh import Refresh
from app.documents.reindex import Reindex, RunReindex
from app.documents.remove import RemoveDocuments
from app.documents.room import QueueRoom
from app.documents.uploads import Staged
from app.domain.documents import Fingerprints
from app.domain.errors import ConfigurationError
from app.domain.events import Observer, Silent
from app.domain.jobs import Item, JobKind
from app.domain.ports import Clock
from app.domain.retry import RetryPolicy
from app.domain.vectors import Space
from app.gateway.books import Books
from app.gateway.keys import Keys
from app.gateway.policies import Policies
from app.gateway.rates import Rates
from app.gateway.templates import Templates
from app.gateway.workspaces import Workspaces
from app.inference import catalogue as rerankers
from app.inference.embedder import BatchingEmbedder
from app.settings import Settings
from app.stores.bm25_sparse import Bm25SparseEncoder
from ingestion.chunk.chunker import Chunker
from ingestion.load import registry
from ingestion.load.assembly import Limits
from ingestion.load.isolated import IsolatedLoader
from ingestion.pipeline import Pipeline
from ingestion.run_job import JobRunner
from ingestion.tasks import Builder, Builders

__all__ = ["ADMIN_KEY_FILE", "DEFAULT_COLLECTION", "Services", "SystemClock", "build", "migrate", "restore"]

_SWEEP_SECONDS = 5.0
_HOUSEKEEPING_SECONDS = 600.0
_PRUNE_JOBS = 1000
_PRUNE_ANSWERS = 5000
_log = structlog.get_logger("footnote")


class SystemClock:
    """The machine's time."""

    def now(self) -> dt.datetime:
        """See Clock."""
        return dt.datetime.now(dt.UTC)


def build(
    settings: Settings,
    *,
    observer: Observer | None = None,
    clock: Clock | None = None,
    founds: bool = False,
    key_again: bool = False,
    answers: bool = True,
) -> Services:
    """Open everything. Nothing runs before `Services.start`.

    Args:
        settings: of this process.
        observer: takes notes.
        clock: the time.
        founds: make the default workspace and its admin key where it is missing; the embedded mode always does.
        key_again: make an admin key where the workspace is there and the folder has none; the embedded mode always does.
        answers: whether questions are answered here; a process that only ingests loads no reranker.

    Raises:
        FolderInUseError, FolderNewerError, ConfigurationError: the message says what to do.
    """
    observer = observer or Silent()
    clock = clock or SystemClock()
    settings.require_whole_mode()
    with contextlib.ExitStack() as undo:
        parts = _opened(settings, clock, undo)
        founds, key_again = founds or parts.alone, key_again or parts.alone
        reranker, models = _models(settings, undo, answers=answers)
        services = _joined(settings, parts, reranker, models, observer, clock, undo, founds=founds, key_again=key_again)
        undo.pop_all()
    return services


def migrate(settings: Settings, *, check: bool, key_again: bool = False) -> dict[str, str | None]:
    """Bring the database of production mode to the form that this code knows, and found what every start needs.

    Args:
        settings: of this process.
        check: change nothing; tell where the database is.
        key_again: make an admin key also where the default workspace is there already, if this folder has none.

    Returns:
        `revision` of the database, `newest` that this code knows, `admin_key` that was made just now, if one was.

    Raises:
        ConfigurationError: not production mode, which migrates at its start; or half set.
        FolderNewerError: the database was written by a newer version.
    """
    settings.require_whole_mode()
    if not settings.production:
        raise ConfigurationError("the embedded mode migrates when it starts: there is nothing to do", code="embedded")
    from app.bootstrap import production  # noqa: PLC0415 - its packages are installed where they are used

    database = production.database_of(settings)
    with contextlib.closing(database):
        if not check:
            database.migrate()
        revision, newest = database.revisions()
    made = None
    if not check:
        there = (settings.data_dir / ADMIN_KEY_FILE).exists()
        services = build(settings, founds=True, key_again=key_again, answers=False)
        new = services.first_start or (services.admin_key_path.exists() and not there)
        made = str(services.admin_key_path) if new else None
        services.stop()
    return {"revision": revision, "newest": newest, "admin_key": made}


def _opened(settings: Settings, clock: Clock, undo: contextlib.ExitStack) -> Parts:
    if not settings.production:
        return embedded.open_parts(settings, clock, undo)
    try:
        from app.bootstrap import production  # noqa: PLC0415 - its packages are installed where they are used
    except ImportError as error:
        raise ConfigurationError(
            f"production mode needs the extra `production`, which is not installed: {error}", code="not_installed"
        ) from error
    return production.open_parts(settings, undo)


def _models(
    settings: Settings, undo: contextlib.ExitStack, *, answers: bool
) -> tuple[ClosableReranker | None, CataloguedModels]:
    """What the file of models declares, but for embedders; `undo` closes it again."""
    catalogue = catalogue_of(settings)
    if settings.reranker is None or not answers:
        return None, CataloguedModels(settings, catalogue)
    declared = () if catalogue is None else catalogue.rerankers
    reranker = rerankers.reranker(settings.reranker, declared=declared, allow_download=settings.allow_downloads)
    undo.callback(reranker.close)
    return reranker, CataloguedModels(settings, catalogue)


def _joined(
    settings: Settings,
    parts: Parts,
    reranker: ClosableReranker | None,
    models: CataloguedModels,
    observer: Observer,
    clock: Clock,
    undo: contextlib.ExitStack,
    *,
    founds: bool,
    key_again: bool,
) -> Services:
    """Join everything; what was opened here is closed again by `undo`."""
    database, files, vectors, embedder = parts.database, parts.files, parts.vectors, parts.embedder
    sparse = Bm25SparseEncoder()
    builders = _builders(settings, parts, sparse)
    chunker = builders.by_dense[embedder.fingerprint].chunker
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
    if parts.alone:  # a server may be down in this moment: the first call makes what is missing
        vectors.ensure(Space(name=fingerprints.space, dimensions=embedder.dimensions))
    pipeline = Pipeline(
        database=database,
        files=files,
        vectors=vectors,
        builders=builders,
        sparse=sparse,
        loader=loader,
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
    doctor = Doctor(database=database, vectors=vectors, files=files, clock=clock, read=pipeline.read)
    started_at = clock.now()
    lanes = rounds_.lanes(settings)
    rounds = rounds_.rounds(settings, runner, purge, doctor, database, clock, started_at if parts.alone else None)
    queue = parts.queue_of(runner, lanes, rounds)
    room = QueueRoom(database=database, clock=clock, limit=settings.max_queued_items)
    policies = Policies(
        database=database,
        clock=clock,
        default_template=prompt.DEFAULT,
        known_models=lambda: [each.spec.name for each in models.all()],
    )
    search = Search(
        database=database,
        embedder=embedder,
        others={each.fingerprint: each for each in parts.other_embedders},
        sparse=sparse,
        vectors=vectors,
        max_query_chars=settings.max_query_chars,
    )
    return Services(
        settings=settings,
        clock=clock,
        observer=observer,
        parts=parts,
        sparse=sparse,
        queue=queue,
        lanes=lanes,
        rounds=rounds,
        runner=runner,
        purge=purge,
        loader=loader,
        keys=Keys(database=database, clock=clock),
        rates=Rates(limits=parts.limits, per_minute=settings.requests_per_minute),
        workspaces=Workspaces(database=database, clock=clock),
        collections=collections,
        exports=ExportCollection(database=database, files=files, vectors=vectors),
        imports=ImportCollection(
            database=database,
            files=files,
            vectors=vectors,
            queue=queue,
            clock=clock,
            collections=collections,
            loader_fingerprint=registry.FINGERPRINT,
            lease_seconds=settings.lease_seconds,
            stage=parts.stage,
        ),
        add=AddDocuments(
            database=database,
            files=files,
            queue=queue,
            clock=clock,
            refresh=refresh,
            room=room,
            loader_fingerprint=registry.FINGERPRINT,
            sniff=_sniff,
        ),
        remove=RemoveDocuments(database=database, queue=queue, clock=clock),
        bulk=Bulk(database=database, queue=queue, clock=clock),
        catalogue=Catalogue(
            database=database,
            files=files,
            queue=queue,
            clock=clock,
            refresh=refresh,
            max_text_chars=settings.max_slice_chars,
        ),
        jobs=JobDesk(database=database, queue=queue, clock=clock, room=room),
        search=search,
        reindex=Reindex(
            database=database,
            queue=queue,
            clock=clock,
            embedder=embedder,
            fingerprints=fingerprints,
            dimensions=embedder.dimensions,
        ),
        doctor=doctor,
        compare=Compare(database=database, search=search),
        ask=asking.ask_of(settings, parts, search, policies, models, reranker, clock, observer),
        answers=Answers(database=database),
        conversations=Conversations(database=database, clock=clock),
        books=Books(database=database),
        policies=policies,
        templates=Templates(database=database, clock=clock, default=prompt.DEFAULT, check=prompt.check),
        models=models,
        reranker=reranker,
        first_start=founds and founding.first_start(settings, database, collections, clock, key_again=key_again),
        started_at=started_at,
    )


def _builders(settings: Settings, parts: Parts, sparse: Bm25SparseEncoder) -> Builders:
    """What makes each kind of index that this process serves."""
    embedders = (*parts.other_embedders, parts.embedder)  # the last one wins where two are alike
    return Builders(
        by_dense={each.fingerprint: Builder(embedder=each, chunker=_chunker(settings, each)) for each in embedders},
        sparse=sparse.fingerprint,
    )


def _chunker(settings: Settings, embedder: BatchingEmbedder) -> Chunker:
    window = embedder.tokenizer.window_tokens
    if settings.chunk_tokens is not None and settings.chunk_tokens > window:
        raise ConfigurationError(
            f"FOOTNOTE_CHUNK_TOKENS is {settings.chunk_tokens}, the window of {embedder.fingerprint} is {window} tokens"
        )
    return Chunker(embedder.tokenizer, target_tokens=settings.chunk_tokens)


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
            JobKind.REINDEX: RunReindex(database=database, clock=clock, versions=pipeline),
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


def _sniff(staged: Staged, filename: str, media_type: str | None) -> str:
    return registry.sniff(staged.path, filename=filename, media_type=media_type).media_type


def _record_unexpected(error: BaseException, items: Sequence[Item]) -> None:
    _log.error("unexpected_error", jobs=sorted({str(item.job_id) for item in items}), exc_info=error)
