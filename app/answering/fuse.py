"""Two rankings to one: cosine, plus the mean BM25 of the query's words.

Why a mean: BM25 is a sum over the words of the query, so a query that is mostly boilerplate ("You are an investment
banker ... round your answer to two decimal places") gives large sums to chunks that hold the wrong words. Dividing by
the best hit's score, by the spread or by the rank hides that; dividing by the number of words shows it. So the sparse
side speaks up where it accounts for the query and is quiet where it does not, with no weight to choose per collection.
And neither part depends on what else was found: a hit keeps its score when a search is refilled from further down.

What was measured, and what was tried and left: docs/decisions/0004-fusion.md.
"""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from app.domain.vectors import Scored

# The mean BM25 of a query's words that counts as much as a cosine of 1, for BM25 with k = 0.6, whose term weights end at
# 1.6. All targets of docs/decisions/0004-fusion.md hold from 6 to 10.
FULL_MARKS = 8.0
EQUAL = 1e-6  # scores that differ by no more are equal: each index adds up in an order of its own

_NONE: Mapping[uuid.UUID, float] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A candidate with its place on both sides."""

    chunk_id: uuid.UUID
    score: float  # [0, 1)
    dense_rank: int | None  # from 1; None where that side's ranking does not hold it
    dense_score: float | None  # cosine; may be known without a rank
    sparse_rank: int | None
    sparse_score: float | None  # BM25; ditto


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """A hit and its rank on one side."""

    rank: int
    hit: Scored


def fuse(
    dense: Sequence[Scored],
    sparse: Sequence[Scored],
    *,
    terms: int,
    dense_beyond: Mapping[uuid.UUID, float] = _NONE,
    sparse_beyond: Mapping[uuid.UUID, float] = _NONE,
) -> list[Fused]:
    """Every hit of either side, best first by cosine + BM25 / (FULL_MARKS * terms); ties by chunk id.

    A score that is not known counts 0, and that costs: pass the scores of each side's hits on the other side. Without
    them SciFact's recall@100 falls from 0.973 to 0.946, and the filings lose one question of 27.

    Args:
        dense: best first, cosines; empty where the query had no such side.
        sparse: best first, BM25 with the inverse document frequency in it.
        terms: distinct terms of the sparse query, those that no chunk holds included; below 1 counts as 1.
        dense_beyond: cosines of hits that `sparse` alone holds, where they are known.
        sparse_beyond: BM25 of hits that `dense` alone holds, where it is known.

    Returns:
        Their score is 1 - exp(-sum): it grows with the sum and stays in [0, 1). Comparable within one query, whatever
        the lengths of the rankings.
    """
    full_marks = FULL_MARKS * max(1, terms)
    near, worded = _places(dense), _places(sparse)
    summed: list[tuple[float, Fused]] = []
    for chunk_id in dict.fromkeys(each.chunk_id for each in (*dense, *sparse)):
        by_cosine, by_words = near.get(chunk_id), worded.get(chunk_id)
        cosine = by_cosine.hit.score if by_cosine else dense_beyond.get(chunk_id)
        bm25 = by_words.hit.score if by_words else sparse_beyond.get(chunk_id)
        total = (cosine or 0.0) + (bm25 or 0.0) / full_marks
        fused = Fused(
            chunk_id=chunk_id,
            score=_score(total),
            dense_rank=by_cosine.rank if by_cosine else None,
            dense_score=cosine,
            sparse_rank=by_words.rank if by_words else None,
            sparse_score=bm25,
        )
        summed.append((total, fused))
    summed.sort(key=lambda each: (-each[0], each[1].chunk_id))
    return [fused for _, fused in summed]


def unseen(dense: Sequence[Scored], sparse: Sequence[Scored], *, terms: int, depth: int) -> float:
    """The best score that a hit can have which neither ranking holds because one was cut off between equal scores.

    Which of the equal ones a ranking holds is the index's choice. Negative where no ranking was cut off so.

    Args:
        dense: as `fuse` takes it.
        sparse: as `fuse` takes it.
        terms: as `fuse` takes them.
        depth: at which the rankings were cut off.
    """
    full = [ranking for ranking in (dense, sparse) if len(ranking) == depth]
    if not any(len(each) > 1 and each[-2].score - each[-1].score <= EQUAL for each in full):
        return -1.0
    near = dense[-1].score if len(dense) == depth else 0.0
    worded = sparse[-1].score if len(sparse) == depth else 0.0
    return _score(near + worded / (FULL_MARKS * max(1, terms)))


def _score(total: float) -> float:
    return -math.expm1(-max(0.0, total))


def _places(ranking: Sequence[Scored]) -> dict[uuid.UUID, _Place]:
    """The place of each chunk; the better one where it comes twice."""
    places: dict[uuid.UUID, _Place] = {}
    for rank, hit in enumerate(ranking, 1):
        places.setdefault(hit.chunk_id, _Place(rank, hit))
    return places
