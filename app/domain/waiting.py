"""A time limit on each of many short waits, by one timer: `asyncio.timeout` makes one for each, 25 us of the event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class TimeUpError(TimeoutError):
    """A wait's own end has come: no other time-out is one."""


class Waits:
    """Waits in a row, one at a time, on one event loop, each with an end; they may be in several tasks one after the other."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._end = math.inf  # of the wait that is under way, by the loop's clock
        self._task: asyncio.Task[object] | None = None
        self._expired = False

    async def until(self, end: float, awaitable: Awaitable[T]) -> T:
        """What it gives, at `end` of the loop's clock at the latest.

        Raises:
            TimeUpError: it gave nothing; it was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: something awaits
        asked_before = task.cancelling()
        self._task, self._end, self._expired = task, end, False
        if self._timer is None or self._timer.when() > end:
            self._arm(end)
        try:
            return await awaitable
        except (Exception, asyncio.CancelledError) as error:
            self._task = None
            cancelled = isinstance(
                error, asyncio.CancelledError
            )  # else it made an error of its own of our cancelling it
            if self._expired and (task.cancelling() == asked_before + 1 or not cancelled):
                raise TimeUpError from error
            raise
        finally:
            self._task = None
            if self._expired:
                task.uncancel()

    def close(self) -> None:
        """No wait will come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, end: float) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_at(end, self._look)

    def _look(self) -> None:
        """It is time for a wait that began earlier; the one that is under way may have longer."""
        self._timer = None
        if self._task is None:
            return
        if asyncio.get_running_loop().time() < self._end:
            self._arm(self._end)
        else:
            self._expired = True
            self._task.cancel()
