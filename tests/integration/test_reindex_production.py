"""Reindexing in production mode: questions go on, workers are killed, and the change over is seen by every process."""

from __future__ import annotations

import pathlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.services import running
from tests.services.running import Stack, call

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]
OLD, NEW = "hashing-16", "hashing-32"
DOCUMENTS = 120
QUESTION = "Who keeps the crane of berth 7?"


@pytest.fixture
def filled(tmp_path: pathlib.Path) -> Iterator[Stack]:
    """Documents of the old model, in processes of the new one."""
    running.require(broker="redis")
    with running.stack(tmp_path, broker="redis", FOOTNOTE_EMBEDDER=OLD) as made:
        url = made.api("api-old", running.free_port())
        made.worker("worker-old")
        made.beat()
        for number in range(DOCUMENTS):
            text = f"Note {number} tells of harbour {number}.\n\nThe crane of berth {number} is kept by keeper {number % 7}."
            body = {"collection": "default", "external_id": f"n{number}", "text": text}
            call(url, made.key, "POST", "/v1/documents", json=body)
        _until(
            lambda: call(url, made.key, "GET", "/v1/collections/default/indexes")["data"][0]["versions"] == DOCUMENTS
        )
        for name in ("api-old", "worker-old"):
            made.stop(name)
        made.environment |= {"FOOTNOTE_EMBEDDER": NEW, "FOOTNOTE_OTHER_EMBEDDERS": OLD}
        yield made


def _until(what: Any, *, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Questions:
    """Five a second, from either API process; what they were answered with."""

    def __init__(self, urls: list[str], key: str) -> None:
        self.seen: list[list[tuple[str, int, int]]] = []
        self.errors: list[str] = []
        self._urls, self._key = urls, key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Questions:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        number = 0
        while not self._stop.wait(0.2):
            number += 1
            reply = httpx.post(
                f"{self._urls[number % 2]}/v1/search",
                headers={"Authorization": f"Bearer {self._key}"},
                json={"query": QUESTION, "limit": 10},
                timeout=30,
                trust_env=False,
            )
            if reply.status_code == 200:
                self.seen.append(_places(reply.json()))
            else:
                self.errors.append(reply.text)


def _places(found: dict[str, Any]) -> list[tuple[str, int, int]]:
    return [(hit["external_id"], hit["start"], hit["end"]) for hit in found["hits"]]


def test_questions_go_on_while_an_index_is_built_by_workers_that_die(filled: Stack) -> None:
    urls = [filled.api(name, running.free_port()) for name in ("api-1", "api-2")]
    for name in ("worker-1", "worker-2"):
        filled.worker(name)
    key = filled.key
    path = "/v1/collections/default/indexes"

    def search(url: str) -> list[tuple[str, int, int]]:
        return _places(call(url, key, "POST", "/v1/search", json={"query": QUESTION, "limit": 10}))

    def answer(url: str) -> tuple[str, list[Any]]:
        said = call(url, key, "POST", "/v1/ask", json={"question": QUESTION})
        return said["text"], [(each["version_id"], each["start"], each["end"]) for each in said["citations"]]

    old, said = search(urls[0]), answer(urls[0])
    with Questions(urls, key) as questions:
        job = call(urls[0], key, "POST", path, json={})
        for number in range(2):
            time.sleep(random.uniform(0.2, 1.0))
            filled.kill(f"worker-{number + 1}")
            filled.worker(f"worker-{number + 3}")
        _until(lambda: call(urls[1], key, "GET", f"/v1/jobs/{job['id']}")["state"] == "completed")
        live, building = call(urls[1], key, "GET", path)["data"]
        assert (building["role"], building["missing"]) == ("building", 0)
        call(urls[0], key, "POST", f"{path}/{building['id']}/activate")
        time.sleep(1.0)
        new = search(urls[1])
        call(urls[1], key, "POST", f"{path}/{live['id']}/activate")
        time.sleep(1.0)

    assert questions.errors == []
    assert len(questions.seen) > 15
    assert all(each in (old, new) for each in questions.seen)
    assert search(urls[0]) == search(urls[1]) == old
    assert answer(urls[1]) == said
    done = filled.run("doctor", "--url", urls[0], "--key", key)
    assert done.returncode == 0, done.stdout + done.stderr
