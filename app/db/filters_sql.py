"""Conditions on readers and metadata, in SQL that every database reads alike.

`document_fact.value` holds every kind of value as text whose order by code point is the order of the values, so that one
column and one comparison serve strings, numbers and booleans, and numbers are compared exactly whatever their size: SQLite
has no integers past 64 bits, and floats lose those past 2**53.
"""

from __future__ import annotations

import decimal
import json
import operator
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.db.tables import document, document_fact, document_reader
from app.domain.access import Principal
from app.domain.filters import Comparison, Filter, Group, Membership, Scalar, kind_of

_EXPONENT_BIAS = 500_000  # far past the exponents of finite floats, -323 to 309
_EXPONENT_DIGITS = 6
_NINES_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_OPERATORS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def ordered(value: Scalar) -> str:
    """A value as text that orders, within its kind, as the values do; equal values give equal texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else _ordered_number(value)


def _ordered_number(value: float) -> str:
    """Sign, exponent, digits: `1` for zero, `2...` above it, `0...` below.

    A number is 0.DIGITS * 10**exponent with neither leading nor trailing zeros in DIGITS, exactly: a float is a sum of
    powers of two and so has finitely many decimals. Below zero everything is complemented, and `~` (past every digit)
    ends the digits, so that the longer number, which is the smaller one there, sorts first.
    """
    exact = decimal.Decimal(value)
    if exact.is_zero():
        return "1"
    sign, digits, last = exact.as_tuple()
    assert isinstance(last, int)  # noqa: S101 - finite, as kind_of saw to
    written = "".join(map(str, digits))
    exponent = f"{last + len(written) + _EXPONENT_BIAS:0{_EXPONENT_DIGITS}d}"
    written = written.rstrip("0")
    if sign:
        return f"0{exponent.translate(_NINES_COMPLEMENT)}{written.translate(_NINES_COMPLEMENT)}~"
    return f"2{exponent}{written}"


def readable(principal: Principal) -> sa.ColumnElement[bool]:
    """Whether the principal may read the row of `document` at hand."""
    if principal.passes_readers:
        return sa.true()
    return sa.exists().where(
        document_reader.c.document_id == document.c.id, document_reader.c.reader.in_(principal.reader_tags)
    )


def admits(readers: sa.Column[Any], principal: Principal) -> sa.ColumnElement[bool]:
    """Whether a list of readers, stored as JSON, names the principal.

    A tag is looked for with its quotes, which cannot stand within another one: there they are escaped.
    """
    text = sa.cast(readers, sa.Text)
    tags = [json.dumps(tag, ensure_ascii=False) for tag in principal.reader_tags]
    return sa.or_(*(text.contains(tag, autoescape=True) for tag in tags))


def passes(condition: Filter) -> sa.ColumnElement[bool]:
    """Whether the metadata of the row of `document` at hand passes; the same as `app.domain.filters.matches`."""
    if isinstance(condition, Group):
        parts = [passes(each) for each in condition.filters]
        return sa.and_(*parts) if condition.type == "and" else sa.or_(*parts)
    if isinstance(condition, Membership):
        among = _fact(condition.key, _among(condition.values))
        return among if condition.type == "in" else ~among
    return _comparison(condition)


def _comparison(condition: Comparison) -> sa.ColumnElement[bool]:
    if condition.type in ("eq", "ne"):
        equal = _fact(condition.key, _among([condition.value]))
        return equal if condition.type == "eq" else ~equal
    if isinstance(condition.value, bool):
        return sa.false()
    order = _OPERATORS[condition.type]
    return _fact(
        condition.key,
        sa.and_(
            document_fact.c.kind == kind_of(condition.value), order(document_fact.c.value, ordered(condition.value))
        ),
    )


def _among(values: Sequence[Scalar]) -> sa.ColumnElement[bool]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for value in values:
        by_kind[kind_of(value)].append(ordered(value))
    return sa.or_(
        *(sa.and_(document_fact.c.kind == kind, document_fact.c.value.in_(texts)) for kind, texts in by_kind.items())
    )


def _fact(key: str, holds: sa.ColumnElement[bool]) -> sa.Exists:
    return sa.exists().where(document_fact.c.document_id == document.c.id, document_fact.c.key == key, holds)
