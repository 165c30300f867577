"""Health and metrics: what a supervisor asks."""

from __future__ import annotations

import asyncio
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from app.api import problems, replies, schemas
from app.api.house import TheHouse, caller, credentials_of
from app.api.problems import responses
from app.domain.errors import TransientError
from app.gateway.keys import require_admin

router = APIRouter(tags=["health"])

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/health/live", summary="Is the process alive?", response_model=schemas.Health, responses=responses())
async def live() -> Response:
    """200 as long as the process answers."""
    return replies.of({"status": "live"})


@router.get("/health/ready", summary="Can it serve?", response_model=schemas.Health, responses=responses())
async def ready(request: Request, house: TheHouse) -> Response:
    """200 where every part is well; else 503, which names the part that is not."""
    # No place of the pool, which may be full of what waits.
    parts = await anyio.to_thread.run_sync(house.services.ready)
    down = {part: trouble for part, trouble in parts.items() if trouble is not None}
    if not down:
        return replies.of({"status": "ready", "parts": parts})
    error = problems.NotReadyError("; ".join(f"{part}: {trouble}" for part, trouble in down.items()))
    return problems.of_error(error, request_id=problems.request_id_of(request), more={"parts": parts})


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={**responses(), 200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}},
)
async def metrics(
    request: Request,
    house: TheHouse,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(credentials_of)],
) -> Response:
    """Open, or for admins where FOOTNOTE_METRICS_PUBLIC is false."""
    if not house.settings.metrics_public:
        call = await caller(request, credentials)
        await call.run(require_admin)

    tasks = len(asyncio.all_tasks())

    def work() -> bytes:
        with house.services.database.read() as unit:
            items = unit.jobs.counts()
            drift = unit.audit.last()
        try:
            index = house.services.index_size()
        except TransientError:  # what the others say is wanted most while the index is down
            index = {}
        compute = house.compute
        return house.metrics.page(
            items=items, index=index, drift=drift, running=compute.running, waiting=compute.waiting, tasks=tasks
        )

    return Response(await house.compute.run(work), headers={"Content-Type": _METRICS_TYPE})
