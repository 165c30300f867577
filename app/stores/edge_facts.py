"""Metadata as an Edge shard holds it, and filters over it as Edge conditions.

Qdrant's own matching differs from ours: a key with dots or brackets is a path, 1 matches 1.0 and loses precision past
2**53, strings have no order. So each (key, value) becomes one keyword, a *fact*, in one indexed list field, whatever
keys people invent. Equality is a match of keywords. An order is decided here in Python, by `filters.matches` itself, over
the distinct values of the key; the facts that pass are then matched. Ranges cost more the more values a key has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import qdrant_edge

from app.domain.filters import Comparison, Filter, Group, Membership, Scalar, matches

FIELD = "facts"
Condition: TypeAlias = (
    qdrant_edge.FieldCondition
    | qdrant_edge.IsEmptyCondition
    | qdrant_edge.IsNullCondition
    | qdrant_edge.HasIdCondition
    | qdrant_edge.HasVectorCondition
    | qdrant_edge.NestedCondition
    | qdrant_edge.Filter
)  # what Edge's own stub lets stand in a filter


def fact(key: str, value: Scalar) -> str:
    """One keyword for a key and a value; equal exactly where `filters.matches` says `eq`.

    JSON keeps the kinds apart. A whole float is written as the integer that it equals, so that 1, 1.0 and -0.0, 0 agree.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps([key, value], separators=(",", ":"))


def facts(metadata: Mapping[str, Scalar]) -> list[str]:
    """The facts of one document's metadata."""
    return [fact(key, value) for key, value in metadata.items()]


class KnownValues:
    """The distinct facts of a space by key; those that no point holds any more do no harm."""

    def __init__(self, known: Iterable[str]) -> None:
        self._by_key: dict[str, dict[str, Scalar]] = {}
        self.add(known)

    def add(self, known: Iterable[str]) -> None:
        """Take note of facts; of those already known too."""
        for each in known:
            key, value = json.loads(each)
            self._by_key.setdefault(key, {})[each] = value

    def passing(self, comparison: Comparison) -> list[str]:
        """The facts of the comparison's key that pass it."""
        known = list(self._by_key.get(comparison.key, {}).items())  # a copy: writers add meanwhile
        return [each for each, value in known if matches(comparison, {comparison.key: value})]


def has_order(condition: Filter) -> bool:
    """Whether evaluating it takes the known values."""
    if isinstance(condition, Group):
        return any(has_order(each) for each in condition.filters)
    return condition.type in ("gt", "gte", "lt", "lte")


def compiled(condition: Filter, known: KnownValues) -> qdrant_edge.Filter:
    """The Edge filter with the meaning of `filters.matches`; `known` is asked for ranges only."""
    if isinstance(condition, Group):
        parts: list[Condition] = [compiled(each, known) for each in condition.filters]
        return qdrant_edge.Filter(must=parts) if condition.type == "and" else qdrant_edge.Filter(should=parts)
    if isinstance(condition, Membership):
        among = _any_of([fact(condition.key, value) for value in condition.values])
        return _must(among) if condition.type == "in" else _must_not(among)
    if condition.type in ("eq", "ne"):
        equal = _any_of([fact(condition.key, condition.value)])
        return _must(equal) if condition.type == "eq" else _must_not(equal)
    return _must(_any_of(known.passing(condition)))


def _any_of(some: list[str]) -> qdrant_edge.FieldCondition:
    """Nothing passes an empty list. One alone is asked for as a value, which takes a quarter less time."""
    match = qdrant_edge.MatchValue(some[0]) if len(some) == 1 else qdrant_edge.MatchAny(some)
    return qdrant_edge.FieldCondition(FIELD, match=match)


def _must(part: qdrant_edge.FieldCondition) -> qdrant_edge.Filter:
    return qdrant_edge.Filter(must=[part])


def _must_not(part: qdrant_edge.FieldCondition) -> qdrant_edge.Filter:
    return qdrant_edge.Filter(must_not=[part])
