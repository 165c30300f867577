"""Bodies that come piece by piece, clients that go away, a pool that is full; spoken to without a server between."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from app.api.compute import Compute

_MIB = 1024 * 1024


class Exchange:
    """One request to the application, whose body comes from a generator."""

    def __init__(self, api: Any, path: str, headers: dict[str, str], body: Iterable[bytes], *, hangs_up: bool) -> None:
        self.status = 0
        self.content = b""
        self._pieces = iter(body)
        self._hangs_up = hangs_up
        self._app = api.client.app
        path, _, query = path.partition("?")
        sent = {"host": "localhost", "authorization": f"Bearer {api.secret}", **headers}
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
            "state": {},
        }

    async def _receive(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        piece = next(self._pieces, None)
        if piece is not None:
            return {"type": "http.request", "body": piece, "more_body": True}
        if self._hangs_up:
            return {"type": "http.disconnect"}
        self._hangs_up = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.content += message.get("body", b"")

    async def run(self) -> Any:
        """The status and the body as JSON."""
        await self._app(self._scope, self._receive, self._send)
        return self.status, json.loads(self.content) if self.content else None


def _on_loop(api: Any, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run on the loop that the application runs on."""
    return api.client.portal.call(work)


def _send(api: Any, path: str, headers: dict[str, str], body: Iterable[bytes], *, hangs_up: bool = False) -> Any:
    return _on_loop(api, Exchange(api, path, headers, body, hangs_up=hangs_up).run)


_FORM = {"content-type": "multipart/form-data; boundary=x"}
_LINES = {"content-type": "application/x-ndjson"}


def _form(collection: str, pieces: int, piece: bytes, *, ended: bool = True) -> Iterable[bytes]:
    yield f'--x\r\nContent-Disposition: form-data; name="collection"\r\n\r\n{collection}\r\n'.encode()
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    for _ in range(pieces):
        yield piece
    if ended:
        yield b"\r\n--x--\r\n"


def test_an_upload_that_never_ends_is_cut_off_at_the_limit_and_leaves_nothing(api: Any) -> None:
    def endless() -> Iterable[bytes]:
        yield from _form(name, 10**9, b"a" * 8192)

    name = api.collection()
    status, body = _send(api, "/v1/documents", _FORM, endless())
    assert (status, body["code"]) == (413, "too_large")
    assert api.staged() == []


def test_a_client_that_goes_away_in_an_upload_leaves_nothing(api: Any) -> None:
    name = api.collection()
    status, body = _send(api, "/v1/documents", _FORM, _form(name, 3, b"a" * 8192, ended=False), hangs_up=True)
    assert (status, body) == (0, None)
    assert api.staged() == []
    assert api.get(f"/v1/documents?collection={name}").json()["data"] == []


def test_a_client_that_goes_away_in_a_batch_leaves_a_job_that_ends(api: Any) -> None:
    name = api.collection()
    lines = [json.dumps({"text": f"kept line {number}"}).encode() + b"\n" for number in range(300)]
    _send(api, f"/v1/documents/batch?collection={name}", _LINES, lines, hangs_up=True)
    (job,) = [each for each in api.get("/v1/jobs?limit=5").json()["data"] if each["collection"] == name]
    deadline = time.monotonic() + 60
    while api.get(f"/v1/jobs/{job['id']}").json()["finished_at"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert api.get(f"/v1/jobs/{job['id']}").json()["progress"]["done"] == 256


def test_memory_does_not_grow_with_an_upload(big_api: Any) -> None:
    name = big_api.collection()
    piece = b"all work and no play " * 3121  # about 64 KiB
    tracemalloc.start()
    status, _ = _send(big_api, "/v1/documents", _FORM, _form(name, 640, piece))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert status == 202
    assert peak < 12 * _MIB  # of 40 MiB; the loader reads it in another process
    (job,) = big_api.get("/v1/jobs?limit=1").json()["data"]
    big_api.post(f"/v1/jobs/{job['id']}/cancel")


@pytest.fixture
def big_api(api: Any) -> Any:
    """The service with its real limit on uploads."""
    house = api.client.app.state.house
    settings = house.settings.model_copy(update={"max_upload_bytes": 64 * _MIB})
    api.client.app.state.house = dataclasses.replace(house, settings=settings)
    yield api
    api.client.app.state.house = house


def test_a_full_pool_answers_503_and_says_when_to_come_back(api: Any, problem: Any) -> None:
    house = api.client.app.state.house
    narrow = Compute(workers=1, queue=0)
    api.client.app.state.house = dataclasses.replace(house, compute=narrow)
    gate = threading.Event()
    try:
        blocked = threading.Thread(target=lambda: _on_loop(api, lambda: narrow.run(gate.wait)))
        blocked.start()
        while not narrow.running:
            time.sleep(0.001)
        reply = api.get("/v1/documents")
        problem(reply, 503, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1
        gate.set()
        blocked.join()
        assert api.get("/v1/documents").status_code == 200
    finally:
        gate.set()
        api.client.app.state.house = house
        narrow.close()
