"""Messages that come twice, at the wrong time or make no sense, and a document that kills its workers; on real brokers."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import celery
import httpx
import pytest
import sqlalchemy as sa

from app.bootstrap.parts import INGEST, KINDS, UPKEEP
from app.queues.celery_queue import WORK, make_app, queue_of
from tests.services import running
from tests.services.running import Stack, call

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]
DOCUMENTS = 40
_ROUND, _WAKE = (
    "footnote.round",
    "footnote.wake",
)  # as workers.app names them, which reads the environment when imported


# Each takes half a minute; the short fault rounds are on RabbitMQ.
BROKERS = ("redis", "rabbitmq") if os.environ.get("FOOTNOTE_FAULT_ROUNDS") == "long" else ("redis",)


@pytest.fixture(params=BROKERS)
def installed(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Stack]:
    running.require(broker=request.param)
    settings = {"FOOTNOTE_LEASE_SECONDS": "3", "FOOTNOTE_MAX_LOSSES": "2"}
    with running.stack(tmp_path, broker=request.param, **settings) as made:
        yield made


class Tables:
    """Looks into the database."""

    def __init__(self, stack: Stack) -> None:
        self._engine = sa.create_engine(stack.environment["FOOTNOTE_DATABASE_URL"], isolation_level="AUTOCOMMIT")

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(sa.text(query), values))

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def tables(installed: Stack) -> Iterator[Tables]:
    made = Tables(installed)
    yield made
    made.close()


def until(what: Any, *, seconds: float = 120.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    pytest.fail("it did not happen")


def broker_of(stack: Stack) -> celery.Celery:
    environment = stack.environment
    return make_app(
        broker_url=environment["FOOTNOTE_BROKER_URL"],
        name=environment["FOOTNOTE_QUEUE_PREFIX"],
        lanes=list(KINDS),
        lease_seconds=3,
    )


def send_nonsense(app: celery.Celery, times: int) -> None:
    """Each kind of message, many times, to its queue and to the other."""
    for _ in range(times):
        for lane, other in ((INGEST, UPKEEP), (UPKEEP, INGEST)):
            app.send_task(WORK, args=(lane,), queue=queue_of(app, lane), ignore_result=True)
            app.send_task(WORK, args=(lane,), queue=queue_of(app, other), ignore_result=True)
            app.send_task(_WAKE, queue=queue_of(app, lane), ignore_result=True)
            app.send_task(_ROUND, args=("sweep",), queue=queue_of(app, lane), ignore_result=True)
    app.send_task(WORK, args=("no such lane",), queue=queue_of(app, INGEST), ignore_result=True)
    app.send_task(_ROUND, args=("no such round",), queue=queue_of(app, UPKEEP), ignore_result=True)
    app.send_task("footnote.no_such_task", queue=queue_of(app, INGEST), ignore_result=True)


def batch(url: str, key: str, texts: list[str]) -> str:
    lines = [json.dumps({"external_id": f"d{number}", "text": text}) for number, text in enumerate(texts)]
    reply = httpx.post(
        f"{url}/v1/documents/batch?collection=default",
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"},
        content="\n".join(lines),
        timeout=60,
        trust_env=False,
    )
    assert reply.status_code == 202, reply.text
    return str(reply.json()["job_id"])


@running.in_long_rounds
def test_messages_that_come_twice_or_at_the_wrong_time_do_nothing_twice(installed: Stack, tables: Tables) -> None:
    app = broker_of(installed)
    send_nonsense(app, 10)  # before there is a worker, and before there is work
    for name in ("worker-1", "worker-2"):
        installed.worker(name)
    url, key = installed.api("api", running.free_port()), installed.key

    singles = [
        call(url, key, "POST", "/v1/documents", json={"collection": "default", "text": f"Single note {number}."})
        for number in range(DOCUMENTS)
    ]
    job_id = batch(url, key, [f"Line {number} of a batch. " * 60 for number in range(DOCUMENTS)])
    send_nonsense(app, 20)
    gone = call(url, key, "DELETE", f"/v1/documents/{singles[0]['document_id']}")
    send_nonsense(app, 20)
    until(lambda: not tables.rows("SELECT 1 FROM item WHERE state IN ('queued', 'running') LIMIT 1"))
    send_nonsense(app, 10)  # after the work
    late = call(url, key, "POST", "/v1/documents?wait=60", json={"collection": "default", "text": "A late note."})
    app.close()

    assert late["state"] == "live"
    assert call(url, key, "GET", f"/v1/jobs/{gone['job_id']}")["state"] == "completed"
    assert call(url, key, "GET", f"/v1/jobs/{job_id}")["state"] == "completed"
    claims = tables.rows("SELECT lease_token, failures, losses FROM item WHERE state = 'completed'")
    assert set(claims) == {(1, 0, 0)}, "an item was claimed twice"
    live = tables.rows("SELECT count(*), count(DISTINCT document_id) FROM version WHERE state = 'live'")
    assert live == [(2 * DOCUMENTS, 2 * DOCUMENTS)]
    chunks = {row[0] for row in tables.rows("SELECT c.id FROM chunk c JOIN version v ON v.id = c.version_id")}
    assert points(installed) == len(chunks)


def points(stack: Stack) -> int:
    """How many the index holds."""
    qdrant = stack.environment["FOOTNOTE_QDRANT_URL"]
    names = httpx.get(f"{qdrant}/collections", trust_env=False).json()["result"]["collections"]
    total = 0
    for name in names:
        reply = httpx.post(f"{qdrant}/collections/{name['name']}/points/count", json={"exact": True}, trust_env=False)
        total += reply.json()["result"]["count"]
    return total


class Killer:
    """Kills each worker that has claimed a job's first item, and starts another in its place."""

    def __init__(self, stack: Stack, tables: Tables, job_id: str) -> None:
        self.kills = 0
        self._stack = stack
        self._tables = tables
        self._job_id = uuid.UUID(job_id)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        query = "SELECT lease_owner FROM item WHERE job_id = :job AND ordinal = 0 AND state = 'running'"
        while not self._stopped.wait(0.01):
            for (owner,) in self._tables.rows(query, job=self._job_id):
                pid = int(owner.split("/")[1])
                for name, process in list(self._stack.processes.items()):
                    if process.pid == pid:
                        self._stack.kill(name)
                        self.kills += 1
                        self._stack.worker(f"worker-after-{self.kills}")


def test_a_document_that_kills_its_workers_is_quarantined_and_blocks_nothing(installed: Stack, tables: Tables) -> None:
    url, key = installed.api("api", running.free_port()), installed.key
    poison = "\n\n".join(f"Section {number} of the poison. " + "word " * 150 for number in range(3000))
    job_id = batch(url, key, [poison, *(f"Line {number} beside the poison." for number in range(1, DOCUMENTS))])
    killer = Killer(installed, tables, job_id)
    try:
        for name in ("worker-1", "worker-2"):
            installed.worker(name)
        installed.beat()
        beside = call(url, key, "POST", "/v1/documents?wait=60", json={"collection": "default", "text": "Another."})
        assert beside["state"] == "live"
        until(lambda: call(url, key, "GET", f"/v1/jobs/{job_id}")["finished_at"])
    finally:
        killer.stop()

    assert killer.kills == 3  # two losses, after which it runs alone, and the one that is too many
    items = call(url, key, "GET", f"/v1/jobs/{job_id}/items?limit=200")["data"]
    assert items[0]["state"] == "failed"
    assert items[0]["error"]["code"] == "worker_lost"
    assert [item["error"] for item in items[1:] if item["state"] != "completed"] == []
    job = call(url, key, "GET", f"/v1/jobs/{job_id}")
    assert (job["state"], job["progress"]["failed"]) == ("completed_with_warnings", 1)
    after = call(url, key, "POST", "/v1/documents?wait=60", json={"collection": "default", "text": "And one more."})
    assert after["state"] == "live"
