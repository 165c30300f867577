"""Collections."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api import bodies, paging, replies, represent, schemas, waiting
from app.api.house import Caller, Editor, stored
from app.api.openapi import json_body
from app.api.problems import responses
from app.domain.access import Principal
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/collections", tags=["collections"])
_CURSORS = paging.Cursors("collections")


@router.post(
    "",
    status_code=201,
    summary="Make a collection",
    response_model=schemas.CollectionView,
    responses=responses(409),
    openapi_extra=json_body(schemas.CollectionBody),
)
async def create(
    call: Editor, body: Annotated[schemas.CollectionBody, Depends(bodies.of(schemas.CollectionBody))]
) -> Response:
    """Make an empty collection; its name is unique in the workspace."""

    def work(principal: Principal) -> Reply:
        def make() -> Reply:
            made = call.house.services.collections.create(principal, body.name, body.description)
            location = f"/v1/collections/{made.name}"
            return Reply(status=201, body=replies.dumps(represent.collection(made, 0)), location=location)

        return call.once(principal, body.model_dump_json().encode(), make)

    return stored(await call.run(work))


@router.get("", summary="List collections", response_model=schemas.CollectionList, responses=responses())
async def index(call: Caller, limit: paging.Limit = 50, after: paging.After = None) -> Response:
    """The workspace's collections, in order of creation, each with the number of documents that the caller may read."""
    start = _CURSORS.after_id(after)
    rows = await call.run(
        lambda principal: call.house.services.collections.page(principal, after=start, limit=limit + 1)
    )
    return replies.of(
        paging.page(
            rows, limit, shown=lambda row: represent.collection(*row), cursor=lambda row: _CURSORS.of(row[0].id)
        )
    )


@router.get("/{name}", summary="Show a collection", response_model=schemas.CollectionView, responses=responses(404))
async def show(call: Caller, name: str) -> Response:
    """One collection, with the number of its documents that the caller may read."""
    found, documents = await call.run(lambda principal: call.house.services.collections.get(principal, name))
    return replies.of(represent.collection(found, documents))


@router.patch(
    "/{name}",
    summary="Rename or describe a collection",
    response_model=schemas.CollectionView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.CollectionChange),
)
async def change(
    call: Editor,
    name: str,
    body: Annotated[schemas.CollectionChange, Depends(bodies.of(schemas.CollectionChange))],
) -> Response:
    """Change the name, the description or both."""

    def work(principal: Principal) -> represent.Json:
        collections = call.house.services.collections
        changed = collections.change(principal, name, new_name=body.name, description=body.description)
        return represent.collection(*collections.get(principal, changed.name))

    return replies.of(await call.run(work))


@router.delete(
    "/{name}",
    status_code=202,
    summary="Delete a collection",
    response_model=schemas.RemovedView,
    responses=responses(404),
)
async def remove(call: Editor, name: str, wait: waiting.Wait = None) -> Response:
    """Hide a collection and its documents at once, and purge them; 202 with the purge's job."""

    def work(principal: Principal) -> Reply:
        job = call.house.services.remove.remove_collection(principal, name, request_id=call.request_id)
        body = {"document_id": None, "job_id": str(job.id), "state": "deleted"}
        return Reply(status=202, body=replies.dumps(body), location=f"/v1/jobs/{job.id}")

    return await waiting.answer(call, await call.run(work), wait)
