"""`footnote serve`, with a look at its event loop: how long it was kept from what was due.

    python -m benchmarks.watched_service --port 0 --data-dir FOLDER

`GET /-/loop` tells the delays since it was last asked: their number, the greatest, and those over 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import time
from typing import Any

from app import bootstrap, settings
from app.api import server
from app.api.garbage import settle
from app.api.metrics import Metrics
from app.main import create_app

_EVERY_SECONDS = 0.005
_LONG_SECONDS = 0.05


class Watched:
    """The application, and beside it a task that is due every 5 ms."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._late: list[float] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, or the lifespan."""
        if scope["type"] == "lifespan":
            self._task = asyncio.create_task(self._watch())
        if scope["type"] == "http" and scope["path"] == "/-/loop":
            late, self._late = self._late, []
            told = {
                "looks": len(late),
                "max_ms": 1000 * max(late, default=0.0),
                "over_50_ms": sum(each > _LONG_SECONDS for each in late),
            }
            body = json.dumps(told).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send)

    async def _watch(self) -> None:
        while True:
            due = time.perf_counter() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self._late.append(time.perf_counter() - due)


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    os.environ["FOOTNOTE_DATA_DIR"] = str(arguments.data_dir)
    chosen = settings.load()
    services = bootstrap.build(chosen, observer=Metrics())
    bound = server.bind("127.0.0.1", arguments.port)
    watched = Watched(create_app(chosen, services=services))
    settle()
    running = server.Server(
        server.config(watched, grace_seconds=chosen.stop_grace_seconds, max_message_bytes=chosen.max_json_bytes),
        on_listening=lambda: services.announce(server.url_of(bound)),
        on_stopping=services.queue.quiet,
    )
    try:
        running.run(sockets=[bound])
    finally:
        bound.close()
        services.stop()


if __name__ == "__main__":
    main()
