"""Threads for what computes, so that the event loop only waits. A full pool refuses; it does not queue without end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from app.domain.errors import OverloadedError

T = TypeVar("T")


class Compute:
    """A bounded pool. A place is given back when its thread is done, whatever became of the client."""

    def __init__(self, *, workers: int, queue: int) -> None:
        """Take the number of threads and of calls that may wait for one."""
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="request")
        self._workers = workers
        self._places = workers + queue
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Calls that a thread has."""
        return min(self._taken, self._workers)

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        return max(0, self._taken - self._workers)

    async def run(self, step: Callable[[], T], *, admitted: bool = False) -> T:
        """The result of `step`, run in a thread.

        Args:
            step: synchronous work.
            admitted: a later step of a request that was let in: it waits, it is not refused.

        Raises:
            OverloadedError: every place is taken.
        """
        with self._lock:
            if self._taken >= self._places and not admitted:
                raise OverloadedError(
                    f"{self._places} requests are under way or waiting: FOOTNOTE_REQUEST_WORKERS, FOOTNOTE_REQUEST_QUEUE"
                )
            self._taken += 1
        try:
            future = self._pool.submit(contextvars.copy_context().run, step)
        except RuntimeError:
            self._leave(None)
            raise OverloadedError("the service is stopping") from None
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take nothing more; what runs, runs to its end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _: concurrent.futures.Future[T] | None) -> None:
        with self._lock:
            self._taken -= 1
