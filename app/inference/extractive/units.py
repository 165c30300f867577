"""What of a passage can be cited by itself: a sentence, a row of a table, an item of a list; and what each needs beside it."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterator, Sequence

from app.domain.answers import Block, Passage
from app.text import sentences

_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_RULE = re.compile(
    r"[\s|:=+-]*-[\s|:=+-]*|={2,}"
)  # between the header and the rows of a table in Markdown; under a title
_ITEM = re.compile(r"(?:[-*+•‣◦▪]|\(?\d{1,3}[.)]|\(?[a-z]\))\s")
_POINTER = re.compile(r"(?:he|she|it|they|this|these|those|his|her|its|their|such)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d")
_CELL = " | "
_LONG = 500  # code points from which on lines that no stop ends are no sentence but lines
_LINES = 240  # code points of lines that stay together then
_LONGEST_LEAD = 400  # code points of what is brought along
_MOST_ITEMS = 6  # of a list that is brought along with its lead-in


class Kind(enum.StrEnum):
    """What a unit is."""

    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"
    HEADING = "heading"  # names what follows, answers nothing
    RULE = "rule"  # marks, no words


@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    """Characters [start, end) of a passage's version."""

    passage: Passage
    start: int
    end: int
    kind: Kind

    @property
    def text(self) -> str:
        """Exactly those characters."""
        return self.passage.text[self.start - self.passage.start : self.end - self.passage.start]

    @property
    def answers(self) -> bool:
        """Whether it can be an answer."""
        return self.kind in (Kind.SENTENCE, Kind.ITEM, Kind.ROW)


def of(passage: Passage) -> list[Unit]:
    """The passage's units in order; only white space lies between them."""
    headings = {" ".join(heading.split()) for heading in (*passage.headings, passage.title)}
    found: list[Unit] = []
    for start, end in sentences.spans(passage.text):
        for low, high, kind in _parts(passage.text, start, end):
            named = kind is Kind.SENTENCE and " ".join(passage.text[low:high].split()) in headings
            unit_kind = Kind.HEADING if named else kind
            found.append(Unit(passage, passage.start + low, passage.start + high, unit_kind))
    return found


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, int, Kind]]:
    """A span that ends with its stop, parted where its lines are no running text: spans run on from titles."""
    lines = [(low, high) for low, high in _lines(text, start, end) if low < high]
    while lines and (mark := _mark(text, *lines[0])):
        yield *lines.pop(0), mark
    if not lines:
        return
    rows = sum(_is_row(text[low:high]) for low, high in lines)
    if rows * 2 > len(lines) or _is_row(text[slice(*lines[0])]):
        yield from ((low, high, _mark(text, low, high) or Kind.ROW) for low, high in lines)
        return
    first, last = lines[0][0], lines[-1][1]
    if last - first > _LONG and len(lines) > 1:
        yield from ((low, high, Kind.SENTENCE) for low, high in _grouped(lines))
    else:
        yield first, last, Kind.ITEM if _ITEM.match(text, first, last) else Kind.SENTENCE


def _mark(text: str, start: int, end: int) -> Kind | None:
    """What a line is that answers nothing."""
    if _HEADING.match(text, start, end):
        return Kind.HEADING
    return Kind.RULE if _RULE.fullmatch(text, start, end) else None


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for piece in re.finditer(r"[^\n]+", text[start:end]):
        line = piece.group()
        low = start + piece.start() + len(line) - len(line.lstrip())
        yield low, max(low, start + piece.start() + len(line.rstrip()))


def _grouped(lines: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Lines joined up to some length."""
    low, high = lines[0]
    for start, end in lines[1:]:
        if end - low > _LINES:
            yield low, high
            low = start
        high = end
    yield low, high


def _is_row(line: str) -> bool:
    return _CELL in line or (line.startswith("|") and line.endswith("|"))


class Surroundings:
    """What stands beside each unit, across the passages of a block."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._runs = [[unit for passage in block.passages for unit in of(passage)] for block in blocks]
        self._places = {
            (unit.passage.version_id, unit.start): (run, place) for run in self._runs for place, unit in enumerate(run)
        }

    def before(self, passage: Passage, start: int) -> Unit | None:
        """What must be read before the unit at this place: a table's header, a list's lead-in, what a pronoun points to."""
        found = self._places.get((passage.version_id, start))
        if found is None:
            return None
        run, place = found
        lead = {
            Kind.ROW: self._header,
            Kind.ITEM: self._lead_in,
            Kind.SENTENCE: self._pointed_to,
        }.get(run[place].kind, self._pointed_to)(run, place)
        return lead if lead is not None and lead.end - lead.start <= _LONGEST_LEAD else None

    def after(self, passage: Passage, start: int) -> list[Unit]:
        """The items or rows of the list that the unit at this place leads in."""
        found = self._places.get((passage.version_id, start))
        if found is None:
            return []
        run, place = found
        if not run[place].text.endswith(":"):
            return []
        items: list[Unit] = []
        for unit in run[place + 1 : place + 1 + _MOST_ITEMS]:
            if unit.kind not in (Kind.ITEM, Kind.ROW):
                break
            items.append(unit)
        return items

    def _header(self, run: Sequence[Unit], place: int) -> Unit | None:
        """The first row of the table, where it names its columns."""
        first = place
        while first and run[first - 1].kind in (Kind.ROW, Kind.RULE):
            first -= 1
        header = run[first]
        return header if first < place and not _NUMBER.search(header.text) else None

    def _lead_in(self, run: Sequence[Unit], place: int) -> Unit | None:
        first = place
        while first and run[first - 1].kind is Kind.ITEM:
            first -= 1
        lead = run[first - 1] if first else None
        return lead if lead is not None and lead.answers and lead.text.endswith(":") else None

    def _pointed_to(self, run: Sequence[Unit], place: int) -> Unit | None:
        before = run[place - 1] if place else None
        if before is None or before.kind is not Kind.SENTENCE or not _POINTER.match(run[place].text):
            return None
        return before


def column_names(unit_text: str, passage: Passage) -> str | None:
    """The header row of a table that begins in an earlier passage, as this passage's headings keep it."""
    last = passage.headings[-1] if passage.headings else ""
    return last if _CELL in last and _is_row(unit_text) and last not in passage.text else None
