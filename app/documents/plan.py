"""What an upload means, given what the database holds: a new version, a change of what is around it, or nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
import uuid
from collections.abc import Sequence

from app.documents.uploads import Upload
from app.domain import filters
from app.domain.access import EVERYONE, Principal
from app.domain.documents import Collection, Document, Version, VersionState, original_key
from app.domain.errors import ConflictError
from app.domain.repositories import ReadWork


class Outcome(enum.StrEnum):
    """What an upload came to."""

    ACCEPTED = "accepted"  # a new version was made and waits to be ingested
    UNCHANGED = "unchanged"  # equal to the live version
    UPDATED = "updated"  # only title, metadata or readers differ; they have been changed
    UNDER_WAY = "under_way"  # its bytes are being ingested already


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One upload, checked, with the ids that it will have if something is made of it."""

    upload: Upload
    media_type: str
    sha256: str
    size_bytes: int
    version_id: uuid.UUID
    document_id: uuid.UUID  # of a new document
    loader: str  # fingerprint of the loaders that will read it
    now: dt.datetime

    @property
    def original_key(self) -> str:
        """Where the file store keeps its bytes."""
        return original_key(self.version_id)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a request comes to."""

    outcome: Outcome
    document: Document
    version: Version
    is_new: bool  # the document has no row yet


class Plans:
    """Plans of requests for one collection, from one look at the database for all of them."""

    def __init__(
        self, work: ReadWork, principal: Principal, collection: Collection, requests: Sequence[Request]
    ) -> None:
        """Read the documents that the requests name, with their versions.

        Args:
            work: the unit in which the plans hold.
            principal: who asks.
            collection: where the documents go.
            requests: all that will be planned.
        """
        self._principal = principal
        self._collection = collection
        named = [request.upload.external_id for request in requests if request.upload.external_id is not None]
        unnamed = [request.document_id for request in requests if request.upload.external_id is None]
        self._by_name = work.documents.by_external_ids(collection.id, named)
        self._by_id = {
            each.id: each
            for each in work.documents.many(unnamed).values()
            if each.workspace_id == principal.workspace_id
        }
        known = [document.id for document in (*self._by_name.values(), *self._by_id.values())]
        self._versions = work.versions.of_documents(known)

    def of(self, request: Request) -> Plan:
        """What the request comes to.

        Raises:
            ConflictError: its external id is that of a document which the caller may not read.
        """
        name = request.upload.external_id
        document = self._by_id.get(request.document_id) if name is None else self._by_name.get(name)
        if document is None:
            return _new(self._collection, request)
        if not self._principal.may_read(document.readers):
            raise ConflictError(f"external_id {name!r} is taken in this collection", code="external_id_taken")
        return _of_document(document, self._versions.get(document.id, []), request)

    def added(self, plan: Plan) -> None:
        """A new document was added as planned; requests that follow are for it, too."""
        self._note(plan.document)
        self._versions[plan.document.id] = [plan.version]

    def look_again(self, work: ReadWork, document: Document) -> None:
        """The document was changed."""
        for found in work.documents.many([document.id]).values():
            self._note(found)
        self._versions[document.id] = work.versions.of_document(document.id)

    def _note(self, document: Document) -> None:
        if document.external_id is None:
            self._by_id[document.id] = document
        else:
            self._by_name[document.external_id] = document


def _of_document(document: Document, versions: Sequence[Version], request: Request) -> Plan:
    """What the request comes to where the document is there; its versions are given newest first."""
    upload = request.upload
    newest = next((each for each in versions if each.state in (VersionState.PENDING, VersionState.LIVE)), None)
    seq = versions[0].seq + 1 if versions else 1
    wanted = _version(request, document, seq=seq)
    if newest is None or (newest.sha256, newest.loader) != (wanted.sha256, wanted.loader):
        return Plan(outcome=Outcome.ACCEPTED, document=document, version=wanted, is_new=False)
    title = upload.title if upload.title is not None else newest.title
    changed = dataclasses.replace(newest, title=title, metadata=wanted.metadata, readers=wanted.readers)
    if newest.state is VersionState.PENDING:
        return Plan(outcome=Outcome.UNDER_WAY, document=document, version=changed, is_new=False)
    same = (title, wanted.readers) == (document.title, document.readers) and filters.same(
        wanted.metadata, document.metadata
    )
    outcome = Outcome.UNCHANGED if same else Outcome.UPDATED
    return Plan(outcome=outcome, document=document, version=changed, is_new=False)


def _new(collection: Collection, request: Request) -> Plan:
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
        created_at=request.now,
        updated_at=request.now,
    )
    return Plan(outcome=Outcome.ACCEPTED, document=document, version=_version(request, document, seq=1), is_new=True)


def _version(request: Request, document: Document, *, seq: int) -> Version:
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
        loader=request.loader,
        title=upload.title or "",  # empty: as the document itself says, found when it is loaded
        metadata=dict(document.metadata if upload.metadata is None else upload.metadata),
        readers=document.readers if upload.readers is None else tuple(upload.readers),
        pages=None,
        text_chars=None,
        chunks=None,
        created_at=request.now,
    )
