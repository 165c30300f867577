"""What parent and child of the isolated loader say to each other: frames of JSON and text, never pickles.

A child reads hostile files; nothing that it sends can make its parent do more than read numbers and text.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from typing import Any, BinaryIO

from app.domain.errors import DocumentError
from app.domain.jobs import Warning_
from app.domain.passages import Block, BlockKind, Loaded, Page

_HEAD = struct.Struct(">II")  # bytes of the JSON, bytes of the text after it
HEAD_BYTES = _HEAD.size
_KINDS = tuple(BlockKind)
_NONE = -1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One document's outcome."""

    outcome: Loaded | DocumentError
    resident_bytes: int  # of the child after a batch; 0 before its end, and where that can't be known


def sizes(head: bytes) -> tuple[int, int]:
    """The lengths in bytes of the two parts that follow a frame's head."""
    meta, text = _HEAD.unpack(head)
    return meta, text


def write(stream: BinaryIO, meta: Any, text: bytes = b"") -> None:
    """Send one frame."""
    raw = json.dumps(meta, separators=(",", ":")).encode()
    stream.write(_HEAD.pack(len(raw), len(text)))
    stream.write(raw)
    stream.write(text)
    stream.flush()


def read(stream: BinaryIO) -> Any | None:
    """Receive the JSON of one frame without text; None at the end."""
    head = stream.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    meta, text = sizes(head)
    raw = stream.read(meta + text)
    return json.loads(raw[:meta]) if len(raw) == meta + text else None


def write_reply(stream: BinaryIO, reply: Reply) -> None:
    """Send one document's outcome."""
    outcome = reply.outcome
    if isinstance(outcome, DocumentError):
        write(stream, {"rss": reply.resident_bytes, "error": [outcome.code, outcome.message]})
        return
    write(
        stream,
        {
            "rss": reply.resident_bytes,
            "title": outcome.title,
            "type": outcome.media_type,
            "pages": [number for page in outcome.pages for number in (page.number, page.start, page.end)],
            "blocks": [number for block in outcome.blocks for number in _flat(block)],
            "warnings": [(warning.code, warning.message, warning.page) for warning in outcome.warnings],
            "marks": outcome.marks,
        },
        outcome.text.encode(),
    )


def parse_reply(meta: bytes, text: bytes) -> Reply:
    """One document's outcome as received.

    Raises:
        ValueError: this is no reply.
    """
    try:
        told = json.loads(meta)
        if "error" in told:
            code, message = told["error"]
            return Reply(outcome=DocumentError(str(message), code=str(code)), resident_bytes=int(told["rss"]))
        return Reply(outcome=_loaded(told, text.decode()), resident_bytes=int(told["rss"]))
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("the reply of a loader can't be understood") from error


def _flat(block: Block) -> tuple[int, int, int, int, int]:
    header_end = _NONE if block.header_end is None else block.header_end
    return (_KINDS.index(block.kind), block.start, block.end, block.level, header_end)


def _loaded(told: Any, text: str) -> Loaded:
    blocks = iter(told["blocks"])
    pages = iter(told["pages"])
    return Loaded(
        text=text,
        blocks=tuple(
            Block(
                kind=_KINDS[kind],
                start=start,
                end=end,
                level=level,
                header_end=None if header_end == _NONE else header_end,
            )
            for kind, start, end, level, header_end in zip(blocks, blocks, blocks, blocks, blocks, strict=True)
        ),
        pages=tuple(
            Page(number=number, start=start, end=end) for number, start, end in zip(pages, pages, pages, strict=True)
        ),
        title=told["title"],
        media_type=told["type"],
        warnings=tuple(Warning_(code=code, message=message, page=page) for code, message, page in told["warnings"]),
        marks=tuple(str(mark) for mark in told["marks"]),
    )
