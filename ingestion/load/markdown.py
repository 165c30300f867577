"""Markdown: the text stays as written, marks and all, so that a quote is the author's own line; blocks lie over it."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

from app.domain.passages import Block, BlockKind, Loaded
from ingestion.load import css, marking
from ingestion.load.assembly import Limits, clean_title
from ingestion.load.plain_text import canonical_text
from ingestion.load.registry import Format

_LINE = re.compile(r"[^\n]+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]|$)")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S")
_RULE_ROW = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.*?)[\"']?[ \t]*$", re.MULTILINE)
_STYLED = re.compile(
    r"<[a-z]{1,10}\b[^<>]{0,300}?\bstyle\s{0,3}=\s{0,3}[\"']([^\"'<>]{1,300})[\"'][^<>]{0,200}>([^<]{15,})",
    re.IGNORECASE,
)
_FRONT = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)(?:\n|$)", re.DOTALL)


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a Markdown file. Raises DocumentError: `no_text`, `too_long`."""
    text = canonical_text(path, limits=limits)
    front = _FRONT.match(text)
    blocks = tuple(_Scan(text).blocks(front.end() if front else 0))
    named = _FRONT_TITLE.search(front[1]) if front else None
    heading = next((block for block in blocks if block.kind is BlockKind.HEADING and block.level == 1), None)
    title = named[1] if named else None
    if not title and heading is not None:
        title = text[heading.start : heading.end].strip("#=- \t\n")
    hows = dict.fromkeys(css.hides(css.declarations(style)) for style, said in _STYLED.findall(text) if said.strip())
    warnings = tuple(marking.hidden([how], ()) for how in hows if how)
    return Loaded(
        text=text,
        blocks=blocks,
        pages=(),
        title=clean_title(title),
        media_type=Format.MD.media_type,
        warnings=warnings[:1],
    )


class _Scan:
    """Goes through the lines once; a block is open until something ends it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kind = BlockKind.PARAGRAPH
        self._start = -1
        self._end = -1
        self._lines = 0  # of the open block
        self._header_end: int | None = None
        self._fence = ""

    def blocks(self, begin: int) -> Iterator[Block]:
        """The blocks in order; front matter up to `begin` is one of code."""
        if begin:
            yield Block(kind=BlockKind.CODE, start=0, end=len(self._text[:begin].rstrip()))
        end = begin
        for line in _LINE.finditer(self._text, begin):
            blank_before = line.start() > end + 1
            end = line.end()
            yield from self._line(line.group(), line.start(), blank_before=blank_before)
        yield from self._close()

    def _line(self, line: str, start: int, *, blank_before: bool) -> Iterator[Block]:
        said = line.strip()
        fence = _FENCE.match(line)
        if self._fence:
            if said:
                self._end = start + len(line.rstrip())
            if fence and fence[1].startswith(self._fence) and said == fence[1]:
                self._fence = ""
                yield from self._close()
            return
        if blank_before or not said:
            indented = said and line[0] in " \t" and self._kind is BlockKind.LIST_ITEM and self._start >= 0
            if not indented or _ITEM.match(line):
                yield from self._close()
        if not said:
            return
        yield from self._said(line, start, fence)

    def _said(self, line: str, start: int, fence: re.Match[str] | None) -> Iterator[Block]:
        atx = _ATX.match(line)
        setext = _SETEXT.match(line)
        if fence:
            yield from self._close()
            self._open(BlockKind.CODE, line, start)
            self._fence = fence[1]
        elif atx:
            yield from self._close()
            self._open(BlockKind.HEADING, line, start)
            yield from self._close(level=len(atx[1]))
        elif setext and self._start >= 0 and self._kind is BlockKind.PARAGRAPH and self._lines == 1:
            self._kind = BlockKind.HEADING
            self._extend(line, start)
            yield from self._close(level=1 if setext[1].startswith("=") else 2)
        elif self._start >= 0 and self._lines == 1 and self._kind is BlockKind.PARAGRAPH and self._is_rule_row(line):
            self._kind = BlockKind.TABLE
            self._header_end = self._end
            self._extend(line, start)
        elif _ITEM.match(line) and self._kind is not BlockKind.TABLE:
            yield from self._close()
            self._open(BlockKind.LIST_ITEM, line, start)
        elif self._kind is BlockKind.TABLE and self._start >= 0 and "|" not in line:
            yield from self._close()
            self._open(BlockKind.PARAGRAPH, line, start)
        elif self._start >= 0:
            self._extend(line, start)
        else:
            self._open(BlockKind.PARAGRAPH, line, start)

    def _is_rule_row(self, line: str) -> bool:
        return "|" in line and "|" in self._text[self._start : self._end] and bool(_RULE_ROW.match(line))

    def _open(self, kind: BlockKind, line: str, start: int) -> None:
        self._kind = kind
        self._start = start + len(line) - len(line.lstrip())
        self._end = start + len(line.rstrip())
        self._lines = 1
        self._header_end = None

    def _extend(self, line: str, start: int) -> None:
        self._end = start + len(line.rstrip())
        self._lines += 1

    def _close(self, *, level: int = 0) -> Iterator[Block]:
        if self._start >= 0:
            yield Block(kind=self._kind, start=self._start, end=self._end, level=level, header_end=self._header_end)
        self._kind = BlockKind.PARAGRAPH
        self._start = -1
        self._header_end = None
