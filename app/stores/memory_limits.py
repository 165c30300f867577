"""Rate limits in this process's memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from app.domain.limits import after, wait_seconds

_MOST_NAMES = 10_000  # beyond, those whose limit is not in use are forgotten


class MemoryLimits:
    """Implements `app.domain.ports.RateLimits` for one process."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}

    def take(self, name: str, *, per_minute: int, burst: int) -> float:
        """See the port."""
        with self._lock:
            now = self._now()
            due = self._due.get(name, 0.0)
            wait = wait_seconds(due, now, per_minute=per_minute, burst=burst)
            if wait == 0.0:
                self._due[name] = after(due, now, per_minute=per_minute)
                if len(self._due) > _MOST_NAMES:
                    self._due = {each: moment for each, moment in self._due.items() if moment > now}
            return wait

    def ping(self) -> None:
        """Memory is there."""
