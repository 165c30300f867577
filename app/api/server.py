"""The HTTP server: uvicorn, with time limits on request heads, an orderly stop, and an exit code of 0 after it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api import garbage

HEAD_BYTES = 64 * 1024  # of one request's line and headers, as much as h11 takes
KEEP_ALIVE_SECONDS = 30
_GARBAGE_TICKS = 20  # of 0.1 s
_DRAIN_SECONDS = 3.0  # the most that running requests get at a stop; ingestion has its own time after that


class Protocol(HttpToolsProtocol):
    """One connection, which is closed when a request's head does not come, or does not end."""

    head_seconds = 10.0  # from a connection's or a request's first sign to the end of its headers
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Expect a head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a head has ended."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's headers are too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        if self._head_timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is another head."""
        self._in_head = True
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


class _RefusedSockets(logging.Filter):
    """Passes over uvicorn's complaint about a web socket that was refused with a whole response, which is no error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        return record.getMessage() != "ASGI callable returned without completing handshake."


class Server(uvicorn.Server):
    """Tells when it listens and when it stops; a signal ends it with code 0, a second one at once."""

    def __init__(
        self, config: uvicorn.Config, *, on_listening: Callable[[], None], on_stopping: Callable[[], None]
    ) -> None:
        """Take what to call from the event loop; both must be quick."""
        super().__init__(config)
        self._on_listening = on_listening
        self._on_stopping = on_stopping
        self._garbage = garbage.Garbage()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets=sockets)
        if self.started:
            garbage.started()
            self._on_listening()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end. Between requests it is time for the garbage."""
        if counter % _GARBAGE_TICKS == 0 and not self.server_state.tasks:
            self._garbage.collect()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, and stop."""
        self._on_stopping()
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals without raising them again: an orderly stop is no death by signal."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def config(app: Any, *, grace_seconds: float, max_message_bytes: int) -> uvicorn.Config:
    """How the application is served: no access log (ours is in the middleware), no `Server` header."""
    complaints = logging.getLogger("uvicorn.error")
    complaints.filters[:] = [_RefusedSockets()]
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=max_message_bytes,
        ws_per_message_deflate=False,  # a small message may not become a huge one
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=min(grace_seconds, _DRAIN_SECONDS),  # type: ignore[arg-type]  # handed to wait_for
    )


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; raises OSError where that is taken or not ours."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def url_of(bound: socket.socket) -> str:
    """Where a client on this machine reaches the socket."""
    host, port = bound.getsockname()[:2]
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"
