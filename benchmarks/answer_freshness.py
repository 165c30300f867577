"""Answers never cite what was deleted or closed; and clients that hang up leave nothing behind.

    python -m benchmarks.answer_freshness [--quick] [--documents 2000] [--mutations 200] [--clients 8] [--hang-ups 1000]

Documents that each say their own word. While clients ask for the word of those that are just being changed, as the admin
and as a reader, documents are deleted, and closed to the reader, one after the other. From the moment the answer to a change
has come, an answer that begins later must not cite the document or show it as nearest; and every earlier answer that cited
it, read back, must show neither citation nor sentence.

Then clients open streams (every tenth a web socket) and hang up: at once, after the head, or after the first event. Threads,
open files, connections, tasks of the event loop and requests under way are counted before and after.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import pathlib
import random
import socket
import tempfile
import threading
import time
import urllib.parse
from typing import Any

import httpx
import psutil
from websockets.sync.client import connect

from benchmarks import metrics, report
from benchmarks.answers import asked
from benchmarks.service import BenchmarkError, Service, make_collection, pages, serving, until_idle, with_warm_cache

COLLECTION = "fresh"
READER = "alice"
_SETTLE_SECONDS = 30.0
_PLACES = ("harbour", "orchard", "quarry", "mill", "market", "chapel", "bridge", "meadow")


class Ledger:
    """Since when what must not be cited, and which answers cited what; guarded by its lock."""

    def __init__(self) -> None:
        self.gone: dict[str, float] = {}  # document id -> deleted at
        self.closed: dict[str, float] = {}  # document id -> closed to the reader at
        self.cited: dict[str, set[tuple[str, bool]]] = {}  # document id -> answers, whether the reader's
        self.recent: list[int] = []  # numbers of documents under change
        self.violations: list[str] = []
        self.milliseconds: list[float] = []
        self.answered = 0
        self.read_back = 0
        self.lock = threading.Lock()

    def check(self, answer: dict[str, Any], *, began: float, reader: bool) -> None:
        """Look at one answer."""
        shown = {each["document_id"] for each in (*answer["citations"], *answer.get("nearest", ()))}
        with self.lock:
            self.milliseconds.append(1000 * (time.perf_counter() - began))
            self.answered += answer["status"] == "answered"
            for document in shown:
                if self.gone.get(document, began) < began:
                    self.violations.append(f"an answer shows {document}, which was deleted before it began")
                if reader and self.closed.get(document, began) < began:
                    self.violations.append(f"an answer shows {document} to whom it was closed")
            for each in answer["citations"]:
                self.cited.setdefault(each["document_id"], set()).add((answer["id"], reader))


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("answer_freshness", __doc__)
    parser.add_argument("--documents", type=int, help="default 2,000")
    parser.add_argument("--mutations", type=int, help="default 200")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--hang-ups", type=int, help="default 1,000")
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Freshness of answers", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        work = pathlib.Path(made)
        with_warm_cache(work / "data", work / "cache")
        with serving(work / "data") as service:
            results = {"fresh": fresh(service, arguments), "hang_ups": hang_ups(service, arguments)}
    report.write(arguments.out, "answer_freshness", began=began, results={"quick": arguments.quick, **results})


def text_of(number: int) -> str:
    """A small document."""
    place = _PLACES[number % len(_PLACES)]
    return (
        f"Note {number} is about the {place}. The secret word of note {number} is w{number}x. It was written at noon."
    )


def fresh(service: Service, arguments: argparse.Namespace) -> dict[str, Any]:
    """Changes while clients ask."""
    size = arguments.documents or (200 if arguments.quick else 2000)
    mutations = arguments.mutations or (20 if arguments.quick else 200)
    ids = _corpus(service, size)
    ledger = Ledger()
    with service.client() as http:
        made = http.post("/v1/keys", json={"name": READER, "role": "reader", "user": READER}).raise_for_status()
    reader_key: str = made.json()["secret"]
    stop = threading.Event()
    numbers = random.Random(1).sample(range(size), mutations)

    def client(number: int) -> None:
        rng = random.Random(number)
        reader = bool(number % 2)
        with service.client(key=reader_key if reader else None) as http:
            while not stop.is_set():
                with ledger.lock:
                    about = rng.choice(ledger.recent[-6:] or numbers[:6])
                began = time.perf_counter()
                answer = asked(http, f"What is the secret word of note {about}?", collections=[COLLECTION])
                ledger.check(answer, began=began, reader=reader)

    with concurrent.futures.ThreadPoolExecutor(arguments.clients) as pool, service.client() as http:
        running = [pool.submit(client, number) for number in range(arguments.clients)]
        try:
            for number, deed in zip(numbers, itertools.cycle(("delete", "close")), strict=False):
                with ledger.lock:
                    ledger.recent.append(number)
                time.sleep(0.1)  # it is asked about before it is changed
                _change(http, ledger, ids[number], deed)
            until_idle(http)
            _read_back(http, ledger, ids, numbers)
        finally:
            stop.set()
        for each in running:
            each.result()
    with service.client() as http, service.client(key=reader_key) as reader_http:
        _old_answers(http, reader_http, ledger)
    print(
        f"\n{size} documents, {mutations} changes; {len(ledger.milliseconds)} answers by {arguments.clients} clients, "
        f"{ledger.answered} answered; {ledger.read_back} old answers read back: {len(ledger.violations)} violations"
    )
    print(f"ask ms: {metrics.latencies(ledger.milliseconds)}")
    for sentence in ledger.violations[:20]:
        print(f"  {sentence}")
    return {
        "documents": size,
        "mutations": mutations,
        "answers": len(ledger.milliseconds),
        "answered": ledger.answered,
        "read_back": ledger.read_back,
        "violations": ledger.violations,
        "ask_ms": metrics.latencies(ledger.milliseconds),
    }


def _change(http: httpx.Client, ledger: Ledger, document: str, deed: str) -> None:
    path = f"/v1/documents/{document}"
    reply = http.delete(path) if deed == "delete" else http.patch(path, json={"readers": ["user:bob"]})
    reply.raise_for_status()
    returned = time.perf_counter()
    with ledger.lock:
        (ledger.gone if deed == "delete" else ledger.closed)[document] = returned


def _read_back(http: httpx.Client, ledger: Ledger, ids: list[str], numbers: list[int]) -> None:
    """Ask once more for each that was changed."""
    for number in numbers:
        began = time.perf_counter()
        answer = asked(http, f"What is the secret word of note {number}?", collections=[COLLECTION])
        ledger.check(answer, began=began, reader=False)
        if ids[number] in ledger.gone and f"w{number}x" in answer["text"]:
            ledger.violations.append(f"an answer says the word of note {number}, which was deleted")


def _old_answers(http: httpx.Client, reader_http: httpx.Client, ledger: Ledger) -> None:
    """Every earlier answer that cited what is gone or closed, as who asked sees it now."""
    for document, answers in ledger.cited.items():
        for answer_id, reader in answers:
            hidden = document in ledger.gone or (reader and document in ledger.closed)
            if not hidden:
                continue
            now = (reader_http if reader else http).get(f"/v1/answers/{answer_id}").raise_for_status().json()
            ledger.read_back += 1
            numbers = {each["n"] for each in now["citations"]}
            if any(each["document_id"] == document for each in now["citations"]):
                ledger.violations.append(f"old answer {answer_id} still cites {document}")
            if any(not set(each["citations"]) <= numbers for each in now["sentences"]):
                ledger.violations.append(f"old answer {answer_id} still says a sentence of {document}")


def _corpus(service: Service, size: int) -> list[str]:
    lines = [
        json.dumps({"external_id": f"note-{number}", "title": f"Note {number}", "text": text_of(number)})
        for number in range(size)
    ]
    with service.client(timeout=600.0) as http:
        make_collection(http, COLLECTION)
        reply = http.post(
            "/v1/documents/batch",
            params={"collection": COLLECTION},
            content="\n".join(lines).encode(),
            headers={"Content-Type": "application/x-ndjson"},
        ).raise_for_status()
        if reply.json()["accepted"] != size:
            raise BenchmarkError(f"of {size} lines {reply.json()['accepted']} were accepted")
        until_idle(http)
        rows = {row["external_id"]: row["id"] for row in pages(http, "/v1/documents", collection=COLLECTION)}
    return [rows[f"note-{number}"] for number in range(size)]


def hang_ups(service: Service, arguments: argparse.Namespace) -> dict[str, Any]:
    """Clients that go away in mid-stream."""
    number = arguments.hang_ups or (50 if arguments.quick else 1000)
    _hang_up(service, 0)  # what a first one makes for good is no leak
    _hang_up(service, 9)
    before = _settled(service)
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(arguments.clients) as pool:
        list(pool.map(lambda each: _hang_up(service, each), range(number)))
    seconds = time.perf_counter() - began
    after = _settled(service, at_most=before)
    print(f"\n{number} clients hung up within {seconds:.1f} s; every tenth on a web socket")
    report.table(["counted", "before", "after"], [[name, before[name], after[name]] for name in before])
    left = {name: after[name] - before[name] for name in before if after[name] > before[name]}
    print(f"left behind: {left or 'nothing'}")
    return {"hang_ups": number, "seconds": round(seconds, 1), "before": before, "after": after, "left": left}


def _hang_up(service: Service, number: int) -> None:
    """One client that asks and leaves."""
    question = {"question": f"What is the secret word of note {number}?", "collections": [COLLECTION]}
    if number % 10 == 9:
        url = f"{service.url.replace('http', 'ws', 1)}/v1/ask"
        opened = connect(url, additional_headers={"Authorization": f"Bearer {service.key}"}, proxy=None, legacy=True)
        opened.send(json.dumps(question))
        if number % 20 == 9:
            opened.recv(timeout=30)
        opened.socket.close()  # without a farewell
        return
    split = urllib.parse.urlsplit(service.url)
    body = json.dumps({**question, "stream": bool(number % 4)}).encode()
    head = (
        f"POST /v1/ask HTTP/1.1\r\nHost: {split.netloc}\r\nAuthorization: Bearer {service.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((str(split.hostname), int(split.port or 80)), timeout=30) as sent:
        sent.sendall(head.encode() + body)
        if number % 3:
            with contextlib.suppress(OSError):
                sent.recv(20 if number % 3 == 1 else 4000)


def _settled(service: Service, *, at_most: dict[str, int] | None = None) -> dict[str, int]:
    """The counts, once they are no larger than those, or after some patience."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        time.sleep(0.5)
        found = _counts(service)
        calm = not found["requests running"] and not found["requests waiting"]
        if time.monotonic() > deadline or (calm and all(found[name] <= (at_most or found)[name] for name in found)):
            return found


def _counts(service: Service) -> dict[str, int]:
    process = psutil.Process(service.pid)
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        lines = client.get("/metrics").raise_for_status().text.splitlines()
    gauges = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    time.sleep(0.1)  # our own connection is gone
    return {
        "threads": process.num_threads(),
        "open files": process.num_fds(),
        "connections": len([each for each in process.net_connections("tcp") if each.status != psutil.CONN_LISTEN]),
        "tasks": int(gauges["footnote_event_loop_tasks"]),
        "requests running": int(gauges['footnote_request_threads{state="running"}']) - 1,  # this one
        "requests waiting": int(gauges['footnote_request_threads{state="waiting"}']),
    }


if __name__ == "__main__":
    main()
