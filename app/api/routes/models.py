"""Models: what there is, how it is doing, a small question to one, and the file of models read anew."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api import replies, represent_models, schemas
from app.api.house import Admin, Caller, Editor
from app.api.problems import responses
from app.domain.access import Principal, Role
from app.domain.errors import FootnoteError, ForbiddenError, NotFoundError
from app.domain.models import ChatRequest, Delta, Finished, Message, Usage
from app.domain.ports import ChatModel
from app.gateway.keys import require_admin

router = APIRouter(prefix="/v1/models", tags=["models"])

_QUESTION = ChatRequest(messages=(Message(role="user", text="Answer with the one word: ready"),), max_tokens=16)
Seconds = Annotated[float, Query(ge=0.1, le=120, description="in which the whole answer must come")]


@router.get("", summary="List models", response_model=schemas.ModelList, responses=responses())
async def index(call: Caller) -> Response:
    """Every model that writes answers, the built-in one last. Addresses and last errors are for who runs the service."""
    services = call.house.services

    def work(principal: Principal) -> dict[str, Any]:
        operates = principal.role is Role.ADMIN and _operates(call, principal)
        shown = [represent_models.model(each, operates=operates) for each in services.models.all()]
        return {
            "data": [*shown, represent_models.extractive()],
            "has_more": False,
            "next": None,
            "embedder": services.settings.embedder,
            "reranker": services.settings.reranker,
        }

    return replies.of(await call.run(work))


@router.post(
    "/reload", summary="Read the file of models anew", response_model=schemas.ReloadedView, responses=responses()
)
async def reload(call: Admin) -> Response:
    """What has changed. A file that is not usable changes nothing (422). Answers under way end with the model they have."""

    def admit(principal: Principal) -> None:
        require_admin(principal)
        call.house.services.workspaces.require_operator(principal)

    await call.run(admit)
    return replies.of(represent_models.reloaded(await call.house.services.models.reload()))


@router.post("/{name}/check", summary="Ask a model", response_model=schemas.ModelCheckView, responses=responses(404))
async def check(call: Editor, name: str, seconds: Seconds = 20.0) -> Response:
    """Whether it answers a question of five words, how fast, and what that took; the provider may charge for it."""
    await call.require_principal()
    model = call.house.services.models.get(name)
    if model is None:
        raise NotFoundError("there is no model of that name in the file of models", code="model_not_found")
    return replies.of(await _asked(model, seconds))


async def _asked(model: ChatModel, seconds: float) -> dict[str, Any]:
    began = time.perf_counter()
    first_ms: float | None = None
    usage: Usage | None = None
    said: list[str] = []
    error: FootnoteError | None = None
    try:
        async for event in model.stream(_QUESTION, deadline_seconds=seconds):
            if isinstance(event, Delta):
                first_ms = first_ms or _since(began)
                said.append(event.text)
            elif isinstance(event, Finished):
                usage = event.usage
    except FootnoteError as problem:
        error = problem
    return represent_models.check(
        model.spec, first_ms=first_ms, total_ms=_since(began), text="".join(said), usage=usage, error=error
    )


def _operates(call: Caller, principal: Principal) -> bool:
    try:
        call.house.services.workspaces.require_operator(principal)
    except ForbiddenError:
        return False
    return True


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
