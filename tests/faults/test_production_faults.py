"""Production mode is struck at random moments of a traffic of uploads, re-uploads, deletes, searches and questions.

A short round, one strike of each of four faults that the seed chooses, on one broker, in `make test`; `make faults` runs the
long one: 20 strikes of each on both brokers. FOOTNOTE_FAULT_SEED repeats a round; FOOTNOTE_FAULT_EMBEDDER=all-MiniLM-L6-v2 and FOOTNOTE_FAULT_FILES=500
make it a heavier one.
"""

from __future__ import annotations

import collections
import json
import os
import random
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.services import faults, running
from tests.services.faults import FAULTS, Fault, Installation
from tests.services.traffic import Traffic

LONG = os.environ.get("FOOTNOTE_FAULT_ROUNDS") == "long"
FILES = int(os.environ.get("FOOTNOTE_FAULT_FILES", "100" if LONG else "15"))
STRIKES = int(os.environ.get("FOOTNOTE_FAULT_STRIKES", "20" if LONG else "1"))
EMBEDDER = os.environ.get("FOOTNOTE_FAULT_EMBEDDER", "hashing-16")
SEED = int(os.environ["FOOTNOTE_FAULT_SEED"])  # tests/conftest.py draws one
BROKERS = os.environ.get("FOOTNOTE_FAULT_BROKERS", "redis,rabbitmq" if LONG else "rabbitmq").split(",")
SHORT_SECONDS = 1.5  # of a strike in the short round
SHORT_FAULTS = 4  # of the short round, chosen by the seed
NAMES = sorted(FAULTS) if LONG else sorted(random.Random(SEED).sample(sorted(FAULTS), SHORT_FAULTS))
PADDING = "It is too long to be a row. " * 50  # its original goes to the file store
SETTLE_SECONDS = 600.0 if LONG else 120.0

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(5400 if LONG else 300),
    # In this process runs the traffic and the proxy, whose connections are cut at any moment; the product runs in others.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", params=BROKERS)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp(f"faults-{request.param}")
    with faults.installation(folder, broker=request.param, FOOTNOTE_EMBEDDER=EMBEDDER) as made:
        yield made


@pytest.mark.parametrize("seed", [SEED])  # the test's name tells it
@pytest.mark.parametrize("name", NAMES)
def test_a_fault_loses_nothing_and_doubles_nothing(installed: Installation, name: str, seed: int) -> None:
    rng = random.Random(zlib.crc32(f"{seed}/{installed.broker}/{name}".encode()))
    collection = name.replace("_", "-")
    _call(installed, "POST", "/v1/collections", json={"name": collection})
    key = installed.stack.key
    traffic = Traffic(installed.urls, key, collection, seed=rng.randrange(10**6), files=FILES)
    traffic.start()
    try:
        for number in range(STRIKES):
            time.sleep(rng.uniform(0.2, 2.0))
            _strike(installed, FAULTS[name], traffic, rng, whole=number == 0)
            traffic.check()
    finally:
        traffic.finish()
    began = time.monotonic()
    _until_final(installed)
    _check(installed, traffic)
    if LONG:
        _until_no_drift(installed)
    sys.stderr.write(
        f"\n{name} on {installed.broker}, seed {seed}: {STRIKES} strikes, {dict(traffic.done)}, slowest answer "
        f"{traffic.slowest[0]:.1f} s ({traffic.slowest[1]}), settled in {time.monotonic() - began:.1f} s\n"
    )


def test_processes_start_while_broker_index_and_files_are_down(installed: Installation) -> None:
    _call(installed, "POST", "/v1/collections", json={"name": "started"})
    traffic = Traffic(installed.urls, installed.stack.key, "started", seed=SEED, files=6)
    for name in ("api-2", "worker-1", "worker-2", "beat"):
        installed.stack.kill(name)
    installed.broker_down()
    for part in ("index", "files"):
        installed.wires[part].set("refuse")
    port = installed.ports["api-2"]
    installed.stack.start("api-2", *running.procfile("api", port=port))
    for name in ("worker-1", "worker-2", "beat"):
        installed.start(name)
    running.until_open(port)
    with httpx.Client(timeout=60, trust_env=False) as http:
        url = f"http://127.0.0.1:{port}"
        assert traffic.once(http, "GET", f"{url}/v1/documents").status_code == 200
        query = {"query": "a note", "collections": ["started"]}
        assert traffic.once(http, "POST", f"{url}/v1/search", json=query).status_code == 503
        ready = traffic.once(http, "GET", f"{url}/health/ready").json()
        assert sorted(part for part, trouble in ready["parts"].items() if trouble) == ["files", "queue", "vectors"]
        note = {"collection": "started", "text": "A note. " + PADDING}
        assert traffic.once(http, "POST", f"{url}/v1/documents", json=note).status_code == 503

    installed.broker_up()
    for part in ("index", "files"):
        installed.wires[part].set("pass")
    traffic.start()
    traffic.finish()
    _until_final(installed)
    _check(installed, traffic)


def test_after_all_faults_rows_vectors_and_files_agree(installed: Installation) -> None:
    _until_no_drift(installed)


def _strike(installed: Installation, fault: Fault, traffic: Traffic, rng: random.Random, *, whole: bool) -> None:
    longest = fault.seconds if LONG else min(fault.seconds, SHORT_SECONDS)
    lasts = longest if whole else rng.uniform(0.2, longest)
    with fault.strike(installed, rng, lasts):
        end = time.monotonic() + lasts
        for what in sorted(fault.serves | fault.refuses):
            _probe(installed, traffic, what, refused=what in fault.refuses, rng=rng)
        time.sleep(max(0.0, end - time.monotonic()))


def _probe(installed: Installation, traffic: Traffic, what: str, *, refused: bool, rng: random.Random) -> None:
    """What the API says while the fault lasts."""
    alive = [name for name in installed.ports if name in installed.stack.processes]
    url = f"http://127.0.0.1:{installed.ports[rng.choice(alive)]}"
    note = f"A note {rng.random()}."
    with httpx.Client(timeout=60, trust_env=False) as http:
        match what:
            case faults.READ:
                reply = traffic.once(http, "GET", f"{url}/v1/documents?limit=1")
            case faults.WRITE:
                body = {"collection": traffic.collection, "external_id": "probe", "text": f"{note} {PADDING}"}
                reply = traffic.once(http, "POST", f"{url}/v1/documents", json=body)
                if not refused:
                    traffic.expected["probe"] = note
            case _:
                query = {"query": note, "collections": [traffic.collection]}
                reply = traffic.once(http, "POST", f"{url}/v1/search", json=query)
    assert (reply.status_code == 503) is refused, (what, reply.status_code, reply.text)


def _until_final(installed: Installation) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while unfinished := [
        job for state in ("queued", "running") for job in _every(installed, f"/v1/jobs?state={state}&")
    ]:
        assert time.monotonic() < deadline, unfinished[:3]
        time.sleep(0.3)


def _check(installed: Installation, traffic: Traffic) -> None:
    for name, process in installed.stack.processes.items():
        assert process.poll() is None, f"{name} has ended: {installed.stack.log(name)}"
    jobs = _every(installed, "/v1/jobs?")
    failed = [job for job in jobs if job["state"] == "failed"]
    assert not failed, (collections.Counter(job["state"] for job in jobs), failed[:3])
    cancelled = {job["error"]["code"] for job in jobs if job["state"] == "cancelled"}
    assert cancelled <= {"document_deleted"}

    rows = _every(installed, f"/v1/documents?collection={traffic.collection}&")
    there = collections.Counter(row["external_id"] for row in rows)
    assert there == collections.Counter([name for name, mark in traffic.expected.items() if mark is not None])
    for row in rows:
        assert row["state"] == "live", row
        text = _call(installed, "GET", f"/v1/documents/{row['id']}/text")["text"]
        assert traffic.expected[row["external_id"]] in text, row
    for document_id in traffic.gone:
        assert _call(installed, "GET", f"/v1/documents/{document_id}/deletion")["finished_at"], document_id


def _until_no_drift(installed: Installation) -> None:
    """Replaced versions are swept twice, the second time after two leases; then all agrees."""
    deadline = time.monotonic() + 60
    while True:
        url = installed.urls[0]
        done = installed.stack.run("doctor", "--json", "--url", url, "--key", installed.stack.key)
        if done.returncode == 0:
            break
        assert time.monotonic() < deadline, done.stdout[-2000:] + done.stderr
        time.sleep(1)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["found"] == {}, report


def _call(installed: Installation, method: str, path: str, **parts: Any) -> Any:
    reply = httpx.request(
        method,
        installed.urls[0] + path,
        headers={"Authorization": f"Bearer {installed.stack.key}"},
        timeout=60,
        trust_env=False,
        **parts,
    )
    assert reply.is_success, reply.text
    return reply.json()


def _every(installed: Installation, path: str) -> list[dict[str, Any]]:
    """All rows of a list, over its pages."""
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = _call(installed, "GET", f"{path}limit=200{after}")
        rows += page["data"]
        if not page["has_more"]:
            return rows
        after = f"&after={page['next']}"
