"""Questions and their answers: as JSON, as server-sent events, over a web socket; and read back."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response, WebSocket

from app.api import bodies, problems, replies, represent, schemas, talk
from app.api.asking import Asking, attended
from app.api.event_stream import CONTENT, EventStream
from app.api.house import Caller, House
from app.api.openapi import json_body
from app.api.problems import responses
from app.domain.errors import InvalidInputError

router = APIRouter(tags=["ask"])

_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": CONTENT, "description": "The answer"}}


@router.post(
    "/v1/ask",
    summary="Ask",
    response_model=schemas.AnswerView,
    responses={**responses(404, 409), **_STREAM},
    openapi_extra=json_body(schemas.AskBody),
)
async def ask(call: Caller, body: Annotated[schemas.AskBody, Depends(bodies.of(schemas.AskBody))]) -> Response:
    """Answered from the documents that the caller may read, each sentence with its places; or `no_answer`.

    With `stream` the events are `sources`, a `sentence` for each that was verified, and `answer`; or `error`. With `deltas`
    too there are `delta`, a piece of what the model writes before it is validated, and `reset`: what was told since `sources`
    is void. A `reset` comes without `deltas` too, where a model breaks off or an answer is corrected.
    """
    receive = call.request.receive
    if body.deltas and not body.stream:
        raise InvalidInputError("`deltas` are told as events: they need `stream`", code="deltas_need_stream")
    asking = Asking(call.house, call.authenticated, talk.question(body))
    if not body.stream:
        return replies.of(await attended(receive, asking.patience, asking.whole()))
    first = await attended(receive, asking.patience, asking.first())  # what is wrong with it is no event yet
    return EventStream(asking.told(first), asking.patience, request_id=call.request_id)


@router.websocket("/v1/ask")
async def ask_in_turn(socket: WebSocket) -> None:
    """One question after the other; each message is a body of POST /v1/ask, the events are its stream's."""
    house = getattr(socket.app.state, "house", None)
    if isinstance(house, House):
        await talk.Talk(socket, house).held()
    else:
        error = problems.NotReadyError("the service is starting or stopping")
        await socket.send_denial_response(problems.of_error(error, request_id=talk.request_id_of(socket)))


@router.get(
    "/v1/answers/{answer_id}",
    summary="Read an answer back",
    response_model=schemas.AnswerView,
    responses=responses(404),
)
async def answer(call: Caller, answer_id: uuid.UUID) -> Response:
    """An answer of the caller's, without what was deleted or may no longer be read; admins see their workspace's."""
    found = await call.run(lambda principal: call.house.services.answers.get(principal, answer_id))
    return replies.of(represent.answer(found))


@router.post(
    "/v1/answers/{answer_id}/replay",
    summary="Ask an answer's question again",
    response_model=schemas.ReplayView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.ReplayBody),
)
async def replay(
    call: Caller, answer_id: uuid.UUID, body: Annotated[schemas.ReplayBody, Depends(bodies.of(schemas.ReplayBody))]
) -> Response:
    """The question as it stood alone, with what was asked for then, of the documents as they are now; both answers."""
    original, question = await call.run(lambda principal: call.house.services.answers.again(principal, answer_id))
    question = dataclasses.replace(question, model=body.model or question.model, max_cost_usd=body.max_cost_usd)
    asking = Asking(call.house, call.authenticated, question, replay_of=answer_id)
    event = await attended(call.request.receive, asking.patience, asking.last())
    asking.measured(event)
    return replies.of(represent.replayed(original, event))
