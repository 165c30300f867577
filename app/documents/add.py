"""Accept an upload: durable bytes, a version, and an item that ingests it; or nothing, if nothing has changed."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence

from app.documents import enqueue, uploads
from app.documents.plan import Outcome, Plan, Plans, Request
from app.documents.refresh import Refresh, request_refresh
from app.documents.room import QueueRoom
from app.documents.uploads import Staged, Upload
from app.domain.access import Principal, Role, meet
from app.domain.documents import Collection, Document, Version
from app.domain.errors import (
    ConflictError,
    EmptyFileError,
    FootnoteError,
    ForbiddenError,
    NotFoundError,
    TransientError,
)
from app.domain.ids import new_id
from app.domain.jobs import Job, JobKind
from app.domain.ports import Clock, FileStore, JobQueue
from app.domain.repositories import Database, ReadWork, WriteWork

TEXT = "text/plain"  # the media type of a batch's lines
_IDEMPOTENCY_NAMESPACE = uuid.UUID("a6a9cf1e-8a5c-5f86-8c37-0a9d5b0e5d5a")


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

    job_id: uuid.UUID | None  # None while every line was rejected
    outcomes: Mapping[Outcome, int]  # lines by what they came to; the accepted ones are the job's items
    rejected: tuple[Rejected, ...]


@dataclasses.dataclass(slots=True, kw_only=True)
class _Part:
    """What became of a part's lines, while they are written."""

    job: Job | None
    outcomes: collections.Counter[Outcome] = dataclasses.field(default_factory=collections.Counter)
    kept: set[str] = dataclasses.field(default_factory=set)  # keys of originals that rows name now
    updated: list[Document] = dataclasses.field(default_factory=list)
    rejected: list[Rejected] = dataclasses.field(default_factory=list)

    def count(self, plan: Plan, request: Request) -> None:
        self.outcomes[plan.outcome] += 1
        if plan.outcome is Outcome.ACCEPTED:
            self.kept.add(request.original_key)
        elif plan.outcome is Outcome.UPDATED:
            self.updated.append(plan.document)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AddDocuments:
    """The use case; safe to call from many threads."""

    database: Database
    files: FileStore
    queue: JobQueue
    clock: Clock
    refresh: Refresh
    room: QueueRoom
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
        priority: int = enqueue.PRIORITY_PERSON,
    ) -> Accepted:
        """Accept one document.

        The staged file is gone afterwards where a version was made of it; else it is the caller's to remove.

        Raises:
            QueueFullError: it would have to be ingested, and the workspace has as much queued as it may.
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
            plan = Plans(work, principal, collection, [request]).of(request)
        if plan.outcome is Outcome.UNCHANGED:
            self._keep_again(plan.version, staged)
            return Accepted(outcome=plan.outcome, document=plan.document, version=plan.version, job=None)
        stored = kept = False
        try:
            if plan.outcome is Outcome.ACCEPTED:
                self.room.require(principal.workspace_id)
                self.files.put(request.original_key, staged.path)
                stored = True
            with self.database.write() as work:
                collection = collection_named(work, principal, collection_name)
                plan = Plans(work, principal, collection, [request]).of(request)
                if plan.outcome is Outcome.ACCEPTED and not stored:  # another client changed the document just now
                    self.files.put(request.original_key, staged.path)
                    stored = True
                job = self._apply(work, plan, principal=principal, request_id=request_id, priority=priority)
                kept = (
                    plan.outcome is Outcome.ACCEPTED
                )  # from here on: a commit whose answer is lost may have been made
                work.commit()
                if kept:
                    self.room.took(principal.workspace_id, 1)
        finally:
            if stored and not kept:
                self._discard([request.original_key])
        if plan.outcome is Outcome.UPDATED:
            self.refresh.at_once([plan.document])
        self.queue.nudge()
        return Accepted(outcome=plan.outcome, document=plan.document, version=plan.version, job=job)

    def _keep_again(self, version: Version, staged: Staged) -> None:
        """Put the same bytes back where the store has lost them; not while it does not answer."""
        with contextlib.suppress(TransientError):
            try:
                self.files.open(version.original_key).close()
            except NotFoundError:
                self.files.put(version.original_key, staged.path)

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
        requests: list[tuple[Line, Request]] = []
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
        written, kept = set(contents), set[str]()
        room = self.room.left(principal.workspace_id)
        try:
            with self.database.write() as work:
                collection = collection_named(work, principal, collection_name)
                job = work.jobs.get(principal.workspace_id, job_id) if job_id else None
                if job is not None and job.state.final:
                    raise ConflictError(
                        "this batch was taken for abandoned; send the rest as another", code="batch_closed"
                    )
                part = self._write(work, principal, collection, requests, job=job, room=room, request_id=request_id)
                missing = part.kept - written  # of documents that another client changed just now
                self.files.write_many(
                    {
                        request.original_key: line.content
                        for line, request in requests
                        if request.original_key in missing
                    }
                )
                written |= missing
                kept = part.kept  # from here on: a commit whose answer is lost may have been made
                work.commit()
                self.room.took(principal.workspace_id, part.outcomes[Outcome.ACCEPTED])
        finally:
            self._discard(written - kept)
        self.refresh.at_once(part.updated)
        self.queue.nudge()
        rejected = sorted([*rejected, *part.rejected], key=lambda each: each.line)
        return BatchPart(job_id=part.job.id if part.job else None, outcomes=part.outcomes, rejected=tuple(rejected))

    def _write(
        self,
        work: WriteWork,
        principal: Principal,
        collection: Collection,
        requests: Sequence[tuple[Line, Request]],
        *,
        job: Job | None,
        room: int,
        request_id: str | None,
    ) -> _Part:
        """Plan and write every line; new documents, most of a first import, share their statements.

        Lines that would have to be ingested and for which there is no room in the queue are rejected.
        """
        plans = Plans(work, principal, collection, [request for _, request in requests])
        part = _Part(job=job)
        fresh: list[tuple[Plan, int]] = []  # new documents not written yet, with their items' ordinals
        for line, request in requests:
            try:
                plan = plans.of(request)
            except FootnoteError as error:
                part.rejected.append(Rejected(line=line.number, code=error.code, message=error.message))
                continue
            if plan.outcome is Outcome.ACCEPTED and part.outcomes[Outcome.ACCEPTED] >= room:
                full = self.room.full()
                part.rejected.append(Rejected(line=line.number, code=full.code, message=full.message))
                continue
            if part.job is None:
                part.job = self._batch_job(work, principal, collection, request_id)
            part.count(plan, request)
            if plan.is_new:
                plans.added(plan)
                fresh.append((plan, line.number - 1))
                continue
            self._add_new(work, fresh, part.job)
            fresh.clear()
            self._apply(work, plan, principal=principal, request_id=request_id, batch=part.job, ordinal=line.number - 1)
            plans.look_again(work, plan.document)
        if part.job is not None:
            self._add_new(work, fresh, part.job)
        return part

    def _add_new(self, work: WriteWork, fresh: Sequence[tuple[Plan, int]], batch: Job) -> None:
        """Insert new documents, their versions, and the batch's items that ingest them."""
        now = self.clock.now()
        work.documents.add_many([plan.document for plan, _ in fresh])
        work.versions.add_many([plan.version for plan, _ in fresh])
        items = [
            enqueue.new_item(batch, ordinal=ordinal, document_id=plan.document.id, version_id=plan.version.id, now=now)
            for plan, ordinal in fresh
        ]
        work.jobs.add_items(items, priority=enqueue.PRIORITY_BULK)

    def _discard(self, keys: Iterable[str]) -> None:
        """Remove what no row names; where that can't be done now, the sweep of orphans does it."""
        with contextlib.suppress(TransientError):
            self.files.delete(keys)

    def _contents(
        self, principal: Principal, collection_name: str, requests: Sequence[tuple[Line, Request]]
    ) -> dict[str, bytes]:
        """The bytes that will be kept as things stand: those of lines that are not there already."""
        contents: dict[str, bytes] = {}
        with self.database.read() as work:
            collection = collection_named(work, principal, collection_name)
            plans = Plans(work, principal, collection, [request for _, request in requests])
            for line, request in requests:
                with contextlib.suppress(FootnoteError):  # said again, and reported, in the writing transaction
                    if plans.of(request).outcome is Outcome.ACCEPTED:
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
    ) -> Request:
        name = f"{principal.workspace_id}/{principal.key_id}/{idempotency_key}"
        return Request(
            upload=upload,
            media_type=media_type,
            sha256=digest[0],
            size_bytes=digest[1],
            version_id=new_id(),
            document_id=uuid.uuid5(_IDEMPOTENCY_NAMESPACE, name) if idempotency_key else new_id(),
            loader=self.loader_fingerprint,
            now=self.clock.now(),
        )

    def _apply(
        self,
        work: WriteWork,
        plan: Plan,
        *,
        principal: Principal,
        request_id: str | None,
        batch: Job | None = None,
        ordinal: int = 0,
        priority: int = enqueue.PRIORITY_PERSON,
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
            return request_refresh(work, changed, now=now, request_id=request_id, key_id=principal.key_id)
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
            key_id=principal.key_id,
        )
        return enqueue.single(work, job, version_id=version.id, now=now, priority=priority)

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


def collection_named(work: ReadWork, principal: Principal, name: str, *, alone: bool = False) -> Collection:
    """The caller's collection of that name, or NotFoundError; `alone` for units that change it."""
    collection = work.collections.by_name(principal.workspace_id, name, alone=alone)
    if collection is None:
        raise NotFoundError(f"no collection named {name!r:.80} in this workspace", code="unknown_collection")
    return collection
