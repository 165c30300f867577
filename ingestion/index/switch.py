"""The moment in which a version becomes the live one, and the old one ceases to be: one transaction."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence

from app.domain import filters
from app.domain.access import meet
from app.domain.documents import Document, Index, Indexed, Version, VersionState
from app.domain.jobs import Item, JobState, Warning_
from app.domain.repositories import Outcome, WriteWork


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An item whose version is completely in the index."""

    item: Item
    version: Version  # as it was indexed: its readers and metadata are those of its points
    indexes: Mapping[uuid.UUID, int]  # its chunks by index, in each of which it is whole
    warnings: tuple[Warning_, ...]

    def noted(self) -> list[Indexed]:
        """That the version is whole in its indexes."""
        return [
            Indexed(index_id=index_id, version_id=self.version.id, chunks=chunks, whole=True)
            for index_id, chunks in self.indexes.items()
        ]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What came of a switch."""

    ended: tuple[Outcome, ...]  # written: these items are final now
    changed: tuple[Whole, ...]  # not switched: readers or metadata changed since their points were written
    lacking: tuple[tuple[Whole, tuple[Index, ...]], ...]  # not switched: their collections have these indexes too


def switch(work: WriteWork, whole: Sequence[Whole], now: dt.datetime, *, serve: Callable[[Index], bool]) -> Switched:
    """Make versions live where they still may be, in the caller's transaction.

    An item whose lease moved on is passed over. A version older than the live one ends as superseded, with a warning.
    One whose readers or metadata were changed meanwhile is given back as it now is: its points come first. So is one whose
    collection has got another index which this process can serve.
    """
    work.collections.hold(_collections(work, whole))
    work.documents.hold(each.version.document_id for each in whole)
    held = work.jobs.held({each.item.id: each.item.lease_token for each in whole})
    mine = [each for each in whole if each.item.id in held]
    moment = _Moment.read(work, mine, now)
    ended: list[Outcome] = []
    changed: list[Whole] = []
    lacking: list[tuple[Whole, tuple[Index, ...]]] = []
    for each in sorted(mine, key=lambda one: (one.version.document_id.int, one.version.seq)):
        version = moment.version(each.version)
        if version is None or version.state is not VersionState.PENDING:
            continue
        if version.readers != each.version.readers or not filters.same(version.metadata, each.version.metadata):
            changed.append(dataclasses.replace(each, version=version))
            continue
        more = [index for index in moment.indexes_of(version) if index.id not in each.indexes and serve(index)]
        if more:
            lacking.append((each, tuple(more)))
            continue
        superseded = moment.make_live(version, each)
        warnings = (*each.warnings, superseded) if superseded else each.warnings
        state = JobState.COMPLETED_WITH_WARNINGS if warnings else JobState.COMPLETED
        ended.append(Outcome(item_id=each.item.id, lease_token=each.item.lease_token, state=state, warnings=warnings))
    moment.write(work)
    work.jobs.finish(ended, now)
    return Switched(ended=tuple(ended), changed=tuple(changed), lacking=tuple(lacking))


def _collections(work: WriteWork, whole: Sequence[Whole]) -> list[uuid.UUID]:
    indexes = [work.collections.index(index_id) for index_id in sorted({i for each in whole for i in each.indexes})]
    return [index.collection_id for index in indexes if index is not None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """The documents of a switch with all their versions: read at once, changed here, written at once."""

    now: dt.datetime
    documents: dict[uuid.UUID, Document]
    versions: dict[uuid.UUID, dict[uuid.UUID, Version]]  # by document, newest first
    written: dict[uuid.UUID, Version] = dataclasses.field(default_factory=dict)
    indexes: dict[uuid.UUID, list[Index]] = dataclasses.field(default_factory=dict)  # by collection, the live one first
    hidden: list[Version] = dataclasses.field(default_factory=list)
    noted: list[Indexed] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, work: WriteWork, whole: Sequence[Whole], now: dt.datetime) -> _Moment:
        document_ids = sorted({each.version.document_id for each in whole})
        documents = work.documents.many(document_ids)
        versions = work.versions.of_documents(document_ids)
        return cls(
            now=now,
            documents=documents,
            indexes=work.collections.indexes(sorted({each.collection_id for each in documents.values()})),
            versions={document_id: {each.id: each for each in some} for document_id, some in versions.items()},
        )

    def version(self, version: Version) -> Version | None:
        """The version as it is now."""
        return self.versions.get(version.document_id, {}).get(version.id)

    def indexes_of(self, version: Version) -> list[Index]:
        """Those that uploads of its document go into."""
        document = self.documents.get(version.document_id)
        return self.indexes.get(document.collection_id, []) if document else []

    def make_live(self, version: Version, whole: Whole) -> Warning_ | None:
        document = self.documents.get(version.document_id)
        if document is None:
            message = f"no undeleted document {version.document_id} though its item is held"
            raise AssertionError(message)  # a delete cancels the items of its document in its own transaction
        siblings = self.versions[document.id]
        live = siblings.get(document.live_version_id) if document.live_version_id else None
        if live is not None and live.seq > version.seq:
            self._put(version, VersionState.SUPERSEDED)
            return Warning_(
                code="superseded",
                message=f"a later upload of this document (number {live.seq}) went live before this one "
                f"(number {version.seq})",
            )
        if live is not None:
            self._put(live, VersionState.SUPERSEDED)
            self.hidden.append(live)
        self._put(version, VersionState.LIVE)
        self.noted.extend(whole.noted())
        # A later upload that is under way: its readers, if fewer, hold already.
        newer = next((e for e in siblings.values() if e.state is VersionState.PENDING and e.seq > version.seq), None)
        self.documents[document.id] = dataclasses.replace(
            document,
            live_version_id=version.id,
            title=version.title,
            metadata=version.metadata,
            readers=meet(version.readers, newer.readers) if newer else version.readers,
            updated_at=self.now,
        )
        return None

    def _put(self, version: Version, state: VersionState) -> None:
        changed = dataclasses.replace(version, state=state)
        self.versions[version.document_id][version.id] = self.written[version.id] = changed

    def write(self, work: WriteWork) -> None:
        """What was changed, in few statements."""
        work.versions.update_many(list(self.written.values()))
        for version in self.hidden:
            for space in sorted({index.space.name for index in self.indexes_of(version)}):
                work.versions.hide([version.id], document_ids=[version.document_id], space=space, now=self.now)
        work.chunks.note_indexed(self.noted)
        live = [version for version in self.written.values() if version.state is VersionState.LIVE]
        work.versions.unhide([version.id for version in live])
        work.documents.update_many([self.documents[version.document_id] for version in live])
