"""How much more a workspace may queue: one that sends without end leaves room for nobody's own patience."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import uuid

from app.domain.errors import QueueFullError
from app.domain.ports import Clock
from app.domain.repositories import Database

_FRESH = dt.timedelta(seconds=1)  # for which a count holds: at 200,000 items one takes 7 to 20 ms
_RETRY_AFTER_SECONDS = 10


@dataclasses.dataclass(slots=True)
class _Count:
    at: dt.datetime
    items: int  # unfinished then, and those that this process has added since


class QueueRoom:
    """Counts the documents of a workspace that are not ingested yet. Safe to use from many threads.

    A count is a second old at most, so that several processes may together pass the limit by what they take in that time.
    """

    def __init__(self, *, database: Database, clock: Clock, limit: int) -> None:
        """Take the limit of every workspace: FOOTNOTE_MAX_QUEUED_ITEMS."""
        self._database = database
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        self._counts: dict[uuid.UUID, _Count] = {}

    def left(self, workspace_id: uuid.UUID) -> int:
        """How many more documents the workspace may queue."""
        now = self._clock.now()
        with self._lock:
            known = self._counts.get(workspace_id)
        if known is None or now - known.at >= _FRESH:
            with self._database.read() as work:
                known = _Count(now, work.jobs.queued(workspace_id))
            with self._lock:
                self._counts[workspace_id] = known
        return max(0, self._limit - known.items)

    def require(self, workspace_id: uuid.UUID, count: int = 1) -> None:
        """Return where so many more may be queued. Raises QueueFullError."""
        left = self.left(workspace_id)
        if count > left:
            raise self.full(left)

    def full(self, left: int = 0) -> QueueFullError:
        """What is wrong where there is no more room than this."""
        return QueueFullError(
            f"this workspace has room for {left} more documents in the queue; "
            f"{self._limit} at most may wait to be ingested: FOOTNOTE_MAX_QUEUED_ITEMS",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )

    def took(self, workspace_id: uuid.UUID, count: int) -> None:
        """So many were queued."""
        with self._lock:
            if (known := self._counts.get(workspace_id)) is not None:
                known.items += count
