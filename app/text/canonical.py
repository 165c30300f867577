"""Canonical text: the one form that offsets count in, and how it is kept so that a page of a huge text is cheap.

Stored form: a magic, the length of the header, the header (JSON, compressed), then blocks of 65,536 code points, each
compressed by itself. The header holds for every block where it begins in bytes and in UTF-16 units, so that any slice,
and the UTF-16 offset of any place, costs the blocks that it touches and no more.
"""

from __future__ import annotations

import bisect
import json
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

import regex

from app.domain.errors import DocumentError
from app.domain.passages import Page

BLOCK_CHARS = 65_536
MAX_MARKS = 30  # combining marks in a row; the Stream-Safe Text Format of Unicode's UAX #15 allows as many

_MAGIC = b"FNT1"
_PREFIX = struct.Struct(">4sII")  # magic, bytes of the compressed header, bytes of the header
_MAX_HEADER_BYTES = 64 << 20
_LEVEL = 4  # zlib: within 3 % of level 6 in size on English prose, at twice its speed
_JOINER = "\u034f"  # COMBINING GRAPHEME JOINER: invisible, and what UAX #15 breaks a run of marks with

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = rf"[\p{{M}}--{_JOINER}]"
_MARK_RUN = regex.compile(rf"{_MARK}{{{MAX_MARKS}}}(?={_MARK})", regex.V1)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]+")


class CorruptTextError(DocumentError):
    """The stored text is not what was written; restore it, or ingest the document again."""

    code = "corrupt_text"


def canonical(text: str) -> str:
    r"""The canonical form: NFC, `\n` line ends, and of control characters `\n` and `\t` alone.

    Form feeds, vertical tabs, NEL and the Unicode line and paragraph separators are line ends. BOMs, NULs and other
    controls go. Surrogates that belong together are joined, lone ones become U+FFFD. More than 30 combining marks in a
    row are broken up by U+034F, as UAX #15 has it: normalising takes the square of such a run otherwise. Idempotent.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _UNWANTED.sub("", text)
    if text.isascii():
        return text
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = unicodedata.normalize("NFC", _break_marks(text))
    return _break_marks(text)  # normalising makes two marks of one now and then


def _break_marks(text: str) -> str:
    """The text with no more than 30 combining marks in a row."""
    broken: str = _MARK_RUN.sub(lambda run: run.group() + _JOINER, text)
    return broken


def to_utf16(text_before: str) -> int:
    """The offset in UTF-16 units, as browsers count, of the place that this text ends at."""
    return len(text_before) + _astral(text_before)


def _astral(text: str) -> int:
    """Characters that take two UTF-16 units."""
    if text.isascii():
        return 0
    return sum(map(len, _ASTRAL.findall(text)))


def pack(text: str, pages: Iterable[Page] = (), *, block_chars: int = BLOCK_CHARS) -> bytes:
    """The stored form of a canonical text and its pages."""
    blocks: list[bytes] = []
    starts: list[tuple[int, int]] = []  # of each block: bytes after the header, UTF-16 units before it
    byte = units = 0
    for start in range(0, len(text), block_chars):
        piece = text[start : start + block_chars]
        starts.append((byte, units))
        blocks.append(zlib.compress(piece.encode(), _LEVEL))
        byte += len(blocks[-1])
        units += to_utf16(piece)
    header = json.dumps(
        {
            "chars": len(text),
            "block_chars": block_chars,
            "units": units,
            "bytes": byte,
            "blocks": starts,
            "pages": [(page.number, page.start, page.end) for page in pages],
        },
        separators=(",", ":"),
    ).encode()
    squeezed = zlib.compress(header, _LEVEL)
    return b"".join((_PREFIX.pack(_MAGIC, len(squeezed), len(header)), squeezed, *blocks))


class TextReader:
    """Reads slices of a stored text. Holds the stream, which the caller closes; not for two threads at once."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the header.

        Raises:
            CorruptTextError: this is no stored text, or it is damaged.
        """
        self._stream = stream
        self._origin = stream.tell()
        prefix = stream.read(_PREFIX.size)
        if len(prefix) < _PREFIX.size:
            raise CorruptTextError("the stored text is damaged: it is cut off in its first bytes")
        magic, squeezed_bytes, header_bytes = _PREFIX.unpack(prefix)
        if magic != _MAGIC or header_bytes > _MAX_HEADER_BYTES:
            raise CorruptTextError("the stored text is damaged: it does not begin as it should")
        header = _inflate(stream.read(squeezed_bytes), header_bytes)
        try:
            self._take(json.loads(header))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptTextError("the stored text is damaged: its header can't be read") from error
        self._body = self._origin + _PREFIX.size + squeezed_bytes
        self._cached: tuple[int, str] = (-1, "")

    def _take(self, header: dict[str, Any]) -> None:
        self.chars = int(header["chars"])
        self.units = int(header["units"])  # UTF-16 units of the whole text
        self._block_chars = max(1, int(header["block_chars"]))
        self.pages = tuple(Page(number=int(n), start=int(start), end=int(end)) for n, start, end in header["pages"])
        self._bytes = [int(byte) for byte, _ in header["blocks"]] + [int(header["bytes"])]
        self._units = [int(units) for _, units in header["blocks"]] + [self.units]
        if len(self._bytes) - 1 != -(-self.chars // self._block_chars):
            raise CorruptTextError("the stored text is damaged: its header contradicts itself")

    def slice(self, start: int, end: int) -> str:
        """The text's [start, end), clipped to what there is; reads only the blocks that it touches.

        Raises:
            CorruptTextError: one of these blocks is damaged.
        """
        start, end = max(0, start), min(end, self.chars)
        if start >= end:
            return ""
        first, last = start // self._block_chars, (end - 1) // self._block_chars
        text = "".join(self._block(number) for number in range(first, last + 1))
        return text[start - first * self._block_chars : end - first * self._block_chars]

    def utf16_offset(self, offset: int) -> int:
        """The offset in UTF-16 units of an offset in code points, clipped to the text."""
        offset = min(max(0, offset), self.chars)
        block, rest = divmod(offset, self._block_chars)
        return self._units[block] + (to_utf16(self._block(block)[:rest]) if rest else 0)

    def code_point_offset(self, units: int) -> int:
        """The offset in code points of an offset in UTF-16 units; one inside a pair counts as before the pair."""
        units = min(max(0, units), self.units)
        number = min(bisect.bisect_right(self._units, units), len(self._units) - 1) - 1
        if number < 0:
            return 0
        block = self._block(number)
        rest = block.encode("utf-16-le")[: 2 * (units - self._units[number])]
        return number * self._block_chars + len(rest.decode("utf-16-le", "ignore"))

    def _block(self, number: int) -> str:
        if self._cached[0] == number:
            return self._cached[1]
        begin, end = self._bytes[number : number + 2]
        chars = min(self._block_chars, self.chars - number * self._block_chars)
        self._stream.seek(self._body + begin)
        raw = _inflate(self._stream.read(max(0, end - begin)), 4 * chars)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise CorruptTextError(f"the stored text is damaged: block {number} is not UTF-8") from error
        if len(text) != chars:
            raise CorruptTextError(f"the stored text is damaged: block {number} has {len(text)} of {chars} characters")
        self._cached = (number, text)
        return text


def read_slice(stream: BinaryIO, start: int, end: int) -> str:
    """One slice of a stored text; see `TextReader.slice`."""
    return TextReader(stream).slice(start, end)


def _inflate(squeezed: bytes, at_most: int) -> bytes:
    """Decompress, never to more than was said."""
    engine = zlib.decompressobj()
    try:
        raw = engine.decompress(squeezed, at_most + 1)
    except zlib.error as error:
        raise CorruptTextError("the stored text is damaged: a block can't be decompressed") from error
    if not engine.eof or len(raw) > at_most:
        raise CorruptTextError("the stored text is damaged: a block is cut off or too long")
    return raw
