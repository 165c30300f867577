"""A model of the catalogue: its endpoints, tried in turn, within its places and the caller's deadline."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence

from app.domain.errors import FootnoteError, ModelBusyError, ModelDownError, ModelRefusedError, ModelTimeoutError
from app.domain.models import ChatEvent, ChatRequest, Finished, ModelSpec, ModelState
from app.inference.chat.catalogue import DeclaredModel
from app.inference.chat.places import Places
from app.inference.chat.way import Attempt, Way

_PAUSE_SECONDS = 0.5  # before a second try of the same endpoint, at most; twice that before the third
_LONGEST_REST_SECONDS = (
    10.0  # that is waited where a provider says "later"; where it says more, another model is sooner
)
_Retried = (ModelDownError, ModelBusyError, ModelTimeoutError)


class ResilientModel:
    """Implements `app.domain.ports.ChatModel`."""

    def __init__(
        self,
        declared: DeclaredModel,
        *,
        ways: Sequence[Way],
        places: Places,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.declared = declared
        self.ways = tuple(ways)
        self.places = places
        self._clock = clock
        self._rng = rng

    @property
    def spec(self) -> ModelSpec:
        """What is known of it."""
        return self.declared.spec

    @property
    def state(self) -> ModelState:
        """How it is doing; may be read from any thread."""
        why_not = self._why_not()
        return ModelState(
            available=why_not is None,
            why_not=why_not,
            in_flight=self.places.taken,
            waiting=self.places.waiting,
            endpoints=tuple(way.state for way in self.ways),
        )

    async def stream(self, request: ChatRequest, *, deadline_seconds: float) -> AsyncIterator[ChatEvent]:
        """See ChatModel. However it ends, its place is given back once, and its call upstream is closed."""
        end = self._clock() + min(deadline_seconds, self.spec.timeout_seconds)
        if all(way.retired or way.unset for way in self.ways):  # no wait would help
            raise self._unusable()
        patience = min(self.declared.conduct.queue_seconds, end - self._clock())
        await self.places.take(within_seconds=max(0.0, patience))
        since = self._clock()
        try:
            attempt, event = await self._first(request, end)
            try:
                while not isinstance(event, Finished):
                    yield event
                    event = await attempt.next(end)
                yield event
            finally:
                await attempt.leave()
        finally:
            self.places.give_back(held_seconds=self._clock() - since)

    async def _first(self, request: ChatRequest, end: float) -> tuple[Attempt, ChatEvent]:
        """The first event, of whichever endpoint gives one."""
        tried: list[Way] = []
        failure: FootnoteError | None = None
        for number in range(self.declared.conduct.retries + 1):
            try:
                attempt = await self._admitted(tried, end)
            except ModelDownError:
                if failure is None:
                    raise
                break  # what the endpoint itself said tells more
            tried.append(attempt.way)
            try:
                return await self._begun(attempt, tried, request, end)
            except _Retried as error:
                failure = error
            if all(way.retired or way.unset for way in self.ways):
                raise self._unusable() from failure
            if not any(way.callable for way in self.ways):
                break
            pause = self._pause_seconds(failure, tried, number)
            if pause > _LONGEST_REST_SECONDS or self._clock() + pause >= end:
                break
            if pause and number < self.declared.conduct.retries:
                await asyncio.sleep(pause)
        assert failure is not None  # noqa: S101 - for the type checker: there is at least one try
        raise failure

    async def _begun(
        self, attempt: Attempt, tried: list[Way], request: ChatRequest, end: float
    ) -> tuple[Attempt, ChatEvent]:
        """The first event of a try; of one more endpoint's beside it where it is silent and the model is hedged."""
        silence_seconds = self.declared.conduct.hedge_after_seconds
        if silence_seconds is None:
            return attempt, await attempt.start(request, end)
        running = {asyncio.ensure_future(attempt.start(request, end)): attempt}
        try:
            done, _ = await asyncio.wait(running, timeout=silence_seconds)
            if not done and (second := self._untried(tried)) is not None:
                tried.append(second.way)
                running[asyncio.ensure_future(second.start(request, end))] = second
            return await self._sooner(running)
        finally:
            for task, each in running.items():
                if not task.cancel():
                    each.put_down()
            await asyncio.gather(*running, *(each.leave() for each in running.values()), return_exceptions=True)

    async def _sooner(self, running: dict[asyncio.Task[ChatEvent], Attempt]) -> tuple[Attempt, ChatEvent]:
        """The first event that comes, taken out of what is running; an error only where no other may still come."""
        while True:
            done, pending = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    return running.pop(task), task.result()
            if not pending:
                return running[(last := done.pop())], last.result()  # raises
            for task in done:
                del running[task]

    async def _admitted(self, tried: Sequence[Way], end: float) -> Attempt:
        """A call on the endpoint that is best to try, once one may be called.

        Raises:
            ModelDownError: all have failed lately.
            ModelBusyError: all said "later", and that is too late.
            ModelRefusedError: none can be called at all.
        """
        while True:
            rest = 0.0
            for way in sorted(self.ways, key=lambda way: self._rank(way, tried)):
                if (attempt := way.begin()) is not None:
                    return attempt
                rest = way.rests_seconds if way.callable else 0.0
                if 0 < rest <= _LONGEST_REST_SECONDS and self._clock() + rest < end:
                    break
            else:
                raise self._busy() if any(way.callable for way in self.ways) else self._unusable()
            # Not all at once: they were refused for being many.
            await asyncio.sleep(rest + self._rng.random() * min(1.0, rest / 4))

    def _rank(self, way: Way, tried: Sequence[Way]) -> tuple[bool, float, float]:
        """The least is the best to try: what was not tried yet; else what fails seldom, though it may rest just now."""
        return (way in tried or way.rests_seconds > 0, way.load, self._rng.random())

    def _busy(self) -> ModelBusyError:
        seconds = math.ceil(min(way.rests_seconds for way in self.ways if way.callable))
        return ModelBusyError(
            f"the model {self.spec.name} is busy: its provider takes no calls for {seconds} s",
            retry_after_seconds=seconds,
        )

    def _untried(self, tried: Sequence[Way]) -> Attempt | None:
        for way in sorted(self.ways, key=lambda way: way.load):
            if way not in tried and (attempt := way.begin()) is not None:
                return attempt
        return None

    def _pause_seconds(self, failure: FootnoteError, tried: Sequence[Way], number: int) -> float:
        """Before the next try: none where another endpoint can be asked; else full jitter, after what the provider said."""
        if any(way.usable and way not in tried for way in self.ways):
            return 0.0
        told = failure.retry_after_seconds if isinstance(failure, ModelBusyError) else 0
        return told + self._rng.random() * _PAUSE_SECONDS * 2.0**number

    def _unusable(self) -> FootnoteError:
        """Why no call can begin, as an error."""
        why = self._why_not() or "its endpoints are being tried again"
        sentence = f"the model {self.spec.name} can't be called: {why}"
        if any(way.unset is None and not way.retired for way in self.ways):
            return ModelDownError(sentence)
        return ModelRefusedError(sentence)

    def _why_not(self) -> str | None:
        """Why a call would not be made now; None where one would."""
        if any(way.usable for way in self.ways):
            return "as many calls are under way and waiting as may be" if self.places.full else None
        if all(way.retired for way in self.ways):
            return "it is in the catalogue no more"
        configured = [way for way in self.ways if way.unset is None]
        if not configured:
            return "; ".join(sorted({str(way.unset) for way in self.ways}))
        if any(way.callable for way in configured):
            return f"its provider takes no calls for {math.ceil(min(way.rests_seconds for way in configured))} s"
        seconds = min(way.breaker.opens_in_seconds for way in configured)
        return f"it failed too often of late; it is tried again in {math.ceil(seconds)} s"
