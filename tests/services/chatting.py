"""Asking a backend."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from app.domain.models import ChatRequest, Delta, Finished, Message
from app.inference.chat.backend import Backend


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that a model said."""

    text: str
    pieces: int
    finished: Finished


def request(text: str, *, max_tokens: int = 64, **parts: Any) -> ChatRequest:
    """One question after a short instruction."""
    messages = (Message(role="system", text="You answer."), Message(role="user", text=text))
    return ChatRequest(messages=messages, max_tokens=max_tokens, **parts)


async def ask(backend: Backend, asked: ChatRequest) -> Told:
    """The whole answer; it must end with `Finished`, and only there."""
    pieces: list[str] = []
    finished: Finished | None = None
    async with contextlib.aclosing(backend.stream(asked)) as events:  # type: ignore[type-var]
        async for event in events:
            assert finished is None
            match event:
                case Delta():
                    assert event.text
                    pieces.append(event.text)
                case Finished():
                    finished = event
    assert finished is not None
    return Told(text="".join(pieces), pieces=len(pieces), finished=finished)


async def begun(backend: Backend, asked: ChatRequest) -> Any:
    """The events of a call that has said its first piece."""
    events = backend.stream(asked)
    assert isinstance(await anext(events), Delta)
    return events
