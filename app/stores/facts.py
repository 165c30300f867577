"""Metadata as an index holds it, and filters over it as conditions of whichever index.

Qdrant's own matching differs from ours: a key with dots or brackets is a path, 1 matches 1.0 and loses precision past
2**53, strings have no order. So each (key, value) becomes one keyword, a *fact*, in one indexed list field, whatever
keys people invent. Equality is a match of keywords. An order is decided here in Python, by `filters.matches` itself, over
the distinct values of the key; the facts that pass are then matched. Ranges cost more the more values a key has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from app.domain.filters import Comparison, Filter, Group, Membership, Scalar, matches

FIELD = "facts"
C = TypeVar("C")


class Conditions(Protocol[C]):
    """Makes the conditions of one library."""

    def holds(self, some: list[str]) -> C:
        """A point holds one of these facts; none where there are none."""
        ...

    def lacks(self, some: list[str]) -> C:
        """A point holds none of these facts."""
        ...

    def every(self, parts: list[C]) -> C:
        """All of these."""
        ...

    def either(self, parts: list[C]) -> C:
        """One of these at least."""
        ...


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


def metadata(known: Iterable[str]) -> dict[str, Scalar]:
    """The metadata that facts stand for; whole floats come back as integers."""
    return dict(json.loads(each) for each in known)


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


def compiled(condition: Filter, known: KnownValues, conditions: Conditions[C]) -> C:
    """The condition with the meaning of `filters.matches`; `known` is asked for ranges only."""
    if isinstance(condition, Group):
        parts = [compiled(each, known, conditions) for each in condition.filters]
        return conditions.every(parts) if condition.type == "and" else conditions.either(parts)
    if isinstance(condition, Membership):
        among = [fact(condition.key, value) for value in condition.values]
        return conditions.holds(among) if condition.type == "in" else conditions.lacks(among)
    if condition.type in ("eq", "ne"):
        equal = [fact(condition.key, condition.value)]
        return conditions.holds(equal) if condition.type == "eq" else conditions.lacks(equal)
    return conditions.holds(known.passing(condition))
