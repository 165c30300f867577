"""Remove from every store what is hidden already: the points, chunks, files and rows of what was deleted or replaced.

Order within one document: points, files, rows, receipt. Each step may be repeated, so a purge that was cut off starts
over; the rows go last, so what is left to remove is never forgotten.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence

from app.documents import remove
from app.domain.documents import Document, Version, VersionState
from app.domain.ids import made_at
from app.domain.jobs import Item, JobState, Stage
from app.domain.leases import Lease, StoppingError
from app.domain.ports import Clock, FileStore, VectorStore
from app.domain.repositories import Database, Hidden, LeaseProgress, Outcome, ReadWork, WriteWork
from app.domain.vectors import Space

_PAGE = 200  # documents of a collection that are purged in one go
_SWEEP_PAGE = 500  # hidden versions a sweep takes at once
_SWEEP_CHUNKS = 1000  # chunks of a dropped index


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Runs items of kind purge, and sweeps after replaced versions."""

    database: Database
    vectors: VectorStore
    files: FileStore
    clock: Clock
    lease_seconds: float  # the longest that a worker which lost its lease can still be writing
    kept_versions: int  # superseded versions of a document that keep original and text

    def __call__(self, items: Sequence[Item], lease: Lease) -> None:
        """Purge each item's document, or collection, and end the item."""
        held = lease.held([item.id for item in items])
        mine = [item for item in items if item.id in held]
        with self.database.read() as work:
            documents = [
                work.documents.deleted(item.workspace_id, item.document_id)
                for item in mine
                if item.document_id is not None
            ]
        self._purge([document for document in documents if document is not None])
        for item in mine:
            if item.document_id is None:
                self._purge_collection(item, lease)
        self.database.truncate_log()  # before the job is over; where a reader is in the way, the sweep does it
        now = self.clock.now()
        with self.database.write() as work:
            work.jobs.finish(
                [Outcome(item_id=each.id, lease_token=each.lease_token, state=JobState.COMPLETED) for each in mine], now
            )
            work.jobs.settle(sorted({item.job_id for item in mine}), now)
            work.commit()

    def _purge_collection(self, item: Item, lease: Lease) -> None:
        """Page through a deleted collection until no document is left; a repeat goes on where this stops."""
        with self.database.read() as work:
            job = work.jobs.get(item.workspace_id, item.job_id)
            collection_id = job.collection_id if job else None
            spaces = remove.spaces_of(work, collection_id) if collection_id else []
            total = work.collections.count_documents([collection_id]).get(collection_id, 0) if collection_id else 0
        done = 0
        while collection_id is not None:
            if lease.stopping():
                raise StoppingError
            now = self.clock.now()
            with self.database.write() as work:
                documents = work.documents.in_collection(collection_id, after=None, limit=_PAGE)
                fresh = [document for document in documents if document.deleted_at is None]
                remove.hide(work, fresh, spaces=spaces, job_id=item.job_id, now=now)
                work.commit()
            if not documents or not lease.held([item.id]):
                return
            self._purge(documents)
            done += len(documents)
            with self.database.write() as work:
                report = LeaseProgress(
                    item_id=item.id,
                    lease_token=item.lease_token,
                    stage=Stage.PURGE,
                    units_done=done,
                    units_total=max(total, done),
                )
                work.jobs.progress([report])
                work.commit()

    def _purge(self, documents: Sequence[Document]) -> None:
        with self.database.read() as work:
            versions = work.versions.of_documents([document.id for document in documents])
        points, notes = self._remove_points(documents, versions)
        every = [version for each in versions.values() for version in each]
        sizes = self.files.delete(
            [key for each in every for key in (each.original_key, each.text_key)],
            sizes={key: size for each in every for key, size in each.file_sizes.items()},
        )
        now = self.clock.now()
        ids = [document.id for document in documents]
        with self.database.write() as work:
            work.documents.hold(ids)
            work.answers.forget(ids)
            work.conversations.forget(ids)
            chunks = work.chunks.counts([version.id for version in every])
            work.chunks.remove([version.id for version in every])
            rows = work.documents.remove(ids)
            receipts = work.deletions.unfinished(ids)
            filled = [
                dataclasses.replace(
                    receipt,  # what this run removed added to what an earlier, cut-off one did
                    finished_at=now,
                    rows=receipt.rows + rows.get(document_id, 0),
                    chunks=receipt.chunks + sum(chunks.get(each.id, 0) for each in versions.get(document_id, ())),
                    vectors=receipt.vectors + sum(points.get(each.id, 0) for each in versions.get(document_id, ())),
                    bytes=receipt.bytes + freed,
                    bytes_reclaimed=receipt.bytes_reclaimed + freed,
                )
                for document_id, receipt in receipts.items()
                for freed in [_bytes(versions.get(document_id, ()), sizes)]
            ]
            work.deletions.update_many(filled)
            work.versions.swept(notes, now=now, forget=False)
            work.commit()

    def _remove_points(
        self, documents: Sequence[Document], versions: Mapping[uuid.UUID, Sequence[Version]]
    ) -> tuple[dict[uuid.UUID, int], list[Hidden]]:
        """Points removed by version, and the notes on these versions.

        Looked for where they are noted, and in every space of their collection.
        """
        removed: dict[uuid.UUID, int] = {}
        with self.database.read() as work:
            hidden = work.versions.hidden_of([version.id for each in versions.values() for version in each])
            spaces = _spaces(work)
            wanted = {(note.space, note.version_id) for note in hidden}
            for collection_id in {each.collection_id for each in documents}:
                mine = [
                    v.id for each in documents if each.collection_id == collection_id for v in versions.get(each.id, ())
                ]
                wanted |= {(name, each) for name in remove.spaces_of(work, collection_id) for each in mine}
        for name in sorted({name for name, _ in wanted} & spaces.keys()):
            gone = self.vectors.delete_versions(spaces[name], sorted(each for where, each in wanted if where == name))
            for version_id, count in gone.items():
                removed[version_id] = removed.get(version_id, 0) + count
        return removed, hidden

    def sweep(self) -> int:
        """Remove points and chunks of hidden versions that are not pending; gives how many versions were swept.

        Each is swept twice: at once, and again when no worker that lost its lease can still be writing.
        """
        now = self.clock.now()
        with self.database.read() as work:
            notes = work.versions.hidden_for_sweep(
                swept_before=now - dt.timedelta(seconds=2 * self.lease_seconds), limit=_SWEEP_PAGE
            )
            spaces = _spaces(work)
        by_space: dict[str, list[uuid.UUID]] = {}
        for note in notes:
            by_space.setdefault(note.space, []).append(note.version_id)
        points: collections.Counter[uuid.UUID] = collections.Counter()
        for name, ids in by_space.items():
            if name in spaces:
                points.update(self.vectors.delete_versions(spaces[name], ids))
        again = [note for note in notes if note.swept_at is not None]
        with self.database.write() as work:
            self._count(work, notes, points)
            work.chunks.remove(sorted({note.version_id for note in notes}))
            work.versions.swept([note for note in notes if note.swept_at is None], now=now, forget=False)
            work.versions.swept(again, now=now, forget=True)
            work.commit()
        if notes:
            self.database.truncate_log()
        for document_id in sorted({note.document_id for note in again}):
            self._forget_old_versions(document_id)
        return len(notes)

    def _count(self, work: WriteWork, notes: Sequence[Hidden], points: Mapping[uuid.UUID, int]) -> None:
        """Add what is swept of deleted documents to their receipts: their purge finds it gone."""
        documents = sorted({note.document_id for note in notes})
        work.documents.hold(documents)
        receipts = work.deletions.unfinished(documents)
        versions = {note.version_id: note.document_id for note in notes if note.document_id in receipts}
        chunks = work.chunks.counts(sorted(versions))
        for version_id, document_id in versions.items():
            receipt = receipts[document_id]
            receipts[document_id] = dataclasses.replace(
                receipt,
                chunks=receipt.chunks + chunks.get(version_id, 0),
                vectors=receipt.vectors + points.get(version_id, 0),
            )
        work.deletions.update_many(list(receipts.values()))

    def sweep_indexes(self) -> int:
        """Remove points and chunks of indexes that were dropped so long ago that nobody writes to them any more; gives how
        many chunks there were.
        """
        removed = 0
        with self.database.read() as work:
            dropped = work.collections.dropped_indexes(
                dropped_before=self.clock.now() - dt.timedelta(seconds=2 * self.lease_seconds)
            )
        for index in dropped:
            while True:
                with self.database.read() as work:
                    chunk_ids = work.chunks.in_index(index.id, limit=_SWEEP_CHUNKS)
                if not chunk_ids:
                    break
                self.vectors.delete_points(index.space, chunk_ids)
                with self.database.write() as work:
                    work.chunks.remove_by_id(chunk_ids)
                    work.commit()
                removed += len(chunk_ids)
            with self.database.write() as work:
                work.collections.remove_index(index.id)
                work.commit()
        return removed

    def _forget_old_versions(self, document_id: uuid.UUID) -> None:
        """Drop originals and texts of versions past the number that is kept for old citations."""
        with self.database.read() as work:
            versions = work.versions.of_document(document_id)
        replaced = [each for each in versions if each.state in (VersionState.SUPERSEDED, VersionState.FAILED)]
        old = replaced[self.kept_versions :]
        if not old:
            return
        self.files.delete([key for each in old for key in (each.original_key, each.text_key)])
        with self.database.write() as work:
            for version in old:
                work.versions.remove(version.id)
            work.commit()

    def sweep_orphans(self, *, made_before: dt.datetime) -> int:
        """Remove files whose version has no row: uploads that were cut off before their rows were written.

        Only files of versions made before `made_before` are looked at; an upload in progress is younger.
        """
        orphans: list[str] = []
        for keys in _pages(self.files.keys()):
            by_id = {key: _version_id(key) for key in keys}
            ids = [each for each in by_id.values() if each is not None and made_at(each) < made_before]
            with self.database.read() as work:
                known = work.versions.many(ids)
            wanted = set(ids) - set(known)
            orphans += [key for key, each in by_id.items() if each in wanted]
        self.files.delete(orphans)
        return len(orphans)


def _bytes(versions: Sequence[Version], sizes: Mapping[str, int]) -> int:
    """What the files of these versions had."""
    return sum(sizes.get(key, 0) for each in versions for key in (each.original_key, each.text_key))


def _spaces(work: ReadWork) -> dict[str, Space]:
    pairs = work.collections.spaces()
    return {each.space: Space(name=each.space, dimensions=dimensions) for each, dimensions in pairs}


def _pages(keys: Iterator[str]) -> Iterator[list[str]]:
    while page := list(itertools.islice(keys, _SWEEP_PAGE)):
        yield page


def _version_id(key: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(hex=key.rpartition("/")[2])
    except ValueError:
        return None
