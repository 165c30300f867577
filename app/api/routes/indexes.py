"""Indexes of a collection: build a second one, compare, change over, go back, drop."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api import bodies, replies, represent, schemas, waiting
from app.api.house import Admin, stored
from app.api.openapi import json_body
from app.api.problems import responses
from app.documents.reindex import IndexState
from app.domain.access import Principal
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/collections/{name}/indexes", tags=["indexes"])


@router.get("", summary="List a collection's indexes", response_model=schemas.IndexesView, responses=responses(404))
async def index(call: Admin, name: str) -> Response:
    """The live one first; then the one that is built, and the one that was live before."""
    return _listed(await call.run(lambda principal: call.house.services.reindex.indexes(principal, name)))


@router.get("/estimate", summary="Estimate a new index", response_model=schemas.EstimateView, responses=responses(404))
async def estimate(call: Admin, name: str) -> Response:
    """What building an index with this service's model and chunker would take, measured on some chunks."""
    found = await call.run(lambda principal: call.house.services.reindex.estimate(principal, name))
    return replies.of(represent.estimate(found))


@router.post(
    "",
    status_code=202,
    summary="Build a new index",
    response_model=schemas.JobView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.ReindexBody),
)
async def build(
    call: Admin,
    name: str,
    body: Annotated[schemas.ReindexBody, Depends(bodies.of(schemas.ReindexBody))],
) -> Response:
    """Build with this service's model and chunker beside the index that answers; again, where a build lacks something."""

    def work(principal: Principal) -> Reply:
        def start() -> Reply:
            job = call.house.services.reindex.start(principal, name, force=body.force, request_id=call.request_id)
            shown = replies.dumps(waiting.show_placed(call.house, principal, job.id))
            return Reply(status=202, body=shown, location=f"/v1/jobs/{job.id}")

        return call.once(principal, body.model_dump_json().encode(), start)

    return stored(await call.run(work))


@router.post(
    "/{index_id}/activate",
    summary="Change over to an index",
    response_model=schemas.IndexesView,
    responses=responses(404, 409),
)
async def activate(call: Admin, name: str, index_id: uuid.UUID) -> Response:
    """Let it answer from this moment on; the one that did stands by, and the same call with its id goes back."""

    def work(principal: Principal) -> Reply:
        def change() -> Reply:
            states = call.house.services.reindex.activate(principal, name, index_id)
            return Reply(status=200, body=replies.dumps({"data": [represent.index(each) for each in states]}))

        return call.once(principal, b"", change)

    return stored(await call.run(work))


@router.delete(
    "/{index_id}", summary="Drop an index", response_model=schemas.IndexesView, responses=responses(404, 409)
)
async def drop(call: Admin, name: str, index_id: uuid.UUID) -> Response:
    """Give up one that does not answer; what it holds is removed soon after."""
    return _listed(await call.run(lambda principal: call.house.services.reindex.drop(principal, name, index_id)))


@router.post(
    "/{index_id}/compare",
    summary="Compare with the live index",
    response_model=schemas.ComparisonsView,
    responses=responses(404),
    openapi_extra=json_body(schemas.CompareBody),
)
async def compare(
    call: Admin,
    name: str,
    index_id: uuid.UUID,
    body: Annotated[schemas.CompareBody, Depends(bodies.of(schemas.CompareBody))],
) -> Response:
    """The same questions to both, side by side."""
    found = await call.run(
        lambda principal: call.house.services.compare(principal, name, index_id, body.queries, limit=body.limit)
    )
    return replies.of(represent.comparisons(found))


def _listed(states: Sequence[IndexState]) -> Response:
    return replies.of({"data": [represent.index(each) for each in states]})
