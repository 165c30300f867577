"""Searches over HTTP among 100,000 chunks: latency, throughput, memory, start-up, and latency while documents go in.

    python -m benchmarks.latency [--quick] [--chunks 100000] [--seconds 20] [--rounds 3] [--data-dir FOLDER]

The folder is made by `benchmarks.large_corpus`, which says how; --data-dir keeps it, and uses it again when it exists.
Then, over HTTP with kept-alive connections and the real questions of SciFact and SQuAD: 1, 8 and 32 clients that search
without a pause, in turns over some rounds (medians are given). The clients are threads of this process, which share the
machine's cores with the service: `/health/live`, measured likewise, tells what HTTP and the clients alone cost.

While a large ingestion runs: one client without a pause, from the moment its first job runs until it ends or the time
is over; what goes in are the filings, or SciFact where there are none.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import corpora, load, memory, report, startup
from benchmarks.report import ROOT
from benchmarks.service import BenchmarkError, Service, make_collection, serving, until_idle

CLIENTS = (1, 8, 32)
_WANTED = {"p50": 30.0, "p99": 90.0, "per_second": 45.0, "busy_p95": 400.0, "ready_seconds": 3.0, "rss_mb": 900.0}
_MAKE_SECONDS = 3600.0


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("latency", __doc__)
    parser.add_argument("--chunks", "--limit", type=int, help="default 100,000")
    parser.add_argument("--seconds", type=float, help="of each measurement (default 20)")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--ingest-seconds", type=float, help="longest measurement beside an ingestion (default 120)")
    parser.add_argument("--data-dir", type=pathlib.Path, help="where the folder is, or goes")
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Search latency", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        results = measured(arguments, pathlib.Path(made))
    _print(results)
    report.write(arguments.out, "latency", began=began, results={"quick": arguments.quick, **results})


def measured(arguments: argparse.Namespace, work: pathlib.Path) -> dict[str, Any]:
    """All figures."""
    folder = arguments.data_dir or work / "data"
    chunks = arguments.chunks or (2000 if arguments.quick else 100_000)
    seconds = arguments.seconds or (3.0 if arguments.quick else 20.0)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    made_seconds = make_folder(folder, arguments.data, chunks=chunks)
    queries = questions(arguments.data, work)
    starts = [startup.started(folder) for _ in range(rounds)]
    with serving(folder) as service:
        with service.client() as client:
            until_idle(client)  # what an earlier run left unfinished
        load.searches(service, queries, clients=1, seconds=min(seconds, 3.0))  # warms what a first search warms
        with memory.sampled(service.pid) as peak:
            by_clients: dict[int, list[dict[str, float]]] = {clients: [] for clients in CLIENTS}
            floors: dict[int, list[dict[str, float]]] = {clients: [] for clients in CLIENTS}
            for _ in range(rounds):
                for clients in CLIENTS:
                    found = load.searches(service, queries, clients=clients, seconds=seconds)
                    by_clients[clients].append(found.figures())
                    idle = load.floor(service, clients=clients, seconds=min(seconds, 3.0))
                    floors[clients].append(idle.figures())
        indexed = chunk_count(service)
        beside = beside_ingestion(service, arguments, work, "/v1/search", load.search_bodies(queries))
    return {
        "chunks": indexed,
        "made_seconds": made_seconds,
        "rounds": rounds,
        "seconds": seconds,
        "searches": {clients: startup.medians(figures) for clients, figures in by_clients.items()},
        "searches_by_round": by_clients,
        "http_floor": {clients: startup.medians(figures) for clients, figures in floors.items()},
        "rss": peak.rounded(),
        "starts": {"median": startup.medians(starts), "all": starts},
        "while_ingesting": beside,
    }


def make_folder(folder: pathlib.Path, data: pathlib.Path, *, chunks: int) -> float | None:
    """Make the folder where there is none; gives the seconds that took. A process of its own, so that its memory is not ours."""
    if (folder / "footnote.db").exists():
        print(f"  using {folder} as it is")
        return None
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.large_corpus", "--data", str(data), "--data-dir", str(folder)]
    subprocess.run([*command, "--chunks", str(chunks)], cwd=ROOT, check=True, timeout=_MAKE_SECONDS)
    return round(time.perf_counter() - began, 1)


def questions(data: pathlib.Path, work: pathlib.Path) -> list[str]:
    """Real questions, in an order that is the same in each run."""
    found = list(corpora.scifact(data).queries.values())
    found += [question.text for question in corpora.squad(data, work / "squad")[:2000]]
    random.Random(1).shuffle(found)
    return found


def chunk_count(service: Service) -> int:
    """Points of the index, as /metrics tells."""
    with service.client() as client:
        lines = client.get("/metrics").raise_for_status().text.splitlines()
    found = [line for line in lines if "index" in line and "chunk" in line and not line.startswith("#")]
    if not found:
        raise BenchmarkError("/metrics does not tell how many chunks there are")
    return int(float(found[0].split()[-1]))


def beside_ingestion(
    service: Service, arguments: argparse.Namespace, work: pathlib.Path, path: str, bodies: Sequence[bytes]
) -> dict[str, Any]:
    """One client's latencies while `footnote ingest` brings documents in."""
    longest = arguments.ingest_seconds or (20.0 if arguments.quick else 120.0)
    corpora.copy_filings(arguments.data, work / "incoming", number=1 if arguments.quick else None)
    name = f"incoming-{int(time.time())}"
    done = threading.Event()
    found: list[load.Timed] = []
    with service.client() as client:
        make_collection(client, name)
        before = chunk_count(service)
        with (
            memory.sampled(service.pid) as peak,
            service.ingesting(work / "incoming", collection=name) as command,
        ):
            reader = threading.Thread(target=command.communicate, daemon=True)
            reader.start()
            while reader.is_alive() and not _running(client):
                time.sleep(0.05)
            searcher = threading.Thread(
                target=lambda: found.extend(load.one_after_another(service, path, bodies, until=done)), daemon=True
            )
            began = time.perf_counter()
            searcher.start()
            reader.join(longest)
            done.set()
            took = time.perf_counter() - began
            searcher.join()
            whole = not reader.is_alive()
        reader.join()
        added = chunk_count(service) - before
    figures = load.Load(clients=1, seconds=took, replies=found).figures()
    return {
        **figures,
        "seconds": round(took, 1),
        "ingestion_ended": whole,
        "live_chunks_added": added,
        "rss": peak.rounded(),
    }


def _running(client: Any) -> bool:
    return bool(client.get("/v1/jobs", params={"state": "running", "limit": 1}).raise_for_status().json()["data"])


def _print(results: dict[str, Any]) -> None:
    rows: list[list[object]] = []
    names = ["p50", "p95", "p99", "max", "per_second", "not_ok"]
    for clients, figures in results["searches"].items():
        held = None
        if clients == 1:
            held = figures["p50"] < _WANTED["p50"] and figures["p99"] < _WANTED["p99"]
        elif clients == 8:
            held = figures["per_second"] >= _WANTED["per_second"]
        rows.append([f"search, {clients} clients", *(figures[name] for name in names), report.verdict(held)])
    beside = results["while_ingesting"]
    held = beside.get("p95", math.inf) < _WANTED["busy_p95"]
    rows.append(["search while ingesting, 1 client", *(beside.get(name) for name in names), report.verdict(held)])
    for clients, figures in results["http_floor"].items():
        rows.append([f"/health/live, {clients} clients", *(figures[name] for name in names), "-"])
    print(
        f"\n{results['chunks']} chunks; milliseconds; medians of {results['rounds']} rounds of {results['seconds']} s"
    )
    print("wanted: 1 client p50 < 30 and p99 < 90, 8 clients 45/s, p95 < 400 while ingesting; clients share the cores")
    report.table(["", *names, ""], rows)
    starts, rss = results["starts"]["median"], results["rss"]
    print(
        f"ready {starts['ready_seconds']:.2f} s after its start ({report.verdict(starts['ready_seconds'] <= _WANTED['ready_seconds'])}), "
        f"first search {starts['first_search_seconds']:.2f} s; RSS idle {starts['idle_rss_mb']:.0f} MB, under load "
        f"{rss['rss_mb']:.0f} MB, PSS {rss['pss_mb']:.0f} MB ({report.verdict(rss['rss_mb'] < _WANTED['rss_mb'])}); "
        f"while ingesting {beside['rss']['rss_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
