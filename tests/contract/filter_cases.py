"""Filters over metadata that every evaluator must agree on: `app.domain.filters.matches` says what is right.

`DOCUMENTS` is one corpus that holds every trap; `FILTERS` are asked of it. `drawn_metadata` and
`drawn_filters` are hypothesis strategies for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import hypothesis.strategies as st

from app.domain.filters import Comparison, Filter, Group, Membership, Scalar, matches

PAST_DOUBLE = 2**53  # the first integer whose successor no double holds

DOCUMENTS: Mapping[str, dict[str, Scalar]] = {
    "empty": {},
    "int 1": {"x": 1},
    "float 1": {"x": 1.0},
    "true": {"x": True},
    "false": {"x": False},
    "string 1": {"x": "1"},
    "string true": {"x": "true"},
    "zero": {"x": 0},
    "minus zero": {"x": -0.0},
    "half": {"x": 0.5},
    "minus": {"x": -3},
    "two to the 53": {"x": PAST_DOUBLE},
    "two to the 53 plus 1": {"x": PAST_DOUBLE + 1},
    "two to the 53 as float": {"x": float(PAST_DOUBLE)},
    "minus two to the 53 minus 1": {"x": -PAST_DOUBLE - 1},
    "largest int64": {"x": 2**63 - 1},
    "smallest int64": {"x": -(2**63)},
    "tiny": {"x": 5e-324},
    "huge": {"x": 1.7e308},
    "tenth": {"x": 0.1},
    "tenth and a bit": {"x": 0.1 + 2**-56},
    "empty string": {"x": ""},
    "date": {"x": "2024-01-31"},
    "later date": {"x": "2024-02-01"},
    "date and more": {"x": "2024-01-31T10:00:00Z"},
    "upper": {"x": "B"},
    "lower": {"x": "a"},
    "accent composed": {"x": "\u00e9"},
    "accent apart": {"x": "e\u0301"},
    "past the surrogates": {"x": "\uff5e"},  # below the next by code point, above it in UTF-16
    "astral": {"x": "\U0001f600"},
    "quotes": {"x": 'say "yes", \\ or [no]'},
    "percent": {"x": "100%"},
    "underscore": {"x": "1_0"},
    "line end": {"x": "a\nb"},
    "trailing space": {"x": "a "},
    "word null": {"x": "null"},
    "looks like a pair": {"x": '1"]'},
    "two keys": {"x": 1, "y": "a"},
    "other two keys": {"x": 2, "y": "b"},
    "only y": {"y": "a"},
    "dotted": {"a.b": 1},
    "brackets": {"a[0]": 1, "a[]": 2},
    "key quotes": {"k\"e'y": "v"},
    "key space": {"k y": "v"},
    "key dollar": {"$.x": 1, "$": 1},
    "key unicode": {"schl\u00fcssel \U0001f511": "v"},
    "key upper": {"X": 1},
    "key null": {"null": 1},
    "long": {"x": "y" * 512},
    "longer by its end": {"x": "y" * 511 + "z"},
}

_VALUES: tuple[Scalar, ...] = tuple(
    {(type(value), value): value for metadata in DOCUMENTS.values() for value in metadata.values()}.values()
)
_KEYS = tuple(dict.fromkeys(key for metadata in DOCUMENTS.values() for key in metadata))
_ORDERS: tuple[Literal["gt", "gte", "lt", "lte"], ...] = ("gt", "gte", "lt", "lte")
_EQUALITIES: tuple[Literal["eq", "ne"], ...] = ("eq", "ne")
_MEMBERSHIPS: tuple[Literal["in", "nin"], ...] = ("in", "nin")


def _comparison(kind: Literal["eq", "ne", "gt", "gte", "lt", "lte"], key: str, value: Scalar) -> Comparison:
    return Comparison(type=kind, key=key, value=value)


def _of_the_corpus() -> list[Filter]:
    """Each operator with each value that occurs, each key with a value of its own and one of another kind."""
    equal = [_comparison(kind, "x", value) for kind in _EQUALITIES for value in _VALUES]
    ordered = [
        _comparison(kind, "x", value) for kind in _ORDERS for value in (*_VALUES, "2024", "2024-01-31T", 0.25, 10**15)
        if not isinstance(value, bool)
    ]  # fmt: skip
    keyed = [_comparison(kind, key, value) for kind in _EQUALITIES for key in _KEYS for value in (1, "v")]
    among: list[Filter] = [
        Membership(type=kind, key="x", values=values)
        for kind in _MEMBERSHIPS
        for values in ((1,), (True,), ("1",), (1, True, "1"), ("a", "a", 0), (PAST_DOUBLE + 1, 0.1), ("absent",))
    ]
    return [*equal, *ordered, *keyed, *among]


def _nested() -> list[Filter]:
    one, a = _comparison("eq", "x", 1), _comparison("eq", "y", "a")
    either = Group(type="or", filters=(one, a))
    both = Group(type="and", filters=(one, a))
    range_ = Group(type="and", filters=(_comparison("gte", "x", "2024-01-01"), _comparison("lt", "x", "2024-02-01")))
    deep: Filter = Group(type="and", filters=(_comparison("ne", "x", 2), either))
    for _ in range(5):
        deep = Group(type="or", filters=(Group(type="and", filters=(deep,)), both))
    return [
        either,
        both,
        range_,
        deep,
        Group(type="and", filters=(_comparison("ne", "x", 1), _comparison("ne", "y", "a"))),
        Group(type="or", filters=(_comparison("ne", "x", 1), _comparison("lt", "x", 0))),
        Group(type="and", filters=(_comparison("gt", "x", 5), _comparison("lt", "x", 5))),
        Group(type="and", filters=(one,)),
        Group(type="or", filters=(range_, _comparison("gt", "x", PAST_DOUBLE))),
    ]


FILTERS: tuple[Filter, ...] = (*_of_the_corpus(), *_nested())


def expected(condition: Filter, documents: Mapping[str, Mapping[str, Scalar]] = DOCUMENTS) -> set[str]:
    """The names of the documents that must be found."""
    return {name for name, metadata in documents.items() if matches(condition, metadata)}


# Few keys and values, so that drawn filters meet drawn documents often.
_keys = st.sampled_from(["x", "y", "a.b", 'k"[0]'])
_integers = st.one_of(st.integers(-3, 3), st.sampled_from([PAST_DOUBLE, PAST_DOUBLE + 1, -PAST_DOUBLE - 1]))
_floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.5, float(PAST_DOUBLE)]),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False, width=64),
)
_strings = st.one_of(
    st.sampled_from(["", "1", "a", "A", "ab", "true", "2024-01-31", "2024-02-01", "\u00e9", "\U0001f600", "\uff5e"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6),
)
_ordered = st.one_of(_integers, _floats, _strings)
_scalars = st.one_of(_ordered, st.booleans())
_leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Comparison, type=st.sampled_from(_EQUALITIES), key=_keys, value=_scalars),
    st.builds(Comparison, type=st.sampled_from(_ORDERS), key=_keys, value=_ordered),
    st.builds(
        Membership,
        type=st.sampled_from(_MEMBERSHIPS),
        key=_keys,
        values=st.lists(_scalars, min_size=1, max_size=4).map(tuple),
    ),
)


def _grouped(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    groups: tuple[Literal["and", "or"], ...] = ("and", "or")
    members = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.builds(Group, type=st.sampled_from(groups), filters=members)


drawn_filters: st.SearchStrategy[Filter] = st.recursive(_leaves, _grouped, max_leaves=8)
drawn_metadata: st.SearchStrategy[dict[str, Scalar]] = st.dictionaries(_keys, _scalars, max_size=3)
