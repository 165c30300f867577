"""What a workspace may still spend on a day, less what its questions under way may come to."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections import defaultdict

from app.domain.ports import Clock
from app.domain.repositories import Database


class Allowance:
    """Of one process: what others have under way is known when they have booked it. Safe to use from several threads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the books, and the clock by whose day in UTC they are read."""
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._held: defaultdict[uuid.UUID, float] = defaultdict(float)

    def left_usd(self, workspace_id: uuid.UUID, daily_usd: float) -> float:
        """Of a limit for the day; at least 0."""
        with self._lock:
            return self._left_usd(workspace_id, daily_usd)

    def hold(self) -> Hold:
        """A place for what a question may come to; nothing is held yet."""
        return Hold(self)

    def _left_usd(self, workspace_id: uuid.UUID, daily_usd: float) -> float:
        day = self._clock.now().astimezone(dt.UTC).date().isoformat()
        with self._database.read() as work:
            spent = work.model_calls.spent(workspace_id, day)
        return max(0.0, daily_usd - spent - self._held[workspace_id])

    def _take(self, workspace_id: uuid.UUID, daily_usd: float, most_usd: float) -> float:
        with self._lock:  # the look and the hold are one: two questions may not see the same rest
            usd = min(most_usd, self._left_usd(workspace_id, daily_usd))
            self._held[workspace_id] += usd
            return usd

    def _give(self, workspace_id: uuid.UUID, usd: float) -> None:
        with self._lock:
            self._held[workspace_id] -= usd
            if self._held[workspace_id] <= 0:
                del self._held[workspace_id]


class Hold:
    """What one question may come to, from `take` to `release`, which comes after its calls are booked."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._lock = threading.Lock()
        self._released = False
        self._taken: tuple[uuid.UUID, float] | None = None

    def take(self, workspace_id: uuid.UUID, daily_usd: float, most_usd: float) -> float:
        """Hold so much of the day's limit as there is left, `most_usd` at most; gives what is held. Once.

        Whoever asked may be gone by now: then nothing is held, and 0 given.
        """
        with self._lock:
            if self._released:
                return 0.0
            usd = self._allowance._take(workspace_id, daily_usd, most_usd)  # noqa: SLF001 - its other half
            self._taken = (workspace_id, usd)
            return usd

    def release(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._released = True
            taken, self._taken = self._taken, None
        if taken is not None:
            self._allowance._give(*taken)  # noqa: SLF001 - its other half
