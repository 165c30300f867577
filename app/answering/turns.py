"""Places for work that gains nothing from more company, given in the order of asking."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """So many callers at once; the others wait, first come first served.

    `threading.Semaphore` gives a place to whoever asks at the right moment: with 8 clients some waited for 3 s.
    """

    def __init__(self, places: int) -> None:
        self._guard = threading.Lock()
        self._free = places
        self._waiting: collections.deque[threading.Lock] = collections.deque()  # each held until its turn has come

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a place and hold it."""
        self._take()
        try:
            yield
        finally:
            self._give()

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiting)

    def _take(self) -> None:
        with self._guard:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # `_give` lets go of it

    def _give(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()  # its place passes on
            else:
                self._free += 1
