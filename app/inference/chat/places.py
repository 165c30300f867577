"""A model's places: so many calls at once, so many that wait for one, and no more."""

from __future__ import annotations

import asyncio
import collections
import math

from app.domain.errors import ModelBusyError

_LONGEST_SECONDS = 60  # that a caller is told to stay away


class Places:
    """Used on one event loop; the numbers may be read from any thread."""

    def __init__(self, model: str, *, limit: int, queue: int) -> None:
        """Take the model's name, for the sentence; how many may be taken, and how many calls may wait."""
        self._model = model
        self._limit = limit
        self._queue = queue
        self._taken = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()
        self._held_seconds = 1.0  # a place, on average of late

    @property
    def taken(self) -> int:
        """Calls under way."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether a call would be refused now."""
        return self._taken >= self._limit and len(self._waiting) >= self._queue

    def resize(self, *, limit: int, queue: int) -> None:
        """Other numbers from now on; who has a place keeps it."""
        self._limit, self._queue = limit, queue
        while self._taken < self._limit and self._waiting:
            self._taken += 1
            self._hand_over()

    async def take(self, *, within_seconds: float) -> None:
        """Take a place, in order of arrival.

        Raises:
            ModelBusyError: as many wait as may, or none became free in time.
        """
        if self._taken < self._limit:
            self._taken += 1
            return
        if len(self._waiting) >= self._queue:
            raise self._busy(f"{self._taken} calls are under way and {self._queue} wait")
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(within_seconds):
                await place
        except TimeoutError as error:
            if place.done() and not place.cancelled():  # it came in this very moment
                return
            raise self._busy(f"none of its {self._limit} places became free in {within_seconds:.3g} s") from error
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it came, and nobody is here to take it
                self._pass_on()
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def give_back(self, *, held_seconds: float) -> None:
        """Leave a place, to who waits longest."""
        self._held_seconds += (held_seconds - self._held_seconds) / 8
        self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting and self._taken <= self._limit:
            self._hand_over()
        else:
            self._taken -= 1

    def _hand_over(self) -> None:
        """The place changes hands without becoming free in between, so that nobody comes first who came last."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._taken -= 1

    def _busy(self, why: str) -> ModelBusyError:
        ahead = (len(self._waiting) + 1) / self._limit
        seconds = min(_LONGEST_SECONDS, max(1, math.ceil(self._held_seconds * ahead)))
        return ModelBusyError(f"the model {self._model} is busy: {why}", retry_after_seconds=seconds)
