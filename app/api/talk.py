"""Questions over a web socket, one at a time."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import WebSocket, status
from fastapi.exceptions import RequestValidationError
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from app.api import bodies, problems, replies, schemas
from app.api.asking import Asking, Told
from app.api.event_stream import guarded
from app.api.house import House
from app.domain import filters
from app.domain.access import Principal
from app.domain.answers import Question
from app.domain.errors import ConflictError, FootnoteError, InvalidInputError, UnauthenticatedError

_STRANGER_SECONDS = 10.0  # to show a key
_IDLE_SECONDS = 600.0  # between two questions
_SEND_SECONDS = 30.0  # in which a client must take what it is sent


class Talk:
    """One web socket. The key comes in the header, or as `key` with the first question: browsers set no header."""

    def __init__(self, socket: WebSocket, house: House) -> None:
        """Take a socket that was not accepted yet."""
        self._socket = socket
        self._house = house
        self._secret = _bearer(socket.headers.get("authorization"))
        self._request_id = request_id_of(socket)
        self._sending = asyncio.Lock()
        self._asking: Asking | None = None
        self._answering: asyncio.Task[bool] | None = None

    async def held(self) -> None:
        """Answer until the client goes away, is silent for too long, or has no key."""
        try:
            if self._secret is not None:
                await self._house.compute.run(self._principal)
        except FootnoteError as error:
            await self._socket.send_denial_response(problems.of_error(error, request_id=self._request_id))
            return
        await self._socket.accept()
        receiving = asyncio.ensure_future(self._socket.receive())
        try:
            while await self._turn(receiving):
                if receiving.done():
                    receiving = asyncio.ensure_future(self._socket.receive())
        except WebSocketDisconnect:
            pass
        finally:
            await self._end(receiving)

    async def _turn(self, receiving: asyncio.Task[Message]) -> bool:
        """One message or one answer; False where there is no more to come."""
        if self._answering is not None:
            await asyncio.wait({receiving, self._answering}, return_when=asyncio.FIRST_COMPLETED)
        else:
            patience = _STRANGER_SECONDS if self._secret is None else _IDLE_SECONDS
            done, _ = await asyncio.wait({receiving}, timeout=patience)
            if not done:
                await self._socket.close(status.WS_1001_GOING_AWAY, "nothing was asked")
                return False
        if self._answering is not None and self._answering.done():
            goes_on = self._answering.result()
            self._answering = None
            return goes_on and not (receiving.done() and not await self._heard(receiving.result()))
        return await self._heard(receiving.result())

    async def _heard(self, message: Message) -> bool:
        if message["type"] == "websocket.disconnect":
            return False
        if self._answering is not None:
            error = ConflictError("one question at a time: the answer before it is under way", code="busy")
            await self._tell(("error", problems.event_of(error, request_id=self._request_id)))
            return True
        self._answering = asyncio.ensure_future(self._answer(message))
        return True

    async def _answer(self, message: Message) -> bool:
        """All events of one question; False where the client has no key that works."""
        try:
            asking = self._asking = self._taken(message)
            first = await asking.first()
        except RequestValidationError as error:
            details = problems.sentences(error.errors())
            refusal = InvalidInputError(details)
            await self._tell(("error", problems.event_of(refusal, request_id=self._request_id)))
            return True
        except FootnoteError as error:
            await self._tell(("error", problems.event_of(error, request_id=self._request_id)))
            if isinstance(error, UnauthenticatedError):
                await self._socket.close(status.WS_1008_POLICY_VIOLATION, "no key that works")
                return False
            return True
        async with contextlib.aclosing(guarded(asking.told(first), request_id=self._request_id)) as events:
            async for event in events:
                await self._tell(event)
        return True

    def _taken(self, message: Message) -> Asking:
        """The question of a message.

        Raises:
            UnauthenticatedError, MalformedBodyError, RequestValidationError.
        """
        text = message.get("text")
        content = text.encode("utf-8", "replace") if text is not None else message.get("bytes") or b""
        try:
            body = bodies.fit(schemas.AskMessage, bodies.parse(content, of="the message"))
        except (FootnoteError, RequestValidationError):
            if self._secret is None:
                raise UnauthenticatedError("the first message carries `key`, an API key") from None
            raise
        self._secret = body.key or self._secret
        return Asking(self._house, self._principal, question(body))

    def _principal(self) -> Principal:
        if not self._secret:
            raise UnauthenticatedError("this takes an API key: the header Authorization, or `key` in the first message")
        principal = self._house.services.keys.authenticate(self._secret)
        self._house.services.rates.require(principal)
        self._socket.scope["footnote.principal"] = principal
        return principal

    async def _tell(self, event: Told) -> None:
        name, value = event
        text = replies.dumps({"event": name, "data": value})
        async with self._sending:
            try:
                async with asyncio.timeout(_SEND_SECONDS):
                    await self._socket.send_text(text)
            except (TimeoutError, RuntimeError) as error:  # silent, or closed in this moment
                raise WebSocketDisconnect(status.WS_1001_GOING_AWAY) from error

    async def _end(self, receiving: asyncio.Task[Message]) -> None:
        """Leave nothing behind."""
        if self._asking is not None:
            self._asking.patience.leave()
        tasks = [task for task in (receiving, self._answering) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
            await self._socket.close()


def question(body: schemas.AskBody) -> Question:
    """What a body asks. Raises BadFilterError."""
    return Question(
        text=body.question,
        collections=body.collections,
        filter=None if body.filter is None else filters.parse(body.filter),
        max_sources=body.max_sources,
        explain=body.explain,
        conversation_id=body.conversation_id,
        model=body.model,
        deltas=body.deltas,
        response_schema=body.response_schema,
        max_cost_usd=body.max_cost_usd,
    )


def request_id_of(socket: WebSocket) -> str | None:
    """The id that the middleware gave the socket."""
    found = socket.scope.get("footnote.request_id")
    return found if isinstance(found, str) else None


def _bearer(header: str | None) -> str | None:
    """The secret of an Authorization header; None where there is no header, empty where it carries none."""
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""
