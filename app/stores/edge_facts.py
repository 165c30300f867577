"""Filters over metadata as Edge conditions."""

from __future__ import annotations

from typing import TypeAlias

import qdrant_edge

from app.domain.filters import Filter
from app.stores import facts
from app.stores.facts import KnownValues

Condition: TypeAlias = (
    qdrant_edge.FieldCondition
    | qdrant_edge.IsEmptyCondition
    | qdrant_edge.IsNullCondition
    | qdrant_edge.HasIdCondition
    | qdrant_edge.HasVectorCondition
    | qdrant_edge.NestedCondition
    | qdrant_edge.Filter
)  # what Edge's own stub lets stand in a filter


class _Conditions:
    """Implements `facts.Conditions`."""

    def holds(self, some: list[str]) -> Condition:
        """Nothing passes an empty list. One alone is asked for as a value, which takes a quarter less time."""
        match = qdrant_edge.MatchValue(some[0]) if len(some) == 1 else qdrant_edge.MatchAny(some)
        return qdrant_edge.FieldCondition(facts.FIELD, match=match)

    def lacks(self, some: list[str]) -> Condition:
        """A point holds none of these facts."""
        return qdrant_edge.Filter(must_not=[self.holds(some)])

    def every(self, parts: list[Condition]) -> Condition:
        """All of these."""
        return qdrant_edge.Filter(must=parts)

    def either(self, parts: list[Condition]) -> Condition:
        """One of these at least."""
        return qdrant_edge.Filter(should=parts)


def compiled(condition: Filter, known: KnownValues) -> Condition:
    """The Edge condition with the meaning of `filters.matches`."""
    return facts.compiled(condition, known, _Conditions())
