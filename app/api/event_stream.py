"""Server-sent events: a response that ends when its client does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.answering.patience import Patience
from app.api import problems, replies
from app.api.asking import Told, attended
from app.domain.errors import FootnoteError
from app.domain.waiting import TimeUpError, Waits

log = structlog.get_logger("footnote.api")

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE: Told = ("", {})  # in place of an event: a comment, which clients pass over
CONTENT: dict[str, Any] = {  # of a reply in the OpenAPI document: what each event is
    MEDIA_TYPE: {
        "schema": {
            "type": "object",
            "properties": {
                "event": {"type": "string"},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
            "required": ["event", "data"],
        }
    }
}
_SEND_SECONDS = 30.0  # in which a client must take what it is sent


class EventStream(Response):
    """Events as they come; an error of the product is an event, the last one."""

    def __init__(self, events: AsyncIterator[Told], patience: Patience, *, request_id: str | None) -> None:
        """Take the events, and what to tell when the client goes away."""
        super().__init__(media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]  # which is not known
        self._events = events
        self._patience = patience
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all, for as long as somebody takes it."""
        del scope
        await attended(receive, self._patience, self._sent(send))

    async def _sent(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        clock = asyncio.get_running_loop().time
        async with contextlib.aclosing(guarded(self._events, request_id=self._request_id)) as events:
            with contextlib.closing(Waits()) as waits:
                async for name, value in events:
                    sending = send({"type": "http.response.body", "body": _block(name, value), "more_body": True})
                    try:
                        await waits.until(clock() + _SEND_SECONDS, sending)
                    except TimeUpError as error:
                        raise ClientDisconnect from error
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _block(name: str, value: dict[str, Any]) -> bytes:
    if (name, value) == KEEP_ALIVE:
        return b":\n\n"
    return f"event: {name}\ndata: {replies.dumps(value)}\n\n".encode("utf-8", "replace")


async def guarded(events: AsyncIterator[Told], *, request_id: str | None) -> AsyncGenerator[Told, None]:
    """The events, and an error of the product as the last of them. Closing it closes them, and a model's call with them."""
    try:
        async for event in events:
            yield event
    except FootnoteError as error:
        yield "error", problems.event_of(error, request_id=request_id)
    except Exception:  # the last resort, as in the middleware: recorded with its traceback, told to nobody
        log.exception("request failed")
        detail = "something went wrong here; the log has it under this request id"
        yield "error", problems.body_of(500, "internal_error", detail, request_id=request_id)
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
