"""`?wait=SECONDS`: the reply comes when the job has ended, or when the time is over."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from app.api import represent
from app.api.house import Call, House, stored
from app.api.replies import dumps
from app.domain.access import Principal
from app.domain.errors import NotFoundError
from app.domain.jobs import Job, Waiting
from app.gateway.idempotency import Reply

MAX_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.25

Wait = Annotated[
    float | None,
    Query(ge=0, allow_inf_nan=False, description="seconds to wait for the job to end; 60 at most"),
]


async def answer(call: Call, reply: Reply, wait: float | None) -> Response:
    """The response for a reply; with `wait` the job of its body is waited for and shown."""
    if not wait:
        return stored(reply)
    body = json.loads(reply.body)
    if body.get("job_id") is None:
        return stored(reply)
    job_id = uuid.UUID(body["job_id"])
    await _ended(call, job_id, min(wait, MAX_SECONDS))
    shown = await call.run(lambda principal: _seen(call.house, principal, job_id, body), admitted=True)
    return stored(Reply(status=reply.status, body=dumps(shown), location=reply.location, replayed=reply.replayed))


async def _ended(call: Call, job_id: uuid.UUID, seconds: float) -> None:
    """Return when the job has ended, the time is over, the client is gone, or the process is to stop."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while not call.house.stopping.is_set() and not await call.request.is_disconnected():
        job = await call.run(lambda principal: _job(call.house, principal, job_id), admitted=True)
        left = deadline - time.monotonic()
        if job is None or job.state.final or left <= 0:
            return
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)


def _job(house: House, principal: Principal, job_id: uuid.UUID) -> Job | None:
    try:
        return house.services.jobs.state(principal, job_id)
    except NotFoundError:  # its document was hidden from the caller meanwhile
        return None


def _seen(house: House, principal: Principal, job_id: uuid.UUID, body: dict[str, Any]) -> dict[str, Any]:
    """The reply's body with the job, and the version's state, as they are now."""
    if (job := _job(house, principal, job_id)) is None:
        return body
    shown = {**body, "job": show(house, principal, job)}
    version_id = body.get("version_id")
    if version_id is not None:
        try:
            versions = house.services.catalogue.versions(principal, uuid.UUID(body["document_id"]))
        except NotFoundError:
            return shown
        shown["state"] = next((each.state.value for each in versions if str(each.id) == version_id), body["state"])
    return shown


def show_placed(house: House, principal: Principal, job_id: uuid.UUID) -> dict[str, Any]:
    """A job as `show` gives it, with its place in the queue. Raises NotFoundError."""
    return show(house, principal, *house.services.jobs.get(principal, job_id))


def show(house: House, principal: Principal, job: Job, waiting: Waiting | None = None) -> dict[str, Any]:
    """A job with its collection's name and, where it has one item, the stage of that."""
    with house.services.database.read() as work:
        found = work.collections.get(principal.workspace_id, job.collection_id) if job.collection_id else None
    return represent.job(
        job,
        collection_name=found.name if found else None,
        waiting=waiting,
        stage=house.services.jobs.stage(job) if job.total == 1 else (None, 0, None),
    )
