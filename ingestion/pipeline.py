r"""From accepted versions to live chunks: load -> chunk -> embed -> index -> switch, for a slice of items at once.

Small documents share every round trip: one call to the loader, one transaction for their chunks, common batches in the
embedder, one upsert, one transaction in which they all go live. Each stage leaves its result in the database or in a
store before the next begins, so a resumed item is not paid for twice:

    load    the canonical text, in the file store
    chunk   chunk rows; the version is noted as hidden, since points of it may exist from now on
    embed   \  window by window; a resumed item
    index   /  skips the chunks that the index holds
    switch  the version is live, the old one is hidden, the item is final: one transaction

A collection may have several indexes (app.documents.reindex): an item then is a task for each of them, and its version
goes live when it is whole in all of them. Items of kind reindex bring live versions into an index that lacks them.
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
from app.domain.documents import Chunk, Indexed, Version, VersionState, chunk_ids
from app.domain.errors import DocumentError, FootnoteError, NotFoundError, TransientError
from app.domain.events import Observer
from app.domain.jobs import Failure, Item, JobKind, Stage, Warning_
from app.domain.leases import Lease, StoppingError
from app.domain.passages import Loaded
from app.domain.ports import Clock, FileStore, SparseEncoder, VectorStore
from app.domain.repositories import Database, LeaseProgress, Outcome, WriteWork
from app.domain.vectors import Space
from app.text import canonical, instructions
from ingestion import tasks as tasks_
from ingestion.embed.encode import encode
from ingestion.index.switch import Whole, switch
from ingestion.index.whole import complete
from ingestion.index.write import points
from ingestion.load import marking, stored
from ingestion.load.isolated import Request
from ingestion.tasks import Builders, Cut, Task

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
class _Document:
    """A task whose text was read and cut."""

    task: Task
    cut: tuple[Cut, ...]
    title: str  # as the document says, else its file name; for a version that was given none
    pages: int | None
    text_chars: int
    warnings: tuple[Warning_, ...]
    marks: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Runs items of the kinds ingest, batch and reindex. Dependencies are fields; the calls are safe from many threads."""

    database: Database
    files: FileStore
    vectors: VectorStore
    builders: Builders
    sparse: SparseEncoder
    loader: Loader
    clock: Clock
    observer: Observer

    def __call__(self, items: Sequence[Item], lease: Lease) -> None:
        """Take items as far as they go; those that can't be ingested end as failed, each with its own reason.

        Raises:
            TransientError: the embedder or a store can't answer now; what was finished stays.
            StoppingError: the process wants to end, or something more urgent waits; likewise.
        """
        tasks = self._tasks(items)
        whole = self._written(tasks, lease)
        live = [group for group in whole if not group[0].anew]
        self._switch(live, lease)
        self._complete([group for group in whole if group[0].anew])

    def _written(self, tasks: Sequence[Task], lease: Lease) -> list[list[Task]]:
        """Cut and index what is not yet; gives the tasks of each item that is whole and still held."""
        resumed = [task for task in tasks if task.resumed]
        cut = self._chunk(self._load([task for task in tasks if not task.resumed]), lease)
        left = [*resumed, *cut]
        lost = self._index(left, lease)
        # Items of versions that answer no more are lost too; `complete` ends them.
        return [group for group in tasks_.by_item(left) if group[0].anew or group[0].item.id not in lost]

    def read(self, version: Version) -> Loaded | FootnoteError:
        """The original of a version as it is read now, or why it can't be."""
        return self._read([version])[0]

    def _tasks(self, items: Sequence[Item]) -> list[Task]:
        """Items with their versions; those that have nothing to do any more, or can't, end here."""
        with self.database.read() as work:
            tasks, ended = tasks_.of_items(work, items, self.builders)
        self._end(ended, items)
        return tasks

    def _load(self, tasks: Sequence[Task]) -> list[tuple[Task, Loaded]]:
        """Read originals, each once, and keep their canonical texts; those of live versions are kept already."""
        if not tasks:
            return []
        started = time.perf_counter()
        groups = tasks_.by_item(tasks)
        good: list[tuple[Task, Loaded]] = []
        ended: list[Outcome] = []
        texts: dict[str, bytes] = {}
        for group, result in zip(groups, self._read([group[0].version for group in groups]), strict=True):
            first = group[0]
            if isinstance(result, TransientError):
                raise result
            if first.anew:
                document = self._as_stored(first.version, result)
            elif isinstance(result, FootnoteError):
                ended.append(tasks_.failed(first.item, _failure(result)))
                continue
            else:
                document = result
                packed = canonical.pack(document.text, document.pages)
                texts[first.version.text_key] = packed
                version = dataclasses.replace(first.version, text_bytes=len(packed))
                good += [(dataclasses.replace(task, version=version), document) for task in group]
                continue
            good += [(task, document) for task in group]
        self._end(ended, [task.item for task in tasks])
        self.files.write_many(texts)
        self.observer.stage("load", time.perf_counter() - started, len(groups))
        return good

    def _read(self, versions: Sequence[Version]) -> list[Loaded | FootnoteError]:
        """The original of each version, or why it can't be read."""
        results: list[Loaded | FootnoteError] = []
        with contextlib.ExitStack() as opened:
            requests: dict[int, Request] = {}
            for place, version in enumerate(versions):
                results.append(NotFoundError("the original is gone", code="original_missing"))
                with contextlib.suppress(NotFoundError):
                    requests[place] = Request(
                        path=pathlib.Path(opened.enter_context(self.files.local(version.original_key))),
                        filename=version.filename,
                        media_type=version.media_type,
                    )
            for place, result in zip(requests, self.loader.load_many(list(requests.values())), strict=True):
                results[place] = result
        return results

    def _as_stored(self, version: Version, result: Loaded | FootnoteError) -> Loaded:
        """A live version as its stored text says, which citations point into, with the structure of the original if it is
        still read alike.
        """
        with contextlib.closing(self.files.open(version.text_key)) as stream:
            reader = canonical.TextReader(stream)
            text = reader.slice(0, reader.chars)
        if isinstance(result, Loaded) and result.text == text:
            return result
        kept = stored.loaded(text, reader.pages, media_type=version.media_type)
        return dataclasses.replace(kept, marks=result.marks if isinstance(result, Loaded) else version.marks)

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
                ended.append(tasks_.failed(task.item, _failure(error)))
        self._end(ended, [task.item for task, _ in loaded])
        self.observer.stage("chunk", time.perf_counter() - started, sum(len(each.cut) for each in cut))
        small = [each for each in cut if len(each.cut) <= _ROWS]
        tasks = self._write_chunks(small) if small else []
        for each in cut:
            if len(each.cut) > _ROWS:
                tasks += self._write_many_chunks(each, lease)
        return tasks

    def _cut(self, task: Task, loaded: Loaded) -> _Document:
        loaded = _named(task.version, loaded)
        pieces = self.builders.of(task.index).chunker_of(task.index).cut(loaded)
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
            marks=loaded.marks,
        )

    def _write_chunks(self, cut: Sequence[_Document]) -> list[Task]:
        """All rows of some small documents in one transaction; gives the tasks that were still held."""
        with self.database.write() as work:
            work.documents.hold(each.task.version.document_id for each in cut)
            written = work.jobs.progress(list({each.task.item.id: _chunked(each) for each in cut}.values()))
            mine = [each for each in cut if each.task.item.id in written]
            for index_id in {each.task.index.id: None for each in mine}:
                of_index = [each.task.version.id for each in mine if each.task.index.id == index_id]
                work.chunks.remove(of_index, index_id=index_id)
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
                    work.chunks.remove([version.id], index_id=cut.task.index.id)
                work.chunks.add([(version.document_id, one.chunk) for one in cut.cut[first : first + _ROWS]])
                work.commit()
            _stop_if_asked(lease)
        with self.database.write() as work:
            work.documents.hold([version.document_id])
            written = work.jobs.progress([_chunked(cut)])
            tasks = _note(work, [cut] if written else [], self.clock.now())
            work.commit()
        return tasks

    def _index(self, tasks: Sequence[Task], lease: Lease) -> set[uuid.UUID]:
        """Embed and upsert what the indexes do not hold yet; gives the ids of items that were lost on the way."""
        lost: set[uuid.UUID] = set()
        units = _Units.of(tasks)
        for group in tasks_.by_build(tasks):
            space = group[0].index.space
            self.vectors.ensure(space)
            for window in tasks_.windows(self._missing(space, group, lost), WINDOW_CHUNKS):
                _stop_if_asked(lease)
                self._index_window(space, window, units, lease, lost)
            for task in group:
                if task.resumed and task.item.id not in lost:
                    self._set_access(task)  # an earlier worker may have written older readers
        return lost

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
                held = self.vectors.present(space, [chunk.id for chunk in chunks]) if task.resumed else set()
                yield from ((task, Cut(chunk, None)) for chunk in chunks if chunk.id not in held)

    def _index_window(
        self, space: Space, window: Sequence[tuple[Task, Cut]], units: _Units, lease: Lease, lost: set[uuid.UUID]
    ) -> None:
        started = time.perf_counter()
        titled = [(task.version.title, one.chunk) for task, one in window]
        builder = self.builders.of(window[0][0].index)
        encoded = encode(builder.embedder, self.sparse, self._passages(window), titled)
        embedded = time.perf_counter()
        self.observer.stage("embed", embedded - started, len(window))
        ids = {task.item.id for task, _ in window}
        gone = ids - lease.held(ids)
        rows = [row for row, (task, _) in enumerate(window) if task.item.id not in gone]
        kept = [(window[row][0].version, window[row][1].chunk) for row in rows]
        self.vectors.upsert(space, points(kept, encoded.rows(rows)))
        late = ids - gone - self._report(window, units, gone)
        late |= self._take_back(space, window, gone, late)
        lost |= gone | late
        self.observer.stage("index", time.perf_counter() - embedded, len(rows))

    def _take_back(
        self, space: Space, window: Sequence[tuple[Task, Cut]], gone: set[uuid.UUID], late: set[uuid.UUID]
    ) -> set[uuid.UUID]:
        """Remove what was written for versions that were cancelled, deleted or replaced during the upsert; gives the items
        of those.

        One that was merely lost to another worker stays: the other writes the same points, and may be done already.
        """
        tasks = {task.item.id: task for task, _ in window if task.item.id not in gone}
        doubtful = [task for task in tasks.values() if task.anew or task.item.id in late]
        if not doubtful:
            return set()
        with self.database.read() as work:
            current = work.versions.many([task.version.id for task in doubtful])
        wanted = {each.id for each in current.values() if each.state in (VersionState.PENDING, VersionState.LIVE)}
        unwanted = [task for task in doubtful if task.version.id not in wanted]
        self.vectors.delete_versions(space, [task.version.id for task in unwanted])
        return {task.item.id for task in unwanted}

    def _passages(self, window: Sequence[tuple[Task, Cut]]) -> list[str]:
        passages: list[str] = []
        index = window[0][0].index
        chunker = self.builders.of(index).chunker_of(index)
        for title, group in itertools.groupby(window, key=lambda pair: pair[0].version.title):
            cut = [one for _, one in group]
            passages += chunker.passages(
                title, [(one.chunk.headings, one.chunk.text) for one in cut], [one.tokens for one in cut]
            )
        return passages

    def _report(self, window: Sequence[tuple[Task, Cut]], units: _Units, gone: set[uuid.UUID]) -> set[uuid.UUID]:
        """Write how far each item of a window has come; gives those that are still held."""
        reports = [
            LeaseProgress(
                item_id=task.item.id,
                lease_token=task.item.lease_token,
                stage=Stage.INDEX,
                units_done=units.before(task) + one.chunk.ordinal + 1,
                units_total=units.total(task),
            )
            for task, one in {task.item.id: (task, one) for task, one in window}.values()
            if task.item.id not in gone
        ]
        with self.database.write() as work:
            held = work.jobs.progress(reports)
            work.commit()
        return held

    def _switch(self, groups: Sequence[Sequence[Task]], lease: Lease) -> None:
        """Make versions live; one whose readers were changed meanwhile gets its points right first, and one whose collection
        has got another index goes into that too.
        """
        if not groups:
            return
        started = time.perf_counter()
        whole = {group[0].item.id: list(group) for group in groups}
        for _ in range(_SWITCH_TRIES):
            if not whole:
                break
            now = self.clock.now()
            with self.database.write() as work:
                switched = switch(work, [_whole(group) for group in whole.values()], now, serve=self.builders.serve)
                work.jobs.settle(sorted({group[0].item.job_id for group in groups}), now)
                work.commit()
            for outcome in switched.ended:
                self.observer.item(JobKind.INGEST, outcome.state, None)
            before, whole = whole, {}
            for changed in switched.changed:
                whole[changed.item.id] = self._accessed(before[changed.item.id], changed.version)
            missing = [
                Task(item=lacking.item, version=lacking.version, index=index, resumed=False)
                for lacking, indexes in switched.lacking
                for index in indexes
            ]
            for group in self._written(missing, lease):
                whole[group[0].item.id] = [*before[group[0].item.id], *group]
        else:
            raise TransientError("a document's readers change faster than they can be indexed; it is tried again")
        self.observer.stage("switch", time.perf_counter() - started, len(groups))

    def _complete(self, groups: Sequence[Sequence[Task]]) -> None:
        """Note that live versions are whole in the indexes that lacked them; one whose readers were changed meanwhile gets
        its points right first.
        """
        whole = {group[0].item.id: list(group) for group in groups}
        for _ in range(_SWITCH_TRIES):
            if not whole:
                return
            now = self.clock.now()
            with self.database.write() as work:
                changed = complete(work, [_whole(group) for group in whole.values()], now)
                work.jobs.settle(sorted({group[0].item.job_id for group in groups}), now)
                work.commit()
            whole = {each.item.id: self._accessed(whole[each.item.id], each.version) for each in changed}
        if whole:
            raise TransientError("a document's readers change faster than they can be indexed; it is tried again")

    def _accessed(self, group: Sequence[Task], version: Version) -> list[Task]:
        """The tasks after their points got the readers and metadata that the version has now."""
        changed = [dataclasses.replace(task, version=version) for task in group]
        for task in changed:
            self._set_access(task)
        return changed

    def _set_access(self, task: Task) -> None:
        self.vectors.set_access(
            task.index.space,
            chunk_ids(task.index.id, task.version.id, task.chunks),
            scope=scope(task.index.id, task.version.readers),
            metadata=task.version.metadata,
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


def _whole(group: Sequence[Task]) -> Whole:
    first = group[0]
    return Whole(
        item=first.item,
        version=first.version,
        indexes={task.index.id: task.chunks for task in group},
        warnings=first.item.warnings,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Units:
    """How many chunks each item has in all, and before each of its tasks."""

    totals: dict[uuid.UUID, int]
    offsets: dict[tuple[uuid.UUID, uuid.UUID], int]

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> _Units:
        totals: dict[uuid.UUID, int] = {}
        offsets: dict[tuple[uuid.UUID, uuid.UUID], int] = {}
        for group in tasks_.by_build(tasks):  # in the order in which they are worked on
            for task in group:
                offsets[task.item.id, task.index.id] = totals.get(task.item.id, 0)
                totals[task.item.id] = offsets[task.item.id, task.index.id] + task.chunks
        return cls(totals, offsets)

    def before(self, task: Task) -> int:
        return self.offsets[task.item.id, task.index.id]

    def total(self, task: Task) -> int:
        return self.totals[task.item.id]


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
    known: dict[uuid.UUID, Version] = {}
    tasks: list[Task] = []
    for each in cut:
        version = each.task.version
        if not each.task.anew and version.id not in known:  # the first task of an item is for the live index
            version = current[version.id]  # with title, metadata and readers as changed since it was claimed
            known[version.id] = dataclasses.replace(
                version,
                title=version.title or each.title,
                pages=each.pages,
                text_chars=each.text_chars,
                text_bytes=each.task.version.text_bytes,
                marks=each.marks,
                chunks=len(each.cut) if version.chunks is None else version.chunks,
            )
        elif each.task.anew and each.marks != current[version.id].marks:  # it came before there were such marks
            known[version.id] = dataclasses.replace(current[version.id], marks=each.marks)
        item = dataclasses.replace(each.task.item, warnings=each.warnings)
        tasks.append(
            dataclasses.replace(
                each.task,
                version=version if each.task.anew else known.get(version.id, version),
                item=item,
                chunks=len(each.cut),
                resumed=False,
            )
        )
    work.versions.update_many(list(known.values()))
    work.chunks.note_indexed(
        [Indexed(index_id=t.index.id, version_id=t.version.id, chunks=t.chunks, whole=False) for t in tasks]
    )
    for group in tasks_.by_build([task for task in tasks if not task.anew]):
        work.versions.hide(
            [task.version.id for task in group],
            document_ids=[task.version.document_id for task in group],
            space=group[0].index.space.name,
            now=now,
        )
    return tasks


def _named(version: Version, loaded: Loaded) -> Loaded:
    """The document, marked too where what it was named gives orders: that stands beside its text wherever it is shown."""
    said = (version.title, version.filename, *(each for each in version.metadata.values() if isinstance(each, str)))
    kinds = instructions.found("\n".join(said))
    if not kinds or marking.INSTRUCTIONS in loaded.marks:
        return loaded
    return dataclasses.replace(
        loaded,
        marks=(*loaded.marks, marking.INSTRUCTIONS),
        warnings=(marking.ordering(kinds, ()), *loaded.warnings),
    )


def _stop_if_asked(lease: Lease) -> None:
    if lease.stopping():
        raise StoppingError
