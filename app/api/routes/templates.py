"""Prompt templates (admins)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api import bodies, paging, replies, represent, schemas
from app.api.house import Admin, stored
from app.api.openapi import json_body
from app.api.problems import responses
from app.domain.access import Principal
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/templates", tags=["policies"])
_CURSORS = paging.Cursors("template-versions")


@router.get("", summary="List templates", response_model=schemas.TemplateVersionList, responses=responses())
async def index(call: Admin) -> Response:
    """Those in force, by name, on one page; `default` comes with the product."""
    found = await call.run(call.house.services.templates.all)
    return replies.of({"data": [represent.template(each) for each in found], "has_more": False, "next": None})


@router.get("/{name}", summary="Show a template", response_model=schemas.TemplateVersionView, responses=responses(404))
async def show(call: Admin, name: str) -> Response:
    """The one in force."""
    found = await call.run(lambda principal: call.house.services.templates.get(principal, name))
    return replies.of(represent.template(found))


@router.put(
    "/{name}",
    summary="Set a template",
    response_model=schemas.TemplateVersionView,
    responses=responses(409),
    openapi_extra=json_body(schemas.TemplateBody),
)
async def put(
    call: Admin, name: str, body: Annotated[schemas.TemplateBody, Depends(bodies.of(schemas.TemplateBody))]
) -> Response:
    """Set it as a new version, once it is seen to render; where it is in force already, nothing is written."""
    templates = call.house.services.templates
    made = await call.run(
        lambda principal: templates.set(
            principal, name, body.system, body.user, note=body.note, if_number=body.if_number
        )
    )
    return replies.of(represent.template(made))


@router.get(
    "/{name}/versions",
    summary="List versions of a template",
    response_model=schemas.TemplateVersionList,
    responses=responses(404),
)
async def versions(call: Admin, name: str, limit: paging.Limit = 50, after: paging.After = None) -> Response:
    """Newest first."""
    templates = call.house.services.templates
    before = _CURSORS.after_ordinal(after)
    rows = await call.run(lambda principal: templates.versions(principal, name, before=before, limit=limit + 1))
    return replies.of(paging.page(rows, limit, shown=represent.template, cursor=lambda row: _CURSORS.of(row.number)))


@router.post(
    "/{name}/rollback",
    summary="Go back to an old template",
    response_model=schemas.TemplateVersionView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.RollbackBody),
)
async def rollback(
    call: Admin, name: str, body: Annotated[schemas.RollbackBody, Depends(bodies.of(schemas.RollbackBody))]
) -> Response:
    """Write a new version that is equal to an old one; 0 is the product's."""
    templates = call.house.services.templates

    def work(principal: Principal) -> Reply:
        def made() -> Reply:
            version = templates.rollback(principal, name, body.number, if_number=body.if_number)
            return Reply(status=200, body=replies.dumps(represent.template(version)))

        return call.once(principal, body.model_dump_json().encode(), made)

    return stored(await call.run(work))
