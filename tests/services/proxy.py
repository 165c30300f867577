"""A loopback proxy before a server, that can do harm: refuse, hang, cut, or answer 503."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Literal

Mode = Literal["pass", "refuse", "hang", "cut", "busy"]
_PIECE = 64 * 1024
_CUT_SECONDS = 0.05  # that a connection lives while connections are cut
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes connections on to a port of this machine, or does not. Runs in a thread of its own."""

    def __init__(self, upstream: int) -> None:
        """Listen on a free port."""
        self._upstream = upstream
        self._mode: Mode = "pass"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self._run(self._open())

    def set(self, mode: Mode) -> None:
        """From now on.

        Args:
            mode: `pass`; `refuse` connections, and cut those that there are; `hang`: what is sent lies until `pass`;
                `cut` every connection after a moment; `busy`: every HTTP request is answered 503.
        """
        self._run(self._set(mode))

    def close(self) -> None:
        """Cut everything."""
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "hang":
            self._flows.clear()
            return
        self._flows.set()
        if mode == "pass":
            if self._server is None:
                await self._listen()
            return
        if mode == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()

    async def _cut(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                await self._handle(reader, writer)
        except asyncio.CancelledError:
            pass  # cut: the connection ends below
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        if self._mode == "cut":
            await asyncio.sleep(_CUT_SECONDS)
        elif self._mode == "busy":
            await _answer_busy(reader, writer)
        elif self._mode == "pass":
            await self._pass(reader, writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", self._upstream))
        try:
            beyond, back = await asyncio.shield(opening)
        except asyncio.CancelledError:  # cut while it connects, which would leave a transport open
            opening.add_done_callback(_abort)
            raise
        ways = [asyncio.create_task(self._pipe(reader, back)), asyncio.create_task(self._pipe(beyond, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.transport.abort()

    async def _pipe(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(_PIECE):
                await self._flows.wait()
                target.write(piece)
                await target.drain()


def _abort(opening: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[1].transport.abort()


async def _answer_busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a request to its end, as far as it says how long it is, and answer 503."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
    if b"expect: 100-continue" not in head:
        await reader.readexactly(length)
    writer.write(_BUSY)
    await writer.drain()
    writer.write_eof()
    await asyncio.sleep(_CUT_SECONDS)
