"""What loaders hand to the chunker: a canonical text and the structure found in it."""

from __future__ import annotations

import dataclasses
import enum

from app.domain.jobs import Warning_


class BlockKind(enum.StrEnum):
    """What a stretch of text is to its reader."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"  # rows one a line; the first line is the header where `header_end` is set
    CODE = "code"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One structural piece of a canonical text: characters [start, end); blocks are in order and do not overlap."""

    kind: BlockKind
    start: int  # code points, inclusive
    end: int  # code points, exclusive
    level: int = 0  # of a heading, 1 the outermost; 0 for the rest
    header_end: int | None = None  # a table's header row is [start, header_end); None where there is none


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Characters [start, end) of the canonical text stand on this page."""

    number: int  # 1-based
    start: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One document as read: its text in canonical form, pages and blocks over it, and what could not be read."""

    text: str  # canonical: NFC, \n line ends, no BOM, NUL or lone surrogate
    blocks: tuple[Block, ...]  # cover every visible character of `text`
    pages: tuple[Page, ...]  # in order, without overlap; empty for formats without pages
    title: str | None  # as the document itself says; None where it does not
    media_type: str
    warnings: tuple[Warning_, ...] = ()
    marks: tuple[str, ...] = ()  # what a reader of it should know: `hidden_text`, `instructions`
