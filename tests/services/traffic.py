"""Clients that go on through every fault: uploads, re-uploads, batches, deletes, searches and questions.

Each asks until it is acknowledged, keeps account of what was, and looks itself whether anything deleted shows.
"""

from __future__ import annotations

import collections
import contextlib
import json
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx

from tests.services import mixed

_CLIENTS = 3
_ANSWER_SECONDS = 20.0  # the longest that any answer may take, of a service that has lost a part
_PATIENCE_SECONDS = 180.0  # until something is acknowledged
_BATCH_LINES = 4
_BUSY = (429, 503, 507)

Json = dict[str, Any]


class Traffic:
    """What some clients do to one collection, and what they were told."""

    def __init__(self, urls: Sequence[str], key: str, collection: str, *, seed: int, files: int) -> None:
        self.collection = collection
        self.expected: dict[str, str | None] = {}  # name -> mark of the newest acknowledged version; None: deleted
        self.gone: set[str] = set()  # ids of documents whose delete has returned
        self.done: collections.Counter[str] = collections.Counter()
        self.slowest = (0.0, "")
        self._urls = list(urls)
        self._key = key
        self._seed = seed
        self._files = files
        self._ids: dict[str, str] = {}  # name -> id of the document that has it
        self._finish = threading.Event()
        self._wrong: list[BaseException] = []
        self._threads = [threading.Thread(target=self._client, args=(share,)) for share in range(_CLIENTS)]

    def start(self) -> None:
        """Go."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Until every file was uploaded at least once; raises what a client found wrong."""
        self._finish.set()
        for thread in self._threads:
            thread.join()
        self.check()

    def check(self) -> None:
        """Raise what a client found wrong so far."""
        if self._wrong:
            raise self._wrong[0]

    def ask(self, http: httpx.Client, method: str, path: str, *, rng: random.Random, **parts: Any) -> httpx.Response:
        """The answer of one of the API processes, asked for until there is one."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            assert time.monotonic() < deadline, f"{method} {path} is not answered"
            with contextlib.suppress(httpx.NetworkError, httpx.RemoteProtocolError):  # its process was killed
                reply = self.once(http, method, rng.choice(self._urls) + path, **parts)
                if reply.status_code not in _BUSY:
                    return reply
                self.done[f"{reply.status_code}"] += 1
            time.sleep(0.1)

    def once(self, http: httpx.Client, method: str, url: str, **parts: Any) -> httpx.Response:
        """One answer, which is no error of the service's own, comes in time, and says when to come again."""
        began = time.monotonic()
        reply = http.request(method, url, headers=self._headers | parts.pop("headers", {}), **parts)
        took = time.monotonic() - began
        self.slowest = max(self.slowest, (took, f"{method} {httpx.URL(url).path}"))
        assert took < _ANSWER_SECONDS, f"{method} {url} took {took:.1f} s: {reply.status_code} {reply.text[:300]}"
        if reply.status_code in _BUSY:
            assert reply.headers["content-type"] == "application/problem+json", reply.text
            assert reply.status_code == 507 or int(reply.headers["retry-after"]) >= 1
        assert reply.status_code < 500 or reply.status_code in _BUSY, f"{method} {url}: {reply.text[:1000]}"
        return reply

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def _client(self, share: int) -> None:
        rng = random.Random(self._seed * 10 + share)
        try:
            with httpx.Client(timeout=60.0, trust_env=False) as http:
                numbers = list(range(share, self._files, _CLIENTS))
                for done, number in enumerate(numbers, 1):
                    self._put(http, rng, number, 0)
                    self._something(http, rng, numbers[:done])
                while not self._finish.is_set():
                    self._something(http, rng, numbers)
        except BaseException as error:  # noqa: BLE001 - `check` raises it
            self._wrong.append(error)

    def _something(self, http: httpx.Client, rng: random.Random, numbers: Sequence[int]) -> None:
        """Anything else that clients do."""
        if self._wrong:
            raise RuntimeError("another client found something wrong")
        number = rng.choice(numbers)
        match rng.choices(("put", "batch", "delete", "search", "ask", "list"), (30, 10, 20, 30, 6, 4))[0]:
            case "put":
                self._put(http, rng, number, rng.randrange(1, 999))
            case "batch":
                self._batch(http, rng, number)
            case "delete":
                self._delete(http, rng, number)
            case "search":
                self._search(http, rng, number)
            case "ask":
                self._question(http, rng, number)
            case _:
                gone = set(self.gone)
                rows = self.ask(http, "GET", f"/v1/documents?collection={self.collection}&limit=200", rng=rng).json()
                self._require_none_of(gone, rows["data"], "id")

    def _put(self, http: httpx.Client, rng: random.Random, number: int, edition: int) -> None:
        name, content, mark = mixed.file(number, edition, rng)
        path = f"/v1/documents/by-external-id/{name}?collection={self.collection}"
        reply = self.ask(http, "PUT", path, rng=rng, files={"file": (name, content)})
        assert reply.status_code in (200, 202), reply.text
        self._taken(name, mark, reply.json()["document_id"])

    def _batch(self, http: httpx.Client, rng: random.Random, number: int) -> None:
        edition = rng.randrange(1, 999)
        marks = {f"line-{number:04}-{n}": f"line{number:04}x{n}x{edition:03}" for n in range(_BATCH_LINES)}
        lines = [json.dumps({"external_id": name, "text": f"{mark} is said."}) for name, mark in marks.items()]
        reply = self.ask(
            http,
            "POST",
            f"/v1/documents/batch?collection={self.collection}",
            rng=rng,
            content="\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert reply.status_code == 202, reply.text
        assert reply.json()["rejected_total"] == 0, reply.text
        self.expected |= marks
        self.done["batch"] += 1

    def _taken(self, name: str, mark: str, document_id: str) -> None:
        self.expected[name] = mark
        self._ids[name] = document_id
        self.done["put"] += 1

    def _delete(self, http: httpx.Client, rng: random.Random, number: int) -> None:
        for name in [each for each in list(self._ids) if each.startswith(f"file-{number:04}.")]:
            path = f"/v1/documents/by-external-id/{name}?collection={self.collection}"
            reply = self.ask(http, "DELETE", path, rng=rng)
            assert reply.status_code in (202, 404), reply.text  # 404: the answer to the delete itself was lost
            self.expected[name] = None
            self.gone.add(self._ids.pop(name))
            self.done["delete"] += 1

    def _search(self, http: httpx.Client, rng: random.Random, number: int) -> None:
        gone = set(self.gone)
        query = {"query": f"mark{number:04}x000 paragraph", "collections": [self.collection], "limit": 50}
        reply = self.ask(http, "POST", "/v1/search", rng=rng, json=query)
        assert reply.status_code == 200, reply.text
        self._require_none_of(gone, reply.json()["hits"], "document_id")
        self.done["search"] += 1

    def _question(self, http: httpx.Client, rng: random.Random, number: int) -> None:
        gone = set(self.gone)
        body = {"question": f"What does mark{number:04}x000 speak of?", "collections": [self.collection]}
        reply = self.ask(http, "POST", "/v1/ask", rng=rng, json=body | {"explain": True})
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        for part in ("citations", "nearest", "candidates"):
            self._require_none_of(gone, answer.get(part) or [], "document_id")
        self.done["ask"] += 1

    def _require_none_of(self, gone: set[str], rows: Sequence[Json], name: str) -> None:
        shown = gone & {row[name] for row in rows}
        assert not shown, f"deleted before it was asked for, and shown: {sorted(shown)}"
