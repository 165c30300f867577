"""A question on its way through threads, for as long as its client is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.answering.answer import Answered, Event, Sentences, Sources
from app.answering.patience import Patience
from app.api import represent
from app.api.house import House
from app.domain.access import Principal
from app.domain.answers import Question
from app.domain.errors import DeadlineExceededError

T = TypeVar("T")
Told = tuple[str, dict[str, Any]]  # an event's name, and what it says


class Asking:
    """One question. Steps run in threads of the pool, one after the other; a client that has left stops them."""

    def __init__(self, house: House, principal: Callable[[], Principal], question: Question) -> None:
        """Take who asks as a function that is called in the first thread, and may raise."""
        self.patience = Patience(house.settings.answer_deadline_seconds)
        self._house = house
        self._principal = principal
        self._question = question
        self._events: Iterator[Event] | None = None

    async def whole(self) -> dict[str, Any]:
        """The answer, in one hop to a thread. Raises as `Ask`, and UnauthenticatedError."""

        def work() -> Event:
            *_, last = self._begun()
            return last

        event = await self._hop(work, admitted=False)
        assert isinstance(event, Answered)  # noqa: S101 - for the type checker: it is the last event always
        return self._answered(event)

    async def first(self) -> Event | None:
        """The first event; what is wrong with a question shows here. Raises as `whole`."""
        return await self._hop(lambda: next(self._begun(), None), admitted=False)

    async def told(self, first: Event | None) -> AsyncIterator[Told]:
        """All events, this one and those that follow, as clients see them. Raises as `whole`."""
        event = first
        while event is not None:
            if isinstance(event, Sources):
                yield "sources", represent.sources(event)
            elif isinstance(event, Sentences):
                for number, each in enumerate(event.said):
                    yield "sentence", represent.said(each)
                    if number == 0:  # the first is on its way when the consumer comes back for more
                        spent = time.perf_counter() - event.known_at
                        self._house.metrics.stage("ask.to_wire", spent, 1)
            else:
                yield "answer", self._answered(event)
                return
            event = await self._hop(lambda: next(self._begun(), None), admitted=True)

    def _begun(self) -> Iterator[Event]:
        if self._events is None:
            self._events = self._house.services.ask(self._principal(), self._question, self.patience)
        return self._events

    def _answered(self, event: Answered) -> dict[str, Any]:
        for step, spent in event.answer.timings_ms.items():
            self._house.metrics.stage(f"ask.{step}", spent / 1000, 1)
        return represent.answered(event, explain=self._question.explain)

    async def _hop(self, work: Callable[[], T], *, admitted: bool) -> T:
        try:
            async with asyncio.timeout(self.patience.left_seconds):
                return await self._house.compute.run(work, admitted=admitted)
        except TimeoutError as error:
            self.patience.leave()  # the thread ends at its next step
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
