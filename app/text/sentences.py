"""Where sentences begin and end, with exact offsets: what the chunker cuts between and the answerer cites."""

from __future__ import annotations

import re

from app.text import graphemes

LONGEST = 2_000  # code points of a sentence; what runs on without a stop is cut at a line end or a space

_CLOSERS = "\"'”’)\\]»›}*_」』）】〉》"  # noqa: RUF001 - the marks themselves
_OPENERS = "([{\"'“‘«"  # noqa: RUF001 - the marks themselves
_WIDE_STOPS = "。！？｡।॥؟۔።။។"  # noqa: RUF001 - the marks themselves; they end a sentence without a space too

# Begins with one set of characters, so that the search skips ahead at the speed of C; possessive throughout and
# anchored at the start of a run of stops, so that no text costs more than linear time.
_STOP = re.compile(
    rf"""[\n.!?…{_WIDE_STOPS}](?:
      (?<=\n)(?:
        (?P<gap>[^\S\n]*+\n\s*+)
        |(?P<item>(?=[^\S\n]*+(?:[•‣◦▪●*+-]|\(?\d{{1,3}}[.)]|\(?[a-z]\))[^\S\n]))
      )
      |(?<=[.!?…])(?<![.!?…]{{2}})(?P<stop>[.!?…]*+)(?P<close>[{_CLOSERS}]*+(?:\[\d{{1,3}}\])*+)(?=\s|\Z)
      |(?<=[{_WIDE_STOPS}])(?P<wide>[{_WIDE_STOPS}!?]*+[{_CLOSERS}]*+)
    )""",
    re.VERBOSE,
)
_AHEAD = re.compile(r"\s*+[\"'“‘(\[«‹¿¡]{0,4}(?P<word>\w{0,20})")  # noqa: RUF001 - the marks themselves
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]{1,2}\Z")  # U.S, e.g, Ph.D


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# What stands before a full stop that does not end its sentence. The lists are short on purpose: each word is common in
# the filings, abstracts and articles that this was tried on, or in the Penn Treebank's own list.
_NEVER_LAST = _words(
    "mr mrs ms messrs dr prof rev hon gen col capt lt sgt maj cmdr gov sen rep pres st mt ft vs cf viz approx ca "
    "e.g i.e fig figs eq eqs ref refs sec secs sect vol vols pp ed eds dept univ assn est incl resp"
)
_SOMETIMES_LAST = _words("inc corp co cos ltd llc plc bros jr sr etc al esq ave blvd rd dist gmbh cie")
_BEFORE_NUMBER = _words("no nos nr p art arts ch par para jan feb mar apr jun jul aug sep sept oct nov dec item note")
_NUMBERED = _words("item items note notes part section chapter figure table article exhibit step rule phase")
_STARTERS = _words(
    "The This That These Those It Its He She They We I In On At For If When While As However Although There Here But "
    "And Or So Then What Who How Why Where Our Their His Her My You Your A An To From With After Before During Since "
    "Both Many Most Some All Each Such No Not One Another According Because Despite Under By Also Thus Therefore "
    "Moreover Furthermore Finally Additionally"
)
_LOOK_BACK = 24  # code points; a longer word is no abbreviation


def spans(text: str) -> list[tuple[int, int]]:
    """The sentences of a text as [start, end) in code points, in order and without overlap.

    Only white space lies between them, each is free of outer white space and at most `LONGEST` long. A blank line and
    the line of a list item end a sentence too; a single line end does not. A stop before a word in lower case, after an
    abbreviation, an initial or the number of a list item does not end one. Linear in the length of the text.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for stop in _STOP.finditer(text):
        kind = stop.lastgroup
        if kind == "close" and not _ends(text, start, stop):
            continue
        if kind == "wide" and not graphemes.is_boundary(text, stop.end()):
            continue
        _add(found, text, start, stop.end())
        start = stop.end()
    _add(found, text, start, len(text))
    return found


def _ends(text: str, start: int, stop: re.Match[str]) -> bool:
    """Whether the marks that `stop` matched, followed by white space, end the sentence that began at `start`."""
    ahead = _AHEAD.match(text, stop.end())
    word = ahead["word"] if ahead else ""
    if not word:
        return True
    marks = text[stop.start() : stop.end("stop")]
    if word[0].islower():
        return marks[-1] in "!?" and not stop["close"]
    if marks != ".":
        return True
    words = text[max(start, stop.start() - _LOOK_BACK) : stop.start()].split()
    if not words:
        return False  # a stop alone; it goes with what follows
    first = len(words) == 1 and stop.start() - start < _LOOK_BACK
    previous = words[-2] if len(words) > 1 else ""
    return _ends_after(words[-1].lstrip(_OPENERS), word, first=first, previous=previous)


def _ends_after(last: str, ahead: str, *, first: bool, previous: str) -> bool:
    """Whether a full stop after the word `last` and before `ahead`, not in lower case, ends the sentence.

    Args:
        last: without its stop.
        ahead: the next word.
        first: whether `last` is the first word of its sentence.
        previous: the word before `last`, or empty.
    """
    low = last.lower()
    numeral = last.isdigit() and len(last) <= 3  # noqa: PLR2004 - 4 digits are a year
    if first and (numeral or len(last) == 1):
        return False  # the number of a list item or a heading, or an initial
    if low in _NEVER_LAST:
        return False
    if low in _BEFORE_NUMBER:
        return not ahead[0].isdigit()
    if (
        low in _SOMETIMES_LAST
        or (len(last) == 1 and last.isalpha())
        or _DOTTED.match(last)
        or (numeral and previous.lower() in _NUMBERED)
    ):
        return ahead in _STARTERS
    return True


def _add(found: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    """Append [start, end) without outer white space, in pieces of at most `LONGEST`."""
    start, end = graphemes.trim(text, start, end)
    while end - start > LONGEST:
        place = _break(text, start, start + LONGEST)
        found.append(graphemes.trim(text, start, place))
        start = graphemes.skip_space(text, place, end)
    if end > start:
        found.append((start, end))


def _break(text: str, start: int, end: int) -> int:
    """Where to cut what runs on past `end`: at the last line end or space of the second half, else at `end`."""
    middle = (start + end) // 2
    for mark in "\n", "; ", " ":
        place = text.rfind(mark, middle, end)
        if place > start:
            return graphemes.cut(text, start, place + len(mark) - 1, len(text))
    return graphemes.cut(text, start, end, len(text))
