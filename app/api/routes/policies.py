"""Policies of the workspace and of collections: read by all, set and tried by admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.answering import guard, prompt
from app.api import bodies, paging, replies, represent, schemas
from app.api.house import Admin, Call, Caller, stored
from app.api.openapi import json_body
from app.api.problems import responses
from app.domain.access import Principal
from app.domain.policies import OutputFormat, PersonalData, Policy, PolicyVersion, Unsupported
from app.gateway.idempotency import Reply
from app.gateway.policies import Draft

router = APIRouter(tags=["policies"])
_CURSORS = paging.Cursors("policy-versions")
_SOURCE = prompt.PromptSource(title="A title", text="What the source says stands here.", page=1)

PolicyBody = Annotated[schemas.PolicyBody, Depends(bodies.of(schemas.PolicyBody))]
RollbackBody = Annotated[schemas.RollbackBody, Depends(bodies.of(schemas.RollbackBody))]
PreviewBody = Annotated[schemas.PreviewBody, Depends(bodies.of(schemas.PreviewBody))]


@router.get(
    "/v1/policy",
    summary="Show the workspace's policy",
    response_model=schemas.PolicyVersionView,
    responses=responses(),
)
async def show(call: Caller) -> Response:
    """The one in force; number 0 with the defaults where none was set."""
    return await _shown(call, None)


@router.get(
    "/v1/collections/{name}/policy",
    summary="Show a collection's policy",
    response_model=schemas.PolicyVersionView,
    responses=responses(404),
)
async def show_of_collection(call: Caller, name: str) -> Response:
    """The one in force; number 0 where none was set: the workspace's holds."""
    return await _shown(call, name)


@router.put(
    "/v1/policy",
    summary="Set the workspace's policy",
    response_model=schemas.PolicyVersionView,
    responses=responses(409),
    openapi_extra=json_body(schemas.PolicyBody),
)
async def put(call: Admin, body: PolicyBody) -> Response:
    """Set it as a whole, as a new version; where it is in force already, nothing is written."""
    return await _set(call, None, body)


@router.put(
    "/v1/collections/{name}/policy",
    summary="Set a collection's policy",
    response_model=schemas.PolicyVersionView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.PolicyBody),
)
async def put_of_collection(call: Admin, name: str, body: PolicyBody) -> Response:
    """Set it as a whole, as a new version. For a question the strictest of all collections that it asks holds."""
    return await _set(call, name, body)


@router.get(
    "/v1/policy/versions",
    summary="List versions of the workspace's policy",
    response_model=schemas.PolicyVersionList,
    responses=responses(),
)
async def versions(call: Admin, limit: paging.Limit = 50, after: paging.After = None) -> Response:
    """Newest first."""
    return await _versions(call, None, limit, after)


@router.get(
    "/v1/collections/{name}/policy/versions",
    summary="List versions of a collection's policy",
    response_model=schemas.PolicyVersionList,
    responses=responses(404),
)
async def versions_of_collection(
    call: Admin, name: str, limit: paging.Limit = 50, after: paging.After = None
) -> Response:
    """Newest first."""
    return await _versions(call, name, limit, after)


@router.post(
    "/v1/policy/rollback",
    summary="Go back to an old policy of the workspace",
    response_model=schemas.PolicyVersionView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.RollbackBody),
)
async def rollback(call: Admin, body: RollbackBody) -> Response:
    """Write a new version that is equal to an old one."""
    return await _rolled_back(call, None, body)


@router.post(
    "/v1/collections/{name}/policy/rollback",
    summary="Go back to an old policy of a collection",
    response_model=schemas.PolicyVersionView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.RollbackBody),
)
async def rollback_of_collection(call: Admin, name: str, body: RollbackBody) -> Response:
    """Write a new version that is equal to an old one."""
    return await _rolled_back(call, name, body)


@router.post(
    "/v1/policy/preview",
    summary="Try a policy or a template",
    response_model=schemas.PreviewView,
    responses=responses(404),
    openapi_extra=json_body(schemas.PreviewBody),
)
async def preview(call: Admin, body: PreviewBody) -> Response:
    """What would hold for a question, and what a model would be asked. None is asked, and nothing is stored."""
    return replies.of(await call.run(lambda principal: _previewed(call, principal, body)))


def _previewed(call: Call, principal: Principal, body: schemas.PreviewBody) -> represent.Json:
    services = call.house.services
    policy = None if body.policy is None else _policy(body.policy)
    template = None
    if body.template is not None:
        template = services.templates.draft(principal, body.template.system, body.template.user)
    draft = Draft(policy=policy, collection=body.collection, template=template)
    held = services.policies.preview(principal, body.collections, draft)
    checked = guard.check(body.question, max_chars=call.house.settings.max_query_chars, policy=held.policy)
    sources = [_SOURCE] if body.sources is None else [_source(each) for each in body.sources]
    messages = prompt.render(held.template, held.policy, question=checked.for_model, sources=sources)
    return represent.preview(held, checked, messages, services.policies.warnings(held.policy))


async def _shown(call: Call, collection: str | None) -> Response:
    policies = call.house.services.policies
    found = await call.run(lambda principal: policies.get(principal, collection))
    return replies.of(_represented(call, found))


async def _set(call: Call, collection: str | None, body: schemas.PolicyBody) -> Response:
    policies = call.house.services.policies
    policy = _policy(body)
    made = await call.run(
        lambda principal: policies.set(principal, collection, policy, note=body.note, if_number=body.if_number)
    )
    return replies.of(_represented(call, made))


async def _versions(call: Call, collection: str | None, limit: int, after: str | None) -> Response:
    policies = call.house.services.policies
    before = _CURSORS.after_ordinal(after)
    rows = await call.run(lambda principal: policies.versions(principal, collection, before=before, limit=limit + 1))
    return replies.of(
        paging.page(rows, limit, shown=lambda row: _represented(call, row), cursor=lambda row: _CURSORS.of(row.number))
    )


async def _rolled_back(call: Call, collection: str | None, body: schemas.RollbackBody) -> Response:
    policies = call.house.services.policies

    def work(principal: Principal) -> Reply:
        def made() -> Reply:
            version = policies.rollback(principal, collection, body.number, if_number=body.if_number)
            return Reply(status=200, body=replies.dumps(_represented(call, version)))

        return call.once(principal, body.model_dump_json().encode(), made)

    return stored(await call.run(work))


def _represented(call: Call, version: PolicyVersion | None) -> represent.Json:
    warnings = [] if version is None else call.house.services.policies.warnings(version.policy)
    return represent.policy_version(version, warnings)


def _policy(body: schemas.PolicyFields) -> Policy:
    return Policy(
        role=body.role,
        tone=body.tone,
        language=body.language,
        models=None if body.models is None else tuple(body.models),
        default_model=body.default_model,
        template=body.template,
        citations_required=body.citations_required,
        minimum_support=body.minimum_support,
        unsupported=Unsupported(body.unsupported),
        refused_topics=tuple(body.refused_topics),
        max_answer_chars=body.max_answer_chars,
        personal_data=PersonalData(body.personal_data),
        output_format=OutputFormat(body.output_format),
        max_cost_usd=body.max_cost_usd,
        daily_cost_usd=body.daily_cost_usd,
    )


def _source(body: schemas.PreviewSource) -> prompt.PromptSource:
    return prompt.PromptSource(title=body.title, text=body.text, page=body.page, marks=tuple(body.marks))
