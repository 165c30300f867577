"""The evidence for a question: the passages that a search finds, as answerers take them."""

from __future__ import annotations

import dataclasses

from app.answering.search import Search, SearchHit, SearchRequest
from app.domain.access import Principal
from app.domain.answers import Passage, Question
from app.domain.repositories import Hit
from app.domain.vectors import Vector
from app.text import instructions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a question was found."""

    passages: tuple[Passage, ...]  # best first
    hits: tuple[SearchHit, ...]  # the same, as a search shows them
    vector: Vector | None  # of the question; None where there is nothing to search


def evidence(search: Search, principal: Principal, question: Question) -> Evidence:
    """The passages that fit best, of those that the caller may read. Raises as the search does."""
    request = SearchRequest(
        query=question.text,
        collections=question.collections,
        filter=question.filter,
        limit=question.max_sources,
    )
    result = search(principal, request)
    return Evidence(passages=tuple(_passage(hit) for hit in result.hits), hits=result.hits, vector=result.vector)


def _passage(found: SearchHit) -> Passage:
    chunk, document = found.hit.chunk, found.hit.document
    return Passage(
        chunk_id=found.hit.chunk_id,
        document_id=document.id,
        version_id=chunk.version_id,
        external_id=document.external_id,
        title=document.title,
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        headings=chunk.headings,
        ordinal=chunk.ordinal,
        score=found.fused.score,
        cosine=found.fused.dense_score or 0.0,
        marks=_marks(found.hit),
    )


def _marks(hit: Hit) -> tuple[str, ...]:
    """Of the version; and of the title, which may have been changed since."""
    said = hit.document.title
    return (*hit.marks, "instructions") if "instructions" not in hit.marks and instructions.found(said) else hit.marks
