"""JSON Schema as a grammar. What a model writes under it is tested with llama.cpp itself, in `tests/integration/test_llama.py`."""

from __future__ import annotations

import decimal
import random
import re
from typing import Any

import pytest

from app.domain.errors import ModelRefusedError
from app.inference.chat.number_grammar import Bounds, integers, numbers
from app.inference.chat.schema_grammar import from_schema


def as_pattern(grammar: str) -> re.Pattern[str]:
    """An expression without rules is a regular expression but for its quotes and spaces."""
    parts = re.split(r'("[^"]*"|\[[^\]]*\])', grammar)
    return re.compile(
        "".join(re.escape(p[1:-1]) if p[:1] == '"' else p if p[:1] == "[" else p.replace(" ", "") for p in parts)
    )


def limits(low: str | None, high: str | None, *, low_open: bool = False, high_open: bool = False) -> Bounds:
    ends = [None if end is None else decimal.Decimal(end) for end in (low, high)]
    return Bounds(low=ends[0], high=ends[1], low_open=low_open, high_open=high_open)


def within(value: decimal.Decimal, bounds: Bounds) -> bool:
    above = bounds.low is None or (value > bounds.low if bounds.low_open else value >= bounds.low)
    below = bounds.high is None or (value < bounds.high if bounds.high_open else value <= bounds.high)
    return above and below


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 0), (0, 9), (3, 120), (-5, 5), (-120, -7), (99, 100), (95, 1203), (-1000, 999), (7, 7), (10, 99), (-1, 0)],
)
def test_whole_numbers_between_two_bounds_are_those_and_no_others(low: int, high: int) -> None:
    pattern = as_pattern(integers(limits(str(low), str(high))))
    allowed = {value for value in range(low - 1500, high + 1500) if pattern.fullmatch(str(value))}
    assert allowed == set(range(low, high + 1))


def test_whole_numbers_have_open_bounds_and_bounds_that_are_no_whole_numbers() -> None:
    pattern = as_pattern(integers(limits("-2", "3", low_open=True, high_open=True)))
    assert [value for value in range(-9, 9) if pattern.fullmatch(str(value))] == [-1, 0, 1, 2]
    pattern = as_pattern(integers(limits("-1.5", "1.5")))
    assert [value for value in range(-9, 9) if pattern.fullmatch(str(value))] == [-1, 0, 1]
    assert integers(limits("0.2", "0.8")) == ""


def test_a_number_of_the_grammar_lies_between_the_bounds_and_only_minus_0_is_left_out_of_those_that_do() -> None:
    chance = random.Random(6)
    ends = ["-12.5", "-3", "-1", "-0.5", "0", "0.5", "1", "2.5", "9", "104", None]
    for _ in range(200):
        low, high = chance.choice(ends), chance.choice(ends)
        bounds = limits(low, high, low_open=chance.random() < 0.5, high_open=chance.random() < 0.5)
        if bounds.low is not None and bounds.high is not None and bounds.low > bounds.high:
            continue
        pattern = as_pattern(numbers(bounds))
        for _ in range(30):
            text = f"{chance.uniform(-15, 15):.{chance.choice((0, 1, 2, 3))}f}"
            if pattern.fullmatch(text):
                assert within(decimal.Decimal(text), bounds), (bounds, text)
            elif within(decimal.Decimal(text), bounds):
                assert re.fullmatch(r"-0(\.0*)?", text), (bounds, text)


def test_bounds_are_read_as_each_draft_writes_them() -> None:
    assert Bounds.of({"minimum": 1, "exclusiveMaximum": 2}) == limits("1", "2", high_open=True)
    assert Bounds.of({"minimum": 1, "exclusiveMinimum": 1, "maximum": 3}) == limits("1", "3", low_open=True)
    assert Bounds.of({"minimum": 1, "exclusiveMinimum": True}) == limits("1", None)


def test_a_string_can_hold_no_control_character_and_no_half_of_a_pair() -> None:
    grammar = from_schema({"type": "string"})
    assert grammar.splitlines()[0] == "root ::= string"
    assert r"\u" not in re.sub(r"\\u[0-9A-F]{4}", "", grammar)
    assert '\\"' in grammar


def test_properties_come_in_their_order_and_only_the_required_ones_always() -> None:
    grammar = from_schema({"properties": {"b": {"type": "null"}, "a": {"type": "boolean"}}, "required": ["a"]})
    assert grammar.index('\\"b\\"') < grammar.index('\\"a\\"')


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#/$defs/none"}, "not there"),
        ({"$ref": "https://example.test/schema"}, "another document"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "circle"),
        ({"allOf": [{"$ref": "#"}]}, "deeper"),
        ({"enum": []}, "nothing"),
        ({"type": "thing"}, "thing"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "items"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "characters"),
        ({"type": "integer", "minimum": 0.1, "maximum": 0.9}, "number"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "nothing"),
    ],
)
def test_a_schema_that_can_not_be_met_or_followed_is_refused_by_a_sentence(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelRefusedError, match=said):
        from_schema(schema)


def test_a_schema_of_thousands_of_places_is_refused_and_one_of_hundreds_is_not() -> None:
    def wide(fields: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {f"f{n}": {"type": "string", "maxLength": n + 1} for n in range(fields)},
        }

    with pytest.raises(ModelRefusedError, match="too large"):
        from_schema(wide(3000))
    assert "f299" in from_schema(wide(300))


def test_a_schema_that_doubles_at_every_level_is_written_once_a_level() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    definitions: dict[str, Any] = {"d0": schema}
    for level in range(1, 30):
        both = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = {"type": "object", "properties": {"a": both, "b": both}, "required": ["a", "b"]}
    grammar = from_schema({"$defs": definitions, "$ref": "#/$defs/d29"})
    assert len(grammar) < 20_000
