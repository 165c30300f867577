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

from app.answering.fuse import EQUAL, Fused, fuse, unseen
from app.answering.turns import Turns
from app.domain import filters
from app.domain.access import Principal
from app.domain.documents import Collection, Fingerprints, Index
from app.domain.errors import BadQueryError, FingerprintMismatchError, NotFoundError
from app.domain.filters import Filter
from app.domain.ports import Embedder, SparseEncoder, VectorStore
from app.domain.repositories import Database, Hit, ReadWork
from app.domain.vectors import Rankings, Scored, Space, Sparse, Vector, VectorQuery

MAX_LIMIT = 200
MAX_EXCLUDED = 2000  # hidden versions that are named to the index; past that, refilling deals with them
MAX_COLLECTIONS = 100  # that one request may name
_DEPTH = 200  # hits of each side that are fused; the figures of docs/decisions/0004-fusion.md are at this depth
_REFILLS = 12  # doublings of the depth: past any corpus that one process holds
_TIED_REFILLS = 3  # doublings of the depth for the sake of equal scores alone
_MOST_TIED = 2000  # hits of one score that are looked up to put them in order
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
    index_id: uuid.UUID | None = None  # of the one collection that is named: this index of it, live or not
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
    vector: Vector | None  # of the query, by the first embedder; None where the dense side was not asked


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What one search asks of the index: a space and the tags of the caller in it."""

    dense: str  # fingerprint of the space's embedder
    space: Space
    scope: tuple[str, ...]
    excluded: tuple[uuid.UUID, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question as each side of the index takes it; None where that side is not asked."""

    dense: Vector | None
    sparse: Sparse | None

    @property
    def terms(self) -> int:
        """Distinct terms of the sparse side."""
        return len(self.sparse.indices) if self.sparse is not None else 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one target gave."""

    hits: Sequence[SearchHit]
    rankings: Rankings
    depth: int
    refills: int
    removed: Mapping[Removed, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The use case; safe to call from many threads."""

    database: Database
    embedder: Embedder  # of collections that are made now
    others: Mapping[str, Embedder]  # by fingerprint: of collections that were made before
    sparse: SparseEncoder
    vectors: VectorStore
    max_query_chars: int
    turns: Turns = dataclasses.field(default_factory=lambda: Turns(_PLACES))

    def __call__(self, principal: Principal, request: SearchRequest) -> SearchResult:
        """The best passages for a query.

        Raises:
            BadQueryError: empty, or over FOOTNOTE_MAX_QUERY_CHARS.
            NotFoundError: a collection that is named does not exist, or has no such index.
            FingerprintMismatchError: a collection that is named was built with an embedder that this process lacks.
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
            sparse = self.sparse.encode_query(query) if request.mode is not Mode.DENSE else None
            for attempt in range(_REFILLS + 1):
                targets = self._targets(principal, request)
                found = [
                    self._found(principal, request, target, self._asked(query, target, dense, sparse), stopwatch)
                    for target in targets
                ]
                hits = [hit for each in found for hit in each.hits]
                if len(found) > 1:
                    hits.sort(key=lambda hit: -hit.fused.score)
                # versions or indexes may be switched between the look into the index and the one into the database
                if len(hits) >= request.limit or attempt == _REFILLS or self._targets(principal, request) == targets:
                    break
        return SearchResult(
            hits=tuple(hits[: request.limit]),
            explanation=_explained(request, targets, found),
            timings_ms=stopwatch.timings_ms,
            vector=dense,
        )

    def _asked(self, query: str, target: _Target, dense: Vector | None, sparse: Sparse | None) -> _Asked:
        """The question as a target's encoders take it."""
        if dense is None or target.dense == self.embedder.fingerprint:
            return _Asked(dense=dense, sparse=sparse)
        return _Asked(dense=self.others[target.dense].embed_query(query), sparse=sparse)

    def _found(
        self, principal: Principal, request: SearchRequest, target: _Target, asked: _Asked, stopwatch: _Stopwatch
    ) -> _Found:
        """What one space has, asked further down its rankings until there are enough."""
        depth = max(_DEPTH, 2 * request.limit)
        for refills in range(_REFILLS + 1):
            fused, rankings = self._fused(request, target, asked, depth, stopwatch)
            with stopwatch.measure("hydrate"):
                hits, removed = self._visible(principal, request, fused)
            exhausted = len(rankings.dense) < depth and len(rankings.sparse) < depth
            enough = len(hits) >= request.limit
            # what is as good as the last hit may lie further down: which of them are shown must not be the index's choice
            beyond = unseen(rankings.dense, rankings.sparse, terms=asked.terms, depth=depth)
            cut = enough and refills < _TIED_REFILLS and hits[-1].fused.score - beyond <= EQUAL
            if (enough and not cut) or refills == _REFILLS or exhausted:
                break
            depth *= 2
        return _Found(hits=hits, rankings=rankings, depth=depth, refills=refills, removed=removed)

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
        return fuse(found.dense, found.sparse, terms=asked.terms, **beyond), found

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

    def _targets(self, principal: Principal, request: SearchRequest) -> list[_Target]:
        """One for each space that the collections asked for lie in."""
        names = request.collections
        if names is not None and not 1 <= len(names) <= MAX_COLLECTIONS:
            raise BadQueryError(f"`collections` names 1 to {MAX_COLLECTIONS} collections, or is left out for all")
        with self.database.read() as work:
            found = work.collections.named(principal.workspace_id, names)
            if request.index_id is not None:
                found = _with_index(work, found, request.index_id)
            mine: dict[Space, list[Index]] = {}
            for _, index in found:
                if self._serves(index.fingerprints):
                    mine.setdefault(index.space, []).append(index)
            if names is not None:
                self._require_all(names, found)
            return [
                _Target(
                    dense=indexes[0].fingerprints.dense,
                    space=space,
                    scope=tuple(f"{each.id}/{tag}" for each in indexes for tag in principal.index_tags),
                    excluded=tuple(work.versions.hidden_ids(space.name, limit=MAX_EXCLUDED)),
                )
                for space, indexes in mine.items()
            ]

    def _serves(self, fingerprints: Fingerprints) -> bool:
        known = fingerprints.dense == self.embedder.fingerprint or fingerprints.dense in self.others
        return known and fingerprints.sparse == self.sparse.fingerprint

    def _require_all(self, names: Sequence[str], found: Iterable[tuple[Collection, Index]]) -> None:
        indexes = {collection.name: index for collection, index in found}
        for name in names:
            if name not in indexes:
                raise NotFoundError(f"no collection named {name!r:.80} in this workspace", code="unknown_collection")
        for name in names:
            if not self._serves(indexes[name].fingerprints):
                raise FingerprintMismatchError(
                    f"collection {name!r} was embedded with {indexes[name].fingerprints.dense}, this process embeds with "
                    f"{self.embedder.fingerprint}: name its model in FOOTNOTE_OTHER_EMBEDDERS, and build a new index by "
                    "`footnote reindex`"
                )

    def _visible(
        self, principal: Principal, request: SearchRequest, fused: Sequence[Fused]
    ) -> tuple[list[SearchHit], dict[Removed, int]]:
        """The first `limit` hits that may be shown, and how many were passed over before the last of them, by reason."""
        hits: list[SearchHit] = []
        removed: collections.Counter[Removed] = collections.Counter()
        documents: set[uuid.UUID] = set()
        size = request.limit + _SPARE
        for page in _pages(fused, size):
            with self.database.read() as work:
                known = work.chunks.hits(principal.workspace_id, [each.chunk_id for each in page])
            for each in _ordered(page, known):
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


def _pages(fused: Sequence[Fused], size: int) -> Iterator[Sequence[Fused]]:
    """Pages of at least that size, none of which ends between equal scores, unless there are very many."""
    first = 0
    while first < len(fused):
        end = min(first + size, len(fused))
        while end < len(fused) and end - first < _MOST_TIED and fused[end - 1].score - fused[end].score <= EQUAL:
            end += 1
        yield fused[first:end]
        first = end


def _ordered(page: Sequence[Fused], known: Mapping[uuid.UUID, Hit]) -> Iterator[Fused]:
    """The page with each run of equal scores in the order of their places."""
    run: list[Fused] = []
    for each in page:
        if run and run[-1].score - each.score > EQUAL:
            yield from sorted(run, key=lambda one: _place(known.get(one.chunk_id)))
            run = []
        run.append(each)
    yield from sorted(run, key=lambda one: _place(known.get(one.chunk_id)))


def _place(hit: Hit | None) -> tuple[str, str, int, str]:
    """What puts equal scores in order, the same in every index and installation that holds the same documents."""
    if hit is None:
        return ("", "", 0, "")
    return (hit.document.external_id or "", hit.document.title, hit.chunk.start, hit.chunk.text)


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
    if hit is None or not _answers(request, hit):
        return Removed.NOT_LIVE
    if not principal.may_read(hit.document.readers):
        return Removed.NOT_READABLE
    if request.filter is not None and not filters.matches(request.filter, hit.document.metadata):
        return Removed.FILTERED
    if request.by_document and hit.document.id in documents:
        return Removed.SAME_DOCUMENT
    return None


def _answers(request: SearchRequest, hit: Hit) -> bool:
    """Whether the version is live, and the index the one that is asked."""
    return hit.live if request.index_id is None else hit.version_live and hit.chunk.index_id == request.index_id


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


def _with_index(
    work: ReadWork, found: Sequence[tuple[Collection, Index]], index_id: uuid.UUID
) -> list[tuple[Collection, Index]]:
    """The one collection with that index of it, live or not."""
    for collection, _ in found:
        for index in work.collections.indexes([collection.id]).get(collection.id, []):
            if index.id == index_id:
                return [(collection, index)]
    raise NotFoundError("no such index of this collection", code="unknown_index")


def _explained(request: SearchRequest, targets: Sequence[_Target], found: Sequence[_Found]) -> Explanation:
    removed: collections.Counter[Removed] = collections.Counter()
    for each in found:
        removed.update(each.removed)
    return Explanation(
        mode=request.mode,
        depth=max((each.depth for each in found), default=0),
        dense_found=sum(len(each.rankings.dense) for each in found),
        sparse_found=sum(len(each.rankings.sparse) for each in found),
        refills=sum(each.refills for each in found),
        excluded_versions=sum(len(target.excluded) for target in targets),
        removed=dict(removed),
    )
