"""Search: guard, embed the question, ask the index, fuse, and look every hit up in the database before it is shown.

The index is a hint and the database the truth: a hit counts only if its version and index are live, its document is not
deleted, the caller may read it, and its metadata passes the filter, all at the moment of the look-up. Where that leaves
too few, the index is asked further down its rankings.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import time
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.answering.fuse import Fused, fuse
from app.answering.turns import Turns
from app.domain import filters
from app.domain.access import Principal
from app.domain.documents import Collection, Fingerprints, Index
from app.domain.errors import BadQueryError, FingerprintMismatchError, NotFoundError
from app.domain.filters import Filter
from app.domain.ports import Embedder, SparseEncoder, VectorStore
from app.domain.repositories import Database, Hit
from app.domain.vectors import Rankings, Scored, Space, Sparse, Vector, VectorQuery

MAX_LIMIT = 200
MAX_EXCLUDED = 2000  # hidden versions that are named to the index; past that, refilling deals with them
MAX_COLLECTIONS = 100  # that one request may name
_DEPTH = 200  # hits of each side that are fused; the figures of docs/decisions/0004-fusion.md are at this depth
_REFILLS = 12  # doublings of the depth: past any corpus that one process holds
_SPARE = 8  # hits looked up beyond those that are wanted, so that a few dropped ones cost no second look
# Searches in the index and the database at once. The index holds Python's lock, so more of them do not get more done: they
# take the lock from each other at each row of a look-up. Searches/s of 8 threads on two cores and 100,000 chunks, means of
# two rounds: 1 place 46, 2 places 52, 3 places 49, no bound 41 with a p99 1.7 times as long.
_PLACES = 2


class Mode(enum.StrEnum):
    """Which sides of the index are asked."""

    HYBRID = "hybrid"
    DENSE = "dense"
    SPARSE = "sparse"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is looked for."""

    query: str
    collections: Sequence[str] | None = None  # names; None: all of the workspace
    filter: Filter | None = None
    limit: int = 10  # hits, or documents where they are grouped
    mode: Mode = Mode.HYBRID
    by_document: bool = False  # only the best hit of each document
    explain: bool = False


class Removed(enum.StrEnum):
    """Why a hit of the index was not shown."""

    NOT_LIVE = "not_live"  # deleted, replaced, or not whole yet
    NOT_READABLE = "not_readable"
    FILTERED = "filtered"
    SAME_DOCUMENT = "same_document"  # a better hit of its document is shown


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A passage that the caller may see."""

    hit: Hit
    fused: Fused


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a result came about."""

    mode: Mode
    depth: int  # hits of each side that were asked for in the end
    dense_found: int
    sparse_found: int
    refills: int
    excluded_versions: int
    removed: Mapping[Removed, int]  # counts only: an id would tell that something exists


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Hits, best first, and how they were found."""

    hits: tuple[SearchHit, ...]
    explanation: Explanation
    timings_ms: Mapping[str, float]  # embed, wait (for a turn), index, beyond, hydrate
    vector: Vector | None  # of the query; None where the dense side was not asked


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What one search asks of the index: a space and the tags of the caller in it."""

    space: Space
    scope: tuple[str, ...]
    excluded: tuple[uuid.UUID, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question as each side of the index takes it; None where that side is not asked."""

    dense: Vector | None
    sparse: Sparse | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The use case; safe to call from many threads."""

    database: Database
    embedder: Embedder
    sparse: SparseEncoder
    vectors: VectorStore
    max_query_chars: int
    turns: Turns = dataclasses.field(default_factory=lambda: Turns(_PLACES))

    def __call__(self, principal: Principal, request: SearchRequest) -> SearchResult:
        """The best passages for a query.

        Raises:
            BadQueryError: empty, or over FOOTNOTE_MAX_QUERY_CHARS.
            NotFoundError: a collection that is named does not exist.
            FingerprintMismatchError: a collection that is named was built with another embedder.
            TransientError: the embedder or the index can't answer now.
        """
        query = check_query(request.query, max_chars=self.max_query_chars)
        stopwatch = _Stopwatch()
        dense: Vector | None = None
        if request.mode is not Mode.SPARSE:
            with stopwatch.measure("embed"):  # before a place is taken: the model leaves Python's lock to others
                dense = self.embedder.embed_query(query)
        with contextlib.ExitStack() as place:
            with stopwatch.measure("wait"):
                place.enter_context(self.turns.taken())
            target = self._target(principal, request)
            if target is None:
                return _empty(request, stopwatch)
            sparse = self.sparse.encode_query(query) if request.mode is not Mode.DENSE else None
            return self._refilled(principal, request, target, _Asked(dense=dense, sparse=sparse), stopwatch)

    def _refilled(
        self, principal: Principal, request: SearchRequest, target: _Target, asked: _Asked, stopwatch: _Stopwatch
    ) -> SearchResult:
        depth = max(_DEPTH, 2 * request.limit)
        for refills in range(_REFILLS + 1):
            fused, rankings = self._fused(request, target, asked, depth, stopwatch)
            with stopwatch.measure("hydrate"):
                hits, removed = self._visible(principal, request, fused)
            if len(hits) >= request.limit or refills == _REFILLS:
                break
            if len(rankings.dense) >= depth or len(rankings.sparse) >= depth:
                depth *= 2
            elif (fresh := self._target(principal, request)) == target or fresh is None:
                break
            else:  # versions were switched between the look into the index and the one into the database
                target = fresh
        explanation = Explanation(
            mode=request.mode,
            depth=depth,
            dense_found=len(rankings.dense),
            sparse_found=len(rankings.sparse),
            refills=refills,
            excluded_versions=len(target.excluded),
            removed=removed,
        )
        return SearchResult(
            hits=tuple(hits), explanation=explanation, timings_ms=stopwatch.timings_ms, vector=asked.dense
        )

    def _fused(
        self, request: SearchRequest, target: _Target, asked: _Asked, depth: int, stopwatch: _Stopwatch
    ) -> tuple[list[Fused], Rankings]:
        """Both rankings as one, after each side has scored what only the other one found."""
        query = VectorQuery(
            dense=asked.dense,
            sparse=asked.sparse,
            scope=target.scope,
            excluded_versions=target.excluded,
            filter=request.filter,
            limit=depth,
        )
        with stopwatch.measure("index"):
            found = self.vectors.search(target.space, query)
        beyond: dict[str, dict[uuid.UUID, float]] = {}
        if asked.sparse is not None and asked.dense is not None:
            with stopwatch.measure("beyond"):
                beyond = self._beyond(target.space, query, found)
        terms = len(asked.sparse.indices) if asked.sparse is not None else 0
        return fuse(found.dense, found.sparse, terms=terms, **beyond), found

    def _beyond(self, space: Space, query: VectorQuery, found: Rankings) -> dict[str, dict[uuid.UUID, float]]:
        """Each side's scores of the hits that only the other side has in its ranking."""
        near, worded = {each.chunk_id for each in found.dense}, {each.chunk_id for each in found.sparse}
        by_cosine: Sequence[Scored] = ()
        by_words: Sequence[Scored] = ()
        if unscored := list(worded - near):
            question = dataclasses.replace(query, sparse=None, only=unscored, limit=len(unscored))
            by_cosine = self.vectors.search(space, question).dense
        if unscored := list(near - worded):
            question = dataclasses.replace(query, dense=None, only=unscored, limit=len(unscored))
            by_words = self.vectors.search(space, question).sparse
        return {
            "dense_beyond": {each.chunk_id: each.score for each in by_cosine},
            "sparse_beyond": {each.chunk_id: each.score for each in by_words},
        }

    def _target(self, principal: Principal, request: SearchRequest) -> _Target | None:
        names = request.collections
        if names is not None and not 1 <= len(names) <= MAX_COLLECTIONS:
            raise BadQueryError(f"`collections` names 1 to {MAX_COLLECTIONS} collections, or is left out for all")
        with self.database.read() as work:
            found = work.collections.named(principal.workspace_id, names)
            mine = [pair for pair in found if self._same_space(pair[1].fingerprints)]
            if names is not None:
                self._require_all(names, found, mine)
            if not mine:
                return None
            index = mine[0][1]
            excluded = work.versions.hidden_ids(index.fingerprints.space, limit=MAX_EXCLUDED)
        return _Target(
            space=Space(name=index.fingerprints.space, dimensions=index.dimensions),
            scope=tuple(f"{each.id}/{tag}" for _, each in mine for tag in principal.index_tags),
            excluded=tuple(excluded),
        )

    def _same_space(self, fingerprints: Fingerprints) -> bool:
        return (fingerprints.dense, fingerprints.sparse) == (self.embedder.fingerprint, self.sparse.fingerprint)

    def _require_all(
        self,
        names: Sequence[str],
        found: Iterable[tuple[Collection, Index]],
        mine: Iterable[tuple[Collection, Index]],
    ) -> None:
        known = {collection.name for collection, _ in found}
        for name in names:
            if name not in known:
                raise NotFoundError(f"no collection named {name!r:.80} in this workspace", code="unknown_collection")
        usable = {collection.name for collection, _ in mine}
        for name in names:
            if name not in usable:
                raise FingerprintMismatchError(
                    f"collection {name!r} was embedded with another model than the one that is configured "
                    f"({self.embedder.fingerprint}): set FOOTNOTE_EMBEDDER back, or ingest its documents anew into a new "
                    "collection"
                )

    def _visible(
        self, principal: Principal, request: SearchRequest, fused: Sequence[Fused]
    ) -> tuple[list[SearchHit], dict[Removed, int]]:
        """The first `limit` hits that may be shown, and how many were passed over before the last of them, by reason."""
        hits: list[SearchHit] = []
        removed: collections.Counter[Removed] = collections.Counter()
        documents: set[uuid.UUID] = set()
        size = request.limit + _SPARE
        for page in (fused[first : first + size] for first in range(0, len(fused), size)):
            with self.database.read() as work:
                known = work.chunks.hits(principal.workspace_id, [each.chunk_id for each in page])
            for each in page:
                hit = known.get(each.chunk_id)
                reason = _reason(principal, request, hit, documents)
                if reason is not None or hit is None:
                    removed[reason or Removed.NOT_LIVE] += 1
                    continue
                documents.add(hit.document.id)
                hits.append(SearchHit(hit=hit, fused=each))
                if len(hits) == request.limit:
                    return hits, dict(removed)
        return hits, dict(removed)


def check_query(query: str, *, max_chars: int) -> str:
    """The query, trimmed and in NFC.

    Raises:
        BadQueryError: without a visible character, or over the limit.
    """
    if len(query) > max_chars:
        raise BadQueryError(
            f"the query has {len(query)} characters, the limit is {max_chars}: FOOTNOTE_MAX_QUERY_CHARS",
            code="query_too_long",
        )
    kept = "".join(char for char in query if unicodedata.category(char) not in ("Cc", "Cs") or char.isspace())
    text = unicodedata.normalize("NFC", kept).strip()
    if not any(unicodedata.category(char)[0] in "LNPS" for char in text):
        raise BadQueryError("the query is empty", code="query_empty")
    return text


def _reason(principal: Principal, request: SearchRequest, hit: Hit | None, documents: set[uuid.UUID]) -> Removed | None:
    if hit is None or not hit.live:
        return Removed.NOT_LIVE
    if not principal.may_read(hit.document.readers):
        return Removed.NOT_READABLE
    if request.filter is not None and not filters.matches(request.filter, hit.document.metadata):
        return Removed.FILTERED
    if request.by_document and hit.document.id in documents:
        return Removed.SAME_DOCUMENT
    return None


class _Stopwatch:
    """Milliseconds by stage; stages that come again add up."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        spent = (time.perf_counter() - start) * 1000
        self.timings_ms[stage] = round(self.timings_ms.get(stage, 0.0) + spent, 3)


def _empty(request: SearchRequest, stopwatch: _Stopwatch) -> SearchResult:
    explanation = Explanation(
        mode=request.mode, depth=0, dense_found=0, sparse_found=0, refills=0, excluded_versions=0, removed={}
    )
    return SearchResult(hits=(), explanation=explanation, timings_ms=stopwatch.timings_ms, vector=None)
