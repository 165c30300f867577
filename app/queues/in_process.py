"""Worker threads in this process, woken by a nudge, by the time, or by the sweeper's rounds."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence

from app.domain.jobs import JobKind
from app.domain.ports import Clock

_IDLE_SECONDS = 1.0  # the longest sleep while nothing is nudged: what a lost nudge costs
_NOT_YET_SECONDS = 0.2  # pause of a worker while what is due may not be claimed: what was lost before runs one by one
_AFTER_ERROR_SECONDS = 1.0  # pause of a worker whose database or store failed it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Some threads that run some kinds, so that a delete does not wait behind a long ingestion."""

    name: str
    kinds: Sequence[JobKind]
    threads: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Something that is done every so often."""

    name: str
    every_seconds: float
    call: Callable[[], object]


class InProcessQueue:
    """Implements JobQueue with threads of this process."""

    def __init__(
        self,
        *,
        run_slice: Callable[[Sequence[JobKind]], bool],
        next_run_at: Callable[[Sequence[JobKind]], dt.datetime | None],
        stop_slices: Callable[[], None],
        lanes: Sequence[Lane],
        rounds: Sequence[Round],
        clock: Clock,
        on_error: Callable[[str, Exception], None],
    ) -> None:
        """Take what to run; nothing runs before `start`.

        Args:
            run_slice: claims and runs; True while there may be more.
            next_run_at: when the next waiting item of some kinds may be claimed.
            stop_slices: asks running slices to end.
            lanes: the workers.
            rounds: heartbeat, sweeps and the like, each in a thread of its own.
            clock: the time that `next_run_at` is told in.
            on_error: told what a thread ran into; the thread goes on.
        """
        self._run_slice = run_slice
        self._next_run_at = next_run_at
        self._stop_slices = stop_slices
        self._lanes = lanes
        self._rounds = rounds
        self._clock = clock
        self._on_error = on_error
        self._woken = threading.Condition()
        self._nudges = 0
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._quiet_since: float | None = None  # of the monotonic clock

    def nudge(self) -> None:
        """Wake every idle worker."""
        with self._woken:
            self._nudges += 1
            self._woken.notify_all()

    def start(self) -> None:
        """Start the threads."""
        for lane in self._lanes:
            for number in range(lane.threads):
                self._spawn(f"{lane.name}-{number}", lambda kinds=lane.kinds: self._work(kinds))  # type: ignore[misc]
        for each in self._rounds:
            self._spawn(each.name, lambda each=each: self._go_round(each))  # type: ignore[misc]

    def quiet(self) -> None:
        """See JobQueue; the grace of `stop` counts from here."""
        if self._quiet_since is None:
            self._quiet_since = time.monotonic()
        self._stopped.set()
        self._stop_slices()
        self.nudge()

    def stop(self, *, grace_seconds: float) -> None:
        """See JobQueue. Threads that outlast the grace are daemons; their leases run out."""
        self.quiet()
        deadline = (self._quiet_since or time.monotonic()) + grace_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def trouble(self) -> str | None:
        """Whether a thread that was started runs no more."""
        return None if all(thread.is_alive() for thread in self._threads) else "a worker thread has ended"

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"footnote-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, kinds: Sequence[JobKind]) -> None:
        while not self._stopped.is_set():
            with self._woken:
                seen = self._nudges
            try:
                moment = self._next_run_at(kinds)
                due = moment is not None and moment <= self._clock.now()
                if due and self._run_slice(kinds):  # an idle worker asks often: it keeps out of the way of writers
                    continue
                pause = _NOT_YET_SECONDS if due else self._pause(moment)
            except Exception as error:  # noqa: BLE001 - a worker never dies of one error; it is recorded
                self._on_error("worker", error)
                pause = _AFTER_ERROR_SECONDS
                seen = -1
            with self._woken:
                if self._nudges == seen or seen < 0:
                    self._woken.wait(pause)

    def _pause(self, moment: dt.datetime | None) -> float:
        if moment is None:
            return _IDLE_SECONDS
        return min(_IDLE_SECONDS, max(0.01, (moment - self._clock.now()).total_seconds()))

    def _go_round(self, each: Round) -> None:
        while not self._stopped.wait(each.every_seconds):
            try:
                each.call()
            except Exception as error:  # noqa: BLE001 - the next round tries again; it is recorded
                self._on_error(each.name, error)
