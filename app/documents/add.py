"""Accept an upload: durable bytes, a version, and an item that ingests it; or nothing, if nothing has changed."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
import pathlib
import uuid
from collections.abc import Callable, Sequence

from app.documents import enqueue, uploads
from app.documents.refresh import request_refresh
from app.documents.uploads import Staged, Upload
from app.domain import filters
from app.domain.access import EVERYONE, Principal, Role, meet
from app.domain.documents import Collection, Document, Version, VersionState
from app.domain.errors import ConflictError, EmptyFileError, FootnoteError, ForbiddenError, NotFoundError
from app.domain.ids import new_id
from app.domain.jobs import Job, JobKind
from app.domain.ports import Clock, FileStore, JobQueue
from app.domain.repositories import Database, ReadWork, WriteWork

TEXT = "text/plain"  # the media type of a batch's lines
_IDEMPOTENCY_NAMESPACE = uuid.UUID("a6a9cf1e-8a5c-5f86-8c37-0a9d5b0e5d5a")


class Outcome(enum.StrEnum):
    """What an upload came to."""

    ACCEPTED = "accepted"  # a new version was made and waits to be ingested
    UNCHANGED = "unchanged"  # equal to the live version
    UPDATED = "updated"  # only title, metadata or readers differ; they have been changed
    UNDER_WAY = "under_way"  # its bytes are being ingested already


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What the caller is told."""

    outcome: Outcome
    document: Document
    version: Version
    job: Job | None  # what is under way for it; None where nothing is


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a batch, as bytes in memory."""

    number: int  # 1-based, in the batch
    upload: Upload
    content: bytes  # UTF-8 text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A line that did not go in."""

    line: int  # 1-based
    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchPart:
    """What became of a part of a batch."""

    job_id: uuid.UUID | None  # None while no line was accepted
    accepted: int  # unchanged ones too
    rejected: tuple[Rejected, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One upload, checked, with the ids that it will have if something is made of it."""

    upload: Upload
    media_type: str
    sha256: str
    size_bytes: int
    version_id: uuid.UUID
    document_id: uuid.UUID  # of a new document

    @property
    def original_key(self) -> str:
        return f"originals/{self.version_id.hex[-2:]}/{self.version_id.hex}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a request means, given what the database holds at one moment."""

    outcome: Outcome
    document: Document
    version: Version
    is_new: bool  # the document has no row yet


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AddDocuments:
    """The use case; safe to call from many threads."""

    database: Database
    files: FileStore
    queue: JobQueue
    clock: Clock
    loader_fingerprint: str
    sniff: Callable[[Staged, str, str | None], str]  # file, its name, declared type -> media type; raises by content

    def add(
        self,
        principal: Principal,
        collection_name: str,
        upload: Upload,
        staged: Staged,
        *,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Accept one document.

        The staged file is gone afterwards where a version was made of it; else it is the caller's to remove.

        Raises:
            ForbiddenError: a reader's key.
            NotFoundError: no such collection.
            UnsupportedFormatError, EmptyFileError: by content.
            BadNameError, BadMetadataError: the parts are not well formed.
            ConflictError: the external id is taken by a document that the caller may not read.
        """
        require_editor(principal)
        upload = uploads.checked(upload)
        request = self._request(
            principal,
            upload,
            media_type=self.sniff(staged, upload.filename, upload.media_type),
            digest=(staged.sha256, staged.size_bytes),
            idempotency_key=idempotency_key,
        )
        with self.database.read() as work:
            collection = collection_named(work, principal, collection_name)
            plan = self._plan(work, principal, collection, request)
        if plan.outcome is Outcome.UNCHANGED:
            return Accepted(outcome=plan.outcome, document=plan.document, version=plan.version, job=None)
        kept = False
        try:
            if stored := plan.outcome is Outcome.ACCEPTED:
                self.files.put(request.original_key, staged.path)
            with self.database.write() as work:
                collection = collection_named(work, principal, collection_name)
                plan = self._plan(work, principal, collection, request)
                if plan.outcome is Outcome.ACCEPTED and not stored:  # another client changed the document just now
                    self.files.put(request.original_key, staged.path)
                job = self._apply(work, plan, request_id=request_id)
                work.commit()
                kept = plan.outcome is Outcome.ACCEPTED
        finally:
            if not kept:
                self.files.delete([request.original_key])
        self.queue.nudge()
        return Accepted(outcome=plan.outcome, document=plan.document, version=plan.version, job=job)

    def add_part(
        self,
        principal: Principal,
        collection_name: str,
        lines: Sequence[Line],
        *,
        job_id: uuid.UUID | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> BatchPart:
        """Accept a part of a batch in one transaction; `seal` follows the last part.

        Args:
            principal: who asks.
            collection_name: where the documents go.
            lines: some hundreds; they are in memory at once.
            job_id: the batch's job; None makes it, unsealed, with the first accepted line.
            request_id: for the job's row.
            idempotency_key: names the documents that have no external id, so that the same batch twice is one.
        """
        require_editor(principal)
        rejected: list[Rejected] = []
        requests: list[tuple[Line, _Request]] = []
        for line in lines:
            try:
                if not line.content.strip():
                    raise EmptyFileError("`text` is empty")
                request = self._request(
                    principal,
                    uploads.checked(line.upload),
                    media_type=TEXT,
                    digest=(hashlib.sha256(line.content).hexdigest(), len(line.content)),
                    idempotency_key=f"{idempotency_key}/{line.number}" if idempotency_key else None,
                )
                requests.append((line, request))
            except FootnoteError as error:
                rejected.append(Rejected(line=line.number, code=error.code, message=error.message))
        contents = self._contents(principal, collection_name, requests)
        self.files.write_many(contents)
        kept: set[str] = set()
        try:
            with self.database.write() as work:
                collection = collection_named(work, principal, collection_name)
                job = work.jobs.get(principal.workspace_id, job_id) if job_id else None
                accepted = 0
                for line, request in requests:
                    try:
                        plan = self._plan(work, principal, collection, request)
                    except FootnoteError as error:
                        rejected.append(Rejected(line=line.number, code=error.code, message=error.message))
                        continue
                    if job is None:
                        job = self._batch_job(work, principal, collection, request_id)
                    if plan.outcome is Outcome.ACCEPTED:
                        if request.original_key not in contents:  # another client changed the document just now
                            self.files.write_many({request.original_key: line.content})
                        kept.add(request.original_key)
                    self._apply(work, plan, request_id=request_id, batch=job, ordinal=line.number - 1)
                    accepted += 1
                work.commit()
        except BaseException:
            kept.clear()
            raise
        finally:
            self.files.delete({request.original_key for _, request in requests} - kept)
        rejected.sort(key=lambda each: each.line)
        return BatchPart(job_id=job.id if job else None, accepted=accepted, rejected=tuple(rejected))

    def _contents(
        self, principal: Principal, collection_name: str, requests: Sequence[tuple[Line, _Request]]
    ) -> dict[str, bytes]:
        """The bytes that will be kept as things stand: those of lines that are not there already."""
        contents: dict[str, bytes] = {}
        with self.database.read() as work:
            collection = collection_named(work, principal, collection_name)
            for line, request in requests:
                with contextlib.suppress(FootnoteError):  # said again, and reported, in the writing transaction
                    if self._plan(work, principal, collection, request).outcome is Outcome.ACCEPTED:
                        contents[request.original_key] = line.content
        return contents

    def seal(self, principal: Principal, job_id: uuid.UUID) -> Job:
        """Close a batch: all its lines are in, and its job may end."""
        with self.database.write() as work:
            work.jobs.seal(job_id)
            work.jobs.settle([job_id], self.clock.now())
            job = work.jobs.get(principal.workspace_id, job_id)
            work.commit()
        self.queue.nudge()
        if job is None:
            raise NotFoundError("no such job")
        return job

    def _request(
        self,
        principal: Principal,
        upload: Upload,
        *,
        media_type: str,
        digest: tuple[str, int],
        idempotency_key: str | None,
    ) -> _Request:
        name = f"{principal.workspace_id}/{principal.key_id}/{idempotency_key}"
        return _Request(
            upload=upload,
            media_type=media_type,
            sha256=digest[0],
            size_bytes=digest[1],
            version_id=new_id(),
            document_id=uuid.uuid5(_IDEMPOTENCY_NAMESPACE, name) if idempotency_key else new_id(),
        )

    def _plan(self, work: ReadWork, principal: Principal, collection: Collection, request: _Request) -> _Plan:
        upload = request.upload
        if upload.external_id is not None:
            document = work.documents.by_external_id(collection.id, upload.external_id)
        else:
            document = work.documents.get(principal.workspace_id, request.document_id)
        if document is None:
            return self._plan_new(collection, request)
        if not principal.may_read(document.readers):
            raise ConflictError(
                f"external_id {upload.external_id!r} is taken in this collection", code="external_id_taken"
            )
        versions = work.versions.of_document(document.id)
        newest = next((each for each in versions if each.state in (VersionState.PENDING, VersionState.LIVE)), None)
        seq = versions[0].seq + 1 if versions else 1
        wanted = self._version(request, document, seq=seq)
        if newest is None or (newest.sha256, newest.loader) != (wanted.sha256, wanted.loader):
            return _Plan(outcome=Outcome.ACCEPTED, document=document, version=wanted, is_new=False)
        title = upload.title if upload.title is not None else newest.title
        changed = dataclasses.replace(newest, title=title, metadata=wanted.metadata, readers=wanted.readers)
        if newest.state is VersionState.PENDING:
            return _Plan(outcome=Outcome.UNDER_WAY, document=document, version=changed, is_new=False)
        same = (title, wanted.readers) == (document.title, document.readers) and filters.same(
            wanted.metadata, document.metadata
        )
        outcome = Outcome.UNCHANGED if same else Outcome.UPDATED
        return _Plan(outcome=outcome, document=document, version=changed, is_new=False)

    def _plan_new(self, collection: Collection, request: _Request) -> _Plan:
        now = self.clock.now()
        upload = request.upload
        document = Document(
            id=request.document_id,
            workspace_id=collection.workspace_id,
            collection_id=collection.id,
            external_id=upload.external_id,
            title=upload.title or pathlib.PurePath(upload.filename).stem,
            metadata=dict(upload.metadata or {}),
            readers=tuple(upload.readers or (EVERYONE,)),
            live_version_id=None,
            created_at=now,
            updated_at=now,
        )
        version = self._version(request, document, seq=1)
        return _Plan(outcome=Outcome.ACCEPTED, document=document, version=version, is_new=True)

    def _version(self, request: _Request, document: Document, *, seq: int) -> Version:
        upload = request.upload
        return Version(
            id=request.version_id,
            workspace_id=document.workspace_id,
            document_id=document.id,
            seq=seq,
            state=VersionState.PENDING,
            filename=upload.filename,
            media_type=request.media_type,
            sha256=request.sha256,
            size_bytes=request.size_bytes,
            loader=self.loader_fingerprint,
            title=upload.title or "",  # empty: as the document itself says, found when it is loaded
            metadata=dict(document.metadata if upload.metadata is None else upload.metadata),
            readers=document.readers if upload.readers is None else tuple(upload.readers),
            pages=None,
            text_chars=None,
            chunks=None,
            created_at=self.clock.now(),
        )

    def _apply(
        self, work: WriteWork, plan: _Plan, *, request_id: str | None, batch: Job | None = None, ordinal: int = 0
    ) -> Job | None:
        now = self.clock.now()
        document, version = plan.document, plan.version
        if plan.outcome is Outcome.UNCHANGED:
            return None
        if plan.outcome is Outcome.UNDER_WAY:
            work.versions.update(version)
            self._narrow(work, document, version)
            item = work.jobs.item_of_version(version.id)
            return work.jobs.get(document.workspace_id, item.job_id) if item else None
        if plan.outcome is Outcome.UPDATED:
            changed = dataclasses.replace(
                document, title=version.title, metadata=version.metadata, readers=version.readers, updated_at=now
            )
            work.versions.update(version)
            work.documents.update(changed)
            return request_refresh(work, changed, now=now, request_id=request_id)
        if plan.is_new:
            work.documents.add(document)
        else:
            self._narrow(work, document, version)
        work.versions.add(version)
        if batch is not None:
            item = enqueue.new_item(batch, ordinal=ordinal, document_id=document.id, version_id=version.id, now=now)
            work.jobs.add_items([item], priority=enqueue.PRIORITY_BULK)
            return batch
        job = enqueue.new_job(
            JobKind.INGEST,
            workspace_id=document.workspace_id,
            now=now,
            collection_id=document.collection_id,
            document_id=document.id,
            request_id=request_id,
        )
        return enqueue.single(work, job, version_id=version.id, now=now)

    def _narrow(self, work: WriteWork, document: Document, version: Version) -> None:
        """Close the old version at once to those whom the new one will not admit; open it to nobody new."""
        narrowed = version.readers if document.live_version_id is None else meet(document.readers, version.readers)
        if narrowed != document.readers:
            work.documents.update(dataclasses.replace(document, readers=narrowed, updated_at=self.clock.now()))

    def _batch_job(self, work: WriteWork, principal: Principal, collection: Collection, request_id: str | None) -> Job:
        job = enqueue.new_job(
            JobKind.BATCH,
            workspace_id=principal.workspace_id,
            now=self.clock.now(),
            collection_id=collection.id,
            document_id=None,
            request_id=request_id,
        )
        work.jobs.add(job, sealed=False)
        return job


def require_editor(principal: Principal) -> None:
    """Raise ForbiddenError where the key may only read."""
    if not principal.role.includes(Role.EDITOR):
        raise ForbiddenError("this key may read, not write; it takes a key with the role editor or admin")


def collection_named(work: ReadWork, principal: Principal, name: str) -> Collection:
    """The caller's collection of that name, or NotFoundError."""
    collection = work.collections.by_name(principal.workspace_id, name)
    if collection is None:
        raise NotFoundError(f"no collection named {name!r:.80} in this workspace", code="unknown_collection")
    return collection
