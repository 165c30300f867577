"""Search."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.answering.search import Mode, SearchRequest
from app.api import bodies, replies, represent, schemas
from app.api.house import Caller
from app.api.openapi import json_body
from app.api.problems import responses
from app.domain import filters
from app.domain.access import Principal
from app.domain.errors import DeadlineExceededError

router = APIRouter(prefix="/v1/search", tags=["search"])

_DEADLINE_SECONDS = 30.0  # past that nobody waits; the thread ends by itself


@router.post(
    "",
    summary="Search",
    response_model=schemas.SearchView,
    responses=responses(404, 409),
    openapi_extra=json_body(schemas.SearchBody),
)
async def search(call: Caller, body: Annotated[schemas.SearchBody, Depends(bodies.of(schemas.SearchBody))]) -> Response:
    """The passages that fit a query best, of those that the caller may read, each with its exact place."""

    def work(principal: Principal) -> str:
        request = SearchRequest(
            query=body.query,
            collections=body.collections,
            filter=None if body.filter is None else filters.parse(body.filter),
            limit=body.limit,
            mode=Mode(body.mode),
            by_document=body.group == "document",
            explain=body.explain,
        )
        result = call.house.services.search(principal, request)
        for stage, spent in result.timings_ms.items():
            call.house.metrics.stage(f"search.{stage}", spent / 1000, 1)
        return replies.dumps(represent.search(result, explain=body.explain))

    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            return replies.text(await call.run(work))
    except TimeoutError as error:
        raise DeadlineExceededError(f"the search took longer than {_DEADLINE_SECONDS:.0f} s") from error
