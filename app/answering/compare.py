"""The same questions to the live index of a collection and to another one of it, side by side."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence

from app.answering.search import Search, SearchHit, SearchRequest
from app.domain.access import Principal
from app.domain.errors import BadQueryError, NotFoundError
from app.domain.repositories import Database

MAX_QUERIES = 100  # of one comparison


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What both indexes find for one question."""

    query: str
    live: tuple[SearchHit, ...]
    other: tuple[SearchHit, ...]

    @property
    def shared(self) -> float:
        """The share of the documents found that both found, [0, 1]; 1 where neither found any."""
        left, right = ({hit.hit.document.id for hit in hits} for hits in (self.live, self.other))
        return len(left & right) / len(left | right) if left | right else 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """The use case; safe to call from many threads."""

    database: Database
    search: Search

    def __call__(
        self, principal: Principal, name: str, index_id: uuid.UUID, queries: Sequence[str], *, limit: int
    ) -> list[Comparison]:
        """Both results for each question.

        Raises:
            BadQueryError: no queries, or too many.
            NotFoundError: no such collection, or no such index of it.
            FingerprintMismatchError, TransientError: as the search does.
        """
        if not 1 <= len(queries) <= MAX_QUERIES:
            raise BadQueryError(f"a comparison takes 1 to {MAX_QUERIES} queries")
        with self.database.read() as work:
            collection = work.collections.by_name(principal.workspace_id, name)
        if collection is None:
            raise NotFoundError(f"no collection named {name!r:.80} in this workspace", code="unknown_collection")

        def hits(query: str, index: uuid.UUID) -> tuple[SearchHit, ...]:
            request = SearchRequest(query=query, collections=(name,), limit=limit, index_id=index)
            return self.search(principal, request).hits

        return [
            Comparison(query=each, live=hits(each, collection.live_index_id), other=hits(each, index_id))
            for each in queries
        ]
