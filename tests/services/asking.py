"""The answering use case step by step, without an application: the next event is worked for when it is asked for."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from app.answering.answer import Ask
from app.answering.events import Event
from app.answering.patience import Patience
from app.domain.access import Principal
from app.domain.answers import Question

T = TypeVar("T")


async def inline(step: Callable[[], T], *, admitted: bool) -> T:
    """Work that is done at once, in this thread."""
    del admitted
    return step()


def events(
    ask: Ask, principal: Principal, question: Question, patience: Patience, *, replay_of: uuid.UUID | None = None
) -> Iterator[Any]:
    """The events of one question; what follows an answer, as summaries, is done when the last was taken."""
    loop = asyncio.new_event_loop()
    asking = ask(lambda: principal, question, patience, inline, replay_of=replay_of)

    async def following() -> Event | None:
        return await anext(asking, None)

    try:
        while (event := loop.run_until_complete(following())) is not None:
            yield event
        while background := [task for task in asyncio.all_tasks(loop) if not task.done()]:
            loop.run_until_complete(asyncio.gather(*background))
    finally:
        loop.run_until_complete(asking.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def last(ask: Ask, principal: Principal, question: Question, seconds: float = 60.0) -> Any:
    """The last event."""
    *_, answered = events(ask, principal, question, Patience(seconds))
    return answered
