"""Vectors in the process: one Qdrant Edge shard a space, in a folder of its own.

What was measured of `qdrant-edge-py` 0.9.0 and shapes this module:

- Every call holds Python's lock from start to end, also `load`, `flush` and `optimize`. So writes go in short batches,
  the two sides of a search are two calls, and `optimize` runs in a child process only (`edge_compact`).
- Its storages are sparse files mapped into memory: on a full disk a write is no error but SIGBUS, the death of the
  process. So the room is looked at before each write and each opening.
- With the write-ahead log on, a returned write survives SIGKILL. Opening replays what was not flushed, 0.2 ms a point;
  so there is a flush every so many points.
- A call is carried out on the shard's own threads, one a segment, and there is one segment. More threads than one only
  wake each other: 25 switches a call, and 8 % of the searches that two cores can do.
- It raises plain `Exception`; only the text tells what happened.
- `MatchAny` gathers what it matched in a hash set before anything is scored. Over 100,000 points a scope as `should` of
  `MatchValue` takes half the time of a search (CPU, dense + sparse: 25 against 51 ms on a busy machine), however many.
- Points of equal score come in no stated order, and which of them make the cut changes with the limit.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import math
import pathlib
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import qdrant_edge

from app.domain.errors import (
    ConfigurationError,
    DocumentError,
    FingerprintMismatchError,
    FolderInUseError,
    FootnoteError,
    StorageFullError,
    TransientError,
)
from app.domain.filters import Scalar
from app.domain.vectors import Point, PointState, Rankings, Scored, Space, StoredVectors, VectorQuery, ascending
from app.stores import edge_facts, facts

DENSE, SPARSE = "dense", "sparse"
SCOPE, VERSION, DOCUMENT = "scope", "version_id", "document_id"

UPSERT_POINTS = 64  # of one call: 0.15 ms a point, so searches wait 10 ms for it
READ_POINTS = 64  # of one call that reads vectors: searches wait for it
DELETE_VERSIONS = 256  # of one call
PAGE_POINTS = 2_000  # of one scroll: about 20 ms
# Written between two flushes. A flush waits for the disk, 0.1 to 0.5 s with Python's lock held, however much there is to
# write; opening replays what was not flushed, 0.2 ms a point: at most 1 s here, after a kill.
FLUSH_POINTS = 5_000
_SETTLED_SECONDS = 1.0  # without a write, after which it pays to count who may see what
_MOST_CALLERS = 256  # whose counts are remembered
_BYTES_OF_NUMBER = 2  # of a dense vector: half precision
TIE_SLACK = 16  # fetched beyond what was asked for, so that most ties at the cut need no second look
ROOM_BYTES = 256 << 20  # free space below which nothing is added; several storages grow by 32 MB at a time
FLOOR_BYTES = 16 << 20  # free space below which nothing at all is written or opened; deletes may go on down to it


@dataclasses.dataclass(slots=True, kw_only=True)
class _Shard:
    """One open shard."""

    edge: qdrant_edge.EdgeShard
    dimensions: int
    writing: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    unflushed: int = 0  # points written since the last flush
    known: facts.KnownValues | None = None  # None until the first range filter asks for it
    written: int = 0  # writes since it was opened
    written_at: float = -math.inf  # when the last one was, on the monotonic clock
    sees_all: dict[tuple[str, ...], tuple[int, bool]] = dataclasses.field(default_factory=dict)  # by tags: at `written`


class EdgeVectorStore:
    """VectorStore on Qdrant Edge; dense search is exact. Safe to call from several threads of one process."""

    def __init__(self, folder: pathlib.Path, *, room_bytes: int = ROOM_BYTES, flush_points: int = FLUSH_POINTS) -> None:
        """Open nothing yet: a space is opened by the first call that names it.

        Args:
            folder: holds one folder a space; made where it does not exist.
            room_bytes: points are added only while the file system has this much room.
            flush_points: how many points may be written between two flushes.
        """
        self._folder = folder
        self._room_bytes = room_bytes
        self._flush_points = flush_points
        self._opening = threading.Lock()
        self._shards: dict[str, _Shard] = {}
        self._closed = False

    def ensure(self, space: Space) -> None:
        """Make the shard and its payload indexes where they do not exist, and open it.

        Raises:
            FingerprintMismatchError: it exists with vectors of another length.
            FolderInUseError: another process has it open.
            StorageFullError: no room.
        """
        self._shard(space)

    def spaces(self) -> list[Space]:
        """The spaces that have a shard, whether it is open or not."""
        if not self._folder.exists():
            return []
        with our_errors(None):
            configs = sorted(self._folder.glob("[!.]*/edge_config.json"))
            found = [(each.parent.name, json.loads(each.read_bytes())["vectors"][DENSE]["size"]) for each in configs]
        return [Space(name=name, dimensions=dimensions) for name, dimensions in found]

    def upsert(self, space: Space, points: Sequence[Point]) -> None:
        """Write points; one that exists is replaced. Errors as the port says.

        Raises:
            DocumentError: a vector is not finite; none of its batch is written.
        """
        shard = self._shard(space)
        for start in range(0, len(points), UPSERT_POINTS):
            batch = points[start : start + UPSERT_POINTS]
            made = [_edge_point(point) for point in batch]
            self._look_for_room(self._room_bytes)
            with shard.writing, our_errors(space.name):
                if shard.known is not None:  # before the points show, so that no range filter misses one
                    shard.known.add({each for point in batch for each in facts.facts(point.metadata)})
                shard.edge.update(qdrant_edge.UpdateOperation.upsert_points(made))
                self._note_written(shard, len(batch))

    def present(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Those of the ids that the store holds."""
        shard = self._shard(space)
        with our_errors(space.name):
            found = shard.edge.retrieve(list(chunk_ids), with_payload=False, with_vector=False)
        return {_chunk_id(record) for record in found}

    def vectors(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredVectors]:
        """Vectors of these chunks as they are kept; ids that the store does not hold are absent."""
        shard = self._shard(space)
        read: dict[uuid.UUID, StoredVectors] = {}
        for start in range(0, len(chunk_ids), READ_POINTS):
            some: list[int | uuid.UUID | str] = [*chunk_ids[start : start + READ_POINTS]]
            with our_errors(space.name):
                found = shard.edge.retrieve(some, with_payload=False, with_vector=True)
            read.update((_chunk_id(record), _stored(record)) for record in found)
        return read

    def set_access(
        self, space: Space, chunk_ids: Sequence[uuid.UUID], *, scope: Sequence[str], metadata: Mapping[str, Scalar]
    ) -> None:
        """Replace access list and metadata of those of these points that there are; one call, so all at once."""
        shard = self._shard(space)
        payload = {SCOPE: list(scope), facts.FIELD: facts.facts(metadata)}
        self._look_for_room(FLOOR_BYTES)  # narrowing access must work on an almost full disk
        with shard.writing, our_errors(space.name):
            if shard.known is not None:
                shard.known.add(payload[facts.FIELD])
            shard.edge.update(qdrant_edge.UpdateOperation.set_payload_by_filter(_of_ids(chunk_ids), payload))
            self._note_written(shard, 1)

    def delete_points(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> None:
        """Remove these points; absent ones are passed over. Frees no disk: see `edge_compact`."""
        shard = self._shard(space)
        if not chunk_ids:
            return
        self._look_for_room(FLOOR_BYTES)
        with shard.writing, our_errors(space.name):
            shard.edge.update(qdrant_edge.UpdateOperation.delete_points_by_filter(_of_ids(chunk_ids)))
            self._note_written(shard, len(chunk_ids))

    def delete_versions(self, space: Space, version_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """Remove the points of these versions; gives how many each had. Frees no disk: see `edge_compact`."""
        shard = self._shard(space)
        removed: collections.Counter[uuid.UUID] = collections.Counter()
        for start in range(0, len(version_ids), DELETE_VERSIONS):
            doomed = _of_versions(version_ids[start : start + DELETE_VERSIONS])
            self._look_for_room(FLOOR_BYTES)
            with shard.writing, our_errors(space.name):
                found = collections.Counter(_scrolled_versions(shard.edge, doomed))
                if found:
                    shard.edge.update(qdrant_edge.UpdateOperation.delete_points_by_filter(doomed))
                    self._note_written(shard, found.total())
                removed += found
        return dict(removed)

    def search(self, space: Space, query: VectorQuery) -> Rankings:
        """The best points of each side that pass scope, exclusions and filter, best first; ties by chunk id.

        Raises:
            FingerprintMismatchError: the query's vector is of another length than the space's.
        """
        if not query.scope or query.limit < 1:
            return Rankings(dense=(), sparse=())
        shard = self._shard(space)
        may_see = None if self._sees_all(shard, query.scope) else _any_tag(query.scope)
        wanted = self._wanted(space, shard, query, may_see)
        with our_errors(space.name):
            dense: Sequence[Scored] = ()
            sparse: Sequence[Scored] = ()
            if query.dense is not None:
                nearest = qdrant_edge.Query.Nearest(query.dense.tolist(), using=DENSE)
                ranking = _Ranking(shard.edge, nearest, wanted, qdrant_edge.SearchParams(exact=True))
                dense = ranking.best(query.offset, query.limit, low=-1.0, high=1.0)
            if query.sparse is not None and query.sparse.indices:
                terms = qdrant_edge.SparseVector(list(query.sparse.indices), list(query.sparse.values))
                corpus = qdrant_edge.IdfParams(self._corpus(shard, may_see))
                nearest = qdrant_edge.Query.Nearest(terms, using=SPARSE)
                ranking = _Ranking(shard.edge, nearest, wanted, qdrant_edge.SearchParams(exact=True, idf=corpus))
                sparse = ranking.best(query.offset, query.limit, low=0.0)
        return Rankings(dense=dense, sparse=sparse)

    def count(self, space: Space, version_ids: Sequence[uuid.UUID] | None = None) -> int:
        """How many points there are, of all versions or of some."""
        shard = self._shard(space)
        condition = None if version_ids is None else _of_versions(version_ids)
        with our_errors(space.name):
            return int(shard.edge.count(qdrant_edge.CountRequest(exact=True, filter=condition)))

    def states(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> list[PointState]:
        """Those of the points that there are."""
        shard = self._shard(space)
        with our_errors(space.name):
            found = shard.edge.retrieve(list(chunk_ids), with_payload=[VERSION, SCOPE, facts.FIELD], with_vector=False)
        return [_state(record) for record in found]

    def points(self, space: Space) -> Iterator[PointState]:
        """Every point, by chunk id; what is written meanwhile may show or not."""
        shard = self._shard(space)
        offset: int | uuid.UUID | str | None = None
        while True:
            page = qdrant_edge.ScrollRequest(
                offset=offset, limit=PAGE_POINTS, with_payload=[VERSION, SCOPE, facts.FIELD]
            )
            with our_errors(space.name):
                records, offset = shard.edge.scroll(page)
            yield from (_state(record) for record in records)
            if offset is None:
                return

    def disk_bytes(self, space: Space) -> int:
        """What the space takes on the disk, its log included."""
        return disk_bytes(self._folder / space.name)

    def dead_fraction(self, space: Space) -> float:
        """The share of vector slots that hold no point any more, in [0, 1]: about what a compaction gives back."""
        slots = vector_slots(self._folder / space.name, dimensions=space.dimensions)
        return max(0.0, 1.0 - self.count(space) / slots) if slots else 0.0

    def flush(self) -> None:
        """Write out every space, so that the next opening has no log to replay."""
        for shard in list(self._shards.values()):
            with shard.writing, our_errors(None):
                shard.edge.flush()
                shard.unflushed = 0

    def copy_to(self, target: pathlib.Path) -> None:
        """Copy every space into a folder that does not exist yet; writers wait meanwhile, readers do not.

        Raises:
            StorageFullError: no room for it.
        """
        if not self._folder.exists():
            return
        with contextlib.ExitStack() as held, our_errors(None):
            for shard in list(self._shards.values()):
                held.enter_context(shard.writing)
                shard.edge.flush()
                shard.unflushed = 0
            self._look_for_room(self._room_bytes + sum(disk_bytes(each) for each in self._folder.iterdir()))
            shutil.copytree(self._folder, target, ignore=shutil.ignore_patterns(".*"))

    def close(self) -> None:
        """Flush and let go of every space; later calls fail with a TransientError. Closing twice is closing once."""
        with self._opening:
            self._closed = True
            shards, self._shards = list(self._shards.values()), {}
        for shard in shards:
            with shard.writing, our_errors(None):
                shard.edge.close()  # flushes

    def _shard(self, space: Space) -> _Shard:
        shard = self._shards.get(space.name)
        if shard is None:
            with self._opening:
                if self._closed:
                    raise TransientError("the vector store is closed", code="index_unavailable")
                shard = self._shards.get(space.name) or self._open(space)
                self._shards[space.name] = shard
        if shard.dimensions != space.dimensions:
            raise FingerprintMismatchError(
                f"this index holds vectors of {shard.dimensions} numbers, the embedder gives {space.dimensions}"
            )
        return shard

    def _open(self, space: Space) -> _Shard:
        folder = self._folder / space.name
        with our_errors(space.name):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._look_for_room(FLOOR_BYTES)
            if not folder.exists():
                self._look_for_room(self._room_bytes)
                self._make(space, folder)
            return _Shard(
                edge=qdrant_edge.EdgeShard.load(str(folder), layout(space.dimensions)), dimensions=space.dimensions
            )

    def _make(self, space: Space, folder: pathlib.Path) -> None:
        """A crash leaves no half-made shard: it gets its name when it is whole."""
        unfinished = folder.with_name(f".{space.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        edge = qdrant_edge.EdgeShard.create(str(unfinished), layout(space.dimensions))
        kinds = qdrant_edge.PayloadSchemaType
        for field, kind in ((SCOPE, kinds.Keyword), (VERSION, kinds.Uuid), (facts.FIELD, kinds.Keyword)):
            edge.update(qdrant_edge.UpdateOperation.create_field_index(field, kind))
        edge.close()
        unfinished.rename(folder)

    def _sees_all(self, shard: _Shard, tags: Sequence[str]) -> bool:
        """Whether these tags open every point there is: then a search need not look at the lists, and is twice as fast.

        Counted once for each state of the shard, and only while nobody writes. A point written since is no harm: the
        database decides what is shown.
        """
        written = shard.written
        if time.monotonic() - shard.written_at < _SETTLED_SECONDS:
            return False
        known = shard.sees_all.get(tuple(tags))
        if known is None or known[0] != written:
            with our_errors(None):
                every = shard.edge.count(qdrant_edge.CountRequest(exact=True))
                open_to = qdrant_edge.Filter(should=_any_tag(tags))
                seen = shard.edge.count(qdrant_edge.CountRequest(exact=True, filter=open_to))
            if len(shard.sees_all) >= _MOST_CALLERS:
                shard.sees_all.clear()
            known = shard.sees_all[tuple(tags)] = (written, seen == every)
        return known[1]

    def _corpus(self, shard: _Shard, may_see: list[edge_facts.Condition] | None) -> qdrant_edge.Filter | None:
        """The points over which words are counted. With no filter at all, deleted ones are counted until a compaction."""
        if may_see is not None:
            return qdrant_edge.Filter(should=may_see)
        held = shard.edge.info()  # 3 us
        return None if held.indexed_vectors_count == held.points_count else qdrant_edge.Filter()

    def _wanted(
        self, space: Space, shard: _Shard, query: VectorQuery, may_see: list[edge_facts.Condition] | None
    ) -> qdrant_edge.Filter | None:
        if query.only is not None:
            return qdrant_edge.Filter(must=[qdrant_edge.HasIdCondition(set(query.only))])
        must: list[edge_facts.Condition] = []
        if query.filter is not None:
            known = shard.known or facts.KnownValues(())
            if facts.has_order(query.filter):
                known = self._known_values(space, shard)
            must.append(edge_facts.compiled(query.filter, known))
        excluded = [str(version_id) for version_id in query.excluded_versions]
        hidden = qdrant_edge.FieldCondition(VERSION, match=qdrant_edge.MatchAny(excluded))
        if may_see is None and not must and not excluded:
            return None
        return qdrant_edge.Filter(should=may_see, must=must or None, must_not=[hidden] if excluded else None)

    def _known_values(self, space: Space, shard: _Shard) -> facts.KnownValues:
        """Every fact of the space: read once, under the lock of writers, then kept up by them."""
        if shard.known is None:
            with shard.writing, our_errors(space.name):
                if shard.known is None:
                    shard.known = facts.KnownValues(_all_facts(shard.edge))
        return shard.known

    def _note_written(self, shard: _Shard, points: int) -> None:
        shard.written += 1
        shard.written_at = time.monotonic()
        shard.unflushed += points
        if shard.unflushed >= self._flush_points:
            shard.edge.flush()
            shard.unflushed = 0

    def _look_for_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise StorageFullError(f"{free >> 20} MB are free for the index, {needed >> 20} MB are needed to write")


@dataclasses.dataclass(frozen=True, slots=True)
class _Ranking:
    """One side of a search."""

    edge: qdrant_edge.EdgeShard
    query: qdrant_edge.Query
    wanted: qdrant_edge.Filter | None
    params: qdrant_edge.SearchParams

    def best(self, offset: int, limit: int, *, low: float, high: float = float("inf")) -> list[Scored]:
        """Places [offset, offset + limit) by score, then chunk id; scores brought into [low, high].

        Where more points share the last place's score than were fetched, more are fetched, until all of them are seen.
        """
        end = offset + limit
        size = end + TIE_SLACK
        hits = self._fetch(size)
        while len(hits) == size and hits[-1].score == hits[end - 1].score:
            size *= 8
            hits = self._fetch(size)
        placed = sorted((-hit.score, _chunk_id(hit)) for hit in hits)[offset:end]
        # rounding may pass a bound by 1e-7
        return [Scored(chunk_id=chunk_id, score=min(high, max(low, -minus))) for minus, chunk_id in placed]

    def _fetch(self, size: int) -> list[qdrant_edge.ScoredPoint]:
        request = qdrant_edge.QueryRequest(limit=size, query=self.query, filter=self.wanted, params=self.params)
        return list(self.edge.query(request))


def _any_tag(tags: Sequence[str]) -> list[edge_facts.Condition]:
    """Conditions of which one must hold. A list of single matches: MatchAny makes a set of all its hits first."""
    return [qdrant_edge.FieldCondition(SCOPE, match=qdrant_edge.MatchValue(tag)) for tag in tags]


def layout(dimensions: int, optimizers: qdrant_edge.EdgeOptimizersConfig | None = None) -> qdrant_edge.EdgeConfig:
    """How a shard is made, and what it is held to when it is opened.

    Half precision changes a cosine by less than 0.001 and takes half the memory; of 100,000 vectors of 384 it is searched
    in 10 ms of processor time where single precision takes 15 (two cores with AVX2).
    """
    dense = qdrant_edge.EdgeVectorParams(
        dimensions, qdrant_edge.Distance.Cosine, datatype=qdrant_edge.VectorStorageDatatype.Float16
    )
    return qdrant_edge.EdgeConfig(
        vectors={DENSE: dense},
        sparse_vectors={SPARSE: qdrant_edge.EdgeSparseVectorParams(modifier=qdrant_edge.Modifier.Idf)},
        optimizers=optimizers,
        max_search_threads=1,
        wal_enabled=True,
    )


@contextlib.contextmanager
def opened(folder: pathlib.Path, config: qdrant_edge.EdgeConfig) -> Iterator[qdrant_edge.EdgeShard]:
    """A shard that exists, closed again at the end. Errors as `EdgeVectorStore.ensure`."""
    with our_errors(folder.name):
        edge = qdrant_edge.EdgeShard.load(str(folder), config)
        try:
            yield edge
        finally:
            edge.close()


def disk_bytes(folder: pathlib.Path) -> int:
    """The blocks that a shard's files take; many are sparse, so their lengths say little."""
    return sum(_blocks(path) for path in folder.rglob("*"))


def vector_slots(folder: pathlib.Path, *, dimensions: int) -> int:
    """Points that a shard's dense vector files have room for, as the blocks on the disk tell; deleted ones keep theirs."""
    files = folder.glob(f"segments/*/vector_storage-{DENSE}/vectors/chunk_*")
    return sum(_blocks(path) for path in files) // (_BYTES_OF_NUMBER * dimensions)


def _blocks(path: pathlib.Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_blocks * 512 if path.is_file() else 0  # st_blocks counts units of 512 bytes
    return 0


def _edge_point(point: Point) -> qdrant_edge.Point:
    if not np.isfinite(point.dense).all():
        raise DocumentError(f"chunk {point.chunk_id} got a vector with numbers that are not finite", code="bad_vector")
    terms = qdrant_edge.SparseVector(list(point.sparse.indices), list(point.sparse.values))
    payload = {
        SCOPE: list(point.scope),
        VERSION: str(point.version_id),
        DOCUMENT: str(point.document_id),
        facts.FIELD: facts.facts(point.metadata),
    }
    return qdrant_edge.Point(point.chunk_id, {DENSE: point.dense.tolist(), SPARSE: terms}, payload)


def _chunk_id(found: qdrant_edge.ScoredPoint | qdrant_edge.Record) -> uuid.UUID:
    return found.id if isinstance(found.id, uuid.UUID) else uuid.UUID(str(found.id))


def _state(found: qdrant_edge.Record) -> PointState:
    payload = found.payload or {}
    return PointState(
        chunk_id=_chunk_id(found),
        version_id=uuid.UUID(payload[VERSION]),
        scope=frozenset(payload.get(SCOPE) or ()),
        metadata=facts.metadata(payload.get(facts.FIELD) or ()),
    )


def _of_ids(chunk_ids: Sequence[uuid.UUID]) -> qdrant_edge.Filter:
    return qdrant_edge.Filter(must=[qdrant_edge.HasIdCondition(set(chunk_ids))])


def _scrolled_versions(edge: qdrant_edge.EdgeShard, condition: qdrant_edge.Filter) -> Iterator[uuid.UUID]:
    """The version of each point that fulfils a condition."""
    offset: int | uuid.UUID | str | None = None
    while True:
        page = qdrant_edge.ScrollRequest(offset=offset, limit=PAGE_POINTS, with_payload=[VERSION], filter=condition)
        records, offset = edge.scroll(page)
        yield from (uuid.UUID((record.payload or {})[VERSION]) for record in records)
        if offset is None:
            return


def _stored(found: qdrant_edge.Record) -> StoredVectors:
    kept: Any = found.vector
    terms = kept[SPARSE]
    return StoredVectors(
        dense=np.array(kept[DENSE], dtype=np.float32), sparse=ascending(list(terms.indices), list(terms.values))
    )


def _of_versions(version_ids: Sequence[uuid.UUID]) -> qdrant_edge.Filter:
    any_of = qdrant_edge.MatchAny([str(version_id) for version_id in version_ids])
    return qdrant_edge.Filter(must=[qdrant_edge.FieldCondition(VERSION, match=any_of)])


def _all_facts(edge: qdrant_edge.EdgeShard) -> list[str]:
    """The distinct facts of a shard; 0.7 s for 20,000 of them on 100,000 points."""
    limit = 100_000
    while True:
        found = edge.facet(qdrant_edge.FacetRequest(facts.FIELD, limit=limit, exact=True))
        if len(found) < limit:
            return [hit.value for hit in found]
        limit *= 8


@contextlib.contextmanager
def our_errors(space: str | None) -> Iterator[None]:
    """What the library and the file system raise, as errors of ours."""
    try:
        yield
    except OSError as error:
        raise _our_error(str(error), space) from error
    except Exception as error:
        if type(error) is not Exception:
            raise  # ours already, or a mistake of ours: the library raises nothing but plain `Exception`
        raise _our_error(str(error), space) from error


def _our_error(text: str, space: str | None) -> FootnoteError:
    """The library gives its errors no types, so here, and only here, the text decides."""
    where = f"the index {space}" if space else "the index"
    if "WouldBlock" in text:
        return FolderInUseError(f"{where} is held open by another process")
    if "No space left" in text or "os error 28" in text or "Disk quota exceeded" in text:
        return StorageFullError(f"no room left to write {where}")
    if "Read-only file system" in text or "Permission denied" in text:
        return ConfigurationError(f"{where} can't be written: {text[:300]}", code="read_only")
    if "dimension error" in text or "Incompatible config" in text:
        return FingerprintMismatchError(f"{where} was built for vectors of another length: {text[:300]}")
    return TransientError(f"{where}: {text[:300]}", code="index_unavailable")
