"""The service is killed at random moments of a traffic of uploads, re-uploads and deletes, and started again.

A short round in `make test`; `make faults` runs the long one: 300 mixed files, 30 kills. FOOTNOTE_FAULT_SEED repeats a
round, FOOTNOTE_FAULT_EMBEDDER=all-MiniLM-L6-v2 runs it with the real embedder.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import httpx
import pytest

from app.bootstrap import build
from app.settings import Settings
from tests.services import mixed

LONG = os.environ.get("FOOTNOTE_FAULT_ROUNDS") == "long"
FILES = 300 if LONG else 40
KILLS = 30 if LONG else 4
EMBEDDER = os.environ.get("FOOTNOTE_FAULT_EMBEDDER", "hashing-16")
SEED = int(os.environ["FOOTNOTE_FAULT_SEED"])  # tests/conftest.py draws one
START_SECONDS = 60.0
SETTLE_SECONDS = 600.0 if LONG else 90.0


class Service:
    """`footnote serve` in a process of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.up = threading.Event()

    def start(self) -> None:
        environment = {**os.environ, "FOOTNOTE_EMBEDDER": EMBEDDER, "FOOTNOTE_DATA_DIR": str(self.folder)}
        with (self.folder.parent / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ingestion.cli", "serve", "--port", "0"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder.parent / "service.log").read_text()[-4000:]
            with contextlib.suppress(OSError, ValueError, KeyError):
                said = json.loads((self.folder / "service.json").read_text())
                if said["pid"] == self.process.pid:
                    self.url = said["url"]
                    self.up.set()
                    return
            time.sleep(0.05)
        pytest.fail("the service did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.up.clear()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.up.clear()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


class Client:
    """Asks until it has an answer, over however many starts of the service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.http = httpx.Client(timeout=60.0)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            if not self.service.up.wait(timeout=1.0):
                continue
            key = (self.service.folder / "admin.key").read_text().strip()
            with contextlib.suppress(httpx.TransportError):
                reply = self.http.request(
                    method, self.service.url + path, headers={"Authorization": f"Bearer {key}"}, **parts
                )
                if reply.status_code not in (429, 503):
                    return reply
            time.sleep(0.05)
        pytest.fail(f"no answer to {method} {path}")

    def every(self, path: str) -> list[dict[str, Any]]:
        """All rows of a list, over its pages."""
        rows: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.ask("GET", f"{path}limit=200{after}").json()
            rows += page["data"]
            if not page["has_more"]:
                return rows
            after = f"&after={page['next']}"


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("seed", [SEED])  # the test's name tells it
def test_kills_lose_nothing_and_double_nothing(tmp_path: pathlib.Path, seed: int) -> None:
    rng = random.Random(seed)
    service = Service(tmp_path / "data")
    expected: dict[str, str | None] = {}  # name -> mark of the newest acknowledged version; None: deleted
    errors: list[BaseException] = []
    threads = [threading.Thread(target=_traffic, args=(service, share, seed, expected, errors)) for share in range(4)]
    service.start()
    try:
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 4.0))
            service.kill()
            service.start()
        for thread in threads:
            thread.join()
        assert not errors, errors
        with Client(service) as client:
            _check_over_http(client, expected)
        assert service.stop() == 0
        _check_stores(service.folder, expected)
    finally:
        if service.process is not None and service.process.poll() is None:
            service.process.kill()
            service.process.wait()


def _traffic(
    service: Service, share: int, seed: int, expected: dict[str, str | None], errors: list[BaseException]
) -> None:
    """One client's uploads, re-uploads and deletes, each asked for until it is acknowledged."""
    rng = random.Random(seed * 10 + share)
    try:
        with Client(service) as client:
            for number in range(share, FILES, 4):
                _put(client, number, 0, rng, expected)
                if rng.random() < 0.3:
                    _put(client, rng.randrange(share, number + 1, 4), rng.randrange(1, 999), rng, expected)
                if rng.random() < 0.15:
                    _delete(client, rng.randrange(share, number + 1, 4), expected)
    except BaseException as error:  # noqa: BLE001 - the main thread reports it
        errors.append(error)


def _put(client: Client, number: int, edition: int, rng: random.Random, expected: dict[str, str | None]) -> None:
    name, content, mark = mixed.file(number, edition, rng)
    reply = client.ask(
        "PUT",
        f"/v1/documents/by-external-id/{name}?collection=default",
        files={"file": (name, content)},
    )
    assert reply.status_code in (200, 202), reply.text
    expected[name] = mark


def _delete(client: Client, number: int, expected: dict[str, str | None]) -> None:
    names = [name for name in expected if name.startswith(f"file-{number:04}.")]
    for name in names:
        reply = client.ask("DELETE", f"/v1/documents/by-external-id/{name}?collection=default")
        assert reply.status_code in (202, 404), reply.text  # 404: a kill swallowed the answer to the delete itself
        expected[name] = None


def _check_over_http(client: Client, expected: dict[str, str | None]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while unfinished := [job for job in client.every("/v1/jobs?") if job["finished_at"] is None]:
        assert time.monotonic() < deadline, unfinished[:3]
        time.sleep(0.2)
    jobs = client.every("/v1/jobs?")
    states = collections.Counter(job["state"] for job in jobs)
    innocent = [job for job in jobs if job["state"] == "failed"]
    assert not innocent, (states, innocent[:3])
    cancelled = {job["error"]["code"] for job in jobs if job["state"] == "cancelled"}
    assert cancelled <= {"document_deleted"}

    documents = {each["external_id"]: each for each in client.every("/v1/documents?collection=default&")}
    assert sorted(documents) == sorted(name for name, mark in expected.items() if mark is not None)
    for name, document in documents.items():
        assert document["state"] == "live"
        text = client.ask("GET", f"/v1/documents/{document['id']}/text").json()["text"]
        assert expected[name] in text, name


def _check_stores(folder: pathlib.Path, expected: dict[str, str | None]) -> None:
    """What the index and the file store hold is what the database says, no more and no less."""
    services = build(Settings(data_dir=folder, embedder=EMBEDDER))
    try:
        while services.purge.sweep():
            pass
        services.purge.sweep_orphans(made_before=services.clock.now())
        admin = services.keys.authenticate((folder / "admin.key").read_text().strip())
        live = {
            document.live_version_id
            for document, _ in services.catalogue.page(
                admin, collection_name=None, condition=None, after=None, limit=100_000
            )
        }
        points = collections.Counter(
            version_id for version_id in (each.version_id for each in services.vectors.points(services.space))
        )
        with services.database.read() as work:
            versions = work.versions.many([each for each in live if each is not None])
        assert len(versions) == sum(mark is not None for mark in expected.values())
        assert dict(points) == {version.id: version.chunks for version in versions.values()}
        kept = set(services.files.keys())
        assert {key for version in versions.values() for key in (version.original_key, version.text_key)} <= kept
    finally:
        services.stop()
