"""The stream of OpenAI's chat completions, and of all that are like them, read without a library's objects.

LangChain makes the model and the payload, OpenAI's library sends it. What it makes of each piece (two validated models, a dump
and a message) takes 0.3 ms of the event loop, which a hundred streams at 40 pieces a second do not leave; reading the
JSON takes a tenth of that, and pieces that came together are passed on together.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

from app.domain.models import Usage

_DONE = b"[DONE]"
_DRAIN_SECONDS = 0.25  # for the end of the body after the last event, so that the connection can be used again
_MOST_BYTES = 1_000_000  # of one event


class StreamError(Exception):
    """An error in the middle of a stream, as the provider put it."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.body = body


@dataclasses.dataclass(slots=True)
class Piece:
    """What came at one time."""

    text: str = ""
    is_thought: bool = False  # whether the model shows that it is at work, in another way than by text
    reason: str | None = None  # why it ended
    refused: bool = False
    usage: Usage | None = None


async def pieces(model: Any, prompt: list[Any], asked: dict[str, Any]) -> AsyncGenerator[Piece, None]:
    """What LangChain's model of OpenAI answers.

    Raises:
        StreamError: the provider says so in the stream.
        ValueError: what came is no such stream.
        Exception: of OpenAI's library, and of httpx2.
    """
    usage = {"stream_options": {"include_usage": True}} if model.stream_usage else {}
    payload = model._get_request_payload(prompt, stream=True, **usage, **asked)  # noqa: SLF001 - see the top
    async with model.async_client.with_streaming_response.create(**payload) as response:
        body = response.http_response.aiter_bytes()
        async with contextlib.aclosing(body):
            events = _Events()
            async for received in body:
                piece = Piece()
                for data in events.feed(received):
                    if data == _DONE:
                        yield piece
                        await _drained(body)
                        return
                    _add(json.loads(data), piece)
                yield piece


async def _drained(body: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in body:
                pass


class _Events:
    """Server-sent events out of bytes that are cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of each event that is whole."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > _MOST_BYTES:
            raise ValueError
        for line in lines:
            if line.startswith(b"data:"):
                self._lines.append(line[5:].strip())
            elif self._lines and line in (b"", b"\r"):
                data = b"\n".join(self._lines)
                self._lines.clear()
                yield data


def _add(event: Any, piece: Piece) -> None:
    """What an event says.

    Raises:
        StreamError: an error.
        ValueError, TypeError, AttributeError: no chunk of a chat completion.
    """
    if error := event.get("error"):
        raise StreamError({"error": error})
    if told := event.get("usage"):
        piece.usage = _usage(told) or piece.usage
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        if text := delta.get("content"):
            piece.text += text
        elif delta.get("refusal"):
            piece.refused = True
        elif delta.get("reasoning_content") or delta.get("reasoning"):
            piece.is_thought = True
        if reason := choice.get("finish_reason"):
            piece.reason = str(reason)


def _usage(told: Any) -> Usage | None:
    """What was counted; None where the counts are none: an answer is no worse for that."""
    try:
        details = told.get("prompt_tokens_details") or {}
        return Usage(
            prompt_tokens=int(told.get("prompt_tokens") or 0),
            completion_tokens=int(told.get("completion_tokens") or 0),
            cached_tokens=int(details.get("cached_tokens") or told.get("prompt_cache_hit_tokens") or 0),  # DeepSeek's
        )
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
