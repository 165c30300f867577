"""Conversations: each is its beginner's alone."""

from __future__ import annotations

import functools
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from starlette.responses import StreamingResponse

from app.api import bodies, paging, replies, represent, schemas
from app.api.house import Caller, stored
from app.api.openapi import json_body
from app.api.problems import responses
from app.domain.access import Principal
from app.domain.answers import Answer
from app.gateway.idempotency import Reply

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])
_CURSORS = paging.Cursors("conversations")
_TURNS = paging.Cursors("turns")
_NDJSON = "application/x-ndjson"


@router.post(
    "",
    status_code=201,
    summary="Begin a conversation",
    response_model=schemas.ConversationView,
    responses=responses(409),
    openapi_extra=json_body(schemas.ConversationBody, required=False),
)
async def create(
    call: Caller, body: Annotated[schemas.ConversationBody, Depends(bodies.of_maybe(schemas.ConversationBody))]
) -> Response:
    """A conversation without turns; questions name it by `conversation_id`."""

    def work(principal: Principal) -> Reply:
        def made() -> Reply:
            conversation = call.house.services.conversations.begin(principal, title=body.title)
            location = f"/v1/conversations/{conversation.id}"
            return Reply(status=201, body=replies.dumps(represent.conversation(conversation)), location=location)

        return call.once(principal, body.model_dump_json().encode(), made)

    return stored(await call.run(work))


@router.get("", summary="List conversations", response_model=schemas.ConversationList, responses=responses())
async def index(call: Caller, limit: paging.Limit = 50, after: paging.After = None) -> Response:
    """The caller's own, in order of creation."""
    start = _CURSORS.after_id(after)
    conversations = call.house.services.conversations
    rows = await call.run(lambda principal: conversations.page(principal, after=start, limit=limit + 1))
    return replies.of(paging.page(rows, limit, shown=represent.conversation, cursor=lambda row: _CURSORS.of(row.id)))


@router.get(
    "/{conversation_id}",
    summary="Read a conversation",
    response_model=schemas.ConversationView,
    responses=responses(404),
)
async def get(call: Caller, conversation_id: uuid.UUID) -> Response:
    """One of the caller's."""
    found = await call.run(lambda principal: call.house.services.conversations.get(principal, conversation_id))
    return replies.of(represent.conversation(found))


@router.get(
    "/{conversation_id}/turns",
    summary="List a conversation's turns",
    response_model=schemas.AnswerList,
    responses=responses(404),
)
async def turns(
    call: Caller, conversation_id: uuid.UUID, limit: paging.Limit = 50, after: paging.After = None
) -> Response:
    """Its answers in order, without what was deleted or may no longer be read."""
    start = _TURNS.after_id(after)
    conversations = call.house.services.conversations
    rows = await call.run(
        lambda principal: conversations.turns(principal, conversation_id, after=start, limit=limit + 1)
    )
    return replies.of(paging.page(rows, limit, shown=represent.answer, cursor=lambda row: _TURNS.of(row.id)))


@router.get(
    "/{conversation_id}/export",
    summary="Export a conversation",
    response_class=Response,
    responses={**responses(404), 200: {"description": "One answer a line", "content": {_NDJSON: {}}}},
)
async def export(call: Caller, conversation_id: uuid.UUID) -> Response:
    """All its answers as lines of JSON, as `turns` shows them."""
    house = call.house

    def behind(principal: Principal, last: uuid.UUID | None) -> list[Answer]:
        return house.services.conversations.turns(principal, conversation_id, after=last, limit=paging.MAX_LIMIT)

    first = await call.run(lambda principal: behind(principal, None))

    async def sent() -> AsyncIterator[bytes]:
        page = first
        while page:
            yield "".join(f"{replies.dumps(represent.answer(each))}\n" for each in page).encode("utf-8", "replace")
            page = await house.compute.run(functools.partial(behind, call.principal, page[-1].id), admitted=True)

    headers = {"Content-Disposition": 'attachment; filename="conversation.jsonl"'}
    return StreamingResponse(sent(), media_type=_NDJSON, headers=headers)


@router.patch(
    "/{conversation_id}",
    summary="Rename a conversation",
    response_model=schemas.ConversationView,
    responses=responses(404),
    openapi_extra=json_body(schemas.ConversationChange),
)
async def change(
    call: Caller,
    conversation_id: uuid.UUID,
    body: Annotated[schemas.ConversationChange, Depends(bodies.of(schemas.ConversationChange))],
) -> Response:
    """Give it another title."""
    conversations = call.house.services.conversations
    renamed = await call.run(lambda principal: conversations.rename(principal, conversation_id, body.title))
    return replies.of(represent.conversation(renamed))


@router.delete(
    "/{conversation_id}",
    summary="Delete a conversation",
    response_model=schemas.ConversationRemoval,
    responses=responses(404),
)
async def remove(call: Caller, conversation_id: uuid.UUID) -> Response:
    """Delete it with its answers and their summary: they are gone when this returns."""
    removal = await call.run(lambda principal: call.house.services.conversations.remove(principal, conversation_id))
    return replies.of(represent.removal(removal))
