"""Batches, cut into lines and parts."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator

import pytest

from app.api.ndjson import PART_LINES, Limits, Part, parts
from app.domain.errors import TooLargeError

LIMITS = Limits(batch_bytes=1_000_000, lines=2000, line_bytes=100, text_bytes=60, text_chars=50)


def _parts(body: bytes, limits: Limits = LIMITS, *, piece: int = 7) -> list[Part]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    async def collected() -> list[Part]:
        return [part async for part in parts(pieces(), limits)]

    return asyncio.run(collected())


def test_lines_are_found_wherever_the_pieces_end() -> None:
    body = b'{"text": "one"}\n\n  \n{"text": "two", "external_id": "b"}\r\n{"text": "three"}'
    for piece in (1, 2, 5, 1000):
        (part,) = _parts(body, piece=piece)
        assert [(line.number, line.content) for line in part.lines] == [(1, b"one"), (4, b"two"), (5, b"three")]
        assert part.lines[1].upload.external_id == "b"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "invalid_json"),
        (b'{"text": "\xff"}', "invalid_json"),
        (b'{"text": 1}', "invalid_request"),
        (b'{"title": "no text"}', "invalid_request"),
        (b'{"text": "a", "unknown": 1}', "invalid_request"),
        (b"[]", "invalid_request"),
        (b'{"text": "' + b"a" * 100 + b'"}', "line_too_large"),
        (b'{"text": "' + b"a" * 51 + b'"}', "too_large"),
        (b'{"text": "' + "é".encode() * 31 + b'"}', "too_large"),
    ],
)
def test_a_bad_line_is_reported_and_the_others_go_in(line: bytes, code: str) -> None:
    (part,) = _parts(b'{"text": "before"}\n' + line + b'\n{"text": "after"}\n')
    assert [(each.line, each.code) for each in part.rejected] == [(2, code)]
    assert [each.number for each in part.lines] == [1, 3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[]", "the line must be a JSON object"),
        (b"7", "the line must be a JSON object"),
        (b'{"text": 1}', "text must be a string"),
        (b'{"title": "no text"}', "text is missing"),
        (b'{"text": "a", "readers": "*"}', "readers must be a list"),
        (b'{"text": "a", "colour": 1}', "colour is not known here"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_without_the_validators_words(line: bytes, message: str) -> None:
    (part,) = _parts(line)
    assert [each.message for each in part.rejected] == [message]


def test_a_long_batch_comes_in_parts() -> None:
    body = b"".join(json.dumps({"text": f"line {number}"}).encode() + b"\n" for number in range(600))
    found = _parts(body, piece=4096)
    assert [len(part.lines) for part in found] == [PART_LINES, PART_LINES, 600 - 2 * PART_LINES]
    assert [line.number for part in found for line in part.lines] == list(range(1, 601))


def test_too_many_lines_or_bytes_end_the_batch() -> None:
    with pytest.raises(TooLargeError, match="FOOTNOTE_MAX_BATCH_LINES"):
        _parts(b'{"text": "a"}\n' * 3, dataclasses.replace(LIMITS, batch_bytes=1000, lines=2))
    with pytest.raises(TooLargeError, match="FOOTNOTE_MAX_BATCH_BYTES"):
        _parts(b'{"text": "a"}\n' * 3, dataclasses.replace(LIMITS, batch_bytes=20, lines=9))
