"""An HTTP server on the loopback that speaks as a provider of models does, well or badly, as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.services.provider_wires import Wire

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a server does with the next requests; the fields are looked at in this order."""

    hangs: bool = False  # takes the request and says nothing
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: Json | None = None  # of an error; None: the provider's own
    texts: tuple[str, ...] = ("Assets rose", " to 14 million", " dollars — in 2019.")
    pause_seconds: float = 0.0  # before each text but the first
    extra: bytes = b""  # sent after the first text: nonsense, an error
    stalls: bool = False  # says nothing after the first text
    cuts: bool = False  # cuts the connection after the first text
    ends: bool = True  # says why it ends
    lingers: bool = False  # says why it ends, and does not end
    reason: str = "stop"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One that came."""

    path: str  # with its query
    headers: Mapping[str, str]  # names in small letters
    body: Json


class ProviderServer:
    """It runs in a thread of its own, on a loop of its own."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.behaviour = Behaviour()
        self.requests: list[Request] = []
        self.open = 0  # connections
        self.accepted = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """As a base URL."""
        return f"http://127.0.0.1:{self.port}{self.wire.base}"

    def until_closed(self, left: int = 0) -> None:
        """Wait until no more connections than that are open."""
        self.until(lambda: self.open <= left, f"{self.open} connections are still open")

    def until(self, holds: Callable[[], bool], why: str) -> None:
        """Wait for something, 10 s at most."""
        end = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < end, why
            time.sleep(0.005)

    def start(self) -> None:
        """Until it listens."""
        self._thread.start()
        assert self._is_up.wait(10)

    def stop(self) -> None:
        """With all of its connections."""
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        await self._stop.wait()
        server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.open += 1
        self.accepted += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self.open -= 1
            self._connections.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether another may follow."""
        request = await _read(reader)
        self.requests.append(request)
        answering = asyncio.ensure_future(self._answer(request, writer))
        leaving = asyncio.ensure_future(reader.read(1))  # the client says nothing more before it has its answer
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            return answering.done() and answering.result()
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        how, wire = self.behaviour, self.wire
        if how.hangs:
            await asyncio.Event().wait()
        if how.status != 200:
            headers, body = wire.error(how.status)
            _send(writer, how.status, {**headers, **how.headers}, json.dumps(how.body or body).encode())
            await writer.drain()
            return True
        path = request.path.partition("?")[0]
        if path == wire.whole_path and (path != wire.path or not request.body.get("stream")):
            _send(writer, 200, {}, json.dumps(wire.whole("".join(how.texts), how.reason)).encode())
            await writer.drain()
            return True
        return await self._stream(writer)

    async def _stream(self, writer: asyncio.StreamWriter) -> bool:
        how, wire = self.behaviour, self.wire
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {wire.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for number, text in enumerate(how.texts):
            if number:
                await asyncio.sleep(how.pause_seconds)
            for part in (*(wire.begin if not number else ()), wire.say(text)):
                writer.write(_chunk(part))
            if not number and how.extra:
                writer.write(_chunk(how.extra))
            await writer.drain()
            if how.cuts:
                return False  # in the middle of a chunked body
            if how.stalls:
                await asyncio.Event().wait()
        for part in wire.end(how.reason) if how.ends else ():
            writer.write(_chunk(part))
        if how.lingers:
            await writer.drain()
            await asyncio.Event().wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


@contextlib.contextmanager
def serving(wire: Wire) -> Iterator[ProviderServer]:
    """A server while the block runs."""
    server = ProviderServer(wire)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(path=head[0].split(" ")[1], headers=headers, body=json.loads(body or b"{}"))


def _send(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], body: bytes) -> None:
    head = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    writer.write(f"HTTP/1.1 {status} As The Test Says\r\n{lines}\r\n".encode() + body)


def _chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n" if part else b""
