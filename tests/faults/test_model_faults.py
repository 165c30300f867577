"""Models that are down, silent or cut their streams: every caller has an answer in time, and nothing is left behind.

A short round of two faults runs with the tests; FOOTNOTE_FAULT_ROUNDS=long makes a thousand requests of each.
"""

from __future__ import annotations

import concurrent.futures
import gc
import os
import pathlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from app.bootstrap import build
from app.main import create_app
from app.settings import Settings
from tests.services import live_api
from tests.services.provider_server import Behaviour, ProviderServer
from tests.services.provider_wires import COMPATIBLE
from tests.services.running import embedded_alone

pytestmark = [
    embedded_alone,
    pytest.mark.timeout(1800 if os.environ.get("FOOTNOTE_FAULT_ROUNDS") == "long" else 180),
    # Clients of this process that leave at once give their sockets to the collector; what is held is counted below.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LONG = os.environ.get("FOOTNOTE_FAULT_ROUNDS") == "long"
REQUESTS = 1000 if LONG else 30
CLIENTS = 16
DEADLINE_SECONDS = 6.0
SLACK_SECONDS = 6.0  # of a machine that does other things too
TEXT = "The pier of Marlow is 300 metres long. The pier burnt down in 1903 after a storm."
BODY = {"question": "Why did the pier of Marlow burn down, and when?", "stream": True}
FAULTS = {
    "down": Behaviour(status=500),
    "silent": Behaviour(hangs=True),
    "stalling": Behaviour(stalls=True),
    "cutting": Behaviour(cuts=True),
    "busy": Behaviour(status=429, headers={"Retry-After": "1"}),
    "refusing": Behaviour(status=401),
    "nonsense": Behaviour(extra=b"data: {nonsense\n\n"),
}
MODEL = """
[[model]]
name = "{name}"
provider = "openai_compatible"
model = "m"
base_url = "{url}"
first_token_seconds = 0.5
idle_seconds = 0.5
concurrency = 32
queue = 32
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    made = ProviderServer(COMPATIBLE)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, upstream: ProviderServer) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("models") / "data"
    folder.mkdir()
    listed = "".join(MODEL.format(name=name, url=upstream.url) for name in ("first", "second"))
    (folder / "models.toml").write_text(listed, encoding="utf-8")
    settings = Settings(
        data_dir=folder,
        embedder="hashing-64",
        min_free_bytes=0,
        answer_deadline_seconds=DEADLINE_SECONDS,
        request_queue=200,
    )
    services = build(settings)
    with live_api.serving(create_app(services=services)) as (host, port):
        key = pathlib.Path(services.admin_key_path).read_text(encoding="utf-8").strip()
        with httpx.Client(
            base_url=f"http://{host}:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
        ) as made:
            made.post("/v1/documents?wait=30", json={"text": TEXT, "collection": "default"}).raise_for_status()
            yield made


def asked(client: httpx.Client, number: int) -> tuple[str, float]:
    """How one question ended, and after how long; every eighth client leaves at once."""
    began = time.monotonic()
    if number % 8 == 7:
        with client.stream("POST", "/v1/ask", json=BODY) as reply:
            next(reply.iter_raw(), None)
        return "left", time.monotonic() - began
    reply = client.post("/v1/ask", json=BODY)
    took = time.monotonic() - began
    last = reply.text.rstrip().split("\n\n")[-1]
    event = last.split("\n")[0].removeprefix("event: ")
    if event == "answer":
        return ("degraded" if '"degraded": true' in last or '"degraded":true' in last else "answered"), took
    return event or str(reply.status_code), took


def available(client: httpx.Client) -> set[str]:
    """Models that would be called now."""
    return {each["name"] for each in client.get("/v1/models").json()["data"] if each["available"]} - {"extractive"}


def held(client: httpx.Client) -> dict[str, Any]:
    """Threads and sockets of this process, and tasks of the service's event loop."""
    gc.collect()
    page = client.get("/metrics").text
    tasks = next(line for line in page.splitlines() if line.startswith("footnote_event_loop_tasks "))
    # The pools of requests and of resolving names grow to their size and stay.
    threads = [each for each in threading.enumerate() if not each.name.startswith(("request", "asyncio", "ThreadPool"))]
    return {
        "threads": len(threads),
        "sockets": len(psutil.Process().net_connections("tcp")),
        "tasks": int(float(tasks.split()[1])),
    }


@pytest.mark.parametrize("fault", FAULTS if LONG else ["silent", "cutting"])
def test_every_caller_has_an_answer_in_time_and_nothing_is_left(
    client: httpx.Client, upstream: ProviderServer, fault: str
) -> None:
    until_well(client, upstream)
    before = held(client)
    upstream.behaviour = FAULTS[fault]
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        ended = list(pool.map(lambda number: asked(client, number), range(REQUESTS)))
    outcomes = Counter(how for how, _ in ended)
    assert set(outcomes) <= {"degraded", "left"}, outcomes
    assert max(took for _, took in ended) < DEADLINE_SECONDS + SLACK_SECONDS
    if fault not in ("busy", "refusing"):
        assert not available(client), "no breaker has opened"
    until_well(client, upstream)
    deadline = time.monotonic() + 30
    while (after := held(client)) and any(after[name] > before[name] + 2 for name in before):
        assert time.monotonic() < deadline, (before, after)
        time.sleep(0.5)
        for name in ("first", "second"):  # pools close what was idle for long when they are used
            client.post("/v1/ask", json={"question": BODY["question"], "model": name})
    print(  # noqa: T201 - as the other rounds tell how they went
        f"\n{fault}: {REQUESTS} requests, {dict(outcomes)}, slowest {max(took for _, took in ended):.1f} s, "
        f"held before {before}, after {after}"
    )


def until_well(client: httpx.Client, upstream: ProviderServer) -> None:
    """The server behaves again: the breakers close, and a model answers."""
    upstream.behaviour = Behaviour(texts=("The pier burnt down in 1903 after a storm [1].",))
    deadline = time.monotonic() + 60
    while available(client) != {"first", "second"} or asked(client, 0)[0] != "answered":
        for name in ("first", "second"):
            client.post("/v1/ask", json={"question": BODY["question"], "model": name})
        assert time.monotonic() < deadline, client.get("/v1/models").text
        time.sleep(0.3)
