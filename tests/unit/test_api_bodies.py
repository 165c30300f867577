"""JSON that is only JSON."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from app.api import bodies
from app.api.problems import MalformedBodyError, SlowBodyError


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nothing",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b'"\\ud800"',
        b'{"\\uDFFF": 1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        bodies.parse(body)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert bodies.parse(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_a_whole_number_beyond_64_bits_is_a_float_and_never_fails() -> None:
    assert bodies.parse(b"1" + b"0" * 30) == 1e30
    assert bodies.parse(b"9" * 10_000) == float("inf")
    assert bodies.parse(b"123456789012345678") == 123456789012345678


def test_a_body_that_stops_coming_is_given_up() -> None:
    pieces: list[Message] = [{"type": "http.request", "body": b"a beginning", "more_body": True}]

    async def receive() -> Message:
        if not pieces:
            await asyncio.sleep(3600)
        return pieces.pop()

    async def read() -> list[bytes]:
        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        return [piece async for piece in bodies.stream(request, silence_seconds=0.01)]

    with pytest.raises(SlowBodyError):
        asyncio.run(read())
