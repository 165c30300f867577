"""Many documents at once: what a filter finds is deleted or changed, as one job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api import bodies, replies, schemas
from app.api.house import Call, Editor, stored
from app.api.openapi import json_body
from app.api.problems import responses
from app.documents.bulk import Selection
from app.documents.catalogue import Change
from app.domain import filters
from app.domain.access import Principal
from app.domain.jobs import Job
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/documents", tags=["documents"])


@router.post(
    "/delete",
    status_code=202,
    summary="Delete what a filter finds",
    response_model=schemas.BulkView,
    responses=responses(404),
    openapi_extra=json_body(schemas.BulkDeleteBody),
)
async def delete(
    call: Editor, body: Annotated[schemas.BulkDeleteBody, Depends(bodies.of(schemas.BulkDeleteBody))]
) -> Response:
    """All of them are hidden when this answers; the job purges them. `dry_run` only counts."""
    bulk = call.house.services.bulk
    return await _answered(
        call, body, lambda principal: bulk.delete(principal, _selected(body), request_id=call.request_id)
    )


@router.post(
    "/change",
    status_code=202,
    summary="Change what a filter finds",
    response_model=schemas.BulkView,
    responses=responses(404),
    openapi_extra=json_body(schemas.BulkChangeBody),
)
async def change(
    call: Editor, body: Annotated[schemas.BulkChangeBody, Depends(bodies.of(schemas.BulkChangeBody))]
) -> Response:
    """Readers or metadata (as a whole) of all of them, without embedding anew; whom it closes them to sees them no more."""
    bulk = call.house.services.bulk
    wanted = Change(metadata=body.metadata, readers=body.readers)
    return await _answered(
        call, body, lambda principal: bulk.change(principal, _selected(body), wanted, request_id=call.request_id)
    )


async def _answered(call: Call, body: schemas.BulkDeleteBody, do: Callable[[Principal], tuple[Job, int]]) -> Response:
    def work(principal: Principal) -> Reply:
        selected = _selected(body)  # first: what is nested too deep can't be written down below

        def once() -> Reply:
            if body.dry_run:
                count = call.house.services.bulk.count(principal, selected)
                return Reply(status=200, body=replies.dumps({"job_id": None, "documents": count}))
            job, count = do(principal)
            shown = replies.dumps({"job_id": str(job.id), "documents": count})
            return Reply(status=202, body=shown, location=f"/v1/jobs/{job.id}")

        return call.once(principal, body.model_dump_json().encode(), once)

    return stored(await call.run(work))


def _selected(body: schemas.BulkDeleteBody) -> Selection:
    condition = None if body.filter is None else filters.parse(body.filter)
    return Selection(collection=body.collection, filter=condition, all=body.all)
