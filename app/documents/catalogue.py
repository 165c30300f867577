"""Read what is there: documents, versions, texts, chunks, originals; and change title, metadata and readers."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, TypeVar

from app.documents import uploads
from app.documents.add import collection_named, require_editor
from app.documents.refresh import Refresh, request_refresh
from app.documents.remove import readable
from app.domain import filters
from app.domain.access import Principal, meet
from app.domain.documents import Chunk, Collection, Document, Version, VersionState
from app.domain.errors import InvalidInputError, NotFoundError
from app.domain.filters import Filter, Scalar
from app.domain.jobs import Job
from app.domain.passages import Page
from app.domain.ports import Clock, FileStore, JobQueue
from app.domain.repositories import Database, ReadWork, WriteWork
from app.text.canonical import TextReader

Named = TypeVar("Named", Document, Version)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A piece of a version's canonical text."""

    version_id: uuid.UUID
    text: str
    start: int  # code points, inclusive, as was asked for and clipped to the text
    end: int  # exclusive
    total_chars: int
    pages: tuple[Page, ...]  # those that the slice touches


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a caller wants changed; None leaves a part as it is."""

    title: str | None = None
    metadata: Mapping[str, object] | None = None
    readers: Sequence[str] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The use case; safe to call from many threads."""

    database: Database
    files: FileStore
    queue: JobQueue
    clock: Clock
    refresh: Refresh
    max_text_chars: int  # of one slice

    def get(self, principal: Principal, document_id: uuid.UUID) -> tuple[Document, Collection]:
        """One document with its collection, or NotFoundError."""
        with self.database.read() as work:
            document = readable(work, principal, document_id)
            return document, _collection_of(work, document)

    def by_external_id(self, principal: Principal, collection_name: str, external_id: str) -> Document:
        """One document by external id, or NotFoundError."""
        with self.database.read() as work:
            collection = collection_named(work, principal, collection_name)
            document = work.documents.by_external_id(collection.id, uploads.check_external_id(external_id))
            if document is None or not principal.may_read(document.readers):
                raise NotFoundError("no such document", code="document_not_found")
            return document

    def page(
        self,
        principal: Principal,
        *,
        collection_name: str | None,
        condition: Filter | None,
        after: uuid.UUID | None,
        limit: int,
    ) -> list[tuple[Document, str]]:
        """Documents that the caller may read, each with its collection's name; in order of creation."""
        with self.database.read() as work:
            wanted = collection_named(work, principal, collection_name) if collection_name is not None else None
            documents = work.documents.page(
                principal,
                collection_id=wanted.id if wanted else None,
                condition=condition,
                after=after,
                limit=limit,
            )
            names = {pair[0].id: pair[0].name for pair in work.collections.named(principal.workspace_id, None)}
        return [(each, names[each.collection_id]) for each in documents if each.collection_id in names]

    def states(self, documents: Sequence[Document]) -> dict[uuid.UUID, VersionState]:
        """Pending, live or failed, by document: what its newest version came to where none is live."""
        states: dict[uuid.UUID, VersionState] = {}
        with self.database.read() as work:
            for document in documents:
                if document.live_version_id is not None:
                    states[document.id] = VersionState.LIVE
                    continue
                versions = work.versions.of_document(document.id)
                pending = any(version.state is VersionState.PENDING for version in versions)
                states[document.id] = VersionState.PENDING if pending else VersionState.FAILED
        return states

    def live_versions(self, documents: Sequence[Document]) -> dict[uuid.UUID, Version]:
        """The version that speaks for each document, by document: the live one, else the newest."""
        with self.database.read() as work:
            live = work.versions.many([each.live_version_id for each in documents if each.live_version_id is not None])
            found = {version.document_id: version for version in live.values()}
            for document in documents:
                if document.id not in found and (versions := work.versions.of_document(document.id)):
                    found[document.id] = versions[0]
        return found

    def change(
        self, principal: Principal, document_id: uuid.UUID, change: Change, *, request_id: str | None = None
    ) -> tuple[Document, Job | None]:
        """Change title, metadata or readers, at once and without re-embedding; versions under way take them over too.

        Gives the document and the job that carries the change to the index, None where nothing differed.

        Raises:
            ForbiddenError, NotFoundError, BadNameError, BadMetadataError: see `uploads`.
        """
        require_editor(principal)
        title = (
            None
            if change.title is None
            else uploads.check_text(change.title, of="a title", limit=uploads.MAX_TITLE_CHARS)
        )
        metadata = None if change.metadata is None else uploads.check_metadata(change.metadata)
        readers = None if change.readers is None else uploads.check_readers(change.readers)
        now = self.clock.now()
        with self.database.write() as work:
            document = readable(work, principal, document_id)
            found = apply(work, [document], title=title, metadata=metadata, readers=readers, now=now)
            if not found:
                work.commit()
                return document, None
            (changed,) = found
            job = request_refresh(work, changed, now=now, request_id=request_id, key_id=principal.key_id)
            work.commit()
        self.refresh.at_once([changed])
        self.queue.nudge()
        return changed, job

    def versions(self, principal: Principal, document_id: uuid.UUID) -> list[Version]:
        """All versions that the caller may read, newest first."""
        with self.database.read() as work:
            document = readable(work, principal, document_id)
            versions = work.versions.of_document(document.id)
        return [version for version in versions if principal.may_read(version.readers)]

    def chunks(
        self, principal: Principal, document_id: uuid.UUID, *, first: int, limit: int
    ) -> tuple[Version, list[Chunk]]:
        """Chunks of the live version from that ordinal on.

        Raises:
            NotFoundError: no such document, or none of its versions is live.
        """
        with self.database.read() as work:
            document = readable(work, principal, document_id)
            version = self._version(work, principal, document, None)
            collection = _collection_of(work, document)
            return version, work.chunks.of_version(version.id, collection.live_index_id, first=first, limit=limit)

    def text(
        self,
        principal: Principal,
        document_id: uuid.UUID,
        *,
        version_id: uuid.UUID | None,
        start: int,
        end: int | None,
        utf16: bool = False,
    ) -> Slice:
        """Characters [start, end) of a version's canonical text; of the live version where none is named.

        Offsets count code points, or UTF-16 units where `utf16` is set: then those that come back do too.

        Raises:
            NotFoundError: no such document or version, or its text is not there (yet, or any more).
            InvalidInputError: start after end, or more than the limit of one slice.
        """
        with self.database.read() as work:
            document = readable(work, principal, document_id)
            version = self._version(work, principal, document, version_id)
        try:
            stream = self.files.open(version.text_key)
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no text of this version: it is {version.state.value}", code="version_not_found"
            ) from error
        with stream:
            return self._slice(version, TextReader(stream), start, end, utf16=utf16)

    def _slice(self, version: Version, reader: TextReader, start: int, end: int | None, *, utf16: bool) -> Slice:
        total = reader.utf16_offset(reader.chars) if utf16 else reader.chars
        last = min(total if end is None else end, total)
        first = min(start, total)
        if first < 0 or last < first:
            raise InvalidInputError("`start` and `end` are offsets with 0 <= start <= end", code="bad_range")
        if last - first > self.max_text_chars:
            raise InvalidInputError(
                f"a slice has at most {self.max_text_chars} characters; this would have {last - first}",
                code="bad_range",
            )
        convert: Callable[[int], int] = reader.utf16_offset if utf16 else int
        begin, stop = (reader.code_point_offset(first), reader.code_point_offset(last)) if utf16 else (first, last)
        touched = [page for page in reader.pages if page.start < max(stop, begin + 1) and page.end > begin]
        return Slice(
            version_id=version.id,
            text=reader.slice(begin, stop),
            start=convert(begin),
            end=convert(stop),
            total_chars=total,
            pages=tuple(Page(number=each.number, start=convert(each.start), end=convert(each.end)) for each in touched),
        )

    def content(
        self, principal: Principal, document_id: uuid.UUID, *, version_id: uuid.UUID | None
    ) -> tuple[Version, BinaryIO]:
        """A version's original bytes as a stream that the caller closes.

        Raises:
            NotFoundError: no such document or version, or the original is no longer kept.
        """
        with self.database.read() as work:
            document = readable(work, principal, document_id)
            version = self._version(work, principal, document, version_id, any_state=True)
        return version, self.files.open(version.original_key)

    def _version(
        self,
        work: ReadWork,
        principal: Principal,
        document: Document,
        version_id: uuid.UUID | None,
        *,
        any_state: bool = False,
    ) -> Version:
        wanted = version_id or document.live_version_id
        if wanted is None and any_state:
            return work.versions.of_document(document.id)[0]
        version = work.versions.get(principal.workspace_id, wanted) if wanted else None
        if version is None or version.document_id != document.id:
            raise NotFoundError(
                "no such version of this document" if version_id else "no version of this document is live yet",
                code="version_not_found",
            )
        if not principal.may_read(version.readers):
            raise NotFoundError("no such version of this document", code="version_not_found")
        return version


def _collection_of(work: ReadWork, document: Document) -> Collection:
    collection = work.collections.get(document.workspace_id, document.collection_id)
    if collection is None:
        raise NotFoundError("no such document", code="document_not_found")
    return collection


def apply(
    work: WriteWork,
    documents: Sequence[Document],
    *,
    title: str | None,
    metadata: dict[str, Scalar] | None,
    readers: tuple[str, ...] | None,
    now: dt.datetime,
) -> list[Document]:
    """Give documents, and their versions that answer or are on their way, these parts; None leaves one as it is.

    Gives those that differed, as they now are. Readers of a document with an upload on its way are only narrowed: what they
    open is open when that is live.
    """
    versions = work.versions.of_documents([each.id for each in documents])
    current = [
        each for some in versions.values() for each in some if each.state in (VersionState.PENDING, VersionState.LIVE)
    ]
    work.versions.update_many([_with(each, title, metadata, readers) for each in current])
    pending = {each.document_id for each in current if each.state is VersionState.PENDING}
    changed: list[Document] = []
    for document in documents:
        now_so = _with(document, title, metadata, readers)
        if readers is not None and document.id in pending and document.live_version_id is not None:
            now_so = dataclasses.replace(now_so, readers=meet(document.readers, readers))
        if now_so != document or not filters.same(now_so.metadata, document.metadata):
            changed.append(dataclasses.replace(now_so, updated_at=now))
    work.documents.update_many(changed)
    return changed


def _with(
    named: Named, title: str | None, metadata: dict[str, Scalar] | None, readers: tuple[str, ...] | None
) -> Named:
    return dataclasses.replace(
        named,
        title=named.title if title is None else title,
        metadata=named.metadata if metadata is None else metadata,
        readers=named.readers if readers is None else readers,
    )
