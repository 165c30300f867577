"""What was deleted, replaced or closed to a reader is never shown again, and no search comes back short meanwhile.

    python -m benchmarks.freshness [--quick] [--documents 20000] [--mutations 150] [--searches 500] [--clients 8]

A collection of small documents, half about a harbour and half about an orchard, each with a word of its own.

Part 1: documents are deleted, replaced (until the new version is live) and closed to a reader, one after the other,
while clients search for the very words of documents that were just changed, as the admin and as a reader. From the
moment the answer to a change has come, a search that begins later must not show what the change took away.
Part 2: the harbour half is deleted by as many clients, while the others search for harbours.
Part 3: the searches again, for harbours, when the last delete has returned.

Every search asks in hybrid mode for fewer passages than are live, so one that comes back with fewer is short.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import dataclasses
import itertools
import json
import pathlib
import random
import tempfile
import threading
import time
from typing import Any

import httpx

from benchmarks import metrics, report
from benchmarks.service import (
    BenchmarkError,
    Service,
    make_collection,
    pages,
    search,
    serving,
    until_idle,
    with_warm_cache,
)

COLLECTION = "fresh"
READER = "alice"
_LIMITS = (10, 10, 10, 50, 100)
_WAIT_SECONDS = 60
_BATCH_SECONDS = 3600.0
_THEMES = {
    "harbour": ("boats", "ropes", "tides", "nets", "piers", "gulls"),
    "orchard": ("apples", "ladders", "blossom", "wasps", "cider", "hedges"),
}


@dataclasses.dataclass(slots=True, kw_only=True)
class Ledger:
    """Since when what must not be shown; guarded by its lock."""

    documents: dict[str, float] = dataclasses.field(default_factory=dict)  # external id -> deleted at
    versions: dict[str, float] = dataclasses.field(default_factory=dict)  # version id -> replaced at
    closed: dict[str, float] = dataclasses.field(default_factory=dict)  # external id -> closed to the reader at
    changed: list[int] = dataclasses.field(default_factory=list)  # numbers of documents, in the order of their changes
    violations: list[str] = dataclasses.field(default_factory=list)
    searches: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    milliseconds: list[float] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def check(
        self, hits: list[dict[str, Any]], *, began: float, part: str, reader: bool, limit: int, query: str
    ) -> None:
        """Look at one result."""
        with self.lock:
            self.searches[part] += 1
            self.milliseconds.append(1000 * (time.perf_counter() - began))
            if len(hits) < limit:
                self.violations.append(f"{part}: {len(hits)} hits of {limit} for {query!r}")
            for hit in hits:
                name = hit["external_id"]
                if self.documents.get(name, began) < began:
                    self.violations.append(f"{part}: shows {name}, deleted {began - self.documents[name]:.3f} s before")
                if self.versions.get(hit["version_id"], began) < began:
                    self.violations.append(f"{part}: shows the replaced version of {name}")
                if reader and self.closed.get(name, began) < began:
                    self.violations.append(f"{part}: shows {name} to whom it was closed")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The documents as they went in."""

    size: int
    document_ids: dict[int, str]  # by number
    version_ids: dict[int, str]

    def theme(self, number: int) -> str:
        """The first half is about the harbour."""
        return "harbour" if number < self.size // 2 else "orchard"

    def text(self, number: int, edition: int = 0) -> str:
        """A sentence with the theme's words and one of its own."""
        return text_of(self.theme(number), number, edition)


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("freshness", __doc__)
    parser.add_argument("--documents", "--limit", type=int, help="default 20,000")
    parser.add_argument("--mutations", type=int, help="of part 1 (default 150)")
    parser.add_argument("--searches", type=int, help="at least, in each part (default 500)")
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Freshness", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        work = pathlib.Path(made)
        with_warm_cache(work / "data", work / "cache")
        with serving(work / "data") as service:
            results = measured(service, arguments)
    report.write(arguments.out, "freshness", began=began, results={"quick": arguments.quick, **results})


def measured(service: Service, arguments: argparse.Namespace) -> dict[str, Any]:
    """All three parts."""
    size = arguments.documents or (400 if arguments.quick else 20_000)
    mutations = arguments.mutations or (12 if arguments.quick else 150)
    least = arguments.searches or (40 if arguments.quick else 500)
    if size < 4 * max(_LIMITS[0] if size < 1000 else max(_LIMITS), mutations):
        raise BenchmarkError(f"{size} documents are too few for {mutations} mutations")
    corpus = _corpus(service, size)
    ledger = Ledger()
    reader_key = _reader_key(service)
    clients = arguments.clients
    rng = random.Random(1)
    with _searching(service, corpus, ledger, "changes", clients, reader_key) as enough, service.client() as http:
        for number, deed in zip(
            rng.sample(range(size), mutations), itertools.cycle(("delete", "replace", "close")), strict=False
        ):
            _change(http, corpus, ledger, number, deed)
        enough(least)
    doomed = [number for number in range(size // 2) if _name(number) not in ledger.documents]
    deleting_began = time.perf_counter()
    with _searching(service, corpus, ledger, "half deleted, under way", clients, reader_key):
        _delete_all(service, corpus, ledger, doomed, clients)
        deleting_seconds = time.perf_counter() - deleting_began
    with _searching(service, corpus, ledger, "half deleted, after", clients, reader_key) as enough:
        enough(least)
    idle_began = time.perf_counter()
    with service.client() as http:
        until_idle(http)
    purge_seconds = time.perf_counter() - idle_began
    with _searching(service, corpus, ledger, "purged", clients, reader_key) as enough:
        enough(least)
    print(
        f"\n{size} documents, {mutations} changes, {len(doomed)} deletes in {deleting_seconds:.1f} s by {clients} clients"
    )
    rows = [
        [part, number, sum(each.startswith(f"{part}:") for each in ledger.violations)]
        for part, number in ledger.searches.items()
    ]
    report.table(["searches", "number", "violations"], rows)
    print(f"search ms: {metrics.latencies(ledger.milliseconds)}; purge idle after {purge_seconds:.1f} s")
    for sentence in ledger.violations[:20]:
        print(f"  {sentence}")
    return {
        "documents": size,
        "mutations": mutations,
        "deletes": len(doomed),
        "deletes_seconds": round(deleting_seconds, 1),
        "purge_seconds": round(purge_seconds, 1),
        "searches": dict(ledger.searches),
        "search_ms": metrics.latencies(ledger.milliseconds),
        "violations": ledger.violations,
    }


def text_of(theme: str, number: int, edition: int) -> str:
    """A small document."""
    rng = random.Random(f"{theme}/{number}/{edition}")
    words = _THEMES[theme]
    picked = ", ".join(rng.sample(words, 3))
    return f"Note {number} on the {theme}, where {picked} are counted every morning. Its word is w{number}x{edition}."


def _corpus(service: Service, size: int) -> Corpus:
    """Send everything as one batch and read its ids back."""
    unfilled = Corpus(size=size, document_ids={}, version_ids={})
    lines = [
        json.dumps({"external_id": _name(number), "title": f"Note {number}", "text": unfilled.text(number)})
        for number in range(size)
    ]
    began = time.perf_counter()
    with service.client(timeout=_BATCH_SECONDS) as http:
        make_collection(http, COLLECTION)
        reply = http.post(
            "/v1/documents/batch",
            params={"collection": COLLECTION},
            content="\n".join(lines).encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )
        reply.raise_for_status()
        if reply.json()["accepted"] != size:
            raise BenchmarkError(f"of {size} lines {reply.json()['accepted']} were accepted")
        until_idle(http, timeout=_BATCH_SECONDS)
        rows = {row["external_id"]: row for row in pages(http, "/v1/documents", collection=COLLECTION)}
    print(f"  {size} documents went in within {time.perf_counter() - began:.1f} s", flush=True)
    if any(rows[_name(number)]["state"] != "live" for number in range(size)):
        raise BenchmarkError("not all documents are live")
    return Corpus(
        size=size,
        document_ids={number: rows[_name(number)]["id"] for number in range(size)},
        version_ids={number: rows[_name(number)]["live_version_id"] for number in range(size)},
    )


def _reader_key(service: Service) -> str:
    with service.client() as http:
        reply = http.post("/v1/keys", json={"name": READER, "role": "reader", "user": READER}).raise_for_status()
    secret: str = reply.json()["secret"]
    return secret


def _change(http: httpx.Client, corpus: Corpus, ledger: Ledger, number: int, deed: str) -> None:
    """One change; what it takes away is in the ledger from the moment its answer has come."""
    document = f"/v1/documents/{corpus.document_ids[number]}"
    if deed == "delete":
        reply = http.delete(document)
    elif deed == "replace":
        reply = http.put(
            f"/v1/documents/by-external-id/{_name(number)}",
            params={"collection": COLLECTION, "wait": _WAIT_SECONDS},
            json={"text": corpus.text(number, 1), "title": f"Note {number}"},
        )
        state = reply.json().get("job", {}).get("state")
        if state != "completed":
            raise BenchmarkError(f"the replacement of {number} was answered {reply.status_code}, its job is {state}")
    else:
        reply = http.patch(document, json={"readers": ["user:bob"]})
    reply.raise_for_status()
    returned = time.perf_counter()
    with ledger.lock:
        ledger.changed.append(number)
        if deed == "delete":
            ledger.documents[_name(number)] = returned
        elif deed == "replace":
            ledger.versions[corpus.version_ids[number]] = returned
        else:
            ledger.closed[_name(number)] = returned


def _delete_all(service: Service, corpus: Corpus, ledger: Ledger, numbers: list[int], clients: int) -> None:
    with service.client() as http, concurrent.futures.ThreadPoolExecutor(clients) as pool:

        def delete(number: int) -> None:
            reply = http.delete(f"/v1/documents/{corpus.document_ids[number]}")
            while reply.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                time.sleep(0.05)
                reply = http.delete(f"/v1/documents/{corpus.document_ids[number]}")
            reply.raise_for_status()
            returned = time.perf_counter()
            with ledger.lock:
                ledger.documents[_name(number)] = returned
                ledger.changed.append(number)

        list(pool.map(delete, numbers))


class _searching:  # noqa: N801 - used as a function
    """Clients that search until the context ends; gives a call that waits until so many searches of this part were made."""

    def __init__(
        self, service: Service, corpus: Corpus, ledger: Ledger, part: str, clients: int, reader_key: str
    ) -> None:
        self._service, self._corpus, self._ledger, self._part = service, corpus, ledger, part
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        keys = [reader_key if number % 2 else service.key for number in range(clients)]
        self._threads = [
            threading.Thread(target=self._client, args=(number, key, key == reader_key), daemon=True)
            for number, key in enumerate(keys)
        ]

    def __enter__(self) -> Any:
        for thread in self._threads:
            thread.start()
        return self._enough

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_WAIT_SECONDS)
        if self._errors:
            raise BenchmarkError(f"a client broke off: {self._errors[0]!r}") from self._errors[0]

    def _enough(self, least: int) -> None:
        while self._ledger.searches[self._part] < least and not self._errors:
            time.sleep(0.05)

    def _client(self, number: int, key: str, reader: bool) -> None:  # noqa: FBT001 - handed over by a thread
        rng = random.Random(number)
        limits = _LIMITS if self._corpus.size >= 1000 else _LIMITS[:1]
        try:
            with self._service.client(key=key) as http:
                while not self._stop.is_set():
                    query, limit = self._query(rng), rng.choice(limits)
                    began = time.perf_counter()
                    hits = search(http, query, collections=[COLLECTION], limit=limit)
                    self._ledger.check(hits, began=began, part=self._part, reader=reader, limit=limit, query=query)
        except (httpx.HTTPError, BenchmarkError) as error:
            self._errors.append(error)

    def _query(self, rng: random.Random) -> str:
        """The words of a document that was changed a short while ago, or its theme."""
        with self._ledger.lock:
            recent = self._ledger.changed[-5:]
        if recent and rng.random() < 0.7:
            return self._corpus.text(rng.choice(recent))
        return f"{rng.choice(_THEMES['harbour'])} at the harbour"


def _name(number: int) -> str:
    return f"note-{number}"


if __name__ == "__main__":
    main()
