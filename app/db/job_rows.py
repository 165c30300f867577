"""Rows of jobs and items as the domain's classes, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from app.db.repository import Row
from app.domain.jobs import Failure, Item, Job, JobKind, JobState, Stage, Warning_


def job_of(row: Row) -> Job:
    """A job from a row of its table."""
    return Job(
        id=row.id,
        workspace_id=row.workspace_id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        collection_id=row.collection_id,
        document_id=row.document_id,
        retry_of=row.retry_of,
        total=row.total,
        done=row.done,
        failed=row.failed,
        warnings=warnings_of(row.warnings),
        error=failure_of(row.error),
        request_id=row.request_id,
        key_id=row.key_id,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def job_values(job: Job) -> dict[str, Any]:
    """A job as columns."""
    return {
        "id": job.id,
        "workspace_id": job.workspace_id,
        "kind": job.kind.value,
        "state": job.state.value,
        "collection_id": job.collection_id,
        "document_id": job.document_id,
        "retry_of": job.retry_of,
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "warnings": warnings_json(job.warnings),
        "error": failure_json(job.error),
        "request_id": job.request_id,
        "key_id": job.key_id,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def item_of(row: Row) -> Item:
    """An item from a row of its table."""
    return Item(
        id=row.id,
        job_id=row.job_id,
        workspace_id=row.workspace_id,
        kind=JobKind(row.kind),
        ordinal=row.ordinal,
        document_id=row.document_id,
        version_id=row.version_id,
        state=JobState(row.state),
        stage=Stage(row.stage),
        units_done=row.units_done,
        units_total=row.units_total,
        lease_owner=row.lease_owner,
        lease_expires_at=row.lease_expires_at,
        lease_token=row.lease_token,
        failures=row.failures,
        losses=row.losses,
        next_run_at=row.next_run_at,
        warnings=warnings_of(row.warnings),
        error=failure_of(row.error),
    )


def family_of(kind: JobKind) -> str:
    """What items of this kind are claimed with: single documents and lines of batches are one family."""
    return JobKind.INGEST.value if kind is JobKind.BATCH else kind.value


def item_values(item: Item, *, priority: int) -> dict[str, Any]:
    """An item as columns."""
    return {
        "id": item.id,
        "job_id": item.job_id,
        "workspace_id": item.workspace_id,
        "kind": item.kind.value,
        "family": family_of(item.kind),
        "ordinal": item.ordinal,
        "document_id": item.document_id,
        "version_id": item.version_id,
        "state": item.state.value,
        "stage": item.stage.value,
        "priority": priority,
        "units_done": item.units_done,
        "units_total": item.units_total,
        "lease_owner": item.lease_owner,
        "lease_expires_at": item.lease_expires_at,
        "lease_token": item.lease_token,
        "failures": item.failures,
        "losses": item.losses,
        "next_run_at": item.next_run_at,
        "warnings": warnings_json(item.warnings),
        "error": failure_json(item.error),
    }


def warnings_json(warnings: Sequence[Warning_]) -> list[dict[str, Any]]:
    """Warnings as they are stored."""
    return [dataclasses.asdict(each) for each in warnings]


def warnings_of(stored: Sequence[dict[str, Any]]) -> tuple[Warning_, ...]:
    """Warnings as stored."""
    return tuple(Warning_(code=each["code"], message=each["message"], page=each["page"]) for each in stored)


def failure_json(failure: Failure | None) -> dict[str, Any] | None:
    """A failure as it is stored."""
    return None if failure is None else dataclasses.asdict(failure)


def failure_of(stored: dict[str, Any] | None) -> Failure | None:
    """A failure as stored."""
    if stored is None:
        return None
    return Failure(code=stored["code"], message=stored["message"], retryable=stored["retryable"])
