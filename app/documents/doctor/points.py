"""Every index against the chunks of live versions: does each have its point, and each point its chunk?"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence

from app.documents.doctor.page import Page
from app.documents.doctor.rebuild import Rebuild
from app.domain import filters
from app.domain.access import scope
from app.domain.documents import Document, Index, Indexed, chunk_ids
from app.domain.drift import DriftKind, Finding
from app.domain.ports import VectorStore
from app.domain.repositories import Database, ReadWork
from app.domain.vectors import PointState, Space

_PAGE_DOCUMENTS = 200
_PAGE_POINTS = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """A live version in an index that has it whole."""

    document: Document
    index: Index
    note: Indexed

    @property
    def scope(self) -> frozenset[str]:
        return frozenset(scope(self.index.id, self.document.readers))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """The part `points`."""

    database: Database
    vectors: VectorStore
    rebuild: Rebuild

    def pages(self) -> Iterator[Page]:
        """First what indexes lack, then what they have."""
        yield from self._lacking()
        with self.database.read() as work:
            spaces = [Space(name=each.space, dimensions=size) for each, size in work.collections.spaces()]
        for space in spaces:
            points = self.vectors.points(space)
            while page := list(itertools.islice(points, _PAGE_POINTS)):
                yield Page(looked_at=len(page), findings=self._wrong(space, page))

    # From rows to points

    def _lacking(self) -> Iterator[Page]:
        after: uuid.UUID | None = None
        while True:
            with self.database.read() as work:
                page = work.audit.live_page(after=after, limit=_PAGE_DOCUMENTS)
                owners = _owners(work, page)
            if not page:
                return
            after = page[-1]
            findings: list[Finding] = []
            if any(self._absent(owners).values()):  # once more: they may have been replaced meanwhile
                with self.database.read() as work:
                    owners = _owners(work, page)
                absent = self._absent(owners)
                with self.database.read() as work:
                    still = {(each.index.id, each.note.version_id) for each in _owners(work, page)}
                findings = [
                    _missing(each, gone)
                    for each in owners
                    if (gone := absent[each.index.id, each.note.version_id])
                    and (each.index.id, each.note.version_id) in still
                ]
            yield Page(looked_at=0, findings=findings)

    def _absent(self, owners: Sequence[_Owner]) -> dict[tuple[uuid.UUID, uuid.UUID], list[uuid.UUID]]:
        """Chunks without a point, by index and version."""
        wanted = {(each.index.id, each.note.version_id): _ids(each) for each in owners}
        there: set[uuid.UUID] = set()
        for space in {each.index.space for each in owners}:
            ids = [
                one
                for each in owners
                if each.index.space == space
                for one in wanted[each.index.id, each.note.version_id]
            ]
            for first in range(0, len(ids), _PAGE_POINTS):
                there |= self.vectors.present(space, ids[first : first + _PAGE_POINTS])
        return {key: [one for one in ids if one not in there] for key, ids in wanted.items()}

    # From points to rows

    def _wrong(self, space: Space, page: Sequence[PointState]) -> list[Finding]:
        findings = self._judged(space, page)
        if not findings:
            return []
        doubtful = {one for each in findings for one in each.chunk_ids}
        states = self.vectors.states(space, sorted(doubtful))
        return self._judged(space, states)  # as everything is now

    def _judged(self, space: Space, page: Sequence[PointState]) -> list[Finding]:
        with self.database.read() as work:
            rows = work.chunks.places([each.chunk_id for each in page])
            versions = work.versions.many(sorted({row.version_id for row in rows.values()}))
            document_ids = sorted({each.document_id for each in versions.values()})
            owners = {(each.index.id, each.note.version_id): each for each in _owners(work, document_ids)}
            hidden = {note.version_id for note in work.versions.hidden_of(sorted({each.version_id for each in page}))}
        orphaned: dict[uuid.UUID, list[uuid.UUID]] = {}
        readers: dict[uuid.UUID, tuple[_Owner, list[uuid.UUID]]] = {}
        metadata: dict[uuid.UUID, tuple[_Owner, list[uuid.UUID]]] = {}
        for state in page:
            row = rows.get(state.chunk_id)
            if row is None:
                if state.version_id not in hidden:
                    orphaned.setdefault(state.version_id, []).append(state.chunk_id)
                continue
            owner = owners.get((row.index_id, row.version_id))
            if owner is None or owner.index.space != space:
                continue  # on its way in or out
            if state.scope != owner.scope:
                readers.setdefault(owner.document.id, (owner, []))[1].append(state.chunk_id)
            elif not filters.same(state.metadata, owner.document.metadata):
                metadata.setdefault(owner.document.id, (owner, []))[1].append(state.chunk_id)
        return [
            *(_orphaned(space, version_id, ids) for version_id, ids in orphaned.items()),
            *(_stale(DriftKind.POINT_READERS_WRONG, owner, ids) for owner, ids in readers.values()),
            *(_stale(DriftKind.POINT_METADATA_WRONG, owner, ids) for owner, ids in metadata.values()),
        ]

    def repair(self, finding: Finding) -> bool:
        """Mend it, if it still is so."""
        if finding.kind is DriftKind.POINT_ORPHANED:
            return self._delete(finding)
        assert finding.document_id is not None  # noqa: S101 - for the type checker: all others are of a document
        assert finding.version_id is not None  # noqa: S101
        assert finding.index_id is not None  # noqa: S101
        if finding.kind is DriftKind.POINT_MISSING:
            return self.rebuild.fill_up(finding.document_id, finding.version_id, finding.index_id)
        while True:  # until what was written is what the database says
            with self.database.read() as work:
                owners = [
                    each
                    for each in _owners(work, [finding.document_id])
                    if (each.index.id, each.note.version_id) == (finding.index_id, finding.version_id)
                ]
            if not owners:
                return True  # replaced meanwhile
            owner = owners[0]
            states = self.vectors.states(owner.index.space, _ids(owner))
            if all(_right(owner, each) for each in states):
                return True
            self.vectors.set_access(
                owner.index.space,
                _ids(owner),
                scope=scope(owner.index.id, owner.document.readers),
                metadata=owner.document.metadata,
            )

    def _delete(self, finding: Finding) -> bool:
        with self.database.read() as work:
            rows = work.chunks.places(finding.chunk_ids)
            sizes = {each.space: size for each, size in work.collections.spaces()}
        assert finding.space is not None  # noqa: S101 - for the type checker: a point is in a space
        space = Space(name=finding.space, dimensions=sizes[finding.space])
        self.vectors.delete_points(space, [each for each in finding.chunk_ids if each not in rows])
        return True


def _owners(work: ReadWork, document_ids: Sequence[uuid.UUID]) -> list[_Owner]:
    """Live versions of these documents by index, those alone that no unfinished item is at."""
    busy = work.audit.under_change(document_ids)
    documents = [each for each in work.documents.many(document_ids).values() if each.id not in busy]
    noted = work.chunks.indexed([each.live_version_id for each in documents if each.live_version_id is not None])
    indexes: Mapping[uuid.UUID, list[Index]] = work.collections.indexes(
        sorted({each.collection_id for each in documents})
    )
    return [
        _Owner(document=document, index=index, note=note)
        for document in documents
        for index in indexes.get(document.collection_id, [])
        if document.live_version_id is not None
        and (note := noted.get((index.id, document.live_version_id))) is not None
        and note.whole
    ]


def _right(owner: _Owner, state: PointState) -> bool:
    return state.scope == owner.scope and filters.same(state.metadata, owner.document.metadata)


def _ids(owner: _Owner) -> list[uuid.UUID]:
    return chunk_ids(owner.index.id, owner.note.version_id, owner.note.chunks)


def _missing(owner: _Owner, gone: Sequence[uuid.UUID]) -> Finding:
    return Finding(
        kind=DriftKind.POINT_MISSING,
        detail=f"{len(gone)} of {owner.note.chunks} points are missing",
        document_id=owner.document.id,
        version_id=owner.note.version_id,
        index_id=owner.index.id,
        space=owner.index.space.name,
        count=len(gone),
    )


def _orphaned(space: Space, version_id: uuid.UUID, ids: Sequence[uuid.UUID]) -> Finding:
    return Finding(
        kind=DriftKind.POINT_ORPHANED,
        detail=f"{len(ids)} points of no chunk",
        version_id=version_id,
        space=space.name,
        chunk_ids=tuple(ids),
        count=len(ids),
    )


def _stale(kind: DriftKind, owner: _Owner, ids: Sequence[uuid.UUID]) -> Finding:
    what = "readers" if kind is DriftKind.POINT_READERS_WRONG else "metadata"
    return Finding(
        kind=kind,
        detail=f"{len(ids)} points have other {what} than their document",
        document_id=owner.document.id,
        version_id=owner.note.version_id,
        index_id=owner.index.id,
        space=owner.index.space.name,
        chunk_ids=tuple(ids),
        count=len(ids),
    )
