"""Build a second index of a collection beside the one that answers, change over, go back.

While a second index is there, uploads go into both, so either may become the live one at any moment at which no live
version is missing in it. The change is one transaction. The index that was live stands by until it is dropped, and is kept
up to date as well: going back is the same change the other way.
"""

from __future__ import annotations

import dataclasses
import enum
import time
import uuid
from collections.abc import Callable, Sequence

from app.documents import enqueue
from app.documents.add import collection_named
from app.domain.access import Principal
from app.domain.documents import Collection, Fingerprints, Index
from app.domain.errors import ConflictError, NotFoundError
from app.domain.ids import new_id
from app.domain.jobs import Failure, Item, Job, JobKind, JobState, Stage
from app.domain.leases import Lease, StoppingError
from app.domain.ports import Clock, Embedder, JobQueue
from app.domain.repositories import Database, LeaseProgress, Outcome, ReadWork, WriteWork

_SAMPLE_CHUNKS = 64  # embedded for an estimate: some seconds on two old cores
_PAGE = 500  # versions that the plan of a job finds at once
_NAMED = 3  # missing documents that an error names
_DROPPED = Failure(code="index_dropped", message="the index that it was for was dropped", retryable=False)


class IndexRole(enum.StrEnum):
    """What an index is to its collection."""

    LIVE = "live"  # answers
    BUILDING = "building"  # is built, or waits to be changed over to
    STANDBY = "standby"  # was live before


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """One index of a collection, and how much of the collection it has."""

    index: Index
    role: IndexRole
    versions: int  # live versions that are whole in it
    chunks: int  # theirs
    missing: int  # live versions that are not


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What building a new index would take, measured on some chunks of the live one."""

    fingerprints: Fingerprints
    dimensions: int
    versions: int
    chunks: int  # as the live index has them; another chunker may cut more or fewer
    chunks_per_second: float  # of one process, as embedded just now
    seconds: float
    vector_bytes: int  # of the dense vectors, at two bytes a number
    needed: bool  # False where the live index is built so already


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reindex:
    """The use case, for admins: an index holds what only some may read. Safe to call from many threads."""

    database: Database
    queue: JobQueue
    clock: Clock
    embedder: Embedder
    fingerprints: Fingerprints  # of what a new index is built with
    dimensions: int

    def indexes(self, principal: Principal, name: str) -> list[IndexState]:
        """The indexes of a collection, the live one first, or NotFoundError."""
        with self.database.read() as work:
            return _states(work, collection_named(work, principal, name))

    def estimate(self, principal: Principal, name: str) -> Estimate:
        """What `start` would take; some chunks are embedded to find out. Raises NotFoundError, TransientError."""
        with self.database.read() as work:
            collection = collection_named(work, principal, name)
            live = _states(work, collection)[0]
            sample = work.chunks.in_index(live.index.id, limit=_SAMPLE_CHUNKS)
            hits = work.chunks.hits(principal.workspace_id, sample)
        texts = [hit.chunk.text for hit in hits.values()]
        rate = self._rate(texts) if texts else 0.0
        return Estimate(
            fingerprints=self.fingerprints,
            dimensions=self.dimensions,
            versions=live.versions + live.missing,
            chunks=live.chunks,
            chunks_per_second=rate,
            seconds=live.chunks / rate if rate else 0.0,
            vector_bytes=live.chunks * self.dimensions * 2,
            needed=live.index.fingerprints != self.fingerprints,
        )

    def _rate(self, texts: Sequence[str]) -> float:
        start = time.perf_counter()
        self.embedder.embed_passages(texts)
        return len(texts) / max(1e-9, time.perf_counter() - start)

    def start(self, principal: Principal, name: str, *, force: bool = False, request_id: str | None = None) -> Job:
        """Begin to build, or go on where an earlier build lacks something; gives the job.

        Args:
            principal: an admin.
            name: of the collection.
            force: build anew although the live index is built so already.
            request_id: of the request that asks.

        Raises:
            NotFoundError: no such collection.
            ConflictError: it is built so already; a job is at it; an index of another kind is being built.
        """
        now = self.clock.now()
        with self.database.write() as work:
            collection = collection_named(work, principal, name, alone=True)
            index = self._index_to_build(work, collection, force=force)
            if (at_it := work.jobs.unfinished(collection.id, JobKind.REINDEX)) is not None:
                raise ConflictError(f"job {at_it} builds it already", code="reindex_running")
            if index is None:
                index = Index(
                    id=new_id(),
                    workspace_id=collection.workspace_id,
                    collection_id=collection.id,
                    fingerprints=self.fingerprints,
                    dimensions=self.dimensions,
                    created_at=now,
                )
                work.collections.add_index(index)
                work.collections.set_indexes(
                    dataclasses.replace(collection, building_index_id=index.id, updated_at=now)
                )
            job = enqueue.new_job(
                JobKind.REINDEX,
                workspace_id=collection.workspace_id,
                now=now,
                collection_id=collection.id,
                document_id=None,
                request_id=request_id,
                key_id=principal.key_id,
            )
            job = enqueue.single(work, job, version_id=None, now=now)
            work.commit()
        self.queue.nudge()
        return job

    def _index_to_build(self, work: ReadWork, collection: Collection, *, force: bool) -> Index | None:
        """The index that a build was begun for; None where one is to be made. Raises as `start`."""
        if collection.building_index_id is None:
            live = work.collections.index(collection.live_index_id)
            if live is not None and live.fingerprints == self.fingerprints and not force:
                raise ConflictError(
                    "the live index is built with this model and chunker already; `force` builds it anew",
                    code="index_current",
                )
            return None
        index = work.collections.index(collection.building_index_id)
        if index is not None and index.fingerprints != self.fingerprints:
            raise ConflictError(
                f"an index for {index.fingerprints.dense} is being built: change over to it, or drop it first",
                code="other_index_building",
            )
        return index

    def activate(self, principal: Principal, name: str, index_id: uuid.UUID) -> list[IndexState]:
        """Let another index answer from this moment on; the one that did stands by. The same call goes back.

        Raises:
            NotFoundError: no such collection, or no such index of it.
            ConflictError: live versions are missing in it.
        """
        now = self.clock.now()
        with self.database.write() as work:
            collection = collection_named(work, principal, name, alone=True)
            if index_id not in collection.index_ids:
                raise NotFoundError("no such index of this collection", code="unknown_index")
            if index_id != collection.live_index_id:
                _require_whole(work, collection, index_id)
                building = collection.building_index_id
                changed = dataclasses.replace(
                    collection,
                    live_index_id=index_id,
                    building_index_id=None if building == index_id else building,
                    standby_index_id=collection.live_index_id,
                    updated_at=now,
                )
                work.collections.set_indexes(changed)
                for replaced in set(collection.index_ids) - set(changed.index_ids):
                    work.collections.drop_index(replaced, now)
                collection = changed
            states = _states(work, collection)
            work.commit()
        return states

    def drop(self, principal: Principal, name: str, index_id: uuid.UUID) -> list[IndexState]:
        """Give up an index that does not answer; what it holds is removed. A job that builds it is cancelled.

        Raises:
            NotFoundError: no such collection, or no such index of it.
            ConflictError: it is the live one.
        """
        now = self.clock.now()
        with self.database.write() as work:
            collection = collection_named(work, principal, name, alone=True)
            if index_id not in collection.index_ids:
                raise NotFoundError("no such index of this collection", code="unknown_index")
            if index_id == collection.live_index_id:
                raise ConflictError("this index answers: change over to another one first", code="index_live")
            building = collection.building_index_id == index_id
            while building and (at_it := work.jobs.unfinished(collection.id, JobKind.REINDEX)) is not None:
                work.jobs.cancel_items(job_id=at_it, error=_DROPPED, now=now)
                work.jobs.settle([at_it], now)
            collection = dataclasses.replace(
                collection,
                building_index_id=None if building else collection.building_index_id,
                standby_index_id=collection.standby_index_id if building else None,
                updated_at=now,
            )
            work.collections.set_indexes(collection)
            work.collections.drop_index(index_id, now)
            states = _states(work, collection)
            work.commit()
        return states


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunReindex:
    """Runs items of kind reindex: a job's first one finds what its index lacks and adds an item for each, which are then run
    as every ingestion is.
    """

    database: Database
    clock: Clock
    versions: Callable[[Sequence[Item], Lease], None]

    def __call__(self, items: Sequence[Item], lease: Lease) -> None:
        """Plan, then build. Raises as the pipeline does."""
        for item in items:
            if item.version_id is None:
                self._plan(item, lease)
        if rest := [item for item in items if item.version_id is not None]:
            self.versions(rest, lease)

    def _plan(self, item: Item, lease: Lease) -> None:
        """Add items page by page; a plan that was cut off goes on after the last one that it added."""
        while self._add_page(item):
            if lease.stopping():
                raise StoppingError

    def _add_page(self, plan: Item) -> bool:
        now = self.clock.now()
        with self.database.write() as work:
            if not work.jobs.held({plan.id: plan.lease_token}):
                return False
            job = work.jobs.get(plan.workspace_id, plan.job_id)
            collection = (
                work.collections.get(plan.workspace_id, job.collection_id) if job and job.collection_id else None
            )
            found: list[tuple[uuid.UUID, uuid.UUID]] = []
            if job is not None and collection is not None and collection.building_index_id is not None:
                last = work.jobs.last_item(job.id) or plan
                found = work.chunks.lacking(
                    collection.id, collection.building_index_id, after=last.document_id, limit=_PAGE
                )
                items = [
                    enqueue.new_item(
                        job, ordinal=last.ordinal + 1 + place, document_id=document, version_id=version, now=now
                    )
                    for place, (document, version) in enumerate(found)
                ]
                work.jobs.add_items(items, priority=enqueue.PRIORITY_UPKEEP)
            if found:
                report = LeaseProgress(
                    item_id=plan.id, lease_token=plan.lease_token, stage=Stage.LOAD, units_done=0, units_total=None
                )
                work.jobs.progress([report])
            else:
                done = Outcome(item_id=plan.id, lease_token=plan.lease_token, state=JobState.COMPLETED)
                work.jobs.finish([done], now)
            work.jobs.settle([plan.job_id], now)
            work.commit()
        return bool(found)


def _states(work: ReadWork, collection: Collection) -> list[IndexState]:
    roles = {
        collection.live_index_id: IndexRole.LIVE,
        collection.building_index_id: IndexRole.BUILDING,
        collection.standby_index_id: IndexRole.STANDBY,
    }
    states = []
    for index in work.collections.indexes([collection.id]).get(collection.id, []):
        size = work.chunks.size(collection.id, index.id)
        states.append(
            IndexState(
                index=index,
                role=roles[index.id],
                versions=size.versions,
                chunks=size.chunks,
                missing=size.live_versions - size.versions,
            )
        )
    return states


def _require_whole(work: WriteWork, collection: Collection, index_id: uuid.UUID) -> None:
    lacking = work.chunks.lacking(collection.id, index_id, after=None, limit=_NAMED + 1)
    if not lacking:
        return
    at_it = work.jobs.unfinished(collection.id, JobKind.REINDEX)
    documents = ", ".join(str(document) for document, _ in lacking[:_NAMED])
    advice = f"job {at_it} is at it" if at_it else "start the reindexing once more, and look at what failed"
    raise ConflictError(
        f"documents are not in this index yet ({documents}{', ...' if len(lacking) > _NAMED else ''}): {advice}",
        code="index_not_whole",
    )
