"""Places where a text may be cut without taking a character apart that a reader sees as one.

A cluster of more than `LONGEST` code points (no writing needs one; an attack may hold a million combining marks) is
cut like any text, so that every question here costs a bounded look around one place.
"""

from __future__ import annotations

import re

import regex

LONGEST = 64  # code points of a cluster that is kept whole; the longest emoji of Unicode 16 has 10

_CLUSTER = regex.compile(r"\X")
_SPACE = re.compile(r"\s*+")
_FIRST_JOINER = "\u0300"  # below it, no character joins another but \n to \r
_FLAGS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # regional indicators, which pair up from the start of their run
_FLAGS_BACK = 4_096  # code points looked at for the start of such a run; in a longer one a pair may be parted


def is_boundary(text: str, index: int) -> bool:
    """Whether no cluster spans the place before `text[index]`."""
    return floor(text, index) == index


def floor(text: str, index: int, *, known: int = 0) -> int:
    """The greatest boundary <= index; `index` itself where the cluster around it is too long to be kept.

    Args:
        text: any text.
        index: in [known, len(text)].
        known: a place that is a boundary; makes the answer exact in long runs of flags.
    """
    if index <= known or index >= len(text) or _plain(text, index):
        return index
    place = _anchor(text, index, known)
    # A slice, for the search for flags looks back to the start of what it is given.
    for cluster in _CLUSTER.finditer(text[place : index + LONGEST]):
        if place + cluster.end() >= index:
            place += cluster.end() if place + cluster.end() == index else cluster.start()
            break
    return place if index - place < LONGEST else index


def cut(text: str, start: int, index: int, end: int) -> int:
    """A boundary in (start, end] near `index`, itself in that range: before it where there is one, else after.

    Args:
        text: any text.
        start: a boundary.
        index: where to cut if that were possible.
        end: a boundary.
    """
    below = floor(text, index, known=start)
    if below > start:
        return below
    cluster = _CLUSTER.match(text[start : min(end, start + LONGEST)])
    return start + cluster.end() if cluster else index


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) without outer white space; white space that carries a combining mark is not taken from its mark.

    Where all is white space, the range is empty. Both ends are boundaries where the given ones are.
    """
    left = skip_space(text, start, end)
    right = left + len(text[left:end].rstrip())
    if left < right < end and text[right - 1] >= _FIRST_JOINER and not is_boundary(text, right):
        right += 1
    return left, right


def skip_space(text: str, start: int, end: int) -> int:
    """The first place from `start` on that is not white space, or `end`; a space that carries a mark is not passed."""
    space = _SPACE.match(text, start, end)
    left = space.end() if space else start
    if start < left < end and text[left] >= _FIRST_JOINER and not is_boundary(text, left):
        return left - 1
    return left


def _plain(text: str, index: int) -> bool:
    """Whether both neighbours of the place are characters that never join."""
    before, after = text[index - 1], text[index]
    return before < _FIRST_JOINER and after < _FIRST_JOINER and not (before == "\r" and after == "\n")


def _anchor(text: str, index: int, known: int) -> int:
    """A place at most a few clusters before `index` from which clusters can be counted."""
    lowest = max(known, index - 2 * LONGEST)
    for place in range(index - 1, lowest, -1):
        if _plain(text, place):
            return place
    if lowest > known and text[lowest] in _FLAGS:
        before = text[max(known, lowest - _FLAGS_BACK) : lowest]
        lowest -= (len(before) - len(before.rstrip(_FLAGS))) % 2
    return lowest
