"""Batches, line by line: memory holds a part, whatever the size of the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator

from fastapi.exceptions import RequestValidationError

from app.api import bodies, problems
from app.api.schemas import BatchLine
from app.documents.add import Line, Rejected
from app.documents.uploads import Upload
from app.domain.errors import EmptyFileError, FootnoteError, TooLargeError

PART_LINES = 256
PART_BYTES = 4 * 1024 * 1024
TEXT_NAME = "text.txt"
TEXT_TYPE = "text/plain"


@dataclasses.dataclass(slots=True, kw_only=True)
class Part:
    """Some lines of a batch, and those among them that are none."""

    lines: list[Line] = dataclasses.field(default_factory=list)
    rejected: list[Rejected] = dataclasses.field(default_factory=list)
    size_bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether it is to be handed on."""
        return len(self.lines) + len(self.rejected) >= PART_LINES or self.size_bytes >= PART_BYTES


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of a batch."""

    batch_bytes: int
    lines: int
    line_bytes: int
    text_bytes: int  # of one document, as UTF-8
    text_chars: int


async def parts(body: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[Part]:
    """The batch in parts; empty lines are passed over.

    Raises:
        TooLargeError: more bytes or lines than the limits allow; what was given out before stays given out.
    """
    splitter = _Splitter(limits.line_bytes)
    part, received, count = Part(), 0, 0
    async for piece in _ended(body):
        received += len(piece)
        if received > limits.batch_bytes:
            raise TooLargeError(
                f"the batch has more than {limits.batch_bytes} bytes, the limit: FOOTNOTE_MAX_BATCH_BYTES"
            )
        for number, raw in splitter.feed(piece):
            if raw is not None and not raw.strip():
                continue
            count += 1
            if count > limits.lines:
                raise TooLargeError(
                    f"the batch has more than {limits.lines} lines, the limit: FOOTNOTE_MAX_BATCH_LINES"
                )
            _add(part, number, raw, limits)
            if part.full:
                yield part
                part = Part()
    if part.lines or part.rejected:
        yield part


async def _ended(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body and a line end, so that the last line needs none."""
    async for piece in body:
        yield piece
    yield b"\n"


class _Splitter:
    """Cuts pieces into numbered lines; a line over the limit is dropped while it comes."""

    def __init__(self, line_bytes: int) -> None:
        self._limit = line_bytes
        self._rest = bytearray()
        self._dropping = False
        self._number = 0

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Whole lines with their numbers from 1; None for a line over the limit."""
        *ends, rest = piece.split(b"\n")
        for end in ends:
            self._take(end)
            self._number += 1
            yield self._number, None if self._dropping else bytes(self._rest)
            self._rest.clear()
            self._dropping = False
        self._take(rest)

    def _take(self, fragment: bytes) -> None:
        if self._dropping or len(self._rest) + len(fragment) > self._limit:
            self._dropping = True
            self._rest.clear()
            return
        self._rest += fragment


def _add(part: Part, number: int, raw: bytes | None, limits: Limits) -> None:
    try:
        line = _line(number, raw, limits)
    except FootnoteError as error:
        part.rejected.append(Rejected(line=number, code=error.code, message=error.message))
    except RequestValidationError as error:
        first = error.errors()[0]
        message = f"{'.'.join(map(str, first['loc'][1:])) or 'the line'} {problems.sentence(first)}"
        part.rejected.append(Rejected(line=number, code="invalid_request", message=message[:300]))
    else:
        part.lines.append(line)
        part.size_bytes += len(line.content)


def _line(number: int, raw: bytes | None, limits: Limits) -> Line:
    if raw is None:
        raise TooLargeError(
            f"the line has more than {limits.line_bytes} bytes, the limit: FOOTNOTE_MAX_BATCH_LINE_BYTES",
            code="line_too_large",
        )
    given = bodies.fit(BatchLine, bodies.parse(raw, of="the line"))
    return Line(
        number=number,
        upload=Upload(
            external_id=given.external_id,
            title=given.title,
            metadata=given.metadata,
            readers=given.readers,
            filename=TEXT_NAME,
            media_type=TEXT_TYPE,
        ),
        content=text_content(given.text, limit_chars=limits.text_chars, limit_bytes=limits.text_bytes),
    )


def text_content(text: str, *, limit_chars: int, limit_bytes: int) -> bytes:
    """A document's text as bytes; bounded as a file is, and by its characters. Raises TooLargeError, EmptyFileError."""
    if not text.strip():
        raise EmptyFileError("`text` is empty")
    if len(text) > limit_chars:
        raise TooLargeError(f"the text has {len(text)} characters, the limit is {limit_chars}: FOOTNOTE_MAX_TEXT_CHARS")
    content = text.encode("utf-8")
    if len(content) > limit_bytes:
        raise TooLargeError(f"the text has {len(content)} bytes, the limit is {limit_bytes}: FOOTNOTE_MAX_UPLOAD_BYTES")
    return content
