"""A job as events: what it is, and what becomes of it. Between two looks nothing is held but a timer."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable

from app.api import represent, waiting
from app.api.asking import Told
from app.api.event_stream import KEEP_ALIVE
from app.api.house import Call
from app.domain.access import Principal
from app.domain.errors import TransientError
from app.domain.jobs import JobState

KEEP_ALIVE_SECONDS = 15.0  # after which a comment is sent: proxies cut connections on which nothing moves
_LEAST_PAUSE_SECONDS = 1.0  # between two looks
_MOST_PAUSE_SECONDS = 5.0
_PAUSE_FACTOR = 20  # pauses are so many times as long as a look took: counting a long queue is not cheap


def look(call: Call, job_id: uuid.UUID) -> Callable[[Principal], represent.Json]:
    """What gives the job as GET shows it, for a thread. Raises NotFoundError."""
    house = call.house
    return lambda principal: waiting.show_placed(house, principal, job_id)


async def told(
    call: Call, job_id: uuid.UUID, first: represent.Json, *, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncGenerator[Told]:
    """The job as it was just seen, then each time that it is another, until it is final or the service stops.

    Raises:
        NotFoundError: its document was hidden from the caller meanwhile.
        UnauthenticatedError: the key was revoked.
    """
    shown, spent, spoke_at = first, 0.0, time.monotonic()
    yield "job", shown
    while not JobState(shown["state"]).final:
        pause = min(_MOST_PAUSE_SECONDS, max(_LEAST_PAUSE_SECONDS, _PAUSE_FACTOR * spent))
        if await _stopping(call, pause):
            return
        began = time.monotonic()
        found = shown
        with contextlib.suppress(TransientError):  # a part that is busy or down: the next look may tell more
            found = await call.run(look(call, job_id), admitted=True)
        spent = time.monotonic() - began
        if _tells(found) != _tells(shown):
            shown, spoke_at = found, time.monotonic()
            yield "job", shown
        elif time.monotonic() - spoke_at >= keep_alive_seconds:
            spoke_at = time.monotonic()
            yield KEEP_ALIVE


async def _stopping(call: Call, seconds: float) -> bool:
    """Wait so long; True as soon as the service is to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await call.house.stopping.wait()
            return True
    return False


def _tells(job: represent.Json) -> represent.Json:
    """The job without the estimate, which is another at each look and alone is no change."""
    return {name: value for name, value in job.items() if name != "estimated_start_seconds"}
