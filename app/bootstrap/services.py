"""Everything that a surface calls."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from app.answering.answer import Ask
from app.answering.answers import Answers
from app.answering.compare import Compare
from app.answering.conversations import Conversations
from app.answering.search import Search
from app.bootstrap.models import CataloguedModels
from app.bootstrap.parts import Parts
from app.bootstrap.readiness import Check, Readiness
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
from app.documents.reindex import Reindex
from app.documents.remove import RemoveDocuments
from app.domain.events import Observer
from app.domain.ports import Clock, Embedder, FileStore, JobQueue, Reranker, SparseEncoder, VectorStore
from app.domain.vectors import Space
from app.gateway.books import Books
from app.gateway.keys import Keys
from app.gateway.policies import Policies
from app.gateway.rates import Rates
from app.gateway.templates import Templates
from app.gateway.workspaces import Workspaces
from app.queues.in_process import Lane, Round
from app.settings import Settings
from ingestion.load.isolated import IsolatedLoader
from ingestion.run_job import JobRunner

ADMIN_KEY_FILE = "admin.key"
_READY_SECONDS = 5.0  # that a look at all parts may take
_log = structlog.get_logger("footnote")


class ClosableReranker(Reranker, Protocol):
    """A reranker that holds something."""

    def close(self) -> None:
        """Give it back."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)  # no slots: a cached property
class Services:
    """The use cases and what they stand on; built once a process."""

    settings: Settings
    clock: Clock
    observer: Observer
    parts: Parts
    sparse: SparseEncoder
    queue: JobQueue
    lanes: Sequence[Lane]
    rounds: Sequence[Round]
    runner: JobRunner
    purge: Purge
    loader: IsolatedLoader
    keys: Keys
    rates: Rates
    workspaces: Workspaces
    collections: Collections
    exports: ExportCollection
    imports: ImportCollection
    add: AddDocuments
    remove: RemoveDocuments
    bulk: Bulk
    catalogue: Catalogue
    jobs: JobDesk
    search: Search
    reindex: Reindex
    compare: Compare
    doctor: Doctor
    ask: Ask
    answers: Answers
    conversations: Conversations
    books: Books
    policies: Policies
    templates: Templates
    models: CataloguedModels
    reranker: ClosableReranker | None
    first_start: bool
    started_at: dt.datetime

    @property
    def database(self) -> SqlDatabase:
        """The rows."""
        return self.parts.database

    @property
    def files(self) -> FileStore:
        """Originals and texts."""
        return self.parts.files

    @property
    def vectors(self) -> VectorStore:
        """The index."""
        return self.parts.vectors

    @property
    def embedder(self) -> Embedder:
        """The model."""
        return self.parts.embedder

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
        recovered = self.runner.recover() if self.parts.alone else 0
        if recovered:
            _log.warning("items_recovered", count=recovered)
        self.queue.start()

    def stop(self) -> None:
        """Stop in order: workers, then what they use, then the folder. Safe to call twice."""
        self.queue.stop(grace_seconds=self.settings.stop_grace_seconds)
        self.loader.close()
        self.stop_embedding()
        if self.reranker is not None:
            self.reranker.close()
        self.vectors.close()
        self.database.close()
        self.parts.release()

    def stop_embedding(self) -> None:
        """Let whoever waits for a model wait no longer: slices that are still running then give their leases back."""
        for embedder in (self.parts.embedder, *self.parts.other_embedders):
            embedder.close()

    def ready(self) -> dict[str, str | None]:
        """By part: None if it is well, else what is wrong with it; in bounded time."""
        return self._readiness.look()

    @functools.cached_property
    def _readiness(self) -> Readiness:
        checks = {
            "database": _answers(self.database.ping),
            "vectors": _answers(lambda: self.vectors.count(self.space)),
            "queue": self.queue.trouble,
            "files": _answers(self.files.ping),
            "limits": _answers(self.parts.limits.ping),
            "disk": self._disk_trouble,
        }
        return Readiness(checks, seconds=_READY_SECONDS)

    def index_size(self) -> dict[str, int]:
        """Points and bytes of the index, and chunks of live versions."""
        with self.database.read() as work:
            chunks = work.chunks.total()
        size = {"points": self.vectors.count(self.space), "chunks": chunks}
        held = self.vectors.disk_bytes(self.space)
        return size if held is None else {**size, "bytes": held}

    def stage(self) -> pathlib.Path:
        """A fresh path for an upload."""
        return self.parts.stage()

    def announce(self, url: str) -> None:
        """Say where this process listens."""
        self.parts.announce(url)

    def backup(self, target: pathlib.Path) -> dict[str, int]:
        """Write one file that `restore` takes, while the service runs; gives documents, files and bytes in it.

        Raises:
            ConflictError: the target exists.
            StorageFullError: no room.
            ConfigurationError: not in this mode.
        """
        return self.parts.backup(target)

    def _disk_trouble(self) -> str | None:
        free = self.files.free_bytes()
        least = self.settings.min_free_bytes
        if free is None or free >= least:
            return None
        return f"{free} bytes are free, uploads need {least}: FOOTNOTE_MIN_FREE_BYTES"


def _answers(check: Callable[[], object]) -> Check:
    def look() -> None:
        check()

    return look
