"""What a batch of an archive means for a collection, and the rows that begin it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Sequence

from app.documents import enqueue
from app.documents.archive.form import Record
from app.documents.archive.reading import Batch
from app.domain import filters
from app.domain.access import meet
from app.domain.documents import Collection, Document, Index, Version, VersionState
from app.domain.ids import new_id
from app.domain.jobs import Item, Job, JobKind, JobState
from app.domain.repositories import ReadWork, WriteWork

_NAMESPACE = uuid.UUID("0f0a7b1e-0d3a-5c0d-9a3e-2f6b54c1d8aa")


class Fate(enum.StrEnum):
    """What becomes of a document of an archive."""

    ADDED = "added"  # a new document
    REPLACED = "replaced"  # a new version of one that is there
    UNCHANGED = "unchanged"  # there just so
    UNDER_WAY = "under_way"  # there just so, not live yet


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One document of a batch."""

    at: int  # in the batch
    record: Record
    fate: Fate
    document: Document  # the one that is there, or the new one
    version: Version  # the one that is there, or the new one

    @property
    def writes(self) -> bool:
        """Whether there is something to be done."""
        return self.fate in (Fate.ADDED, Fate.REPLACED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The archive that is imported, as far as rows tell of it."""

    digest: str
    workspace_id: uuid.UUID
    key_id: uuid.UUID | None
    request_id: str | None


class Merge:
    """Plans for one batch. Made once, asked twice: before files are written, and in the unit that writes rows."""

    def __init__(
        self, source: Source, collection: Collection, batch: Batch, *, loader: str | None, now: dt.datetime
    ) -> None:
        """Give every document the ids that it will have if something is made of it.

        A document without external id gets one that the archive and its place in it decide: a second import of the same
        archive finds it.

        Args:
            source: the archive.
            collection: where its documents go.
            batch: some of them.
            loader: fingerprint of the loaders that will read the originals; None where the archive's texts are taken.
            now: the time.
        """
        self._collection = collection
        self._batch = batch
        self._loader = loader
        self._now = now
        self._versions = [new_id() for _ in batch.records]
        self._documents = [
            new_id()
            if record.external_id is not None
            else uuid.uuid5(_NAMESPACE, f"{collection.id}/{source.digest}/{batch.first + at}")
            for at, record in enumerate(batch.records)
        ]

    def plans(self, work: ReadWork) -> list[Plan]:
        """What each document comes to, given what the database holds."""
        names = [record.external_id for record in self._batch.records if record.external_id is not None]
        by_name = work.documents.by_external_ids(self._collection.id, names)
        unnamed = work.documents.many(
            [
                document_id
                for document_id, record in zip(self._documents, self._batch.records, strict=True)
                if record.external_id is None
            ]
        )
        there = [*by_name.values(), *unnamed.values()]
        versions = work.versions.of_documents([document.id for document in there])
        found: list[Plan] = []
        for at, record in enumerate(self._batch.records):
            name = record.external_id
            document = unnamed.get(self._documents[at]) if name is None else by_name.get(name)
            found.append(self._plan(at, record, document, versions.get(document.id, []) if document else []))
        return found

    def _plan(self, at: int, record: Record, document: Document | None, versions: Sequence[Version]) -> Plan:
        if document is None:
            document = self._new(at, record)
            version = self._version(at, record, document, seq=1)
            return Plan(at=at, record=record, fate=Fate.ADDED, document=document, version=version)
        newest = next((each for each in versions if each.state in (VersionState.PENDING, VersionState.LIVE)), None)
        if newest is not None and _same(record, newest):
            fate = Fate.UNCHANGED if newest.state is VersionState.LIVE else Fate.UNDER_WAY
            return Plan(at=at, record=record, fate=fate, document=document, version=newest)
        version = self._version(at, record, document, seq=versions[0].seq + 1 if versions else 1)
        return Plan(at=at, record=record, fate=Fate.REPLACED, document=document, version=version)

    def _new(self, at: int, record: Record) -> Document:
        return Document(
            id=self._documents[at],
            workspace_id=self._collection.workspace_id,
            collection_id=self._collection.id,
            external_id=record.external_id,
            title=record.title,
            metadata=record.metadata,
            readers=record.readers,
            live_version_id=None,
            created_at=self._now,
            updated_at=self._now,
        )

    def _version(self, at: int, record: Record, document: Document, *, seq: int) -> Version:
        known = self._loader is None
        return Version(
            id=self._versions[at],
            workspace_id=document.workspace_id,
            document_id=document.id,
            seq=seq,
            state=VersionState.PENDING,
            filename=record.filename,
            media_type=record.media_type,
            sha256=record.sha256,
            size_bytes=record.size_bytes,
            loader=self._loader or record.loader,
            title=record.title,
            metadata=record.metadata,
            readers=record.readers,
            pages=record.pages if known else None,
            text_chars=record.text_chars if known else None,
            chunks=record.chunks if known else None,
            created_at=self._now,
            marks=record.marks,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lessee:
    """Who works on what is begun, and until when nobody else may."""

    owner: str
    until: dt.datetime


def begin(
    work: WriteWork, source: Source, index: Index, plans: Sequence[Plan], *, lessee: Lessee | None, now: dt.datetime
) -> tuple[Job, dict[uuid.UUID, Item]]:
    """Write the rows of what is to be done, in the caller's transaction: documents, versions, a job, an item a version.

    With a lessee the items are claimed already, and their versions noted as hidden, since points of them may exist from
    now on. Should it die, the sweeper gives the items to a worker, who ingests the originals: nothing is left half done.

    Returns:
        The job, and its items by version.
    """
    wanted = [plan for plan in plans if plan.writes]
    work.documents.add_many([plan.document for plan in wanted if plan.fate is Fate.ADDED])
    work.documents.update_many(_narrowed([plan for plan in wanted if plan.fate is Fate.REPLACED], now))
    work.versions.add_many([plan.version for plan in wanted])
    job = enqueue.new_job(
        JobKind.BATCH,
        workspace_id=source.workspace_id,
        now=now,
        collection_id=index.collection_id,
        document_id=None,
        request_id=source.request_id,
        key_id=source.key_id,
    )
    items = [
        enqueue.new_item(job, ordinal=at, document_id=plan.document.id, version_id=plan.version.id, now=now)
        for at, plan in enumerate(wanted)
    ]
    if lessee is not None:
        job = dataclasses.replace(job, state=JobState.RUNNING, started_at=now)
        claimed = {"state": JobState.RUNNING, "lease_owner": lessee.owner, "lease_expires_at": lessee.until}
        items = [dataclasses.replace(item, lease_token=1, **claimed) for item in items]  # type: ignore[arg-type]
        work.versions.hide(
            [plan.version.id for plan in wanted],
            document_ids=[plan.document.id for plan in wanted],
            space=index.fingerprints.space,
            now=now,
        )
    work.jobs.add(job)
    work.jobs.add_items(items, priority=enqueue.PRIORITY_BULK)
    return job, {plan.version.id: item for plan, item in zip(wanted, items, strict=True)}


def _narrowed(plans: Sequence[Plan], now: dt.datetime) -> list[Document]:
    """Close the old version at once to those whom the new one will not admit; open it to nobody new."""
    changed: list[Document] = []
    for plan in plans:
        live = plan.document.live_version_id is not None
        readers = meet(plan.document.readers, plan.version.readers) if live else plan.version.readers
        if readers != plan.document.readers:
            changed.append(dataclasses.replace(plan.document, readers=readers, updated_at=now))
    return changed


def _same(record: Record, version: Version) -> bool:
    return (
        record.sha256 == version.sha256
        and record.title == version.title
        and set(record.readers) == set(version.readers)
        and filters.same(record.metadata, version.metadata)
    )
