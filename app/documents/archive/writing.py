"""Write one collection as an archive, block by block, while others read and write it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from app.documents.add import collection_named
from app.documents.archive import form
from app.documents.archive.form import Manifest, Record, Row
from app.domain.access import Principal
from app.domain.documents import Collection, Document, Index, Version
from app.domain.errors import DocumentError, ForbiddenError, NotFoundError, TransientError
from app.domain.ports import FileStore, VectorStore
from app.domain.repositories import Database
from app.domain.vectors import Space
from app.text.canonical import TextReader

_READ_BYTES = 1 << 20
_AT_ONCE = 8  # documents that are read at the same time
_TRIES = 5  # of a document that is replaced while it is read


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A document, read: what is written of it can't change any more."""

    record: Record
    original: BinaryIO
    text: BinaryIO
    rows: list[Row]
    files: contextlib.ExitStack  # closes original and text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExportCollection:
    """The use case; safe to call from many threads."""

    database: Database
    files: FileStore
    vectors: VectorStore

    def export(
        self, principal: Principal, name: str, *, stopping: Callable[[], bool] = lambda: False
    ) -> Iterator[bytes]:
        """The archive of a collection's live documents, block by block. What ends with an error is no whole archive.

        Args:
            principal: who asks.
            name: of the collection.
            stopping: whether to give up, looked at now and then.

        Raises:
            ForbiddenError: not an admin: others may not read every document.
            NotFoundError: no such collection.
            DocumentError: while it goes on: a document is not whole; the message names it.
            TransientError: a store does not answer, or the process wants to end.
        """
        require_reads_all(principal)
        with self.database.read() as work:
            collection = collection_named(work, principal, name)
            index = work.collections.live_index(collection.id)
        if index is None:
            raise NotFoundError(f"no collection named {name!r:.80} in this workspace", code="unknown_collection")
        return self._blocks(principal, collection, index, stopping)

    def _blocks(
        self, principal: Principal, collection: Collection, index: Index, stopping: Callable[[], bool]
    ) -> Iterator[bytes]:
        manifest = Manifest(
            name=collection.name,
            description=collection.description,
            fingerprints=index.fingerprints,
            dimensions=index.dimensions,
        )
        whole = _Sums()
        yield from whole.member(form.MANIFEST, manifest.packed())
        batches = documents = chunks = 0
        waiting = self._documents(principal, collection)
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="export") as pool:
            while True:
                if stopping():
                    raise TransientError("the service is stopping; export again")
                with contextlib.ExitStack() as opened:
                    taken = self._batch(waiting, index, pool, opened)
                    if not taken:
                        break
                    sums = _Sums()
                    yield from _written(sums, batches, taken, index.dimensions)
                    yield from whole.member(form.batch_name(batches, form.CHECKSUMS), sums.packed())
                batches += 1
                documents += len(taken)
                chunks += sum(len(each.rows) for each in taken)
        yield from _Sums().member(form.CHECKSUMS, whole.packed(documents=documents, chunks=chunks))
        yield form.END

    def _documents(self, principal: Principal, collection: Collection) -> Iterator[Document]:
        after: uuid.UUID | None = None
        while True:
            with self.database.read() as work:
                page = work.documents.page(
                    principal, collection_id=collection.id, condition=None, after=after, limit=form.BATCH_DOCUMENTS
                )
            yield from page
            if not page:
                return
            after = page[-1].id

    def _batch(
        self,
        documents: Iterator[Document],
        index: Index,
        pool: concurrent.futures.Executor,
        opened: contextlib.ExitStack,
    ) -> list[_Taken]:
        """The next documents that have a live version; their files are closed with `opened`.

        Some are read at once: a store elsewhere lets each wait for its files and vectors.
        """
        batch: list[_Taken] = []
        size = 0
        while len(batch) < form.BATCH_DOCUMENTS and size < form.BATCH_BYTES:
            some = list(itertools.islice(documents, min(_AT_ONCE, form.BATCH_DOCUMENTS - len(batch))))
            if not some:
                break
            for taken in pool.map(self._take, some, itertools.repeat(index)):
                if taken is not None:
                    opened.enter_context(taken.files)
                    batch.append(taken)
                    size += taken.record.size_bytes
        return batch

    def _take(self, document: Document, index: Index) -> _Taken | None:
        """A document with all that belongs to it; None where it has no live version, or was deleted meanwhile."""
        for _ in range(_TRIES):
            now, version = self._now(document)
            if now is None or version is None:
                return None
            taken = self._read(now, version, index)
            if taken is not None:
                return taken
            if self._now(document)[1] == version:
                raise DocumentError(
                    f"document {document.id} ({document.title!r:.80}) is not whole: a file, chunks or vectors of its live "
                    "version are missing; ingest it again, or delete it",
                    code="not_whole",
                )
        raise TransientError(f"document {document.id} is replaced faster than it can be read; export again")

    def _now(self, document: Document) -> tuple[Document | None, Version | None]:
        with self.database.read() as work:
            found = work.documents.get(document.workspace_id, document.id)
            live = found.live_version_id if found else None
            version = work.versions.get(document.workspace_id, live) if live else None
        return found, version

    def _read(self, document: Document, version: Version, index: Index) -> _Taken | None:
        """The document's parts; None where one is missing: it was replaced or deleted meanwhile, or is not whole."""
        with contextlib.ExitStack() as opened:
            try:
                original = opened.enter_context(self.files.open(version.original_key))
                text = opened.enter_context(self.files.open(version.text_key))
            except NotFoundError:
                return None
            rows = self._rows(version, index)
            if not rows or len(rows) != version.chunks or _size(original) != version.size_bytes:
                return None
            record = Record.of(document, version, text_chars=TextReader(text).chars, chunks=len(rows))
            return _Taken(record=record, original=original, text=text, rows=rows, files=opened.pop_all())

    def _rows(self, version: Version, index: Index) -> list[Row] | None:
        """Chunks of a version with their vectors, as they will be written; None where a vector is missing."""
        space = Space(name=index.fingerprints.space, dimensions=index.dimensions)
        rows: list[Row] = []
        while True:
            with self.database.read() as work:
                chunks = work.chunks.of_version(version.id, index.id, first=len(rows), limit=form.PIECE_CHUNKS)
            if not chunks:
                return rows
            kept = self.vectors.vectors(space, [chunk.id for chunk in chunks])
            if len(kept) < len(chunks) or chunks[0].ordinal != len(rows):
                return None
            rows += [Row.of(chunk, kept[chunk.id]) for chunk in chunks]
            if len(chunks) < form.PIECE_CHUNKS:
                return rows


class _Sums:
    """Gives members their form in the file, and keeps their checksums."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    def member(self, name: str, content: bytes) -> Iterator[bytes]:
        """A member that is in memory."""
        return self.copied(name, io.BytesIO(content), len(content))

    def copied(self, name: str, stream: BinaryIO, size: int) -> Iterator[bytes]:
        """A member that is read as it is written."""
        digest, left = hashlib.sha256(), size
        yield form.header(name, size)
        while left:
            block = stream.read(min(_READ_BYTES, left))
            if not block:
                raise DocumentError(f"{name} ended before its time; export again", code="not_whole")
            digest.update(block)
            left -= len(block)
            yield block
        yield bytes(form.padding(size))
        self._digests[name] = digest.hexdigest()

    def packed(self, **counts: int) -> bytes:
        """The checksums of what was written."""
        return form.dumps({"members": self._digests, **counts})


def _written(sums: _Sums, number: int, taken: list[_Taken], dimensions: int) -> Iterator[bytes]:
    """The members of a batch but for its checksums."""
    yield from sums.member(
        form.batch_name(number, "documents.ndjson"), b"".join(each.record.packed() for each in taken)
    )
    for at, each in enumerate(taken):
        each.original.seek(0)
        yield from sums.copied(form.batch_name(number, f"originals/{at:02}"), each.original, each.record.size_bytes)
    for at, each in enumerate(taken):
        size = _size(each.text)
        each.text.seek(0)
        yield from sums.copied(form.batch_name(number, f"texts/{at:02}"), each.text, size)
    for at, piece in enumerate(_pieces(taken)):
        yield from sums.member(form.batch_name(number, f"chunks/{at:04}.ndjson"), form.packed_places(piece))
        vectors = form.packed_vectors([row for _, row in piece], dimensions)
        yield from sums.member(form.batch_name(number, f"vectors/{at:04}"), vectors)


def _pieces(taken: Iterable[_Taken]) -> Iterator[list[tuple[int, Row]]]:
    """Chunks with the numbers of their documents, so many at a time."""
    rows = [(at, row) for at, each in enumerate(taken) for row in each.rows]
    for start in range(0, len(rows), form.PIECE_CHUNKS):
        yield rows[start : start + form.PIECE_CHUNKS]


def _size(stream: BinaryIO) -> int:
    return stream.seek(0, io.SEEK_END)


def require_reads_all(principal: Principal) -> None:
    """Raise ForbiddenError where documents may be there that the caller may not read."""
    if not principal.passes_readers:
        raise ForbiddenError("an archive holds documents whoever may read them: this takes a key with the role admin")
