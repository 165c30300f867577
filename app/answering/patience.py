"""How long somebody waits for an answer."""

from __future__ import annotations

import threading
import time

from app.domain.errors import DeadlineExceededError, TransientError


class AbandonedError(TransientError):
    """Whoever asked is gone; nobody reads this."""

    code = "abandoned"


class Patience:
    """A deadline, and a way to say that nobody waits any more. Safe to use from several threads."""

    def __init__(self, seconds: float) -> None:
        """Begin to wait for so long."""
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._gone = threading.Event()

    @property
    def left_seconds(self) -> float:
        """Until the deadline; 0 past it."""
        return max(0.0, self._end - time.monotonic())

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self._gone.is_set()

    def leave(self) -> None:
        """Nobody waits any more."""
        self._gone.set()

    def require(self) -> None:
        """Return while somebody waits.

        Raises:
            AbandonedError: nobody does.
            DeadlineExceededError: it took too long.
        """
        if self._gone.is_set():
            raise AbandonedError("whoever asked is gone")
        if time.monotonic() >= self._end:
            raise DeadlineExceededError(
                f"answering took longer than {self._seconds:g} s: FOOTNOTE_ANSWER_DEADLINE_SECONDS"
            )
