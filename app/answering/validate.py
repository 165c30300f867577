"""Nothing unverified leaves: each citation is compared with the stored text, and looked at again whether it may be shown."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping

from app.domain import filters
from app.domain.access import Principal
from app.domain.answers import AnswerSentence, Candidate, Citation, Draft, Drafted, Question, text_of
from app.domain.repositories import Database, Hit
from app.text import shown


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What of a draft holds."""

    text: str
    sentences: tuple[AnswerSentence, ...]
    citations: tuple[Citation, ...]
    candidates: tuple[Candidate, ...]
    readable: frozenset[uuid.UUID]  # of the chunks that were looked at, those that the caller may still be shown
    dropped: int  # sentences of the draft that did not hold


def verify(
    database: Database, principal: Principal, question: Question, draft: Draft, chunk_ids: Iterable[uuid.UUID]
) -> Verified:
    """The sentences whose every citation is the stored text, live and readable in this moment.

    Args:
        database: the truth.
        principal: who asks.
        question: whose filter holds for citations too.
        draft: what a generator made.
        chunk_ids: of all the evidence; looked at again with the citations, in the same unit.
    """
    wanted = {*chunk_ids, *(source.passage.chunk_id for each in draft.sentences for source in each.sources)}
    with database.read() as work:
        hits = work.chunks.hits(principal.workspace_id, sorted(wanted))
    readable = {chunk_id: hit for chunk_id, hit in hits.items() if _may_be_shown(principal, question, hit)}
    citations: dict[tuple[uuid.UUID, int, int], Citation] = {}
    sentences: list[AnswerSentence] = []
    for drafted in draft.sentences:
        if not drafted.sources or not all(_is_stored(source, readable) for source in drafted.sources):
            continue
        if text := shown.line(drafted.text):
            sentences.append(_cited(drafted, text, citations, readable))
    text, placed = text_of(sentences)
    return Verified(
        text=text,
        sentences=placed,
        citations=tuple(citations.values()),
        candidates=tuple(each for each in draft.candidates if each.passage.chunk_id in readable),
        readable=frozenset(readable),
        dropped=len(draft.sentences) - len(sentences),
    )


def _may_be_shown(principal: Principal, question: Question, hit: Hit) -> bool:
    fits = question.filter is None or filters.matches(question.filter, hit.document.metadata)
    return hit.live and principal.may_read(hit.document.readers) and fits


def _is_stored(source: Candidate, readable: Mapping[uuid.UUID, Hit]) -> bool:
    """Whether the source's text is, character by character, what is stored at its place."""
    hit = readable.get(source.passage.chunk_id)
    if hit is None or not hit.chunk.start <= source.start < source.end <= hit.chunk.end:
        return False
    stored = hit.chunk.text[source.start - hit.chunk.start : source.end - hit.chunk.start]
    return stored == source.text and hit.chunk.version_id == source.passage.version_id


def _cited(
    drafted: Drafted,
    text: str,
    citations: dict[tuple[uuid.UUID, int, int], Citation],
    readable: Mapping[uuid.UUID, Hit],
) -> AnswerSentence:
    """The sentence, its places numbered by their first mention, which are added to `citations`."""
    numbers: set[int] = set()
    for source in drafted.sources:
        hit = readable[source.passage.chunk_id]
        place = (hit.chunk.version_id, source.start, source.end)
        if place not in citations:
            citations[place] = Citation(
                n=len(citations) + 1,
                document_id=hit.document.id,
                version_id=hit.chunk.version_id,
                chunk_id=hit.chunk_id,
                external_id=hit.document.external_id,
                title=hit.document.title,
                page=hit.chunk.page,
                start=source.start,
                end=source.end,
                quote=source.text,
                score=source.score,
            )
        numbers.add(citations[place].n)
    return AnswerSentence(text=text, start=0, end=0, citations=tuple(sorted(numbers)), support=drafted.support)
