"""The database against itself: everything in one statement each, so nothing is caught half-way."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

from app.documents import enqueue
from app.documents.doctor.page import Page
from app.documents.doctor.rebuild import Rebuild
from app.documents.remove import spaces_of
from app.domain.documents import Document, Version, VersionState
from app.domain.drift import DriftKind, Finding
from app.domain.jobs import JobKind
from app.domain.ports import Clock
from app.domain.repositories import Database, ReadWork, WriteWork

_LIMIT = 1000  # findings of one kind that one look gives
_PAGE = 500  # documents


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The part `rows`."""

    database: Database
    clock: Clock
    rebuild: Rebuild

    def pages(self) -> Iterator[Page]:
        """What contradicts itself, then documents page by page."""
        with self.database.read() as work:
            findings = list(self._statements(work))
        yield Page(looked_at=0, findings=findings)
        yield from self._conditions()
        yield from self._chunks()

    def _statements(self, work: ReadWork) -> Iterator[Finding]:
        audit = work.audit
        for table, count in audit.orphans().items():
            yield Finding(kind=DriftKind.ROW_ORPHANED, detail=f"rows of {table} without a parent", count=count)
        for document_id in audit.live_wrong(limit=_LIMIT):
            detail = "the document's live version is none, or another one is marked live"
            yield Finding(kind=DriftKind.LIVE_VERSION_WRONG, detail=detail, document_id=document_id)
        for document_id, version_id in audit.live_hidden(limit=_LIMIT):
            yield Finding(
                kind=DriftKind.LIVE_VERSION_HIDDEN,
                detail="a note keeps the live version out of searches",
                document_id=document_id,
                version_id=version_id,
            )
        for document_id, version_id in audit.stuck(limit=_LIMIT):
            yield Finding(
                kind=DriftKind.VERSION_STUCK,
                detail="an upload was accepted and no job is at it",
                document_id=document_id,
                version_id=version_id,
            )
        for each in (*audit.unpurged(limit=_LIMIT), *audit.unpurged_collections(limit=_LIMIT)):
            yield Finding(
                kind=DriftKind.PURGE_MISSING,
                detail=f"the {'document' if each.document_id else 'collection'} was deleted and no job removes it",
                workspace_id=each.workspace_id,
                collection_id=each.collection_id,
                document_id=each.document_id,
            )
        for job_id in audit.unsettled(limit=_LIMIT):
            detail = "all items of the job have ended and the job has not"
            yield Finding(kind=DriftKind.JOB_UNSETTLED, detail=detail, job_id=job_id)
        for document_id, version_id in audit.chunks_left(limit=_LIMIT):
            yield Finding(
                kind=DriftKind.CHUNK_ORPHANED,
                detail="a version that answers no more still has chunks",
                document_id=document_id,
                version_id=version_id,
            )

    def _conditions(self) -> Iterator[Page]:
        after: uuid.UUID | None = None
        while True:
            with self.database.read() as work:
                wrong, after = work.audit.conditions_wrong(after=after, limit=_PAGE)
            if after is None:
                return
            detail = "the rows that SQL filters by differ from the document's readers or metadata"
            findings = [Finding(kind=DriftKind.CONDITIONS_WRONG, detail=detail, document_id=each) for each in wrong]
            yield Page(looked_at=_PAGE, findings=findings)

    def _chunks(self) -> Iterator[Page]:
        after: uuid.UUID | None = None
        while True:
            with self.database.read() as work:
                page = work.audit.live_page(after=after, limit=_PAGE)
                findings = list(_miscounted(work, page))
            if not page:
                return
            after = page[-1]
            yield Page(looked_at=0, findings=findings)

    def repair(self, finding: Finding) -> bool:
        """Mend it, if it still is so; False where that can't be."""
        match finding.kind:
            case DriftKind.CHUNK_MISSING | DriftKind.POINT_MISSING:
                assert finding.document_id is not None  # noqa: S101 - for the type checker, as the next ones
                assert finding.version_id is not None  # noqa: S101
                assert finding.index_id is not None  # noqa: S101
                whole = finding.kind is DriftKind.CHUNK_MISSING
                repair = self.rebuild.cut_again if whole else self.rebuild.fill_up
                return repair(finding.document_id, finding.version_id, finding.index_id)
            case DriftKind.ROW_ORPHANED:
                with self.database.write() as work:
                    work.audit.remove_orphans()
                    work.commit()
            case DriftKind.JOB_UNSETTLED:
                assert finding.job_id is not None  # noqa: S101
                with self.database.write() as work:
                    work.jobs.settle([finding.job_id], self.clock.now())
                    work.commit()
            case DriftKind.PURGE_MISSING:
                self._purge(finding)
            case _:
                assert finding.document_id is not None  # noqa: S101
                with self.database.write() as work:
                    work.documents.hold([finding.document_id])
                    self._mend(work, finding, finding.document_id)
                    work.commit()
        return True

    def _mend(self, work: WriteWork, finding: Finding, document_id: uuid.UUID) -> None:
        versions = {each.id: each for each in work.versions.of_document(document_id)}
        version = versions.get(finding.version_id) if finding.version_id else None
        document = work.documents.many([document_id]).get(document_id)
        if finding.kind is DriftKind.CONDITIONS_WRONG:
            work.audit.rewrite_conditions([document_id])
        elif (
            finding.kind is DriftKind.CHUNK_ORPHANED and version is not None and version.state is not VersionState.LIVE
        ):
            self._hide(work, version)
        elif document is None or version is None:
            if document is not None and finding.kind is DriftKind.LIVE_VERSION_WRONG:
                self._settle_live(work, document, versions)
        elif finding.kind is DriftKind.LIVE_VERSION_HIDDEN and document.live_version_id == version.id:
            work.versions.unhide([version.id])
        elif finding.kind is DriftKind.VERSION_STUCK and version.state is VersionState.PENDING:
            self._ingest(work, document, version)

    def _settle_live(self, work: WriteWork, document: Document, versions: dict[uuid.UUID, Version]) -> None:
        """The newest version that is marked live answers; where none is, the one that the document names, if it is there."""
        named = versions.get(document.live_version_id) if document.live_version_id else None
        marked = [each for each in versions.values() if each.state is VersionState.LIVE]
        chosen = max(marked, key=lambda each: each.seq, default=named)
        for each in versions.values():
            if chosen is not None and each.id == chosen.id:
                work.versions.update(dataclasses.replace(each, state=VersionState.LIVE))
                work.versions.unhide([each.id])
            elif each.state is VersionState.LIVE:
                work.versions.update(dataclasses.replace(each, state=VersionState.SUPERSEDED))
                self._hide(work, each)
        changed = dataclasses.replace(document, live_version_id=chosen.id if chosen else None)
        work.documents.update(changed)

    def _hide(self, work: WriteWork, version: Version) -> None:
        """Let the sweep find it."""
        document = next(iter(work.documents.many([version.document_id]).values()), None)
        spaces = (
            spaces_of(work, document.collection_id) if document else [e.space for e, _ in work.collections.spaces()]
        )
        for space in spaces:
            work.versions.hide([version.id], document_ids=[version.document_id], space=space, now=self.clock.now())

    def _ingest(self, work: WriteWork, document: Document, version: Version) -> None:
        job = enqueue.new_job(
            JobKind.INGEST,
            workspace_id=document.workspace_id,
            now=self.clock.now(),
            collection_id=document.collection_id,
            document_id=document.id,
            request_id=None,
        )
        enqueue.single(work, job, version_id=version.id, now=self.clock.now())

    def _purge(self, finding: Finding) -> None:
        assert finding.workspace_id is not None  # noqa: S101 - for the type checker: `_statements` names it
        with self.database.write() as work:
            job = enqueue.new_job(
                JobKind.PURGE,
                workspace_id=finding.workspace_id,
                now=self.clock.now(),
                collection_id=finding.collection_id,
                document_id=finding.document_id,
                request_id=None,
            )
            enqueue.single(work, job, version_id=None, now=self.clock.now())
            work.commit()


def _miscounted(work: ReadWork, document_ids: list[uuid.UUID]) -> Iterator[Finding]:
    """Indexes that have other rows of a live version than is noted; of the live index, no note is wrong too."""
    busy = work.audit.under_change(document_ids)
    documents = [each for each in work.documents.many(document_ids).values() if each.id not in busy]
    live = [each.live_version_id for each in documents if each.live_version_id is not None]
    known = work.versions.many(live)
    noted, counted = work.chunks.indexed(live), work.audit.chunk_counts(live)
    indexes = work.collections.indexes(sorted({each.collection_id for each in documents}))
    for document in documents:
        version_id = document.live_version_id
        if version_id is None or version_id not in known:
            continue
        for place, index in enumerate(indexes.get(document.collection_id, [])):
            note, rows = noted.get((index.id, version_id)), counted.get((index.id, version_id), 0)
            wrong = rows != note.chunks if note else place == 0 or rows > 0
            if not wrong and note and not note.whole and place == 0:
                yield Finding(
                    kind=DriftKind.POINT_MISSING,
                    detail="the live index lacks points of the version, and no job is at it",
                    document_id=document.id,
                    version_id=version_id,
                    index_id=index.id,
                )
            if wrong:
                yield Finding(
                    kind=DriftKind.CHUNK_MISSING,
                    detail=f"{rows} chunks of {note.chunks if note else 'an unknown number'} are there",
                    document_id=document.id,
                    version_id=version_id,
                    index_id=index.id,
                )
