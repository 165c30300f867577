"""`footnote jobs`: what the service works on."""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from ingestion.cli import terminal
from ingestion.cli.options import Session, command

if TYPE_CHECKING:
    from ingestion.cli.client import Service

FINAL = frozenset({"completed", "completed_with_warnings", "failed", "cancelled"})
INTERRUPTED = "interrupted"  # `running` to the service that this command started and is about to end
_LOOK_SECONDS = 20.0  # that one request waits for a job
_PAUSE_SECONDS = 0.2  # between requests, should the service not wait

app = typer.Typer(no_args_is_help=True, help="Look at jobs, wait for them, cancel them, try them again.")


class JobState(enum.StrEnum):
    """As the API has it."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_WARNINGS = "completed_with_warnings"
    FAILED = "failed"
    CANCELLED = "cancelled"


JobId = Annotated[str, typer.Argument(metavar="JOB")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB...")]
State = Annotated[JobState | None, typer.Option("--state", help="Only those in this state.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
Seconds = Annotated[float | None, typer.Option("--timeout", min=0, help="Seconds; for ever where left out.")]


@app.command("list")
@command
def list_jobs(session: Session, *, state: State = None, limit: Limit = 50) -> None:
    """Jobs, newest first. With no service running, one that had begun is `interrupted`: it goes on when one starts."""
    with session.service() as service:
        jobs = [_truly(service, job) for job in service.pages("/v1/jobs", {"state": state}, most=limit)]
        _say_what_waits(service, jobs)
    session.show_all(jobs, ["id", "kind", "state", "stage", "collection", "created_at", "error"])


@app.command("show")
@command
def show(session: Session, job: JobId) -> None:
    """One job."""
    with session.service() as service:
        found = _truly(service, service.get(path_of(job)))
        _say_what_waits(service, [found])
    session.show(found)


@app.command("items")
@command
def items(session: Session, job: JobId, *, state: State = None, limit: Limit = 1000) -> None:
    """What a job is made of: a document each."""
    with session.service() as service:
        found = [_truly(service, item) for item in service.pages(f"{path_of(job)}/items", {"state": state}, most=limit)]
        _say_what_waits(service, found)
    session.show_all(found, ["line", "document_id", "state", "stage", "failures", "error"])


@app.command("cancel")
@command
def cancel(session: Session, job: JobId) -> None:
    """Stop what has not ended."""
    with session.service() as service:
        session.show(service.post(f"{path_of(job)}/cancel"))


@app.command("retry")
@command
def retry(session: Session, job: JobId) -> None:
    """Try again what failed, as a new job."""
    with session.service() as service:
        made = service.post(f"{path_of(job)}/retry")
        if service.started_here:
            made = ended(service, str(made.get("job_id") or made["id"]))
    session.show(made)


@app.command("wait")
@command
def wait(session: Session, jobs: JobIds, *, timeout: Seconds = None) -> None:
    """Wait until jobs have ended; exit code 1 if one failed, was cancelled or is still under way."""
    deadline = None if timeout is None else time.monotonic() + timeout
    with session.service() as service:
        found = [_truly(service, ended(service, job, deadline=deadline)) for job in jobs]
        _say_what_waits(service, found)
    session.show_all(found, ["id", "kind", "state", "error"])
    if any(job["state"] not in ("completed", "completed_with_warnings") for job in found):
        raise typer.Exit(1)


@app.command("watch")
@command
def watch(session: Session, job: JobId) -> None:
    """A line each time that a job has got further, until it has ended; exit code 1 if it did not end well."""
    with session.service() as service:
        found = _watched(session, service, job)
    if found["state"] not in ("completed", "completed_with_warnings"):
        raise typer.Exit(1)


def _watched(session: Session, service: Service, job: str) -> dict[str, Any]:
    """The job once it is final; a service that stops, and is started again, is asked again."""
    while True:
        found: dict[str, Any] = {}
        for _, found in service.events(f"{path_of(job)}/events"):
            terminal.piece(f"{terminal.json_line(found) if session.as_json else line_of(found)}\n")
            if found["state"] in FINAL:
                return found
        time.sleep(_PAUSE_SECONDS)


def line_of(job: Mapping[str, Any]) -> str:
    """What a person wants to know of a job, in one line."""
    progress = job["progress"]
    done = f"{progress['done']} of {progress['total']}" if progress["total"] is not None else str(progress["done"])
    parts = [job["state"], *([job["stage"]] if job["stage"] and job["state"] == "running" else [])]
    if job.get("queue_position") is not None:
        parts.append(terminal.counted(job["queue_position"], "document") + " before it")
    if job.get("estimated_start_seconds") is not None:
        parts.append(f"begins in about {job['estimated_start_seconds']} s")
    if job["state"] != JobState.QUEUED:
        parts.append(f"{done} {progress['unit']}")
    if progress["failed"]:
        parts.append(f"{progress['failed']} failed")
    if job.get("error"):
        parts.append(f"{job['error']['code']}: {job['error']['message']}")
    return terminal.visible(", ".join(parts))


def ended(service: Service, job: str, *, deadline: float | None = None) -> dict[str, Any]:
    """The job once it is final, or as it is at the deadline (of the monotonic clock)."""
    while True:
        left = _LOOK_SECONDS if deadline is None else max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic()))
        found = service.get(path_of(job), {"wait": int(left)})
        if found["state"] in FINAL or (deadline is not None and time.monotonic() >= deadline):
            return found
        time.sleep(_PAUSE_SECONDS)


def _truly(service: Service, found: dict[str, Any]) -> dict[str, Any]:
    """A job or item as it is once this command has ended: where that ends the service too, nobody runs it."""
    return {**found, "state": INTERRUPTED} if service.started_here and found["state"] == JobState.RUNNING else found


def _say_what_waits(service: Service, found: Sequence[Mapping[str, Any]]) -> None:
    if service.started_here and any(each["state"] not in FINAL for each in found):
        terminal.note("no service runs: what has not ended goes on when one starts, as by `footnote serve`")


def path_of(job: str) -> str:
    """Where a job is; quoted whole, an id has no `/`."""
    return f"/v1/jobs/{quote(job, safe='')}"
