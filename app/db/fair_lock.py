"""A lock that is given in the order of asking."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator

from app.domain.errors import TransientError


class FairLock:
    """One holder at a time, first come first served.

    `threading.Lock` goes to whoever asks at the right moment: a worker that writes in a loop would take it again and
    again before a waiting request wakes up.
    """

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: collections.deque[threading.Event] = collections.deque()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it. Raises TransientError where it does not come free in time."""
        self._acquire()
        try:
            yield
        finally:
            self._release()

    def _acquire(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        mine = False
        try:
            mine = turn.wait(self._timeout_seconds)
        finally:
            if not mine:
                self._leave(turn)
        if not mine:
            raise TransientError(f"the database was busy with other writes for {self._timeout_seconds:g} s")

    def _leave(self, turn: threading.Event) -> None:
        """Stop waiting; a turn that came in the same moment goes to the next."""
        with self._guard:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        self._release()

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # it stays taken: by that one
            else:
                self._taken = False
