"""The draft of an answer: chosen from the evidence, or written by a model."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterator

from app.answering import prompt
from app.domain.answers import Context, Draft
from app.domain.errors import FootnoteError, ModelTimeoutError
from app.domain.models import ChatEvent, ChatRequest, Delta, Finished, Usage, estimated
from app.domain.ports import Answerer, ChatModel
from app.domain.vectors import Vector
from app.text.claims import Claimed, Claims
from app.text.thoughts import Thoughts

_MOST_CHARS_A_TOKEN = 16
_SLACK = 2  # times what a call can come to: a catalogue may tell a smaller window than the model has


def draft(answerer: Answerer, question: str, vector: Vector | None, context: Context) -> Draft:
    """What the answerer makes of the evidence; nothing, and sure of nothing, where there is none. Raises as it does."""
    if vector is None or not context.passages:
        return Draft(sentences=(), confidence=0.0, candidates=(), model=answerer.name)
    return answerer.draft(question, vector, context)


@dataclasses.dataclass(slots=True, kw_only=True)
class Written:
    """What one call of a model gave, as far as it has come."""

    model: ChatModel
    request: ChatRequest
    began_at: float = dataclasses.field(default_factory=time.perf_counter)
    text: str = ""  # without its thoughts
    heard: str = ""  # with them
    first_token_ms: float | None = None
    total_ms: float = 0.0
    outcome: str = "abandoned"  # `ok`, or the code of the error that ended it
    finished: Finished | None = None

    @property
    def usage(self) -> Usage:
        """As the provider counted; estimated where it did not, where that can't be, or where the call was broken off."""
        told = self.finished.usage if self.finished is not None else None
        if told is not None and self._can_be(told):
            return told.clamped()
        if not self.heard and self.outcome != "ok":
            return Usage()  # nothing came: what a refused or failed call costs, nobody says
        return estimated(self.request.messages, self.heard)

    def _can_be(self, told: Usage) -> bool:
        """Whether a call can come to so many tokens."""
        most = _SLACK * (self.model.spec.context_tokens + self.request.max_tokens)
        counts = (told.prompt_tokens, told.completion_tokens)
        return min(counts) >= 0 and sum(counts) <= most

    @property
    def cost_usd(self) -> float:
        """By the catalogue's price."""
        return self.model.spec.price.of(self.usage)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """More of the text, and the sentences that ended with it."""

    text: str
    ended: tuple[Claimed, ...]
    voids: bool = False  # whether what came before was no answer but a thought


async def pieces(
    written: Written, *, deadline_seconds: float, begin_seconds: float | None = None
) -> AsyncGenerator[Piece, None]:
    """What the model says as it comes; `written` is filled in, to its end or to where it breaks off.

    Args:
        written: of this call.
        deadline_seconds: in which all of it must come.
        begin_seconds: in which the first of it must come; as None, in the same.

    Raises:
        ModelDownError, ModelTimeoutError, ModelBusyError, ModelRefusedError.
    """
    cut, thoughts = Claims(read=prompt.readable), Thoughts()
    stream = written.model.stream(written.request, deadline_seconds=deadline_seconds)
    try:
        event: ChatEvent | None = await _first(stream, written, begin_seconds)
        while event is not None:
            if isinstance(event, Delta):
                if written.first_token_ms is None:
                    written.first_token_ms = _milliseconds(written)
                written.heard += event.text
                if (
                    len(written.heard) > written.request.max_tokens * _MOST_CHARS_A_TOKEN
                ):  # it does not keep to the limit
                    written.finished = Finished(reason="length", usage=None)
                    break
                said, voids = thoughts.feed(event.text)
                if voids:
                    written.text, cut = "", Claims(read=prompt.readable)
                written.text += said
                if said or voids:
                    yield Piece(text=said, ended=tuple(cut.feed(said)), voids=voids)
            else:
                written.finished = event
            event = await anext(stream, None)
        rest = thoughts.end()
        written.text += rest
        yield Piece(text=rest, ended=(*cut.feed(rest), *cut.end()))
        yield Piece(text="", ended=())
        written.outcome = "ok"
    except FootnoteError as error:
        written.outcome = error.code
        raise
    finally:
        written.total_ms = _milliseconds(written)
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


async def whole(written: Written, *, deadline_seconds: float, begin_seconds: float | None = None) -> None:
    """The same for who waits for all of it: `written` has it. Raises as `pieces`."""
    several = pieces(written, deadline_seconds=deadline_seconds, begin_seconds=begin_seconds)
    async with contextlib.aclosing(several):
        async for _ in several:
            pass


async def _first(stream: AsyncIterator[ChatEvent], written: Written, seconds: float | None) -> ChatEvent | None:
    try:
        async with asyncio.timeout(seconds) as patience:
            return await anext(stream, None)
    except TimeoutError as error:
        if not patience.expired():
            raise
        name = written.model.spec.name
        raise ModelTimeoutError(
            f"the model {name} had not begun after {seconds:.1f} s, and others can be asked"
        ) from error


def _milliseconds(written: Written) -> float:
    return round((time.perf_counter() - written.began_at) * 1000, 3)
