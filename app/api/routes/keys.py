"""API keys (admins)."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api import bodies, paging, replies, represent, schemas
from app.api.house import Admin, Call
from app.api.openapi import json_body
from app.api.problems import BadHeaderError, responses
from app.domain.access import Key, Role
from app.gateway.keys import KeyRequest

router = APIRouter(prefix="/v1/keys", tags=["keys"])
_CURSORS = paging.Cursors("keys")


@router.post(
    "",
    status_code=201,
    summary="Make a key",
    response_model=schemas.NewKeyView,
    responses=responses(404),
    openapi_extra=json_body(schemas.KeyBody),
)
async def create(call: Admin, body: Annotated[schemas.KeyBody, Depends(bodies.of(schemas.KeyBody))]) -> Response:
    """A new key; its secret is in this reply and nowhere else."""
    _refuse_idempotency(call)
    request = KeyRequest(
        name=body.name,
        role=Role(body.role),
        user=body.user,
        groups=body.groups,
        expires_at=body.expires_at,
        workspace=body.workspace,
    )
    key, secret = await call.run(lambda principal: call.house.services.keys.create(principal, request))
    return _with_secret(key, secret)


@router.get("", summary="List keys", response_model=schemas.KeyList, responses=responses())
async def index(call: Admin, limit: paging.Limit = 50, after: paging.After = None) -> Response:
    """The workspace's keys, revoked ones too, in order of creation."""
    start = _CURSORS.after_id(after)
    rows = await call.run(lambda principal: call.house.services.keys.page(principal, after=start, limit=limit + 1))
    return replies.of(paging.page(rows, limit, shown=represent.key, cursor=lambda row: _CURSORS.of(row.id)))


@router.delete(
    "/{key_id}", status_code=204, summary="Revoke a key", response_class=Response, responses=responses(404, 409)
)
async def revoke(call: Admin, key_id: uuid.UUID) -> Response:
    """The key stops working at once."""
    await call.run(lambda principal: call.house.services.keys.revoke(principal, key_id))
    return Response(status_code=204)


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    summary="Rotate a key",
    response_model=schemas.NewKeyView,
    responses=responses(404),
)
async def rotate(call: Admin, key_id: uuid.UUID) -> Response:
    """A new key that may do the same; the old one stops working in the same moment."""
    _refuse_idempotency(call)
    key, secret = await call.run(lambda principal: call.house.services.keys.rotate(principal, key_id))
    return _with_secret(key, secret)


def _refuse_idempotency(call: Call) -> None:
    """To give a reply again it would have to be stored, and a secret is not stored."""
    if "idempotency-key" in call.request.headers:
        raise BadHeaderError(
            "a key's secret is not stored, so its reply can't be given again: leave Idempotency-Key out; an extra key "
            "can be revoked",
            code="idempotency_not_supported",
        )


def _with_secret(key: Key, secret: str) -> Response:
    return replies.of(represent.key(key) | {"secret": secret}, status=201)
