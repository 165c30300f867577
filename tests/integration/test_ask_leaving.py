"""Clients that go away while they are answered leave nothing behind: a short round of `benchmarks.answer_freshness`."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import connect

from app.main import create_app
from tests.services import live_api

Json = dict[str, Any]
TEXT = "A ticket to the lighthouse costs 6 euros."


class Slow:
    """A reranker that takes its time, so that a client can leave meanwhile."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.left = threading.Semaphore(0)

    def scores(self, question: str, texts: list[str]) -> list[float]:
        del question
        self.entered.release()
        assert self.gate.wait(30)
        self.left.release()
        return [0.0] * len(texts)


@pytest.fixture(scope="module")
def running(api: Any) -> Iterator[tuple[str, int, Any]]:
    """The application of the tests behind a real server: (host, port, application)."""
    app = create_app(services=api.services)
    app.state.house = api.client.app.state.house
    with live_api.serving(app, started=True, max_message_bytes=4096) as (host, port):
        yield host, port, app


@pytest.fixture
def slow(api: Any) -> Iterator[Slow]:
    waiting = Slow()
    object.__setattr__(api.services.ask, "reranker", waiting)
    yield waiting
    waiting.gate.set()
    object.__setattr__(api.services.ask, "reranker", None)


@pytest.fixture(scope="module")
def collection(api: Any) -> str:
    name: str = api.collection()
    api.live(name, TEXT, title="Lighthouse")
    return name


def request(api: Any, address: tuple[str, int, Any], body: Json) -> socket.socket:
    host, port, _ = address
    content = json.dumps(body).encode()
    opened = socket.create_connection((host, port), timeout=30)
    opened.sendall(
        f"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    return opened


def until_calm(api: Any) -> None:
    compute = api.client.app.state.house.compute
    deadline = time.monotonic() + 30
    while compute.running or compute.waiting:
        assert time.monotonic() < deadline, "a request is still under way"
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [True, False])
def test_a_step_that_runs_when_its_client_leaves_is_the_last(
    api: Any, running: Any, slow: Slow, collection: str, *, stream: bool
) -> None:
    opened = request(api, running, {"question": "ticket?", "collections": [collection], "stream": stream})
    assert slow.entered.acquire(timeout=30)
    opened.close()
    time.sleep(0.3)  # the server has seen it
    answered: list[float] = []
    generate = api.services.ask.extractive
    object.__setattr__(api.services.ask, "extractive", Counting(generate, answered))
    try:
        slow.gate.set()
        assert slow.left.acquire(timeout=30)
        until_calm(api)
    finally:
        object.__setattr__(api.services.ask, "extractive", generate)
    assert answered == []


class Counting:
    """An answerer that counts how often it is asked."""

    def __init__(self, inner: Any, asked: list[float]) -> None:
        self._inner, self._asked = inner, asked
        self.name, self.threshold = inner.name, inner.threshold

    def draft(self, *arguments: Any) -> Any:
        self._asked.append(time.monotonic())
        return self._inner.draft(*arguments)


def test_many_clients_that_hang_up_leave_no_thread_task_or_connection(api: Any, running: Any, collection: str) -> None:
    host, port, _ = running
    body = {"question": "What does a ticket cost?", "collections": [collection]}

    def counts() -> tuple[int, int]:
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("GET", "/metrics", headers={"Host": "localhost"})
        page = connection.getresponse().read().decode()
        connection.close()
        tasks = next(line for line in page.splitlines() if line.startswith("footnote_event_loop_tasks "))
        others = [each for each in threading.enumerate() if not each.name.startswith("request")]  # the pool's own grow
        return int(float(tasks.split()[1])), len(others)

    request(api, running, body | {"stream": True}).close()
    until_calm(api)
    time.sleep(0.3)
    before = counts()
    for number in range(60):
        if number % 6 == 5:
            opened = connect(
                f"ws://{host}:{port}/v1/ask",
                additional_headers={"Authorization": f"Bearer {api.secret}"},
                proxy=None,
                legacy=True,
            )
            opened.send(json.dumps(body))
            opened.socket.close()
            continue
        with request(api, running, body | {"stream": bool(number % 2)}) as sent, contextlib.suppress(OSError):
            if number % 3:
                sent.recv(30)
    deadline = time.monotonic() + 30
    until_calm(api)
    while (after := counts()) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert after <= before


def test_an_open_web_socket_takes_one_question_at_a_time(api: Any, running: Any, slow: Slow, collection: str) -> None:
    host, port, _ = running
    headers = {"Authorization": f"Bearer {api.secret}"}
    with connect(f"ws://{host}:{port}/v1/ask", additional_headers=headers, proxy=None) as opened:
        body = json.dumps({"question": "ticket?", "collections": [collection]})
        opened.send(body)
        assert json.loads(opened.recv(timeout=30))["event"] == "sources"
        assert slow.entered.acquire(timeout=30)
        opened.send(body)
        told = json.loads(opened.recv(timeout=30))
        assert (told["event"], told["data"]["code"]) == ("error", "busy")
        slow.gate.set()
        while told["event"] != "answer":
            told = json.loads(opened.recv(timeout=30))
        assert told["data"]["status"] in ("answered", "no_answer")


def test_a_message_over_the_limit_closes_the_socket(api: Any, running: Any) -> None:
    host, port, _ = running
    headers = {"Authorization": f"Bearer {api.secret}"}
    with connect(f"ws://{host}:{port}/v1/ask", additional_headers=headers, proxy=None) as opened:
        opened.send("x" * 5000)
        with pytest.raises(Exception, match="1009"):
            opened.recv(timeout=30)


def test_the_deadline_ends_an_answer(api: Any, running: Any, slow: Slow, collection: str) -> None:
    house = api.client.app.state.house
    settings = house.settings
    object.__setattr__(house, "settings", settings.model_copy(update={"answer_deadline_seconds": 0.2}))
    try:
        body = {"question": "ticket?", "collections": [collection]}
        with request(api, running, body) as opened:
            reply = http.client.HTTPResponse(opened)
            reply.begin()
            assert reply.status == 503
            assert json.loads(reply.read())["code"] == "deadline_exceeded"
            assert reply.headers["Retry-After"]
    finally:
        object.__setattr__(house, "settings", settings)
    del slow
