"""Merge an archive into a collection: as it is where the index was built alike, else by ingesting its originals.

The archive is verified before anything is written. Then, batch by batch:

    files     originals and texts of what is new or differs
    rows      documents, pending versions noted as hidden, and a job whose items are leased to this import
    chunks    their rows
    vectors   points under the new ids, the lease looked at before and after each write
    switch    the versions are live and the old ones hidden: one transaction

So a search sees a document's old version until the new one is whole. What an import that died has begun is taken over
by a worker when its lease runs out, and ingested; a second import leaves alone what the first has done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import pathlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence

from app.documents.add import collection_named
from app.documents.archive import merging
from app.documents.archive.form import Place
from app.documents.archive.half import steady
from app.documents.archive.merging import Fate, Lessee, Merge, Plan, Source
from app.documents.archive.reading import Archive, Batch, Contents, Member, Piece
from app.documents.archive.writing import require_reads_all
from app.documents.collections import Collections
from app.documents.uploads import check_name
from app.domain import disk
from app.domain.access import Principal, scope
from app.domain.documents import Chunk, Collection, Index, Indexed, Version, VersionState, chunk_ids
from app.domain.errors import ConflictError, NotFoundError, TransientError
from app.domain.ids import new_id
from app.domain.jobs import Item, Job, Stage
from app.domain.ports import Clock, FileStore, JobQueue, VectorStore
from app.domain.repositories import Database, LeaseProgress
from app.domain.vectors import Encoded, Space
from app.text.canonical import TextReader
from ingestion.index.switch import Whole, switch
from ingestion.index.write import points

_SMALL_BYTES = 1 << 20  # a file of this size or less is written together with others
_PLAN_TRIES = 5  # of a batch whose documents somebody else changes meanwhile
_SWITCH_TRIES = 5  # of a version whose readers somebody keeps changing


@dataclasses.dataclass(slots=True, kw_only=True)
class Imported:
    """How far an import has come, and at its end what came of it."""

    collection: str
    created: bool  # the collection was made for it
    documents: int  # in the archive
    as_they_are: bool = True  # chunks and vectors were taken from the archive; else some originals are ingested
    counts: dict[Fate, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(Fate, 0))
    job_ids: list[uuid.UUID] = dataclasses.field(default_factory=list)  # that still ingest

    @property
    def done(self) -> int:
        """Documents that were dealt with."""
        return sum(self.counts.values())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where a batch goes."""

    collection: Collection
    index: Index
    direct: bool  # the index was built as the archive's was, and it is the only one

    @property
    def space(self) -> Space:
        return self.index.space


@dataclasses.dataclass(slots=True, kw_only=True)
class _Begun:
    """A batch whose rows are written and whose items are leased to this import."""

    job: Job
    target: _Target
    versions: dict[int, Version]  # by place in the batch; those that are still ours
    items: dict[int, Item]  # of the same
    done: bool = False

    def leases(self) -> dict[uuid.UUID, int]:
        return {self.items[at].id: self.items[at].lease_token for at in self.versions}

    def keep(self, held: Iterable[uuid.UUID]) -> list[Version]:
        """Go on with those alone whose items are held; gives the versions of the others."""
        ids = set(held)
        lost = [at for at in self.versions if self.items[at].id not in ids]
        return [self.versions.pop(at) for at in lost]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImportCollection:
    """The use case; safe to call from many threads."""

    database: Database
    files: FileStore
    vectors: VectorStore
    queue: JobQueue
    clock: Clock
    collections: Collections
    loader_fingerprint: str
    lease_seconds: float
    stage: Callable[[], pathlib.Path]  # a fresh path for a file that the store takes over

    def run(
        self,
        principal: Principal,
        path: pathlib.Path,
        *,
        collection: str | None = None,
        request_id: str | None = None,
        progress: Callable[[Imported], None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Imported:
        """Merge an archive into a collection, which is made where it is missing.

        Args:
            principal: who asks.
            path: of the archive; it stays as it is.
            collection: its name; None takes the archive's.
            request_id: for the jobs' rows.
            progress: told after each batch.
            stopping: whether to give up, looked at between batches and within long ones.

        Raises:
            ForbiddenError: not an admin: others may not write to every document.
            ArchiveError: the file is damaged, foreign or of a newer version; nothing was written then.
            BadNameError: of the collection.
            TransientError, StorageFullError: a store can't take more; what was begun goes on, import again for the rest.
        """
        require_reads_all(principal)
        stop = _stopper(stopping)
        with Archive(path) as archive:
            name = check_name(archive.manifest.name if collection is None else collection, of="collection")
            contents = archive.verify(stop=stop)
            created = self._made(principal, name, archive.manifest.description)
            imported = Imported(collection=name, created=created, documents=contents.documents)
            source = _source(principal, contents, request_id)
            for batch in archive.batches():
                stop()
                self._batch(principal, source, archive, batch, imported, stop)
                progress(imported)
        return imported

    def _made(self, principal: Principal, name: str, description: str) -> bool:
        """Whether the collection had to be made."""
        try:
            with self.database.read() as work:
                collection_named(work, principal, name)
        except NotFoundError:
            with contextlib.suppress(ConflictError):  # another client made it in this moment
                self.collections.create(principal, name, description)
            return True
        return False

    def _target(self, principal: Principal, name: str, archive: Archive) -> _Target:
        with self.database.read() as work:
            collection = collection_named(work, principal, name)
            index = work.collections.live_index(collection.id)
        if index is None:
            raise NotFoundError(f"no collection named {name!r:.80} in this workspace", code="unknown_collection")
        alike = (index.fingerprints, index.dimensions) == (archive.manifest.fingerprints, archive.manifest.dimensions)
        return _Target(collection=collection, index=index, direct=alike and len(collection.index_ids) == 1)

    def _batch(
        self,
        principal: Principal,
        source: Source,
        archive: Archive,
        batch: Batch,
        imported: Imported,
        stop: Callable[[], None],
    ) -> None:
        for _ in range(_PLAN_TRIES):
            target = self._target(principal, imported.collection, archive)
            loader = None if target.direct else self.loader_fingerprint
            merge = Merge(source, target.collection, batch, loader=loader, now=self.clock.now())
            with self.database.read() as work:
                plans = merge.plans(work)
            with contextlib.suppress(_ChangedError):
                begun = self._begin(source, target, merge, archive, batch, plans)
                break
        else:
            raise TransientError("these documents are changed by somebody else all the time; import again for the rest")
        for plan in plans:
            imported.counts[plan.fate] += 1
        if begun is None:
            return
        if not target.direct:
            imported.as_they_are = False
            imported.job_ids.append(begun.job.id)
            self.queue.nudge()
            return
        try:
            self._write_chunks(archive, batch, begun, stop)
            self._write_points(archive, batch, begun, stop)
            self._switch(begun)
            begun.done = True
        except _AnotherIndexError:  # workers go on with what is written
            imported.as_they_are = False
            imported.job_ids.append(begun.job.id)
        finally:
            if not begun.done:
                self._give_back(begun)

    def _begin(
        self, source: Source, target: _Target, merge: Merge, archive: Archive, batch: Batch, plans: Sequence[Plan]
    ) -> _Begun | None:
        """Write files, then rows; None where nothing is to be done. No row is without its file."""
        wanted = [plan for plan in plans if plan.writes]
        if not wanted:
            return None
        keys = {plan.version.original_key: batch.originals[plan.at] for plan in wanted}
        if target.direct:
            keys |= {plan.version.text_key: batch.texts[plan.at] for plan in wanted}
        kept = False
        try:
            self._write_files(archive, keys)
            now = self.clock.now()
            lessee = Lessee(owner=f"import/{new_id().hex}", until=now + dt.timedelta(seconds=self.lease_seconds))
            with self.database.write() as work:
                work.documents.hold(plan.document.id for plan in wanted)
                again = merge.plans(work)
                if [_decided(plan) for plan in again] != [_decided(plan) for plan in plans]:
                    raise _ChangedError
                job, items = merging.begin(
                    work, source, target.index, again, lessee=lessee if target.direct else None, now=now
                )
                work.commit()
            kept = True
        finally:
            if not kept:
                self.files.delete(keys)
        return _Begun(
            job=job,
            target=target,
            versions={plan.at: plan.version for plan in wanted},
            items={plan.at: items[plan.version.id] for plan in wanted},
        )

    def _write_files(self, archive: Archive, keys: Mapping[str, Member]) -> None:
        small = {key: archive.read(member) for key, member in keys.items() if member.size <= _SMALL_BYTES}
        self.files.write_many(small)
        for key, member in keys.items():
            if key in small:
                continue
            path = self.stage()
            try:
                with disk.our_errors(), path.open("xb") as staged:
                    staged.writelines(archive.blocks(member))
                self.files.put(key, path)
            finally:
                path.unlink(missing_ok=True)

    def _write_chunks(self, archive: Archive, batch: Batch, begun: _Begun, stop: Callable[[], None]) -> None:
        """All rows of the batch's chunks; then points of them may be written."""
        with contextlib.ExitStack() as opened:
            texts = {at: TextReader(opened.enter_context(archive.stream(batch.texts[at]))) for at in begun.versions}
            for piece in batch.pieces:
                stop()
                chunks = [
                    _chunk(begun.target.index, begun.versions[place.document], place, texts[place.document])
                    for place in archive.places(piece)
                    if place.document in begun.versions
                ]
                with self.database.write() as work:
                    work.documents.hold(version.document_id for version in begun.versions.values())
                    begun.keep(work.jobs.held(begun.leases()))
                    documents = {version.id: version.document_id for version in begun.versions.values()}
                    work.chunks.add(
                        [(documents[chunk.version_id], chunk) for chunk in chunks if chunk.version_id in documents]
                    )
                    self._renew(work.jobs.renew, begun)
                    work.commit()
        with self.database.write() as work:
            work.documents.hold(version.document_id for version in begun.versions.values())
            begun.keep(work.jobs.held(begun.leases()))
            index_id = begun.target.index.id
            work.chunks.note_indexed(
                [
                    Indexed(index_id=index_id, version_id=each.id, chunks=each.chunks or 0, whole=False)
                    for each in begun.versions.values()
                ]
            )
            work.commit()
        self._report(begun, dict.fromkeys(begun.versions, 0))

    def _write_points(self, archive: Archive, batch: Batch, begun: _Begun, stop: Callable[[], None]) -> None:
        self.vectors.ensure(begun.target.space)
        for piece in batch.pieces:
            stop()
            self._hold(begun)
            rows = self._rows(archive, piece, begun)
            if rows is None:
                continue
            pairs, encoded, reached = rows
            self.vectors.upsert(begun.target.space, points(pairs, encoded))
            lost = self._report(begun, reached)
            self._take_back(begun.target.space, lost)

    def _rows(
        self, archive: Archive, piece: Piece, begun: _Begun
    ) -> tuple[list[tuple[Version, Chunk]], Encoded, dict[int, int]] | None:
        """Chunks of a piece with their vectors, and how far each document comes with them; None where none is wanted."""
        places = archive.places(piece)
        wanted = [row for row, place in enumerate(places) if place.document in begun.versions]
        if not wanted:
            return None
        encoded = archive.vectors(piece).rows(wanted)
        pairs: list[tuple[Version, Chunk]] = []
        reached: dict[int, int] = {}
        for row in wanted:
            version = begun.versions[places[row].document]
            pairs.append((version, _chunk(begun.target.index, version, places[row], None)))
            reached[places[row].document] = places[row].ordinal + 1
        return pairs, dataclasses.replace(encoded, dense=steady(encoded.dense)), reached

    def _hold(self, begun: _Begun) -> None:
        """Go on with what is still this import's, for another lease."""
        with self.database.write() as work:
            self._renew(work.jobs.renew, begun)
            work.commit()

    def _renew(self, renew: Callable[..., set[uuid.UUID]], begun: _Begun) -> None:
        if not begun.versions:
            return
        owner = next(iter(begun.items.values())).lease_owner
        until = self.clock.now() + dt.timedelta(seconds=self.lease_seconds)
        begun.keep(renew(owner=owner, leases=begun.leases(), until=until))

    def _report(self, begun: _Begun, reached: Mapping[int, int]) -> list[Version]:
        """Write how far documents have come; gives the versions of those that are no longer ours."""
        reports = [
            LeaseProgress(
                item_id=begun.items[at].id,
                lease_token=begun.items[at].lease_token,
                stage=Stage.INDEX,
                units_done=units,
                units_total=begun.versions[at].chunks,
            )
            for at, units in reached.items()
        ]
        with self.database.write() as work:
            written = work.jobs.progress(reports)
            work.commit()
        asked = {report.item_id for report in reports}
        return begun.keep(item.id for item in begun.items.values() if item.id in written or item.id not in asked)

    def _take_back(self, space: Space, versions: Sequence[Version]) -> None:
        """Remove what was written for versions that were cancelled or deleted during the write."""
        if not versions:
            return
        with self.database.read() as work:
            current = work.versions.many([version.id for version in versions])
        wanted = {each.id for each in current.values() if each.state in (VersionState.PENDING, VersionState.LIVE)}
        self.vectors.delete_versions(space, [version.id for version in versions if version.id not in wanted])

    def _switch(self, begun: _Begun) -> None:
        """Make versions live; one whose readers were changed meanwhile gets its points right first."""
        whole = [
            Whole(
                item=begun.items[at],
                version=version,
                indexes={begun.target.index.id: version.chunks or 0},
                warnings=(),
            )
            for at, version in begun.versions.items()
        ]
        for _ in range(_SWITCH_TRIES):
            if not whole:
                return
            now = self.clock.now()
            with self.database.write() as work:
                switched = switch(work, whole, now, serve=lambda _: True)
                work.jobs.settle([begun.job.id], now)
                work.commit()
            if switched.lacking:
                raise _AnotherIndexError
            whole = list(switched.changed)
            for each in whole:
                index = begun.target.index
                self.vectors.set_access(
                    begun.target.space,
                    chunk_ids(index.id, each.version.id, each.version.chunks or 0),
                    scope=scope(index.id, each.version.readers),
                    metadata=each.version.metadata,
                )
        raise TransientError("a document's readers change faster than they can be indexed; import again")

    def _give_back(self, begun: _Begun) -> None:
        """Let workers finish what was begun; where the database can't be told, they will when the lease runs out."""
        with contextlib.suppress(TransientError):
            now = self.clock.now()
            with self.database.write() as work:
                for item in begun.items.values():
                    work.jobs.postpone(item.id, item.lease_token, failure=None, failures=0, next_run_at=now)
                work.commit()
            self.queue.nudge()


class _AnotherIndexError(Exception):
    """The collection has got a second index, which the archive's vectors are not for."""


class _ChangedError(Exception):
    """Somebody else changed a document between the plan and its execution."""


def _decided(plan: Plan) -> tuple[Fate, uuid.UUID, int]:
    return plan.fate, plan.version.id, plan.version.seq


def _source(principal: Principal, contents: Contents, request_id: str | None) -> Source:
    return Source(
        digest=contents.digest, workspace_id=principal.workspace_id, key_id=principal.key_id, request_id=request_id
    )


def _stopper(stopping: Callable[[], bool]) -> Callable[[], None]:
    def stop() -> None:
        if stopping():
            raise TransientError("the service is stopping; import again for the rest")

    return stop


def _chunk(index: Index, version: Version, place: Place, text: TextReader | None) -> Chunk:
    return Chunk(
        index_id=index.id,
        version_id=version.id,
        ordinal=place.ordinal,
        start=place.start,
        end=place.end,
        page=place.page,
        headings=place.headings,
        text="" if text is None else text.slice(place.start, place.end),
    )
