"""Waiting for jobs with few requests: pages of the job list, not one request a job."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ingestion.cli.client import PAGE, Service
from ingestion.cli.errors import RefusedError

FINAL = frozenset({"completed", "completed_with_warnings", "failed", "cancelled"})
_SINGLY = 4  # up to so many jobs are asked for one by one: fewer bytes than a page of the list
_LEAST_PAUSE_SECONDS = 0.2
_LAST_PAUSE_SECONDS = 0.05  # between looks at one job that is about to end
_MIDST_PAUSE_SECONDS = 1.0  # between looks at one job that has long to go: what a person still sees move
_MOST_PAUSE_SECONDS = 5.0
_PAUSE_FACTOR = 20  # pauses are so many times as long as the polling took: at most 5 % of a core goes into it
_FULL_WALK_SECONDS = 20.0  # after which the whole list is read, for jobs that overtook others

Job = Mapping[str, Any]


@dataclasses.dataclass(slots=True)
class _Page:
    """A page of the list, newest jobs first, and which jobs of ours on it have not ended."""

    after: str | None  # the cursor that gives it; stays good, since new jobs come in front
    pending: set[str]


@dataclasses.dataclass(slots=True)
class Pace:
    """How fast one job goes on, as seen from here, and so when it is worth looking again."""

    began: float  # when it was seen first; seconds of one clock, as all times here
    done_before: int  # by then
    changed: float
    done: int

    @classmethod
    def of(cls, job: Job, now: float) -> Pace:
        """The pace of a job that is seen for the first time."""
        return cls(began=now, done_before=_done(job), changed=now, done=_done(job))

    def pause(self, job: Job, now: float) -> float:
        """Seconds to the next look: a quarter of what the job still needs by its rate so far.

        A job whose rate is not known yet, or that stands still, is asked less often the longer that lasts.
        """
        if _done(job) != self.done:
            self.changed, self.done = now, _done(job)
        made = self.done - self.done_before
        left = (job["progress"].get("total") or 0) - self.done
        needed = left * (now - self.began) / made / 4 if made > 0 else 0.0
        return min(_MIDST_PAUSE_SECONDS, max(_LAST_PAUSE_SECONDS, needed, (now - self.changed) / 10))


class Follower:
    """Tells when jobs have ended. `follow` is for any thread, `poll` for one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._pending: dict[str, Callable[[Job], None]] = {}
        self._pages: list[_Page] = []
        self._walked_at = float("-inf")
        self._paces: dict[str, Pace] = {}
        self.progress: dict[str, Job] = {}  # jobs that were seen unfinished, as they were then

    @property
    def pending(self) -> int:
        """Jobs that have not ended."""
        return len(self._pending)

    def follow(self, job_id: str, ended: Callable[[Job], None]) -> None:
        """Call `ended` with the job once it is final; several may wait for one job."""
        with self._lock:
            before = self._pending.get(job_id)
            self._pending[job_id] = ended if before is None else _both(before, ended)

    def follows(self, job_id: str) -> bool:
        """Whether the job is being waited for."""
        return job_id in self._pending

    def poll(self) -> float:
        """Look once; gives the seconds to wait before the next look."""
        began = time.monotonic()
        pending = self._waiting()
        if not pending:
            return _LEAST_PAUSE_SECONDS
        if len(pending) <= _SINGLY:
            for job_id in pending:
                self._ask(job_id)
            return self._pause()
        self._look(began)
        spent = time.monotonic() - began
        return min(_MOST_PAUSE_SECONDS, max(_LEAST_PAUSE_SECONDS, _PAUSE_FACTOR * spent))

    def _pause(self) -> float:
        """Seconds to the next look at the jobs that are asked for one by one."""
        now = time.monotonic()
        unfinished = {job_id: job for job_id, job in self.progress.items() if self.follows(job_id)}
        self._paces = {job_id: self._paces.get(job_id) or Pace.of(job, now) for job_id, job in unfinished.items()}
        return min((self._paces[job_id].pause(job, now) for job_id, job in unfinished.items()), default=0.0)

    def _look(self, now: float) -> None:
        known = [page for page in self._pages if page.pending]
        if not known or now - self._walked_at > _FULL_WALK_SECONDS:
            self._walk()
            self._walked_at = now
            return
        idle = 0
        for page in reversed(known):  # the oldest jobs end first
            entries = self._entries(page.after)[0]
            before = len(page.pending)
            page.pending = self._settle(entries) & page.pending
            idle += len(page.pending) == before
            if idle > 1:
                return

    def _walk(self) -> None:
        """Read the list until every job has been seen; ask for those that it does not show."""
        unseen = self._waiting()
        self._pages = []
        after: str | None = None
        while unseen:
            entries, following = self._entries(after)
            unseen -= {str(entry["id"]) for entry in entries}
            self._pages.append(_Page(after=after, pending=self._settle(entries)))
            if following is None:
                break
            after = following
        for job_id in unseen:
            self._ask(job_id)

    def _entries(self, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
        page = self._service.get("/v1/jobs", {"limit": PAGE, "after": after})
        return page["data"], page.get("next") if page.get("has_more") else None

    def _ask(self, job_id: str) -> None:
        try:
            job = self._service.get(f"/v1/jobs/{job_id}")
        except RefusedError as error:
            if error.concerns_all:
                raise
            job = {"id": job_id, "state": "failed", "error": {"code": error.code, "message": error.message}}
        self._settle([job])

    def _settle(self, jobs: list[dict[str, Any]]) -> set[str]:
        """End those that are final; gives the ids of ours that are not."""
        unfinished = set()
        for job in jobs:
            job_id = str(job["id"])
            if not self.follows(job_id):
                continue
            if job["state"] not in FINAL:
                unfinished.add(job_id)
                self.progress[job_id] = job
                continue
            with self._lock:
                ended = self._pending.pop(job_id)
            self.progress.pop(job_id, None)
            ended(job)
        return unfinished

    def _waiting(self) -> set[str]:
        with self._lock:
            return set(self._pending)


def _done(job: Job) -> int:
    progress = job["progress"]
    return int(progress["done"] + progress["failed"])


def _both(first: Callable[[Job], None], second: Callable[[Job], None]) -> Callable[[Job], None]:
    def ended(job: Job) -> None:
        first(job)
        second(job)

    return ended
