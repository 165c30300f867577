"""Production mode on this machine: what a second worker adds, a batch of 10,000 documents, a delete of as many.

    python -m benchmarks.production [--quick] [--documents 10000] [--rounds 3] [--broker redis] [--files s3]

Processes as the tests start them: PostgreSQL (FOOTNOTE_TEST_POSTGRES_URL) and the broker of the machine, moto's server
for S3, and a stand-in for Qdrant (tests/services/qdrant_wire.py): figures of the index are the stand-in's.

    workers   one and two workers in turns; the embedder waits 100 ms a batch instead of computing, so that the cores of
              one machine do not decide; 16 slices, so that the last one weighs little. Documents a second while the job ran
    batch     one POST of all documents; meanwhile GET /v1/jobs and POST /v1/search, one after the other
    delete    POST /v1/documents/delete of all; a search right after; until every receipt is finished
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import pathlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx

from app.settings import Settings
from benchmarks import report
from tests.services import running
from tests.services.running import Stack, call

WAITING = "hashing-16+100ms"
_PATIENCE_SECONDS = 600.0
_WANTED = {"ratio": 1.7, "enqueue_seconds": 20.0, "p95_ms": 100.0, "purged_seconds": 60.0}


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("production", __doc__)
    parser.add_argument("--documents", type=int, help="of the batch (default 10,000)")
    parser.add_argument("--rounds", type=int, help="of one and two workers (default 3)")
    parser.add_argument("--files", choices=("s3", "folder"), default="s3", help="moto's S3, or a shared folder")
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    arguments = parser.parse_args()
    if not os.environ.get("FOOTNOTE_TEST_POSTGRES_URL"):
        raise SystemExit("FOOTNOTE_TEST_POSTGRES_URL names no server")
    began = report.machine()
    report.heading("Production mode", began)
    documents = arguments.documents or (500 if arguments.quick else 10_000)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    results: dict[str, Any] = {"broker": arguments.broker, "files": arguments.files, "index": "stand-in"}
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        folder = pathlib.Path(made)
        settings = {"FOOTNOTE_SMALL_FILE_BYTES": str(Settings.model_fields["small_file_bytes"].default)}
        settings |= {} if arguments.files == "s3" else {"FOOTNOTE_FILES_DIR": str(folder / "files")}
        results |= workers(folder / "workers", arguments.broker, settings, rounds, documents=1024)
        results |= batch_and_delete(folder / "batch", arguments.broker, settings, documents)
    report.table(
        ["", "measured", "wanted"],
        [
            ["two workers against one", results["ratio"], f">= {_WANTED['ratio']}"],
            [f"batch of {documents}, s", results["enqueue_seconds"], f"< {_WANTED['enqueue_seconds']:g}"],
            ["p95 meanwhile, ms", results["p95_ms"], f"< {_WANTED['p95_ms']:g}"],
            ["hidden when the delete returned", results["hidden_at_once"], True],
            ["the delete's answer, s", results["delete_seconds"], ""],
            ["purged after, s", results["purged_seconds"], f"< {_WANTED['purged_seconds']:g}"],
        ],
    )
    report.write(arguments.out, "production", began=began, results={"quick": arguments.quick, **results})


def workers(
    folder: pathlib.Path, broker: str, settings: dict[str, str], rounds: int, *, documents: int
) -> dict[str, Any]:
    """Documents a second with one worker and with two, in turns."""
    folder.mkdir(parents=True)
    rates: dict[int, list[float]] = {1: [], 2: []}
    settings = {**settings, "FOOTNOTE_EMBEDDER": WAITING}
    with running.stack(folder, broker=broker, **settings) as stack:
        url = stack.api("api", running.free_port())
        stack.beat()
        for number in range(rounds):
            for count in (1, 2):
                for worker in range(count):
                    stack.worker(f"worker-{worker}")
                time.sleep(5.0)  # they have started
                rates[count].append(_rate(url, stack.key, f"r{number}-{count}", documents))
                for worker in range(count):
                    stack.stop(f"worker-{worker}")
    one, two = (statistics.median(rates[count]) for count in (1, 2))
    return {"documents_per_second": {"one": round(one, 1), "two": round(two, 1)}, "ratio": round(two / one, 2)}


def _rate(url: str, key: str, name: str, documents: int) -> float:
    call(url, key, "POST", "/v1/collections", json={"name": name})
    text = " ".join(f"word{number}" for number in range(40))  # some five of them are a batch of the model
    job = _send(url, key, name, [f"{name} {number} {text}" for number in range(documents)])
    done = _until_final(url, key, job)
    started, finished = (dt.datetime.fromisoformat(done[each]) for each in ("started_at", "finished_at"))
    return float(documents / (finished - started).total_seconds())


def batch_and_delete(folder: pathlib.Path, broker: str, settings: dict[str, str], documents: int) -> dict[str, Any]:
    """Seconds of the batch's request, latencies meanwhile, and how a delete of all goes."""
    folder.mkdir(parents=True)
    with running.stack(folder, broker=broker, **settings) as stack:
        url = stack.api("api", running.free_port())
        key = stack.key
        texts = [f"Note {number} tells of harbour {number}." for number in range(documents)]
        with _asking(url, key) as times:
            start = time.monotonic()
            job = _send(url, key, "default", texts)
            enqueued = time.monotonic() - start
        latencies = sorted(times)
        for worker in range(2):
            stack.worker(f"worker-{worker}")
        stack.beat()
        _until_final(url, key, job)
        ingested = time.monotonic() - start
        deleted = _deleted(stack, url, key)
    return {
        "enqueue_seconds": round(enqueued, 1),
        "p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
        "p95_ms": round(1000 * latencies[math.ceil(0.95 * len(latencies)) - 1], 1),
        "requests_meanwhile": len(latencies),
        "ingested_seconds": round(ingested, 1),
        **deleted,
    }


def _deleted(stack: Stack, url: str, key: str) -> dict[str, Any]:
    del stack
    start = time.monotonic()
    reply = call(url, key, "POST", "/v1/documents/delete", json={"collection": "default", "all": True})
    answered = time.monotonic() - start
    hits = call(url, key, "POST", "/v1/search", json={"query": "harbour 7", "limit": 50})["hits"]
    job = _until_final(url, key, reply["job_id"])
    return {
        "deleted": reply["documents"],
        "delete_seconds": round(answered, 2),
        "hidden_at_once": not hits,
        "purged_seconds": round(time.monotonic() - start, 1),
        "purge_state": job["state"],
    }


class _asking:  # noqa: N801 - used as a context
    """Requests one after the other while the context is open; gives the seconds of each."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
        )
        self._stop = threading.Event()
        self._times: list[float] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> list[float]:
        for request in self._requests():  # connections and caches are there
            request()
        self._thread.start()
        return self._times

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _requests(self) -> Iterator[Any]:
        yield lambda: self._client.get("/v1/jobs?limit=1")
        yield lambda: self._client.post("/v1/search", json={"query": "harbour 7", "limit": 5})

    def _ask(self) -> None:
        while not self._stop.is_set():
            for request in self._requests():
                start = time.monotonic()
                request().raise_for_status()
                self._times.append(time.monotonic() - start)
                time.sleep(0.01)


def _send(url: str, key: str, collection: str, texts: list[str]) -> str:
    lines = "\n".join(
        json.dumps({"external_id": f"{collection}-{number}", "text": text}) for number, text in enumerate(texts)
    )
    reply = httpx.post(
        f"{url}/v1/documents/batch?collection={collection}",
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"},
        content=lines.encode(),
        timeout=_PATIENCE_SECONDS,
        trust_env=False,
    )
    reply.raise_for_status()
    return str(reply.json()["job_id"])


def _until_final(url: str, key: str, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found: dict[str, Any] = call(url, key, "GET", f"/v1/jobs/{job}")
        if found["finished_at"] is not None:
            return found
        if time.monotonic() > deadline:
            raise SystemExit(f"the job has not ended: {found}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
