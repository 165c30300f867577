"""The sentences of what a model writes, as they end, each with the numbers of the sources that it names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from app.text import inert, sentences, shown

_MAY_END = re.compile(r"[.!?…。！？｡।॥؟۔\n\]】:;]")  # noqa: RUF001 - the marks themselves
_NUMBERS = re.compile(r"(\d{1,4})(?:\s?[–-]\s?(\d{1,4}))?")  # noqa: RUF001 - the dash itself
_MOST_RANGE = 20  # sources that one mark may span
_ENDED = re.compile(r"(?:[.!?…。！？][\"'”’)*_]*\s?(?:\[[^\[\]\n]{1,40}\]\s?)+|\[[^\[\]\n]{1,40}\][.!?…。！？]+)\s*\Z")  # noqa: RUF001
_LEADING = re.compile(rf"(?:{inert.MARK.pattern})+\s*", re.IGNORECASE)
_OPEN = re.compile(r"\s?[\[【][^\]】]{0,40}\Z")
_HEADING = re.compile(r"#{1,6}\s|[-=*_]{3,}\s*\Z|```")
_ROLE = re.compile(r"(?:system|assistant|user|human)\s*[:：]\s*", re.IGNORECASE)  # as a turn of a chat begins  # noqa: RUF001
_GLUED = re.compile(r"(?<![\w/@.:-])((?:[\w'’-]{0,40}[a-z0-9]{2}|\[\d{1,3}\])[.!?])(?=[A-Z][a-z])")  # noqa: RUF001 - the mark itself
_ITEM = re.compile(r"(?:[-*+•‣◦▪]|\d{1,3}[.)])\s+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A sentence that has ended."""

    text: str  # inert, on one line, without marks
    marks: tuple[int, ...]  # numbers as written, in order, each once


class Claims:
    """Cuts sentences off a text that comes in pieces.

    One is cut when the next has begun, at a line's end, or at once where a source mark stands behind or before its stop: what
    then still comes of marks goes with the next sentence, and names nothing.
    """

    def __init__(self, *, read: Callable[[str], str] = str) -> None:
        """Take what undoes escapes that the model copied; it is called with whole sentences."""
        self._rest = ""
        self._read = read
        self._may_end = False  # whether the rest holds what may end a sentence

    def feed(self, piece: str) -> list[Claimed]:
        """The sentences that have ended with this piece."""
        self._rest += piece
        self._may_end = self._may_end or len(self._rest) > sentences.LONGEST or _MAY_END.search(piece) is not None
        if not self._may_end:
            return []
        found = self._cut()
        self._may_end = _MAY_END.search(self._rest) is not None
        return found

    def _cut(self) -> list[Claimed]:
        self._rest = _apart(self._rest)
        *lines, last = self._rest.split("\n")
        found = [each for line in lines for each in _of_line(line, self._read)]
        if _ENDED.search(last):
            self._rest = ""
            return [*found, *_of_line(last, self._read)]
        cut = _last_begun(last)
        self._rest = last[cut:]
        return [*found, *_of_line(last[:cut], self._read)]

    def end(self) -> list[Claimed]:
        """What is left when nothing more comes."""
        rest, self._rest = _apart(self._rest), ""
        return [each for line in rest.split("\n") for each in _of_line(line, self._read)]


def numbers_of(text: str) -> tuple[int, ...]:
    """The source numbers that the text's marks name, each once."""
    found: dict[int, None] = {}
    for mark in inert.MARK.finditer(text):
        for first, last in _NUMBERS.findall(mark.group()):
            upto = int(last) if last else int(first)
            for number in range(int(first), min(upto, int(first) + _MOST_RANGE) + 1):
                found.setdefault(number)
    return tuple(found)


def _apart(text: str) -> str:
    """The text with a space between sentences that lack it: as one, what is true would carry what is not."""
    return _GLUED.sub(r"\1 ", text)


def _last_begun(line: str) -> int:
    """Where the last sentence begins that is more than marks; what stands before it has ended."""
    begun = [
        start for start, end in sentences.spans(line) if _OPEN.sub("", inert.MARK.sub("", line[start:end])).strip(" .")
    ]
    if len(begun) < 2:  # noqa: PLR2004 - one before, and the one that has begun
        return 0
    leading = _LEADING.match(line, begun[-1])
    return leading.end() if leading else begun[-1]


def _of_line(line: str, read: Callable[[str], str]) -> list[Claimed]:
    """The sentences of a line; marks that stand alone go with the sentence before them."""
    if _HEADING.match(line.strip()):
        return []
    item = _ITEM.match(line.lstrip())
    pieces: list[str] = []
    for start, end in sentences.spans(line):
        piece = line[start:end]
        alone = not inert.MARK.sub("", piece).strip(" .")
        leading = _LEADING.match(piece)
        if pieces and alone:
            pieces[-1] += " " + piece
        elif pieces and leading:
            pieces[-1] += " " + leading.group()
            pieces.append(piece[leading.end() :])
        else:
            pieces.append(piece)
    found: list[Claimed] = []
    for number, piece in enumerate(pieces):
        text = shown.line(inert.inert(read(piece)))
        text = _ROLE.sub("", text, count=1) if _ROLE.match(text) else text
        if number == 0 and item:
            text = "- " + _ITEM.sub("", text, count=1)
        text = re.sub(r"\s+([.!?,;:])", r"\1", text)
        if any(char.isalnum() for char in text):
            found.append(Claimed(text=text, marks=numbers_of(piece)))
    return found
