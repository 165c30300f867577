"""An application behind a real server, in a thread of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from app.api import server

START_SECONDS = 60.0


@contextlib.contextmanager
def serving(app: Any, *, started: bool = False, max_message_bytes: int = 1_000_000) -> Iterator[tuple[str, int]]:
    """Serve it on the loopback; gives host and port.

    Args:
        app: of `create_app`.
        started: its services are started already, and stopped by who started them.
        max_message_bytes: of a web socket.
    """

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await app(scope, receive, send)

    served = without_lifespan if started else app
    config = server.config(served, grace_seconds=1, max_message_bytes=max_message_bytes)
    ready = threading.Event()
    running = server.Server(config, on_listening=ready.set, on_stopping=lambda: None)
    with server.bind("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=running.run, args=([bound],))
        thread.start()
        try:
            assert ready.wait(START_SECONDS)
            host, port = bound.getsockname()
            yield host, port
        finally:
            running.should_exit = True
            thread.join(START_SECONDS)
