"""The server's own limits on connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.api import server


class _Impatient(server.Protocol):
    head_seconds = 0.05


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def _listening(protocol: type[server.Protocol]) -> Iterator[tuple[str, int]]:
    config: uvicorn.Config = server.config(_app, grace_seconds=1, max_message_bytes=1024)
    config.http = protocol
    ready, noted = threading.Event(), []
    running = server.Server(config, on_listening=ready.set, on_stopping=lambda: noted.append("stopping"))
    with server.bind("127.0.0.1", 0) as bound:
        address = bound.getsockname()
        thread = threading.Thread(target=running.run, args=([bound],))
        thread.start()
        assert ready.wait(30)
        yield address
        running.should_exit = True
        thread.join()
    assert noted == ["stopping"]


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: local", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"])
def test_a_head_that_does_not_end_closes_the_connection(begun: bytes) -> None:
    with _listening(_Impatient) as address, socket.create_connection(address, timeout=30) as connection:
        connection.sendall(begun)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200") == (b"\r\n\r\n" in begun)


def test_a_connection_serves_many_requests() -> None:
    with _listening(server.Protocol) as address, socket.create_connection(address, timeout=30) as connection:
        for _ in range(3):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_too_large_a_head_is_refused() -> None:
    with _listening(server.Protocol) as address, socket.create_connection(address, timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * server.HEAD_BYTES)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
