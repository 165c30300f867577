"""Puts a document's text together, piece by piece, so that text, blocks and pages agree by construction."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from app.domain.errors import DocumentError
from app.domain.jobs import Warning_
from app.domain.passages import Block, BlockKind, Loaded, Page
from app.text.canonical import canonical
from ingestion.load import marking

MAX_WARNINGS = 100  # of one document; the last then says how many more there were

_NUMBER = re.compile(r"[-+(]*[$€£¥]?\s*[-+(]?\d[\d.,'/\u00a0 -]*[%)]*$")
_CAPTION_AND_HEADER = 2  # rows; a table has more
_YEAR = re.compile(r"(?:19|20)\d\d$")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one document may cost. Over a limit it fails alone, with a code."""

    max_text_chars: int = 20_000_000
    max_pages: int = 10_000  # or slides
    max_uncompressed_bytes: int = 512 << 20  # of all parts of an office file that are read
    max_part_bytes: int = 256 << 20  # of one part
    max_ratio: int = 400  # uncompressed / compressed of a part past 8 MiB; XML of real sheets reaches about 60
    max_parts: int = 20_000  # files in an office file
    max_cells: int = 5_000_000  # of a workbook, empty ones not counted


def too_long(what: str, limit: int, setting: str) -> DocumentError:
    """The error of a document that is over a limit."""
    return DocumentError(f"the document has more than {limit:,} {what}, the limit: {setting}", code="too_long")


class Assembly:
    """A document in the making."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pieces: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._pages: list[Page] = []
        self._page: tuple[int, int] | None = None  # number, blocks before it
        self._warnings: list[Warning_] = []
        self._more_warnings = 0
        self._hidden: dict[str, None] = {}
        self._hidden_on: dict[int, None] = {}

    @property
    def count(self) -> int:
        """Blocks so far."""
        return len(self._blocks)

    def add(self, kind: BlockKind, text: str, *, level: int = 0) -> None:
        """One block. Blank text is passed over; white space around it is dropped (in code, blank lines alone)."""
        text = canonical(text)
        text = text.rstrip().lstrip("\n") if kind is BlockKind.CODE else text.strip()
        if text and not text.isspace():
            self._append(kind, text, level=level, header_chars=None)

    def table(self, rows: Iterable[Sequence[str]], *, header: bool | None = None) -> None:
        """A table: a row a line, cells with ` | ` between them. Empty rows, and empty cells at a row's end, go.

        Args:
            rows: cells by row; white space in a cell becomes one space.
            header: whether the first row is a header; None to judge by what stands in it.
        """
        lines: list[str] = []
        heads: list[Sequence[str]] = []  # the first two rows
        budget = self._limits.max_text_chars - self._length
        for row in rows:
            cells = [" ".join(cell.split()) for cell in row]
            line = canonical(" | ".join(cells)).replace("\n", " ").rstrip(" |").strip()
            if line:
                lines.append(line)
                heads += [cells] if len(heads) <= 1 else []
                budget -= len(line) + 1
                if budget < 0:
                    raise too_long("characters", self._limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
        if header is None and len(lines) > _CAPTION_AND_HEADER and _is_caption(*heads):
            self._append(BlockKind.PARAGRAPH, lines.pop(0), level=0, header_chars=None)
            heads.pop(0)
        if not lines:
            return
        if header is None:
            header = looks_like_header(heads[0])
        header_chars = len(lines[0]) if header and len(lines) > 1 else None
        self._append(BlockKind.TABLE, "\n".join(lines), level=0, header_chars=header_chars)

    def begin_page(self, number: int) -> None:
        """All that follows stands on this page, until the next begins or `end_page`."""
        self.end_page()
        if number > self._limits.max_pages:
            raise too_long("pages", self._limits.max_pages, "FOOTNOTE_MAX_PAGES")
        self._page = (number, len(self._blocks))

    def end_page(self) -> None:
        """Close the page that is open; it spans its blocks, or nothing where it has none."""
        if self._page is None:
            return
        number, first = self._page
        start = self._blocks[first].start if first < len(self._blocks) else self._length
        self._pages.append(Page(number=number, start=start, end=self._length))
        self._page = None

    def warn(self, code: str, message: str, *, page: int | None = None) -> None:
        """Something that a person should know; never becomes text."""
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(Warning_(code=code, message=canonical(message)[:500], page=page))
        else:
            self._more_warnings += 1

    def hide(self, *hows: str, page: int | None = None) -> None:
        """Text that was added, or left out for it, is not seen by readers, in these ways."""
        self._hidden |= dict.fromkeys(hows)
        if hows and page is not None:
            self._hidden_on[page] = None

    def loaded(self, *, title: str | None, media_type: str) -> Loaded:
        """The document.

        Raises:
            DocumentError: `no_text`, where it has not one visible character.
        """
        self.end_page()
        warnings = list(self._warnings)
        if self._hidden:
            warnings.insert(0, marking.hidden(self._hidden, list(self._hidden_on)))
        if self._more_warnings:
            message = f"{self._more_warnings} more warnings of this document are not listed"
            warnings.append(Warning_(code="more_warnings", message=message))
        if not self._blocks:
            raise DocumentError("the document holds no text that can be read", code="no_text")
        return Loaded(
            text="".join(self._pieces),
            blocks=tuple(self._blocks),
            pages=tuple(self._pages),
            title=clean_title(title),
            media_type=media_type,
            warnings=tuple(warnings),
        )

    def _append(self, kind: BlockKind, text: str, *, level: int, header_chars: int | None) -> None:
        if self._blocks:
            tight = kind is BlockKind.LIST_ITEM and self._blocks[-1].kind is BlockKind.LIST_ITEM
            separator = "\n" if tight else "\n\n"
            self._pieces.append(separator)
            self._length += len(separator)
        start = self._length
        self._pieces.append(text)
        self._length += len(text)
        if self._length > self._limits.max_text_chars:
            raise too_long("characters", self._limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
        header_end = None if header_chars is None else start + header_chars
        self._blocks.append(Block(kind=kind, start=start, end=self._length, level=level, header_end=header_end))


def clean_title(title: str | None) -> str | None:
    """A title in one line of at most 500 characters; None where nothing is left."""
    return " ".join(canonical(title or "").split())[:500].strip() or None


def _is_caption(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether a row names the table that begins below it."""
    return sum(map(bool, first)) == 1 and sum(map(bool, second)) > 1


def looks_like_header(cells: Sequence[str]) -> bool:
    """Whether a table's first row names columns: two cells or more that say something, and no number but years."""
    said = [cell for cell in cells if cell]
    return len(said) > 1 and not any(_NUMBER.match(cell) and not _YEAR.match(cell) for cell in said)
