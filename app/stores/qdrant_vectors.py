"""Vectors on a Qdrant server or cluster, through qdrant-client: one collection a space."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from app.domain.errors import (
    ConfigurationError,
    DocumentError,
    FingerprintMismatchError,
    FootnoteError,
    PartDownError,
    StorageFullError,
    TransientError,
)
from app.domain.filters import Filter, Scalar
from app.domain.vectors import Point, PointState, Rankings, Scored, Space, StoredVectors, Vector, VectorQuery, ascending
from app.stores import facts

T = TypeVar("T")
DENSE, SPARSE = "dense", "sparse"
SCOPE, VERSION, DOCUMENT = "scope", "version_id", "document_id"

UPSERT_POINTS = 256  # of one request: some 1.5 MB of JSON
READ_POINTS = 256  # of one request that reads vectors: some 1.5 MB of JSON
DELETE_VERSIONS = 256  # of one request
PAGE_POINTS = 2_000  # of one scroll
TIE_SLACK = 16  # fetched beyond what was asked for, so that most ties at the cut need no second look
_PAUSES = (0.1, 0.4)  # seconds before another try of what is transient
_CONFLICT, _NOT_FOUND = 409, 404
_DOWN = frozenset({408, 429, 502, 503, 504})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a collection is made; what exists stays as it is."""

    shards: int | None = None  # None: the server's default
    replicas: int | None = None
    write_consistency: int | None = None  # replicas that must have a write before it returns
    on_disk: bool = False  # vectors on disk instead of in memory


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the server is, and how it is spoken to."""

    url: str
    api_key: str | None = None
    grpc: bool = False
    timeout_seconds: int = 30


def connect(server: Server, *, prefix: str, layout: Layout, exact: bool) -> QdrantVectorStore:
    """A store on that server; nothing is asked yet. See QdrantVectorStore."""
    client = QdrantClient(
        url=server.url,
        api_key=server.api_key,
        prefer_grpc=server.grpc,
        timeout=server.timeout_seconds,
        check_compatibility=False,
    )
    return QdrantVectorStore(client, prefix=prefix, layout=layout, exact=exact)


class QdrantVectorStore:
    """VectorStore on a server. Safe to call from several threads: each call is one request of its own, or some."""

    def __init__(
        self,
        client: QdrantClient,
        *,
        prefix: str = "footnote-",
        layout: Layout | None = None,
        exact: bool = False,
        retries: bool = True,
    ) -> None:
        """Ask nothing yet.

        Args:
            client: of the server; closed with the store.
            prefix: of collections' names, for a server that others use too.
            layout: of collections that are made.
            exact: whether every vector is looked at; a large collection is searched by its graph otherwise.
            retries: whether what is transient is tried again, twice.
        """
        self._client = client
        self._prefix = prefix
        self._layout = layout or Layout()
        self._exact = exact
        self._pauses = _PAUSES if retries else ()
        self._dimensions: dict[str, int] = {}
        self._closed = False

    def ensure(self, space: Space) -> None:
        """Make the collection and its payload indexes where they do not exist.

        Raises:
            FingerprintMismatchError: it exists with vectors of another length.
        """
        name = self._name(space)
        if not self._call(lambda: self._client.collection_exists(name)):
            with contextlib.suppress(_ExistsError):  # another process made it in this moment
                self._call(lambda: self._make(name, space))
        for field, schema in (
            (SCOPE, models.PayloadSchemaType.KEYWORD),
            (VERSION, models.PayloadSchemaType.UUID),
            (facts.FIELD, models.PayloadSchemaType.KEYWORD),
        ):
            self._call(lambda field=field, schema=schema: self._client.create_payload_index(name, field, schema))  # type: ignore[misc]
        vectors = self._call(lambda: self._client.get_collection(name)).config.params.vectors
        size = vectors[DENSE].size if isinstance(vectors, Mapping) else -1
        self._dimensions[space.name] = size
        self._require(space)

    def upsert(self, space: Space, points: Sequence[Point]) -> None:
        """Write points; one that exists is replaced. Errors as the port says.

        Raises:
            DocumentError: a vector is not finite; none of its batch is written.
            FingerprintMismatchError: a vector is of another length than the space's.
        """
        name = self._known(space)
        for start in range(0, len(points), UPSERT_POINTS):
            batch = [self._record(space, point) for point in points[start : start + UPSERT_POINTS]]
            self._call(lambda batch=batch: self._client.upsert(name, batch, wait=True))  # type: ignore[misc]

    def present(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Those of the ids that the store holds."""
        if not chunk_ids:
            return set()
        name = self._known(space)
        ids = [str(each) for each in chunk_ids]
        found = self._call(lambda: self._client.retrieve(name, ids, with_payload=False, with_vectors=False))
        return {uuid.UUID(str(each.id)) for each in found}

    def vectors(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredVectors]:
        """Vectors of these chunks as they are kept; ids that the store does not hold are absent."""
        name = self._known(space)
        read: dict[uuid.UUID, StoredVectors] = {}
        for start in range(0, len(chunk_ids), READ_POINTS):
            ids = [str(each) for each in chunk_ids[start : start + READ_POINTS]]
            found = self._call(
                lambda ids=ids: self._client.retrieve(name, ids, with_payload=False, with_vectors=True)  # type: ignore[misc]
            )
            read.update((uuid.UUID(str(each.id)), _stored(each)) for each in found)
        return read

    def set_access(
        self, space: Space, chunk_ids: Sequence[uuid.UUID], *, scope: Sequence[str], metadata: Mapping[str, Scalar]
    ) -> None:
        """Replace access list and metadata of those of these points that there are; one request, so all at once."""
        name = self._known(space)
        payload = {SCOPE: list(scope), facts.FIELD: facts.facts(metadata)}
        those = models.FilterSelector(filter=_of_ids(chunk_ids))
        self._call(lambda: self._client.set_payload(name, payload, those, wait=True))

    def delete_points(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> None:
        """Remove these points; absent ones are passed over."""
        if chunk_ids:
            name = self._known(space)
            those = models.FilterSelector(filter=_of_ids(chunk_ids))
            self._call(lambda: self._client.delete(name, those, wait=True))

    def delete_versions(self, space: Space, version_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """Remove the points of these versions; gives how many each had."""
        name = self._known(space)
        removed: collections.Counter[uuid.UUID] = collections.Counter()
        for start in range(0, len(version_ids), DELETE_VERSIONS):
            doomed = _of_versions(version_ids[start : start + DELETE_VERSIONS])
            found = collections.Counter(
                uuid.UUID((each.payload or {})[VERSION]) for each in self._scrolled(name, [VERSION], doomed)
            )
            if found:
                selector = models.FilterSelector(filter=doomed)
                self._call(lambda selector=selector: self._client.delete(name, selector, wait=True))  # type: ignore[misc]
            removed += found
        return dict(removed)

    def search(self, space: Space, query: VectorQuery) -> Rankings:
        """The best points of each side that pass scope, exclusions and filter, best first; ties by chunk id.

        Both sides go in one request. On a graph, dense ranks may miss a point; `exact` looks at all.

        Raises:
            FingerprintMismatchError: the query's vector is of another length than the space's.
        """
        if not query.scope or query.limit < 1:
            return Rankings(dense=(), sparse=())
        name = self._known(space)
        if query.dense is not None:
            self._require_length(space, query.dense)
        wanted = self._wanted(name, query)
        size = query.offset + query.limit + TIE_SLACK
        sides: dict[str, models.QueryRequest] = {}
        if query.dense is not None:
            sides[DENSE] = self._side(DENSE, query.dense.tolist(), wanted, size, models.SearchParams(exact=self._exact))
        if query.sparse is not None and query.sparse.indices:
            terms = models.SparseVector(indices=list(query.sparse.indices), values=list(query.sparse.values))
            corpus = models.IdfCorpusParams(corpus=models.Filter(should=_any_tag(query.scope)))
            sides[SPARSE] = self._side(SPARSE, terms, wanted, size, models.SearchParams(exact=True, idf=corpus))
        found = self._ranked(name, sides)
        dense = self._best(name, sides.get(DENSE), found.get(DENSE, []), query, low=-1.0, high=1.0)
        sparse = self._best(name, sides.get(SPARSE), found.get(SPARSE, []), query, low=0.0, high=float("inf"))
        return Rankings(dense=dense, sparse=sparse)

    def count(self, space: Space, version_ids: Sequence[uuid.UUID] | None = None) -> int:
        """How many points there are, of all versions or of some."""
        if version_ids is not None and not version_ids:
            return 0
        return self._count(self._known(space), None if version_ids is None else _of_versions(version_ids))

    def states(self, space: Space, chunk_ids: Sequence[uuid.UUID]) -> list[PointState]:
        """Those of the points that there are."""
        if not chunk_ids:
            return []
        name = self._known(space)
        ids = [str(each) for each in chunk_ids]
        told = [VERSION, SCOPE, facts.FIELD]
        found = self._call(lambda: self._client.retrieve(name, ids, with_payload=told, with_vectors=False))
        return [_state(each) for each in found]

    def points(self, space: Space) -> Iterator[PointState]:
        """Every point, by chunk id; what is written meanwhile may show or not."""
        yield from (_state(each) for each in self._scrolled(self._known(space), [VERSION, SCOPE, facts.FIELD], None))

    def disk_bytes(self, space: Space) -> int | None:
        """None: a server does not tell."""
        del space
        return None

    def flush(self) -> None:
        """Nothing: a server keeps what it acknowledged."""

    def close(self) -> None:
        """Give the connections back; later calls fail with a TransientError. Closing twice is closing once."""
        if not self._closed:
            self._closed = True
            self._client.close()

    def ping(self) -> None:
        """Raise where the server does not answer."""
        self._call(self._client.get_collections)

    def _make(self, name: str, space: Space) -> None:
        self._client.create_collection(
            name,
            vectors_config={
                DENSE: models.VectorParams(
                    size=space.dimensions,
                    distance=models.Distance.COSINE,
                    datatype=models.Datatype.FLOAT16,
                    on_disk=self._layout.on_disk,
                )
            },
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            shard_number=self._layout.shards,
            replication_factor=self._layout.replicas,
            write_consistency_factor=self._layout.write_consistency,
        )

    def _name(self, space: Space) -> str:
        return f"{self._prefix}{space.name}"

    def _known(self, space: Space) -> str:
        """The collection's name, once it is known to be there."""
        if space.name not in self._dimensions:
            self.ensure(space)
        self._require(space)
        return self._name(space)

    def _require(self, space: Space) -> None:
        size = self._dimensions[space.name]
        if size != space.dimensions:
            raise FingerprintMismatchError(
                f"this index holds vectors of {size} numbers, the embedder gives {space.dimensions}"
            )

    def _require_length(self, space: Space, vector: Vector) -> None:
        if len(vector) != space.dimensions:
            raise FingerprintMismatchError(
                f"this index holds vectors of {space.dimensions} numbers, not of {len(vector)}"
            )

    def _record(self, space: Space, point: Point) -> models.PointStruct:
        self._require_length(space, point.dense)
        if not np.isfinite(point.dense).all():
            raise DocumentError(
                f"chunk {point.chunk_id} got a vector with numbers that are not finite", code="bad_vector"
            )
        terms = models.SparseVector(indices=list(point.sparse.indices), values=list(point.sparse.values))
        payload = {
            SCOPE: list(point.scope),
            VERSION: str(point.version_id),
            DOCUMENT: str(point.document_id),
            facts.FIELD: facts.facts(point.metadata),
        }
        return models.PointStruct(
            id=str(point.chunk_id), vector={DENSE: point.dense.tolist(), SPARSE: terms}, payload=payload
        )

    def _scrolled(self, name: str, told: list[str], condition: models.Filter | None) -> Iterator[models.Record]:
        """Every point that fulfils a condition, page by page, with these parts of its payload."""
        offset: Any = None
        while True:
            records, offset = self._call(
                lambda offset=offset: self._client.scroll(  # type: ignore[misc]
                    name, condition, limit=PAGE_POINTS, offset=offset, with_payload=told, with_vectors=False
                )
            )
            yield from records
            if offset is None:
                return

    def _count(self, name: str, condition: models.Filter | None) -> int:
        return self._call(lambda: self._client.count(name, condition, exact=True)).count

    def _wanted(self, name: str, query: VectorQuery) -> models.Filter:
        """What a point must fulfil."""
        if query.only is not None:
            return models.Filter(must=[models.HasIdCondition(has_id=[str(each) for each in query.only])])
        must: list[models.Condition] = []
        if query.filter is not None:
            must.append(facts.compiled(query.filter, self._known_values(name, query.filter), _Conditions()))
        excluded = [str(version_id) for version_id in query.excluded_versions]
        hidden = models.FieldCondition(key=VERSION, match=models.MatchAny(any=excluded))
        return models.Filter(should=_any_tag(query.scope), must=must or None, must_not=[hidden] if excluded else None)

    def _known_values(self, name: str, condition: Filter) -> facts.KnownValues:
        """Every fact of the space where the filter has an order in it; asked for each time, others write too."""
        if not facts.has_order(condition):
            return facts.KnownValues(())
        limit = 100_000
        while True:
            found = self._call(lambda limit=limit: self._client.facet(name, facts.FIELD, limit=limit, exact=True)).hits  # type: ignore[misc]
            if len(found) < limit:
                return facts.KnownValues(str(hit.value) for hit in found)
            limit *= 8

    def _side(
        self, side: str, vector: Any, wanted: models.Filter, size: int, params: models.SearchParams
    ) -> models.QueryRequest:
        return models.QueryRequest(
            query=models.NearestQuery(nearest=vector), using=side, filter=wanted, params=params, limit=size
        )

    def _ranked(self, name: str, sides: Mapping[str, models.QueryRequest]) -> dict[str, list[models.ScoredPoint]]:
        """What each side found, in one request."""
        if not sides:
            return {}
        requests = list(sides.values())
        replies = self._call(lambda: self._client.query_batch_points(name, requests))
        return {side: list(reply.points) for side, reply in zip(sides, replies, strict=True)}

    def _best(
        self,
        name: str,
        request: models.QueryRequest | None,
        hits: list[models.ScoredPoint],
        query: VectorQuery,
        *,
        low: float,
        high: float,
    ) -> list[Scored]:
        """Places [offset, offset + limit) by score, then chunk id; scores brought into [low, high].

        Where more points share the last place's score than were fetched, more are fetched, until all of them are seen.
        """
        if request is None:
            return []
        end = query.offset + query.limit
        while len(hits) == request.limit and hits[-1].score == hits[end - 1].score:
            request = request.model_copy(update={"limit": 8 * len(hits)})
            hits = self._ranked(name, {"": request})[""]
        placed = sorted((-hit.score, uuid.UUID(str(hit.id))) for hit in hits)[query.offset : end]
        return [Scored(chunk_id=chunk_id, score=min(high, max(low, -minus))) for minus, chunk_id in placed]

    def _call(self, work: Callable[[], T]) -> T:
        """What `work` gives; tried again where the reason is transient and was quick to show. Every request here may be made
        twice.
        """
        if self._closed:
            raise TransientError("the vector store is closed", code="index_unavailable")
        for pause in self._pauses:
            try:
                return _ours(work)
            except (StorageFullError, _SlowError):
                raise
            except TransientError:
                time.sleep(pause)
        return _ours(work)


class _SlowError(PartDownError):
    """Nothing came in time; to ask again would be to wait as long again."""


class _ExistsError(FootnoteError):
    """The collection is there already."""

    code = "exists"


class _Conditions:
    """Implements `facts.Conditions`."""

    def holds(self, some: list[str]) -> models.Condition:
        """A point holds one of these facts; none where there are none."""
        return models.FieldCondition(key=facts.FIELD, match=models.MatchAny(any=some))

    def lacks(self, some: list[str]) -> models.Condition:
        """A point holds none of these facts."""
        return models.Filter(must_not=[self.holds(some)])

    def every(self, parts: list[models.Condition]) -> models.Condition:
        """All of these."""
        return models.Filter(must=parts)

    def either(self, parts: list[models.Condition]) -> models.Condition:
        """One of these at least."""
        return models.Filter(should=parts)


def _stored(record: models.Record) -> StoredVectors:
    kept: Any = record.vector
    terms = kept[SPARSE]
    return StoredVectors(dense=np.array(kept[DENSE], dtype=np.float32), sparse=ascending(terms.indices, terms.values))


def _any_tag(tags: Sequence[str]) -> list[models.Condition]:
    return [models.FieldCondition(key=SCOPE, match=models.MatchAny(any=list(tags)))]


def _of_versions(version_ids: Sequence[uuid.UUID]) -> models.Filter:
    any_of = models.MatchAny(any=[str(version_id) for version_id in version_ids])
    return models.Filter(must=[models.FieldCondition(key=VERSION, match=any_of)])


def _of_ids(chunk_ids: Sequence[uuid.UUID]) -> models.Filter:
    return models.Filter(must=[models.HasIdCondition(has_id=[str(each) for each in chunk_ids])])


def _state(found: models.Record) -> PointState:
    payload = found.payload or {}
    return PointState(
        chunk_id=uuid.UUID(str(found.id)),
        version_id=uuid.UUID(payload[VERSION]),
        scope=frozenset(payload.get(SCOPE) or ()),
        metadata=facts.metadata(payload.get(facts.FIELD) or ()),
    )


def _ours(work: Callable[[], T]) -> T:
    """What `work` gives; what the client raises, as errors of ours."""
    try:
        return work()
    except UnexpectedResponse as error:
        raise _of_response(error) from error
    except (ResponseHandlingException, httpx.HTTPError, OSError) as error:
        if isinstance(getattr(error, "source", error), httpx.TimeoutException):
            raise _SlowError("the index does not answer in time", code="index_unavailable") from error
        raise PartDownError(f"the index does not answer: {error}"[:300], code="index_unavailable") from error


def _of_response(error: UnexpectedResponse) -> FootnoteError:
    status = error.status_code or 0
    said = error.content.decode("utf-8", "replace")[:300]
    if status in (401, 403):
        return ConfigurationError(
            f"the index refuses the key: FOOTNOTE_QDRANT_API_KEY ({said})", code="index_refuses_key"
        )
    if status == _CONFLICT or "already exists" in said:
        return _ExistsError(said)
    if "No space left" in said or "disk" in said.lower():  # the server gives its errors no codes
        return StorageFullError(f"no room left on the index: {said}")
    if "dimension" in said.lower():
        return FingerprintMismatchError(f"the index was built for vectors of another length: {said}")
    if status >= 500 or status in (*_DOWN, _NOT_FOUND):  # noqa: PLR2004 - a class of HTTP statuses
        make = PartDownError if status in _DOWN else TransientError
        return make(f"the index answered {status}: {said}", code="index_unavailable")
    return ConfigurationError(f"the index refuses a request of ours ({status}): {said}", code="index_refuses")
