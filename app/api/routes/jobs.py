"""Jobs."""

from __future__ import annotations

import math
import uuid

from fastapi import APIRouter, Response

from app.answering.patience import Patience
from app.api import job_events, paging, replies, represent, schemas, waiting
from app.api.event_stream import CONTENT, EventStream
from app.api.house import Caller, Editor, stored
from app.api.problems import responses
from app.domain.access import Principal
from app.domain.jobs import JobState
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_CURSORS = paging.Cursors("jobs")
_ITEM_CURSORS = paging.Cursors("items")


@router.get("", summary="List jobs", response_model=schemas.JobList, responses=responses())
async def index(
    call: Caller,
    state: schemas.JobStateName | None = None,
    limit: paging.Limit = 50,
    after: paging.After = None,
) -> Response:
    """Jobs that the caller may see, newest first."""
    start = _CURSORS.after_id(after)
    wanted = JobState(state) if state else None

    def work(principal: Principal) -> represent.Json:
        rows = call.house.services.jobs.page(principal, state=wanted, after=start, limit=limit + 1)
        return paging.page(
            rows,
            limit,
            shown=lambda row: waiting.show(call.house, principal, row),
            cursor=lambda row: _CURSORS.of(row.id),
        )

    return replies.of(await call.run(work))


@router.get("/{job_id}", summary="Show a job", response_model=schemas.JobView, responses=responses(404))
async def show(call: Caller, job_id: uuid.UUID) -> Response:
    """One job, as far as it has come."""

    def work(principal: Principal) -> represent.Json:
        return waiting.show_placed(call.house, principal, job_id)

    return replies.of(await call.run(work))


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=Response,
    responses={
        **responses(404),
        200: {"content": CONTENT, "description": "Events named `job`"},
    },
)
async def events(call: Caller, job_id: uuid.UUID) -> Response:
    """The job as it is, and again whenever it changed, as events `job`; ends with the job, and with the service."""
    first = await call.run(job_events.look(call, job_id))  # a job that is not there is a problem, not an event
    return EventStream(job_events.told(call, job_id, first), Patience(math.inf), request_id=call.request_id)


@router.get("/{job_id}/items", summary="List a job's items", response_model=schemas.ItemList, responses=responses(404))
async def items(
    call: Caller,
    job_id: uuid.UUID,
    state: schemas.JobStateName | None = None,
    limit: paging.Limit = 50,
    after: paging.After = None,
) -> Response:
    """A job's documents, in order; of a batch, by line."""
    last = _ITEM_CURSORS.after_ordinal(after)
    wanted = JobState(state) if state else None
    rows = await call.run(
        lambda principal: call.house.services.jobs.items(
            principal, job_id, state=wanted, after_ordinal=last, limit=limit + 1
        )
    )
    return replies.of(paging.page(rows, limit, shown=represent.item, cursor=lambda row: _ITEM_CURSORS.of(row.ordinal)))


@router.post("/{job_id}/cancel", summary="Cancel a job", response_model=schemas.JobView, responses=responses(404, 409))
async def cancel(call: Editor, job_id: uuid.UUID) -> Response:
    """Stop what has not ended; what is done stays."""

    def work(principal: Principal) -> Reply:
        def stop() -> Reply:
            job = call.house.services.jobs.cancel(principal, job_id)
            return Reply(status=200, body=replies.dumps(waiting.show(call.house, principal, job)))

        return call.once(principal, b"", stop)

    return stored(await call.run(work))


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Try a job again",
    response_model=schemas.JobView,
    responses=responses(404, 409, 429),
)
async def retry(call: Editor, job_id: uuid.UUID) -> Response:
    """A new job for what failed or was cancelled; it names the old one."""

    def work(principal: Principal) -> Reply:
        def again() -> Reply:
            job = call.house.services.jobs.retry(principal, job_id, request_id=call.request_id)
            body = replies.dumps(waiting.show_placed(call.house, principal, job.id))
            return Reply(status=202, body=body, location=f"/v1/jobs/{job.id}")

        return call.once(principal, b"", again)

    return stored(await call.run(work))
