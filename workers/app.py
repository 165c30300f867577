"""What Celery runs: `celery -A workers.app worker --pool threads` and `celery -A workers.app beat`; see Procfile.

A message says that there may be work, or that it is time for a round; which work, the database says. A worker is one process
with some threads, which share the model. On SIGTERM the slices in hand end at their next batch and give their leases back.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import structlog
from celery import signals

from app import bootstrap
from app import settings as configuration
from app.api.logs import configure
from app.bootstrap import last_resort
from app.bootstrap.parts import INGEST, KINDS
from app.domain.errors import FootnoteError
from app.queues.celery_queue import WORK, make_app, queue_of

ROUND = "footnote.round"  # the task that does one round of upkeep
WAKE = "footnote.wake"  # the task that sends messages where work is due
_TURN_SECONDS = 30.0  # of one message, so that one is never under way for longer than a slice beyond that
_WAKE_SECONDS = 2.0
_UPKEEP = "upkeep"


def _configured() -> configuration.Settings:
    """The settings of this process, which ends with a sentence where they are not those of production mode."""
    try:
        return configuration.load().require_production()
    except FootnoteError as error:
        sys.exit(f"footnote: {error.explained}")


settings = _configured()
app = make_app(
    broker_url=str(settings.broker_url),
    name=settings.queue_prefix,
    lanes=list(KINDS),
    lease_seconds=settings.lease_seconds,
)
log = structlog.get_logger("footnote.worker")


class Worker:
    """The services of this process, and the heartbeat of what runs in it."""

    def __init__(self) -> None:
        self.services = bootstrap.build(settings, answers=False)
        # However many threads there are: slices that wait for the same model would keep work from other workers, and
        # every thread from the other lane.
        self.ingesting = threading.BoundedSemaphore(settings.ingest_workers)
        self._stopped = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="footnote-heartbeat", daemon=True)
        self._heart.start()

    def quiet(self) -> None:
        """Claim nothing more; what is in hand ends at its next batch, or is cut short when the grace is over.

        What can not be cut short, such as a store that does not answer, ends with the process; its leases lapse.
        """
        self.services.runner.stop()
        cut = threading.Timer(settings.stop_grace_seconds, self.services.stop_embedding)
        cut.daemon = True
        cut.start()
        last_resort.arm(settings.stop_grace_seconds)

    def close(self) -> None:
        """Let go of everything, once nothing runs any more."""
        self._stopped.set()
        self._heart.join()
        self.services.stop()

    def _beat(self) -> None:
        while not self._stopped.wait(settings.lease_seconds / 3):
            try:
                self.services.runner.heartbeat()
            except FootnoteError as error:  # the next beat tries again
                log.warning("heartbeat_failed", code=error.code)


class _Held:
    """The worker of this process, once Celery has started it."""

    worker: Worker | None = None


def current() -> Worker:
    """The worker of this process."""
    if _Held.worker is None:
        raise RuntimeError("the worker has not started, or has stopped")
    return _Held.worker


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:
    """Open everything. What goes wrong here ends the process: Celery would log it, and take messages all the same."""
    configure(settings)
    try:
        _Held.worker = Worker()
    except FootnoteError as error:
        log.critical("start_failed", code=error.code, detail=error.explained)
        sys.exit(1)
    except Exception:
        log.critical("start_failed", exc_info=True)
        sys.exit(1)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _quiet(**_: Any) -> None:
    if _Held.worker is not None:
        _Held.worker.quiet()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    if _Held.worker is not None:
        _Held.worker.close()
        _Held.worker = None


@app.task(name=WORK)  # type: ignore[untyped-decorator]
def work(lane: str) -> None:
    """Run slices of a lane while there are any, for some time; where more is due, call another worker to it.

    Where this one has its hands full the message is let go: those who run here see what is due, and `wake` calls the others.
    """
    if lane != INGEST:
        _run_slices(lane)
    elif current().ingesting.acquire(blocking=False):
        try:
            _run_slices(lane)
        finally:
            current().ingesting.release()


def _run_slices(lane: str) -> None:
    services = current().services
    end = time.monotonic() + _TURN_SECONDS
    while _is_due(lane) and services.runner.run_slice(KINDS[lane]):
        if _is_due(lane):
            app.send_task(WORK, args=(lane,), queue=queue_of(app, lane), retry=False)
            if time.monotonic() > end:
                return


@app.task(name=ROUND)  # type: ignore[untyped-decorator]
def go_round(name: str) -> None:
    """Do one of the rounds of upkeep."""
    for each in current().services.rounds:
        if each.name == name:
            each.call()


@app.task(name=WAKE)  # type: ignore[untyped-decorator]
def wake() -> None:
    """Send a message to each lane where work is due: what a lost one costs is no more than the time until this."""
    for lane in KINDS:
        if _is_due(lane):
            app.send_task(WORK, args=(lane,), queue=queue_of(app, lane), retry=False)


def _is_due(lane: str) -> bool:
    services = current().services
    moment = services.runner.next_run_at(KINDS[lane])
    return moment is not None and moment <= services.clock.now()


def _every(seconds: float, task: str, *arguments: str) -> dict[str, Any]:
    options = {"queue": queue_of(app, _UPKEEP), "expires": seconds}  # one that nobody took is made up for by the next
    return {"task": task, "schedule": seconds, "args": arguments, "options": options}


app.conf.beat_schedule = {
    "wake": _every(_WAKE_SECONDS, WAKE),
    "sweep": _every(5.0, ROUND, "sweep"),
    "purge": _every(5.0, ROUND, "purge"),
    "housekeeping": _every(600.0, ROUND, "housekeeping"),
    "doctor": _every(600.0, ROUND, "doctor"),
}
app.conf.beat_scheduler = "celery.beat:Scheduler"  # in memory: nothing is kept between two starts
