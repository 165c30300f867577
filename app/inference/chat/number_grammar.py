"""The numbers between two bounds, as a grammar of llama.cpp writes them."""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Iterator, Mapping
from typing import Any, Final

_MOST: Final = 10**15 - 1  # every whole number up to here is exact in floating point
_FRACTION: Final = '("." [0-9]{1,15})?'

Number = decimal.Decimal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """From where to where; None for no end."""

    low: Number | None = None
    high: Number | None = None
    low_open: bool = False  # the bound itself is not allowed
    high_open: bool = False

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> Bounds:
        """As a JSON Schema says them."""
        lows = [
            (_decimal(schema[key]), key != "minimum") for key in ("minimum", "exclusiveMinimum") if _is_set(schema, key)
        ]
        highs = [
            (_decimal(schema[key]), key == "maximum") for key in ("maximum", "exclusiveMaximum") if _is_set(schema, key)
        ]
        low, low_open = max(lows) if lows else (None, False)
        high, closed = min(highs) if highs else (None, True)
        return cls(low=low, high=high, low_open=low_open, high_open=not closed)


def integers(bounds: Bounds) -> str:
    """Whole numbers; empty where there is none."""
    if bounds == Bounds():
        return '"-"? ("0" | [1-9] [0-9]{0,14})'
    low = -_MOST if bounds.low is None else _whole(bounds.low, up=True) + (bounds.low_open and _is_whole(bounds.low))
    high = (
        _MOST if bounds.high is None else _whole(bounds.high, up=False) - (bounds.high_open and _is_whole(bounds.high))
    )
    below = _between(max(1, -high), -low) if low < 0 else []
    return " | ".join([*(f'"-" {each}' for each in below), *_between(max(0, low), high)])


def numbers(bounds: Bounds) -> str:
    """Whole numbers and decimal fractions; empty where none of few digits lies between.

    A bound that is no whole number is kept to one digit after the point: of 0.25 and more, 0.25 to 0.29 are not written.
    """
    if bounds == Bounds():
        return f'"-"? ("0" | [1-9] [0-9]{{0,14}}) {_FRACTION} ([eE] [-+]? [0-9]{{1,2}})?'
    mirrored = Bounds(
        low=None if bounds.high is None else -bounds.high,
        high=None if bounds.low is None else -bounds.low,
        low_open=bounds.high_open,
        high_open=bounds.low_open,
    )
    return " | ".join([*(f'"-" ({each})' for each in _from_zero(mirrored, open_at_zero=True)), *_from_zero(bounds)])


def _from_zero(bounds: Bounds, *, open_at_zero: bool = False) -> list[str]:
    """Those of 0 and more."""
    low, low_open = (Number(0), open_at_zero) if bounds.low is None or bounds.low < 0 else (bounds.low, bounds.low_open)
    low_open = low_open or (open_at_zero and low == 0)
    high = Number(_MOST) if bounds.high is None else bounds.high
    if high < low or (high == low and (low_open or bounds.high_open)):
        return []
    first, last = _whole(low, up=False), _whole(high, up=False)
    found: list[str] = []
    if first == last:
        return [*_of_one(first, low - first, high - last, low_open=low_open, high_open=bounds.high_open)]
    found += _of_one(first, low - first, None, low_open=low_open)
    found += [f"({each}) {_FRACTION}" for each in _between(first + 1, last - 1)]
    found += _of_one(last, Number(0), high - last, high_open=bounds.high_open)
    return found


def _of_one(
    whole: int, low: Number, high: Number | None, *, low_open: bool = False, high_open: bool = False
) -> Iterator[str]:
    """Those with one whole part.

    Args:
        whole: the part before the point.
        low: what must come after it at least, [0, 1).
        high: and at most; None for all.
        low_open: not `low` itself.
        high_open: not `high` itself.
    """
    if low == 0 and not low_open and (high is None or high > 0 or not high_open):
        yield f'"{whole}" ("." "0"{{1,15}})?'
    first = _whole(low * 10, up=True)  # digits after the point: from this
    last = 9 if high is None else _whole(high * 10, up=False) - 1  # to this
    if low_open and low * 10 == first:
        if first <= last:
            yield f'"{whole}.{first}" [0-9]{{0,13}} [1-9]'
        first += 1
    if first <= last:
        yield f'"{whole}." [{first}-{last}] [0-9]{{0,14}}'
    if high is not None and high > low and not high_open and high * 10 == last + 1:
        yield f'"{whole}.{last + 1}" "0"{{0,14}}'


def _between(low: int, high: int) -> list[str]:
    """Whole numbers without a sign, low to high, both of them allowed."""
    found: list[str] = []
    for length in range(len(str(low)), len(str(max(high, 0))) + 1):
        least = max(low, 10 ** (length - 1) if length > 1 else 0)
        most = min(high, 10**length - 1)
        if least <= most:
            found += _of_length(str(least), str(most))
    return found


def _of_length(low: str, high: str) -> list[str]:
    """Those between two numbers of as many digits."""
    if not low:
        return [""]
    rest = len(low) - 1
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return [_digits(low[0], high[0], rest)]
    if low[0] == high[0]:
        return [f'"{low[0]}" {each}'.rstrip() for each in _of_length(low[1:], high[1:])]
    found = [f'"{low[0]}" {each}' for each in _of_length(low[1:], "9" * rest)]
    if int(high[0]) - int(low[0]) > 1:
        found.append(_digits(str(int(low[0]) + 1), str(int(high[0]) - 1), rest))
    return found + [f'"{high[0]}" {each}' for each in _of_length("0" * rest, high[1:])]


def _digits(first: str, last: str, rest: int) -> str:
    return f"[{first}-{last}]" + (f" [0-9]{{{rest}}}" if rest else "")


def _decimal(value: Any) -> Number:
    return Number(str(value))


def _is_set(schema: Mapping[str, Any], key: str) -> bool:
    """Whether it is a number: in old drafts the exclusive bounds are booleans."""
    return isinstance(schema.get(key), int | float) and not isinstance(schema[key], bool)


def _is_whole(value: Number) -> bool:
    return value == value.to_integral_value()


def _whole(value: Number, *, up: bool) -> int:
    return int(value.to_integral_value(rounding=decimal.ROUND_CEILING if up else decimal.ROUND_FLOOR))
