"""Metadata filters: the tree that callers send, its limits, and its meaning.

Every place that evaluates a filter (SQL, each vector store, `matches` here) gives the same result: a missing key matches
nothing but `ne` and `nin`; values of different kinds (string, number, boolean) are never equal and never ordered; `gt`
and its kin order numbers by value and strings by code point; booleans have no order.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, cast, get_args

from app.domain.errors import BadFilterError

Scalar: TypeAlias = str | float | int | bool
Metadata: TypeAlias = Mapping[str, Scalar]
ComparisonType: TypeAlias = Literal["eq", "ne", "gt", "gte", "lt", "lte"]
MembershipType: TypeAlias = Literal["in", "nin"]
GroupType: TypeAlias = Literal["and", "or"]

MAX_DEPTH = 8  # nesting that no person writes by hand; bounds recursion
MAX_LEAVES = 64
MAX_VALUES = 256  # of one `in` or `nin`
MAX_KEY_CHARS = 64
MAX_STRING_CHARS = 512


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`key` compared with one value."""

    type: ComparisonType
    key: str
    value: Scalar


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """`key` among, or not among, some values."""

    type: MembershipType
    key: str
    values: tuple[Scalar, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All of, or any of, some filters; never empty."""

    type: GroupType
    filters: tuple[Filter, ...]


Filter: TypeAlias = Comparison | Membership | Group


def kind_of(value: object) -> Literal["string", "number", "boolean"]:
    """The kind under which a value is compared; a boolean is not a number here.

    Raises:
        BadFilterError: not a string, a finite number or a boolean.
    """
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return "number"
    raise BadFilterError(f"a value of type {type(value).__name__} is not a string, a finite number or a boolean")


def parse(raw: object) -> Filter:
    """The filter that a JSON value stands for.

    Raises:
        BadFilterError: the message says which part is wrong.
    """
    leaves = [0]
    return _parse(raw, 1, leaves)


def _parse(raw: object, depth: int, leaves: list[int]) -> Filter:
    if depth > MAX_DEPTH:
        raise BadFilterError(f"a filter may nest {MAX_DEPTH} deep")
    if not isinstance(raw, Mapping):
        raise BadFilterError("a filter is an object {type, key, value} or {type, filters}")
    kind = raw.get("type")
    if kind in get_args(GroupType):
        return _parse_group(cast("GroupType", kind), raw, depth, leaves)
    if kind not in (*get_args(MembershipType), *get_args(ComparisonType)):
        raise BadFilterError("`type` is one of eq, ne, gt, gte, lt, lte, in, nin, and, or")
    leaves[0] += 1
    if leaves[0] > MAX_LEAVES:
        raise BadFilterError(f"a filter may hold {MAX_LEAVES} comparisons")
    if unknown := set(raw) - {"type", "key", "value"}:
        raise BadFilterError(f"unknown field {min(map(str, unknown))!r:.80} in a filter")
    key = raw.get("key")
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARS:
        raise BadFilterError(f"`key` is a string of 1 to {MAX_KEY_CHARS} characters")
    if kind in get_args(MembershipType):
        return _parse_membership(cast("MembershipType", kind), key, raw.get("value"))
    return _parse_comparison(cast("ComparisonType", kind), key, raw.get("value"))


def _parse_membership(kind: MembershipType, key: str, value: object) -> Membership:
    if not isinstance(value, Sequence) or isinstance(value, str) or not 1 <= len(value) <= MAX_VALUES:
        raise BadFilterError(f"`value` of `{kind}` is a list of 1 to {MAX_VALUES} values")
    return Membership(type=kind, key=key, values=tuple(_scalar(each) for each in value))


def _parse_comparison(kind: ComparisonType, key: str, value: object) -> Comparison:
    scalar = _scalar(value)
    if kind not in ("eq", "ne") and kind_of(scalar) == "boolean":
        raise BadFilterError(f"`{kind}` compares numbers or strings; booleans have no order")
    return Comparison(type=kind, key=key, value=scalar)


def _parse_group(kind: GroupType, raw: Mapping[object, object], depth: int, leaves: list[int]) -> Group:
    filters = raw.get("filters")
    if unknown := set(raw) - {"type", "filters"}:
        raise BadFilterError(f"unknown field {min(map(str, unknown))!r:.80} in `{kind}`")
    if not isinstance(filters, Sequence) or isinstance(filters, str) or not filters:
        raise BadFilterError(f"`filters` of `{kind}` is a list of at least one filter")
    return Group(type=kind, filters=tuple(_parse(each, depth + 1, leaves) for each in filters))


def _scalar(value: object) -> Scalar:
    kind_of(value)
    if isinstance(value, str) and (len(value) > MAX_STRING_CHARS or "\x00" in value):
        raise BadFilterError(f"a string in a filter has at most {MAX_STRING_CHARS} characters and no NUL")
    assert isinstance(value, str | int | float | bool)  # noqa: S101 - narrowed by kind_of for the type checker
    return value


def same(left: Metadata, right: Metadata) -> bool:
    """Whether two metadata are equal, kinds included: 1 and true are not."""
    return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)


def matches(condition: Filter, metadata: Metadata) -> bool:
    """Whether one document's metadata passes; the reference that SQL and the vector stores are held to."""
    if isinstance(condition, Group):
        results = (matches(each, metadata) for each in condition.filters)
        return all(results) if condition.type == "and" else any(results)
    found = metadata.get(condition.key)
    if isinstance(condition, Membership):
        among = found is not None and any(_equal(found, each) for each in condition.values)
        return among if condition.type == "in" else not among
    if condition.type == "ne":
        return found is None or not _equal(found, condition.value)
    return found is not None and _compare(condition.type, found, condition.value)


def _equal(left: Scalar, right: Scalar) -> bool:
    return kind_of(left) == kind_of(right) and left == right


def _compare(kind: ComparisonType, left: Scalar, right: Scalar) -> bool:
    if kind == "eq":
        return _equal(left, right)
    if isinstance(left, str) and isinstance(right, str):
        below, equal = left < right, left == right
    elif isinstance(left, str) or isinstance(right, str) or isinstance(left, bool) or isinstance(right, bool):
        return False
    else:
        below, equal = left < right, left == right
    return {"lt": below, "lte": below or equal, "gt": not below and not equal, "gte": not below}[kind]


def dumped(condition: Filter) -> dict[str, object]:
    """The filter as it is written: `parse` reads it."""
    if isinstance(condition, Comparison):
        return {"type": condition.type, "key": condition.key, "value": condition.value}
    if isinstance(condition, Membership):
        return {"type": condition.type, "key": condition.key, "value": list(condition.values)}
    return {"type": condition.type, "filters": [dumped(each) for each in condition.filters]}
