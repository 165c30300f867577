"""A look at whether rows, vectors and files agree, for the one who runs the service (admins of the default workspace)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from fastapi import APIRouter, Response

from app.answering.patience import Patience
from app.api import represent
from app.api.asking import Told
from app.api.event_stream import CONTENT, EventStream
from app.api.house import Admin, House
from app.api.problems import responses
from app.documents.doctor import Event
from app.domain.access import Principal
from app.gateway.keys import require_admin

router = APIRouter(prefix="/v1/doctor", tags=["doctor"])
_DAY_SECONDS = 86_400.0  # no look takes as long; its client may go away at any time


@router.post(
    "",
    summary="Look for drift",
    response_class=Response,
    responses={
        **responses(),
        200: {"content": CONTENT, "description": "What is found, as it is found"},
    },
)
async def look(call: Admin, *, repair: bool = False, deep: bool = False) -> Response:
    """Events: `looked` (how far it is), `finding`, and `report`, the last one; or `error`.

    `repair` mends what can be; `deep` reads every original and text too. Every workspace is looked at.
    """

    def begin(principal: Principal) -> Iterator[Event]:
        require_admin(principal)
        call.house.services.workspaces.require_operator(principal)
        return call.house.services.doctor(repair=repair, deep=deep)

    events = await call.run(begin)
    return EventStream(_told(call.house, events), Patience(_DAY_SECONDS), request_id=call.request_id)


async def _told(house: House, events: Iterator[Event]) -> AsyncIterator[Told]:
    """Each event is a hop to a thread: a look takes long, and other requests go in between."""
    while (event := await house.compute.run(lambda: next(events, None), admitted=True)) is not None:
        if house.stopping.is_set():
            return
        yield represent.drift(event)
