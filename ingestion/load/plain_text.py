"""Plain text: paragraphs are parted by blank lines; hard-wrapped lines are one paragraph."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

from app.domain.errors import DocumentError
from app.domain.passages import Block, BlockKind, Loaded
from app.text.canonical import canonical
from ingestion.load.assembly import Limits, too_long
from ingestion.load.encoding import decode
from ingestion.load.registry import Format

_WRAPPED = 200  # characters; a longer line was not wrapped by hand: it is a paragraph of its own
_LINE = re.compile(r"[^\n]+")


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a text file. Raises DocumentError: `no_text`, `too_long`."""
    text = canonical_text(path, limits=limits)
    return Loaded(text=text, blocks=tuple(paragraphs(text)), pages=(), title=None, media_type=Format.TXT.media_type)


def canonical_text(path: pathlib.Path, *, limits: Limits) -> str:
    """The file's text in canonical form, as it was written. Raises as `load`."""
    if path.stat().st_size > 4 * limits.max_text_chars + 4:  # no encoding takes more than 4 bytes a character
        raise too_long("characters", limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
    text = canonical(decode(path.read_bytes()))
    if len(text) > limits.max_text_chars:
        raise too_long("characters", limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
    if not text or text.isspace():
        raise DocumentError("the document holds no text that can be read", code="no_text")
    return text


def paragraphs(text: str) -> Iterator[Block]:
    """The paragraphs of a canonical text."""
    start = end = -1
    for line in _LINE.finditer(text):
        said = line.group().strip()
        if not said:
            continue
        line_start = line.start() + line.group().index(said[0])
        joined = start >= 0 and line.start() == text.find("\n", end) + 1 and line.end() - line.start() <= _WRAPPED
        if start >= 0 and not joined:
            yield Block(kind=BlockKind.PARAGRAPH, start=start, end=end)
        start = start if joined else line_start
        end = line_start + len(said)
        if len(said) > _WRAPPED:
            yield Block(kind=BlockKind.PARAGRAPH, start=start, end=end)
            start = -1
    if start >= 0:
        yield Block(kind=BlockKind.PARAGRAPH, start=start, end=end)
