"""The passages in the order of a finer judge, where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.answers import Passage
from app.domain.ports import Reranker


def order(reranker: Reranker | None, question: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """Best first; as the search has them where there is no reranker. Raises as `Reranker.scores`."""
    if reranker is None or not passages:
        return tuple(passages)
    scores = reranker.scores(question, [passage.text for passage in passages])
    places = sorted(range(len(passages)), key=lambda place: -scores[place])
    return tuple(passages[place] for place in places)
