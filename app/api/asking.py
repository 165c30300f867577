"""A question on its way: models are waited for here, what computes runs in threads, for as long as its client is there."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.answering.events import Answered, Event, Provisional, Reset, Sentences, Sources
from app.answering.patience import Patience
from app.api import represent
from app.api.house import House
from app.domain.access import Principal
from app.domain.answers import Question
from app.domain.errors import DeadlineExceededError
from app.domain.waiting import TimeUpError, Waits

T = TypeVar("T")
Told = tuple[str, dict[str, Any]]  # an event's name, and what it says


class Asking:
    """One question. A client that has left stops it, and the call of a model that is under way."""

    def __init__(
        self,
        house: House,
        principal: Callable[[], Principal],
        question: Question,
        *,
        replay_of: uuid.UUID | None = None,
    ) -> None:
        """Take who asks as a function that is called in the first thread, and may raise."""
        self.patience = Patience(house.settings.answer_deadline_seconds)
        self._house = house
        self._question = question
        self._waits = Waits()
        self._events = house.services.ask(principal, question, self.patience, house.compute.run, replay_of=replay_of)

    async def whole(self) -> dict[str, Any]:
        """The answer. Raises as `Ask`, and UnauthenticatedError."""
        return self.represented(await self.last())

    async def last(self) -> Answered:
        """The last event. Raises as `whole`."""
        async with contextlib.aclosing(self._events):
            with contextlib.closing(self._waits):
                while (event := await self._next()) is not None:
                    if isinstance(event, Answered):
                        await self._next()  # what follows an answer is begun
                        return event
        raise AssertionError("an answer's events end with the answer")

    async def first(self) -> Event | None:
        """The first event; what is wrong with a question shows here. Raises as `whole`."""
        return await self._next()

    async def told(self, first: Event | None) -> AsyncGenerator[Told, None]:
        """All events, this one and those that follow, as clients see them. Raises as `whole`."""
        event = first
        async with contextlib.aclosing(self._events):
            with contextlib.closing(self._waits):
                while event is not None:
                    if isinstance(event, Sources):
                        yield "sources", represent.sources(event)
                    elif isinstance(event, Provisional):
                        yield "delta", {"text": event.text, "provisional": True}
                    elif isinstance(event, Reset):
                        yield "reset", {"reason": event.reason}
                    elif isinstance(event, Sentences):
                        for number, each in enumerate(event.said):
                            yield "sentence", represent.said(each)
                            if number == 0:  # the first is on its way when the consumer comes back for more
                                spent = time.perf_counter() - event.known_at
                                self._house.metrics.stage("ask.to_wire", spent, 1)
                    else:
                        yield "answer", self.represented(event)
                    event = await self._next()

    def represented(self, event: Answered) -> dict[str, Any]:
        """An answer as its client sees it."""
        self.measured(event)
        return represent.answered(event, explain=self._question.explain)

    def measured(self, event: Answered) -> None:
        """Count what the steps took."""
        for step, spent in event.answer.timings_ms.items():
            self._house.metrics.stage(f"ask.{step}", spent / 1000, 1)

    async def _next(self) -> Event | None:
        end = asyncio.get_running_loop().time() + self.patience.left_seconds
        try:
            return await self._waits.until(end, anext(self._events, None))
        except TimeUpError as error:
            self.patience.leave()  # a thread ends at its next step
            seconds = self._house.settings.answer_deadline_seconds
            raise DeadlineExceededError(
                f"answering took longer than {seconds:g} s: FOOTNOTE_ANSWER_DEADLINE_SECONDS"
            ) from error


async def attended(receive: Receive, patience: Patience, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, as long as its client is there; a client that goes away ends it.

    Raises:
        ClientDisconnect: it went away.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        if not working.done():
            patience.leave()
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    """Return when the client has gone; its request was read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
