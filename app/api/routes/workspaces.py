"""Workspaces (admins of the default one)."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api import bodies, paging, replies, represent, schemas
from app.api.house import Admin, stored
from app.api.openapi import json_body
from app.api.problems import responses
from app.domain.access import Principal
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/workspaces", tags=["workspaces"])
_CURSORS = paging.Cursors("workspaces")


@router.post(
    "",
    status_code=201,
    summary="Make a workspace",
    response_model=schemas.WorkspaceView,
    responses=responses(409),
    openapi_extra=json_body(schemas.WorkspaceBody),
)
async def create(
    call: Admin, body: Annotated[schemas.WorkspaceBody, Depends(bodies.of(schemas.WorkspaceBody))]
) -> Response:
    """Make an empty workspace; POST /v1/keys with its name makes its first key."""

    def work(principal: Principal) -> Reply:
        def make() -> Reply:
            made = call.house.services.workspaces.create(principal, body.name)
            return Reply(status=201, body=replies.dumps(represent.workspace(made)))

        return call.once(principal, body.model_dump_json().encode(), make)

    return stored(await call.run(work))


@router.get("", summary="List workspaces", response_model=schemas.WorkspaceList, responses=responses())
async def index(call: Admin, limit: paging.Limit = 50, after: paging.After = None) -> Response:
    """All workspaces for admins of the default one, else the caller's own."""
    start = _CURSORS.after_id(after)
    rows = await call.run(
        lambda principal: call.house.services.workspaces.page(principal, after=start, limit=limit + 1)
    )
    return replies.of(paging.page(rows, limit, shown=represent.workspace, cursor=lambda row: _CURSORS.of(row.id)))


@router.delete(
    "/{workspace_id}",
    status_code=204,
    summary="Remove a workspace",
    response_class=Response,
    responses=responses(404, 409),
)
async def remove(call: Admin, workspace_id: uuid.UUID) -> Response:
    """Remove an empty workspace with its keys."""
    await call.run(lambda principal: call.house.services.workspaces.remove(principal, workspace_id))
    return Response(status_code=204)
