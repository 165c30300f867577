"""Eight clients on one external id, 200 rounds: upload, replace, re-read, search and delete at once.

    python -m benchmarks.concurrency [--quick] [--rounds 200] [--clients 8]

In each round every client does one thing, all at the same moment; then all jobs end and the state is looked at.

Checked at every reading: the text is one upload's and no other's; one search shows passages of one version only; a
client never sees the document go back to an earlier version.
Checked after every round: one version is live or the document is gone; the live one is the last of those accepted for
that document; its text is what was sent for it; only its passages are found; no job failed.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import random
import re
import tempfile
import threading
import time
import uuid
from typing import Any

import httpx

from benchmarks import report
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

NAME = "shared.txt"
COLLECTION = "race"
_MARK = re.compile(r"mark[0-9a-f]{12}")
_PARAGRAPHS = 12
_DEEDS = ("put", "put", "put", "read", "search", "delete")
_BARRIER_SECONDS = 120.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Seen:
    """What all clients saw; guarded by its lock."""

    marks: dict[str, str] = dataclasses.field(default_factory=dict)  # version id -> mark of the text sent for it
    deeds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    violations: list[str] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def wrong(self, sentence: str) -> None:
        """Note a violation."""
        with self.lock:
            self.violations.append(sentence)

    def did(self, deed: str, status: int) -> None:
        """Count a deed by how it was answered."""
        with self.lock:
            self.deeds[f"{deed} {status}"] += 1


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("concurrency", __doc__)
    parser.add_argument("--rounds", "--limit", type=int, help="default 200")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rounds = arguments.rounds or (10 if arguments.quick else 200)
    began = report.machine()
    report.heading("One external id, many clients", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        work = pathlib.Path(made)
        with_warm_cache(work / "data", work / "cache")
        with serving(work / "data") as service:
            started = time.perf_counter()
            seen = raced(service, rounds=rounds, clients=arguments.clients, seed=arguments.seed)
            seconds = time.perf_counter() - started
    print(f"\n{rounds} rounds of {arguments.clients} clients in {seconds:.1f} s: {len(seen.violations)} violations")
    report.table(["deed and status", "number"], sorted(seen.deeds.items()))
    for sentence in seen.violations[:20]:
        print(f"  {sentence}")
    results = {
        "quick": arguments.quick,
        "rounds": rounds,
        "clients": arguments.clients,
        "seconds": round(seconds, 1),
        "deeds": dict(sorted(seen.deeds.items())),
        "violations": seen.violations,
    }
    report.write(arguments.out, "concurrency", began=began, results=results)


def raced(service: Service, *, rounds: int, clients: int, seed: int) -> Seen:
    """All rounds."""
    seen = Seen()
    barrier = threading.Barrier(clients + 1)

    def client(number: int) -> None:
        rng = random.Random(seed * 1000 + number)
        newest: dict[str, int] = {}
        with service.client() as http:
            for _ in range(rounds):
                barrier.wait(_BARRIER_SECONDS)
                try:
                    _do(rng.choice(_DEEDS), http, seen, newest)
                except (httpx.HTTPError, BenchmarkError, KeyError, ValueError) as error:
                    seen.wrong(f"client {number}: {error!r}")
                barrier.wait(_BARRIER_SECONDS)

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(clients)]
    with service.client() as http:
        make_collection(http, COLLECTION)
        for thread in threads:
            thread.start()
        for number in range(rounds):
            barrier.wait(_BARRIER_SECONDS)
            barrier.wait(_BARRIER_SECONDS)
            until_idle(http)
            _settled(http, seen, number)
        for job in pages(http, "/v1/jobs"):
            error = job["error"] or {}
            if job["state"] == "failed" or (job["state"] == "cancelled" and error.get("code") != "document_deleted"):
                seen.wrong(f"a job ended as {job['state']}: {error}")
    for thread in threads:
        thread.join(_BARRIER_SECONDS)
    return seen


def _do(deed: str, http: httpx.Client, seen: Seen, newest: dict[str, int]) -> None:
    if deed == "put":
        _put(http, seen)
    elif deed == "delete":
        reply = http.delete(f"/v1/documents/by-external-id/{NAME}", params={"collection": COLLECTION})
        seen.did(deed, reply.status_code)
        if reply.status_code not in (202, 404):
            seen.wrong(f"a delete was answered {reply.status_code}: {reply.text[:200]}")
    elif deed == "read":
        _read(http, seen, newest)
    else:
        _search(http, seen)


def _put(http: httpx.Client, seen: Seen) -> None:
    mark = f"mark{uuid.uuid4().hex[:12]}"
    text = "\n\n".join(f"Paragraph {n} of {mark} tells of the harbour and its boats. " * 8 for n in range(_PARAGRAPHS))
    reply = http.put(
        f"/v1/documents/by-external-id/{NAME}", params={"collection": COLLECTION}, files={"file": (NAME, text.encode())}
    )
    seen.did("put", reply.status_code)
    if reply.status_code == httpx.codes.ACCEPTED:
        with seen.lock:
            seen.marks[reply.json()["version_id"]] = mark
    else:
        seen.wrong(f"an upload was answered {reply.status_code}: {reply.text[:200]}")


def _read(http: httpx.Client, seen: Seen, newest: dict[str, int]) -> None:
    """Document, text and versions; `newest` is the greatest seq that this client saw live, by document."""
    reply = http.get(f"/v1/documents/by-external-id/{NAME}", params={"collection": COLLECTION})
    seen.did("read", reply.status_code)
    if reply.status_code == httpx.codes.NOT_FOUND:
        return
    document = reply.raise_for_status().json()
    text = http.get(f"/v1/documents/{document['id']}/text")
    if text.status_code == httpx.codes.OK:
        marks = set(_MARK.findall(text.json()["text"]))
        if len(marks) != 1:
            seen.wrong(f"a text is of {len(marks)} uploads: {marks}")
    versions = http.get(f"/v1/documents/{document['id']}/versions")
    if versions.status_code == httpx.codes.OK:
        live = [each["seq"] for each in versions.json()["data"] if each["state"] == "live"]
        if len(live) > 1:
            seen.wrong(f"{len(live)} versions are live at once")
        if live and live[0] < newest.get(document["id"], 0):
            seen.wrong(f"version {live[0]} is live after version {newest[document['id']]} was")
        newest[document["id"]] = max([newest.get(document["id"], 0), *live])


def _search(http: httpx.Client, seen: Seen) -> None:
    hits = search(http, "harbour and boats", collections=[COLLECTION], limit=50)
    seen.did("search", httpx.codes.OK)
    versions = {hit["version_id"] for hit in hits}
    if len(versions) > 1:
        seen.wrong(f"one search shows {len(versions)} versions of one document")


def _settled(http: httpx.Client, seen: Seen, number: int) -> None:
    """Nothing is under way: what must be so now."""
    hits = search(http, "harbour and boats", collections=[COLLECTION], limit=50)
    reply = http.get(f"/v1/documents/by-external-id/{NAME}", params={"collection": COLLECTION})
    if reply.status_code == httpx.codes.NOT_FOUND:
        if hits:
            seen.wrong(f"round {number}: the document is gone and a search shows {len(hits)} passages")
        return
    document: dict[str, Any] = reply.raise_for_status().json()
    versions = http.get(f"/v1/documents/{document['id']}/versions").raise_for_status().json()["data"]
    live = [each for each in versions if each["state"] == "live"]
    if len(live) != 1 or live[0]["id"] != document["live_version_id"]:
        seen.wrong(f"round {number}: {len(live)} versions are live")
        return
    if live[0]["seq"] != max(each["seq"] for each in versions):
        seen.wrong(f"round {number}: version {live[0]['seq']} is live, an upload after it was accepted")
    text = http.get(f"/v1/documents/{document['id']}/text").raise_for_status().json()["text"]
    if set(_MARK.findall(text)) != {seen.marks.get(live[0]["id"])}:
        seen.wrong(f"round {number}: the text is not the one that was sent for the live version")
    if {hit["version_id"] for hit in hits} != {live[0]["id"]}:
        seen.wrong(f"round {number}: a search shows other versions than the live one, or none")


if __name__ == "__main__":
    main()
