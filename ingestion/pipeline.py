r"""From accepted versions to live chunks: load -> chunk -> embed -> index -> switch, for a slice of items at once.

Small documents share every round trip: one call to the loader, one transaction for their chunks, common batches in the
embedder, one upsert, one transaction in which they all go live. Each stage leaves its result in the database or in a
store before the next begins, so a resumed item is not paid for twice:

    load    the canonical text, in the file store
    chunk   chunk rows; the version is noted as hidden, since points of it may exist from now on
    embed   \  window by window; a resumed item
    index   /  skips the chunks that the index holds
    switch  the version is live, the old one is hidden, the item is final: one transaction
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import pathlib
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Protocol

from app.domain.access import scope
from app.domain.documents import Chunk, Index, Version, VersionState
from app.domain.errors import DocumentError, FingerprintMismatchError, FootnoteError, TransientError
from app.domain.events import Observer
from app.domain.jobs import Failure, Item, JobKind, JobState, Stage, Warning_
from app.domain.leases import Lease, StoppingError
from app.domain.passages import Loaded
from app.domain.ports import Clock, Embedder, FileStore, SparseEncoder, VectorStore
from app.domain.repositories import Database, LeaseProgress, Outcome, WriteWork
from app.domain.vectors import Space
from app.text import canonical
from ingestion.chunk.chunker import Chunker
from ingestion.embed.encode import encode
from ingestion.index.switch import Whole, switch
from ingestion.index.write import points
from ingestion.load.isolated import Request

WINDOW_CHUNKS = 256  # embedded, upserted and reported at once: some 10 s of embedding on two old cores
_ROWS = 2000  # chunk rows written in one transaction: about 0.2 s of the database's lock
_SWITCH_TRIES = 5  # of a version whose readers somebody keeps changing
_MAX_WARNINGS = 100  # of one item: a scan of 2,000 pages need not name each


class Loader(Protocol):
    """Reads originals; `ingestion.load.isolated` does so in child processes."""

    def load_many(self, requests: Sequence[Request]) -> Sequence[Loaded | FootnoteError]:
        """Each document as read, or why it could not be; a bad one does not touch the others."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An item with what the database says of it."""

    item: Item
    version: Version
    index: Index
    cut: tuple[Cut, ...] | None = None  # of a small document that was cut just now; else its rows are read


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A chunk, and what is known of its size."""

    chunk: Chunk
    tokens: int | None  # the most that its text has as it is embedded; None where it was not counted just now


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A task whose text was read and cut."""

    task: Task
    cut: tuple[Cut, ...]
    title: str  # as the document says, else its file name; for a version that was given none
    pages: int | None
    text_chars: int
    warnings: tuple[Warning_, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Runs items of the kinds ingest and batch. Dependencies are fields; the calls are safe from many threads."""

    database: Database
    files: FileStore
    vectors: VectorStore
    embedder: Embedder
    sparse: SparseEncoder
    loader: Loader
    chunker: Chunker
    clock: Clock
    observer: Observer

    def __call__(self, items: Sequence[Item], lease: Lease) -> None:
        """Take items as far as they go; those that can't be ingested end as failed, each with its own reason.

        Raises:
            TransientError: the embedder or a store can't answer now; what was finished stays.
            StoppingError: the process wants to end, or something more urgent waits; likewise.
        """
        tasks = self._tasks(items)
        fresh = [task for task in tasks if task.item.stage is Stage.LOAD]
        resumed = [task for task in tasks if task.item.stage is not Stage.LOAD]
        cut = self._chunk(self._load(fresh), lease)
        whole = self._index([*resumed, *cut], lease)
        self._switch(whole)

    def _tasks(self, items: Sequence[Item]) -> list[Task]:
        """Items with their versions; those that have nothing to do any more, or can't, end here."""
        tasks: list[Task] = []
        ended: list[Outcome] = []
        with self.database.read() as work:
            versions = work.versions.many([item.version_id for item in items if item.version_id is not None])
            documents = work.documents.many([item.document_id for item in items if item.document_id is not None])
            collections = {document.collection_id for document in documents.values()}
            indexes = {each: work.collections.live_index(each) for each in collections}
            for item in items:
                version = versions.get(item.version_id) if item.version_id else None
                document = documents.get(item.document_id) if item.document_id else None
                index = indexes[document.collection_id] if document else None
                if version is None or version.state is not VersionState.PENDING or index is None:
                    ended.append(
                        _ended(item, Failure(code="gone", message="the document was deleted", retryable=False))
                    )
                elif (mismatch := self._mismatch(index)) is not None:
                    ended.append(_ended(item, mismatch))
                else:
                    tasks.append(Task(item=item, version=version, index=index))
        self._end(ended, items)
        return tasks

    def _mismatch(self, index: Index) -> Failure | None:
        """Why this process can't add to that index, if it can't."""
        ours = (self.embedder.fingerprint, self.sparse.fingerprint)
        if (index.fingerprints.dense, index.fingerprints.sparse) == ours:
            return None
        return Failure(
            code=FingerprintMismatchError.code,
            message=f"the collection was embedded with {index.fingerprints.dense}, this process embeds with {ours[0]}: set "
            "FOOTNOTE_EMBEDDER back, or ingest into a new collection",
            retryable=True,
        )

    def _load(self, tasks: Sequence[Task]) -> list[tuple[Task, Loaded]]:
        """Read originals and keep their canonical texts."""
        if not tasks:
            return []
        started = time.perf_counter()
        with contextlib.ExitStack() as opened:
            requests = [
                Request(
                    path=pathlib.Path(opened.enter_context(self.files.local(task.version.original_key))),
                    filename=task.version.filename,
                    media_type=task.version.media_type,
                )
                for task in tasks
            ]
            results = self.loader.load_many(requests)
        good: list[tuple[Task, Loaded]] = []
        ended: list[Outcome] = []
        for task, result in zip(tasks, results, strict=True):
            if isinstance(result, TransientError):
                raise result
            if isinstance(result, FootnoteError):
                ended.append(_ended(task.item, _failure(result)))
            else:
                good.append((task, result))
        self._end(ended, [task.item for task in tasks])
        self.files.write_many(
            {task.version.text_key: canonical.pack(loaded.text, loaded.pages) for task, loaded in good}
        )
        self.observer.stage("load", time.perf_counter() - started, len(tasks))
        return good

    def _chunk(self, loaded: Sequence[tuple[Task, Loaded]], lease: Lease) -> list[Task]:
        """Cut texts and write the chunks' rows; from then on a version may have points, and is noted as hidden."""
        if not loaded:
            return []
        started = time.perf_counter()
        cut: list[_Document] = []
        ended: list[Outcome] = []
        for task, document in loaded:
            each = self._cut(task, document)
            if each.cut:
                cut.append(each)
            else:
                error = DocumentError("there is no text in this document", code="no_text")
                ended.append(_ended(task.item, _failure(error)))
        self._end(ended, [task.item for task, _ in loaded])
        self.observer.stage("chunk", time.perf_counter() - started, sum(len(each.cut) for each in cut))
        small = [each for each in cut if len(each.cut) <= _ROWS]
        tasks = self._write_chunks(small) if small else []
        for each in cut:
            if len(each.cut) > _ROWS:
                tasks += self._write_many_chunks(each, lease)
        return tasks

    def _cut(self, task: Task, loaded: Loaded) -> _Document:
        pieces = self.chunker.cut(loaded)
        chunks = (
            Chunk(
                index_id=task.index.id,
                version_id=task.version.id,
                ordinal=ordinal,
                start=piece.start,
                end=piece.end,
                page=piece.page,
                headings=piece.headings,
                text=loaded.text[piece.start : piece.end],
            )
            for ordinal, piece in enumerate(pieces)
        )
        return _Document(
            task=task,
            cut=tuple(Cut(chunk, piece.tokens) for chunk, piece in zip(chunks, pieces, strict=True)),
            title=loaded.title or pathlib.PurePath(task.version.filename).stem,
            pages=len(loaded.pages) or None,
            text_chars=len(loaded.text),
            warnings=loaded.warnings[:_MAX_WARNINGS],
        )

    def _write_chunks(self, cut: Sequence[_Document]) -> list[Task]:
        """All rows of some small documents in one transaction; gives the tasks that were still held."""
        with self.database.write() as work:
            work.documents.hold(each.task.version.document_id for each in cut)
            written = work.jobs.progress([_chunked(each) for each in cut])
            mine = [each for each in cut if each.task.item.id in written]
            work.chunks.remove([each.task.version.id for each in mine])
            tasks = _note(work, mine, self.clock.now())
            work.chunks.add([(each.task.version.document_id, one.chunk) for each in mine for one in each.cut])
            work.commit()
        return [dataclasses.replace(task, cut=each.cut) for task, each in zip(tasks, mine, strict=True)]

    def _write_many_chunks(self, cut: _Document, lease: Lease) -> list[Task]:
        """The rows of one large document in several transactions; the stage ends with the last."""
        item, version = cut.task.item, cut.task.version
        for first in range(0, len(cut.cut), _ROWS):
            with self.database.write() as work:
                work.documents.hold([version.document_id])
                if not work.jobs.held({item.id: item.lease_token}):
                    return []
                if first == 0:
                    work.chunks.remove([version.id])
                work.chunks.add([(version.document_id, one.chunk) for one in cut.cut[first : first + _ROWS]])
                work.commit()
            _stop_if_asked(lease)
        with self.database.write() as work:
            work.documents.hold([version.document_id])
            written = work.jobs.progress([_chunked(cut)])
            tasks = _note(work, [cut] if written else [], self.clock.now())
            work.commit()
        return tasks

    def _index(self, tasks: Sequence[Task], lease: Lease) -> list[Task]:
        """Embed and upsert what the index does not hold yet; gives the tasks that are whole and still held."""
        lost: set[uuid.UUID] = set()
        for space, group in _by_space(tasks):
            self.vectors.ensure(space)
            for window in _windows(self._missing(space, group, lost), WINDOW_CHUNKS):
                _stop_if_asked(lease)
                self._index_window(space, window, lease, lost)
            for task in group:
                if task.item.stage is not Stage.LOAD and task.item.id not in lost:
                    self._set_access(task.index, task.version)  # an earlier worker may have written older readers
        return [task for task in tasks if task.item.id not in lost]

    def _missing(self, space: Space, tasks: Sequence[Task], lost: set[uuid.UUID]) -> Iterator[tuple[Task, Cut]]:
        """Every chunk that is to be indexed, read in pages; of a resumed item only those that the index lacks."""
        for task in tasks:
            if task.cut is not None:
                yield from ((task, one) for one in task.cut)
                continue
            first = 0
            while task.item.id not in lost:
                with self.database.read() as work:
                    chunks = work.chunks.of_version(task.version.id, task.index.id, first=first, limit=WINDOW_CHUNKS)
                if not chunks:
                    break
                first = chunks[-1].ordinal + 1
                resumed = task.item.stage is not Stage.LOAD
                held = self.vectors.present(space, [chunk.id for chunk in chunks]) if resumed else set()
                yield from ((task, Cut(chunk, None)) for chunk in chunks if chunk.id not in held)

    def _index_window(
        self, space: Space, window: Sequence[tuple[Task, Cut]], lease: Lease, lost: set[uuid.UUID]
    ) -> None:
        started = time.perf_counter()
        titled = [(task.version.title, one.chunk) for task, one in window]
        encoded = encode(self.embedder, self.sparse, self._passages(window), titled)
        embedded = time.perf_counter()
        self.observer.stage("embed", embedded - started, len(window))
        ids = {task.item.id for task, _ in window}
        gone = ids - lease.held(ids)
        rows = [row for row, (task, _) in enumerate(window) if task.item.id not in gone]
        kept = [(window[row][0].version, window[row][1].chunk) for row in rows]
        self.vectors.upsert(space, points(kept, encoded.rows(rows)))
        late = ids - gone - self._report(window, gone)
        self._take_back(space, _tasks_of(window, late))
        lost |= gone | late
        self.observer.stage("index", time.perf_counter() - embedded, len(rows))

    def _take_back(self, space: Space, tasks: Sequence[Task]) -> None:
        """Remove what was written for versions that were cancelled or deleted during the upsert.

        One that was merely lost to another worker stays: the other writes the same points.
        """
        if not tasks:
            return
        with self.database.read() as work:
            current = work.versions.many([task.version.id for task in tasks])
        pending = {each.id for each in current.values() if each.state is VersionState.PENDING}
        self.vectors.delete_versions(space, [task.version.id for task in tasks if task.version.id not in pending])

    def _passages(self, window: Sequence[tuple[Task, Cut]]) -> list[str]:
        passages: list[str] = []
        for title, group in itertools.groupby(window, key=lambda pair: pair[0].version.title):
            cut = [one for _, one in group]
            passages += self.chunker.passages(
                title, [(one.chunk.headings, one.chunk.text) for one in cut], [one.tokens for one in cut]
            )
        return passages

    def _report(self, window: Sequence[tuple[Task, Cut]], gone: set[uuid.UUID]) -> set[uuid.UUID]:
        """Write how far each item of a window has come; gives those that are still held."""
        reports = [
            LeaseProgress(
                item_id=task.item.id,
                lease_token=task.item.lease_token,
                stage=Stage.INDEX,
                units_done=one.chunk.ordinal + 1,
                units_total=task.version.chunks,
            )
            for task, one in {task.item.id: (task, one) for task, one in window}.values()
            if task.item.id not in gone
        ]
        with self.database.write() as work:
            held = work.jobs.progress(reports)
            work.commit()
        return held

    def _switch(self, tasks: Sequence[Task]) -> None:
        """Make versions live; one whose readers were changed meanwhile gets its points right first."""
        started = time.perf_counter()
        whole = [
            Whole(item=task.item, version=task.version, index=task.index, warnings=task.item.warnings) for task in tasks
        ]
        for _ in range(_SWITCH_TRIES):
            if not whole:
                break
            now = self.clock.now()
            with self.database.write() as work:
                switched = switch(work, whole, now)
                work.jobs.settle(sorted({task.item.job_id for task in tasks}), now)
                work.commit()
            for outcome in switched.ended:
                self.observer.item(JobKind.INGEST, outcome.state, None)
            whole = list(switched.changed)
            for each in whole:
                self._set_access(each.index, each.version)
        else:
            raise TransientError("a document's readers change faster than they can be indexed; it is tried again")
        self.observer.stage("switch", time.perf_counter() - started, len(tasks))

    def _set_access(self, index: Index, version: Version) -> None:
        self.vectors.set_access(
            _space(index), version.id, scope=scope(index.id, version.readers), metadata=version.metadata
        )

    def _end(self, outcomes: Sequence[Outcome], items: Sequence[Item]) -> None:
        """Write failures; the version of a failed item will not be ingested."""
        if not outcomes:
            return
        by_id = {item.id: item for item in items}
        now = self.clock.now()
        with self.database.write() as work:
            work.documents.hold(item.document_id for item in items)
            ended = work.jobs.finish(outcomes, now)
            mine = [by_id[item_id] for item_id in ended]
            work.versions.fail_pending([each.version_id for each in mine if each.version_id is not None])
            work.jobs.settle(sorted({item.job_id for item in mine}), now)
            work.commit()
        for outcome in outcomes:
            self.observer.item(JobKind.INGEST, outcome.state, outcome.error.code if outcome.error else None)


def _ended(item: Item, failure: Failure) -> Outcome:
    return Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.FAILED, error=failure)


def _failure(error: FootnoteError) -> Failure:
    return Failure(code=error.code, message=error.message, retryable=error.retryable)


def _chunked(cut: _Document) -> LeaseProgress:
    """The report that ends the stage chunk."""
    return LeaseProgress(
        item_id=cut.task.item.id,
        lease_token=cut.task.item.lease_token,
        stage=Stage.INDEX,
        units_done=0,
        units_total=len(cut.cut),
        warnings=cut.warnings,
    )


def _note(work: WriteWork, cut: Sequence[_Document], now: dt.datetime) -> list[Task]:
    """Write what is known of versions now, and that points of them may exist from now on."""
    current = work.versions.many([each.task.version.id for each in cut])
    tasks: list[Task] = []
    for each in cut:
        version = current[each.task.version.id]  # with title, metadata and readers as changed since it was claimed
        version = dataclasses.replace(
            version,
            title=version.title or each.title,
            pages=each.pages,
            text_chars=each.text_chars,
            chunks=len(each.cut),
        )
        item = dataclasses.replace(each.task.item, warnings=each.warnings)
        tasks.append(dataclasses.replace(each.task, version=version, item=item))
    work.versions.update_many([task.version for task in tasks])
    for space, group in _by_space(tasks):
        work.versions.hide(
            [task.version.id for task in group],
            document_ids=[task.version.document_id for task in group],
            space=space.name,
            now=now,
        )
    return tasks


def _stop_if_asked(lease: Lease) -> None:
    if lease.stopping():
        raise StoppingError


def _space(index: Index) -> Space:
    return Space(name=index.fingerprints.space, dimensions=index.dimensions)


def _by_space(tasks: Sequence[Task]) -> Iterator[tuple[Space, list[Task]]]:
    spaces: dict[Space, list[Task]] = {}
    for task in tasks:
        spaces.setdefault(_space(task.index), []).append(task)
    yield from spaces.items()


def _tasks_of(window: Sequence[tuple[Task, Cut]], item_ids: set[uuid.UUID]) -> list[Task]:
    return list({task.item.id: task for task, _ in window if task.item.id in item_ids}.values())


def _windows(pairs: Iterator[tuple[Task, Cut]], size: int) -> Iterator[list[tuple[Task, Cut]]]:
    while window := list(itertools.islice(pairs, size)):
        yield window
