"""Passages that give orders to a model: what of them supports no sentence of an answer."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from app.domain.answers import Candidate, Passage
from app.text import instructions, sentences

_BEHIND = 2  # sentences behind an order in its paragraph, which mostly belong to it: what is to be said
_PARAGRAPH = "\n\n"


class Taint:
    """The ranges of passages that are orders to a model, with what stands behind them."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Look through the passages."""
        self._ranges: dict[uuid.UUID, list[tuple[int, int]]] = {}
        for passage in passages:
            if ranges := _ranges(passage):
                self._ranges.setdefault(passage.version_id, []).extend(ranges)

    def __bool__(self) -> bool:
        """Whether any passage gives orders."""
        return bool(self._ranges)

    def covers(self, source: Candidate) -> bool:
        """Whether a span lies in such a range, or reaches into it."""
        ranges = self._ranges.get(source.passage.version_id, ())
        return any(start < source.end and source.start < end for start, end in ranges)


def _ranges(passage: Passage) -> list[tuple[int, int]]:
    text = passage.text
    if not instructions.found(text):
        return []
    places = sentences.spans(text)
    said = [bool(instructions.found(text[start:end])) for start, end in places]
    if not any(said):  # an order over several sentences
        return [(passage.start, passage.end)]
    found: list[tuple[int, int]] = []
    for place, order in enumerate(said):
        if order:
            start, end = places[place]
            for behind in range(place + 1, min(place + 1 + _BEHIND, len(places))):
                if _PARAGRAPH in text[end : places[behind][0]]:
                    break
                end = places[behind][1]
            found.append((passage.start + start, passage.start + end))
    return found
