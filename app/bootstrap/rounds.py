"""What runs by itself: lanes of workers, and rounds of upkeep."""

from __future__ import annotations

import datetime as dt

import structlog

from app.bootstrap.parts import INGEST, KINDS, UPKEEP
from app.db.unit_of_work import SqlDatabase
from app.documents.doctor import Doctor
from app.documents.purge import Purge
from app.domain.drift import DriftReport
from app.domain.ports import Clock
from app.queues.in_process import Lane, Round
from app.settings import Settings
from ingestion.run_job import JobRunner

_SWEEP_SECONDS = 5.0
_HOUSEKEEPING_SECONDS = 600.0
_PRUNE_JOBS = 1000
_PRUNE_CONVERSATIONS = 1000
_PRUNE_ANSWERS = 5000
_PRUNE_CALLS = 20_000
_LONGEST_UPLOAD = dt.timedelta(hours=1)  # from the file's id to its rows, in another process
_log = structlog.get_logger("footnote")


def lanes(settings: Settings) -> list[Lane]:
    """The workers of this process."""
    return [
        Lane(name=INGEST, kinds=KINDS[INGEST], threads=settings.ingest_workers),
        Lane(name=UPKEEP, kinds=KINDS[UPKEEP], threads=1),
    ]


def rounds(
    settings: Settings,
    runner: JobRunner,
    purge: Purge,
    doctor: Doctor,
    database: SqlDatabase,
    clock: Clock,
    alone_since: dt.datetime | None,
) -> list[Round]:
    """What is done every so often."""

    def look() -> None:
        """Look at everything, once in so many hours, whichever process and start it is."""
        with database.read() as work:
            last = work.audit.last()
        if last is not None and clock.now() - last.finished_at < dt.timedelta(hours=settings.doctor_hours):
            return
        report = next(each for each in doctor(repair=False) if isinstance(each, DriftReport))
        if report.left:
            _log.warning("drift_found", **{kind.value: count for kind, count in report.found.items()})

    def housekeeping() -> None:
        now = clock.now()
        with database.write() as work:
            retained = dt.timedelta(days=settings.job_retention_days)
            work.jobs.prune(finished_before=now - retained, limit=_PRUNE_JOBS)
            work.idempotency.prune(now - dt.timedelta(hours=settings.idempotency_hours))
            kept = dt.timedelta(days=settings.answer_retention_days)
            work.answers.prune(created_before=now - kept, limit=_PRUNE_ANSWERS)
            for each in work.conversations.unused(updated_before=now - kept, limit=_PRUNE_CONVERSATIONS):
                work.conversations.remove(each)
            booked = now - dt.timedelta(days=settings.usage_retention_days)
            work.model_calls.prune(before_day=booked.date().isoformat(), limit=_PRUNE_CALLS)
            work.commit()
        purge.sweep_indexes()
        purge.sweep_orphans(made_before=alone_since or now - _LONGEST_UPLOAD)

    return [
        Round(name="heartbeat", every_seconds=settings.lease_seconds / 3, call=runner.heartbeat),
        Round(name="sweep", every_seconds=_SWEEP_SECONDS, call=runner.sweep),
        Round(name="purge", every_seconds=_SWEEP_SECONDS, call=purge.sweep),
        Round(name="housekeeping", every_seconds=_HOUSEKEEPING_SECONDS, call=housekeeping),
        Round(name="doctor", every_seconds=_HOUSEKEEPING_SECONDS, call=look),
    ]
