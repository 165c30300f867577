"""The stretches of a text that are small enough to be packed: blocks where they fit, parts of them where not."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from app.domain.passages import Block, BlockKind, Page
from app.domain.ports import Tokenizer
from app.text import graphemes, sentences
from ingestion.chunk import passage

STRETCH_CHARS = 32  # code points of the pieces of what has no other seam; half a dozen English words
_PROBABLE_CHARS_PER_TOKEN = 5  # a longer text than this times the window probably does not fit; English has 4.5

Span = tuple[int, int]
_Splitter = Callable[[str, int, int], list[Span]]

_BLANK_LINE = re.compile(r"\n[^\S\n]*+\n")
_LINE_END = re.compile(r"\n")


@dataclasses.dataclass(slots=True, kw_only=True)
class Segment:
    """A block as far as it stands on one page."""

    block: Block
    start: int
    end: int
    page: int | None
    units: list[Unit] = dataclasses.field(default_factory=list)  # one, or several where it does not fit the window


@dataclasses.dataclass(slots=True, kw_only=True)
class Unit:
    """Characters [start, end) that stay together."""

    start: int
    end: int
    tokens: int = -1  # of what is embedded of it; -1 before it was counted
    rung: int = 0  # how many splitters of its ladder it has been through
    exact: bool = True  # False for parts of words and lines, whose counts may not add up


def segments(blocks: Sequence[Block], pages: Sequence[Page], text: str) -> list[Segment]:
    """The blocks cut at page borders, without outer white space; those of white space alone are left out."""
    found: list[Segment] = []
    at = 0  # the first page that does not end before the block
    for block in blocks:
        while at < len(pages) and pages[at].end <= block.start:
            at += 1
        for start, end, page in _by_page(block, pages, at):
            start, end = graphemes.trim(text, start, end)  # noqa: PLW2901 - the same stretch, trimmed
            if start < end:
                found.append(Segment(block=block, start=start, end=end, page=page))
    return found


def _by_page(block: Block, pages: Sequence[Page], at: int) -> Iterator[tuple[int, int, int | None]]:
    """The stretches of a block by the page they stand on, `at` being the first that may hold some of it."""
    start = block.start
    while start < block.end:
        if at >= len(pages) or pages[at].start >= block.end:
            yield start, block.end, None
            return
        page = pages[at]
        if page.start > start:
            yield start, page.start, None
        yield max(start, page.start), min(block.end, page.end), page.number
        start = max(start, page.end)
        at += 1


def measure(text: str, found: Sequence[Segment], *, tokenizer: Tokenizer, most_chars: int) -> None:
    """Fill in each segment's units, none of more tokens than the window nor longer than `most_chars`.

    Level by level, so that the tokenizer is called on batches: a level is counted in one go for the whole document,
    and only what is too long goes on to the next. What is probably too long is not counted as a whole first; should its
    parts fit the window after all, they are one again. The one exception to the bound is a cluster that alone
    exceeds the window.
    """
    probable_chars = min(most_chars, _PROBABLE_CHARS_PER_TOKEN * tokenizer.window_tokens)
    for segment in found:
        segment.units = [Unit(start=segment.start, end=segment.end)]
    waiting, longest = list(found), probable_chars
    while waiting:
        new = [unit for segment in waiting for unit in segment.units if unit.tokens < 0]
        short = [unit for unit in new if unit.end - unit.start <= longest]
        plain = [passage.plain(text[unit.start : unit.end]) for unit in short]
        for unit, tokens in zip(short, passage.counts(tokenizer, plain), strict=True):
            unit.tokens = tokens
        waiting = [segment for segment in waiting if _divide(text, segment, tokenizer)]
        longest = most_chars
    for segment in found:
        _reunite(segment, tokenizer, (probable_chars, most_chars))


def _divide(text: str, segment: Segment, tokenizer: Tokenizer) -> bool:
    """Cut the units that do not fit; whether any is left to be counted."""
    if all(0 <= unit.tokens <= tokenizer.window_tokens for unit in segment.units):
        return False
    segment.units = [part for unit in segment.units for part in _parts(text, segment.block.kind, unit, tokenizer)]
    return any(unit.tokens < 0 for unit in segment.units)


def _reunite(segment: Segment, tokenizer: Tokenizer, chars: tuple[int, int]) -> None:
    """Make one unit of a segment that was not counted as a whole, where it fits the window."""
    tokens = sum(unit.tokens for unit in segment.units)
    if len(segment.units) == 1 or tokens > tokenizer.window_tokens:
        return
    if chars[0] < segment.end - segment.start <= chars[1]:
        segment.units = [Unit(start=segment.start, end=segment.end, tokens=tokens, exact=False)]


def _parts(text: str, kind: BlockKind, unit: Unit, tokenizer: Tokenizer) -> list[Unit]:
    """The unit where it fits, else its parts by the first splitter of its ladder that finds a seam."""
    if 0 <= unit.tokens <= tokenizer.window_tokens:
        return [unit]
    ladder = _LADDERS.get(kind, _PROSE)
    for rung in range(unit.rung, len(ladder)):
        spans = ladder[rung](text, unit.start, unit.end)
        if len(spans) > 1:
            exact = ladder[rung] is not stretches
            return [Unit(start=start, end=end, rung=rung + 1, exact=exact) for start, end in spans]
    spans = halves(text, unit.start, unit.end)
    if len(spans) > 1:
        return [Unit(start=start, end=end, rung=len(ladder), exact=False) for start, end in spans]
    unit.tokens = max(unit.tokens, 0)
    return [unit]


def _at(seams: re.Pattern[str]) -> _Splitter:
    """A splitter at every match of a pattern of white space."""

    def split(text: str, start: int, end: int) -> list[Span]:
        places = [start, *(seam.start() for seam in seams.finditer(text, start, end)), end]
        spans = (graphemes.trim(text, low, high) for low, high in itertools.pairwise(places))
        return [(low, high) for low, high in spans if low < high]

    return split


def _sentences(text: str, start: int, end: int) -> list[Span]:
    return [(start + low, start + high) for low, high in sentences.spans(text[start:end])]


def stretches(text: str, start: int, end: int) -> list[Span]:
    """Pieces of at most `STRETCH_CHARS`, at the last white space where there is one, else between clusters."""
    found: list[Span] = []
    while start < end:
        place = end
        if end - start > STRETCH_CHARS:
            place = _last_space(text, start, start + STRETCH_CHARS, end)
        found.append(graphemes.trim(text, start, place))
        start = graphemes.skip_space(text, place, end)
    return found


def _last_space(text: str, start: int, most: int, end: int) -> int:
    """The boundary before the last white space in (start, most], else one near `most`."""
    for place in range(most, start, -1):
        if text[place].isspace() and graphemes.is_boundary(text, place):
            return place
    return graphemes.cut(text, start, most, end)


def halves(text: str, start: int, end: int) -> list[Span]:
    """Two pieces cut in the middle, at a space where one is near, or one where no cut is to be had."""
    if end - start < 2:  # noqa: PLR2004 - one code point has no middle
        return [(start, end)]
    middle = (start + end + 1) // 2
    if middle - start > STRETCH_CHARS:
        place = _last_space(text, middle - STRETCH_CHARS, middle, end)
        place = graphemes.floor(text, place, known=start)
    else:
        place = graphemes.cut(text, start, middle, end)
    spans = graphemes.trim(text, start, place), graphemes.trim(text, place, end)
    return [(low, high) for low, high in spans if low < high]


_PARAGRAPHS, _LINES = _at(_BLANK_LINE), _at(_LINE_END)
_PROSE: tuple[_Splitter, ...] = (_PARAGRAPHS, _sentences, _LINES, stretches)
_LADDERS: dict[BlockKind, tuple[_Splitter, ...]] = {
    BlockKind.TABLE: (_LINES, _sentences, stretches),
    BlockKind.CODE: (_PARAGRAPHS, _LINES, stretches),
}
