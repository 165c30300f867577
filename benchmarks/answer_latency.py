"""Answers over HTTP among 100,000 chunks: latency, throughput, latency while documents go in, the first sentence of a stream.

    python -m benchmarks.answer_latency [--quick] [--chunks 100000] [--seconds 20] [--rounds 3] [--data-dir FOLDER]

As `benchmarks.latency`, whose folder it takes, for `POST /v1/ask`. Questions come in an order in which neighbours share no
article, so that words and sentences are new to the answerer's cache as often as with strangers; one pass does not repeat.

`to wire` is the service's own measurement, from the moment at which the verified sentences were known to the moment at which
the first `sentence` event had been handed to the connection; /metrics tells its sum and number.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import httpx

from benchmarks import latency, load, memory, metrics, report, startup
from benchmarks.service import BenchmarkError, Service, serving, until_idle

CLIENTS = (1, 8)
_WANTED = {"p50": 120.0, "p95": 250.0, "per_second": 12.0, "busy_p95": 700.0, "to_wire_ms": 10.0}
_STREAMS = 200


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("answer_latency", __doc__)
    parser.add_argument("--chunks", "--limit", type=int, help="default 100,000")
    parser.add_argument("--seconds", type=float, help="of each measurement (default 20)")
    parser.add_argument("--rounds", type=int, help="default 3")
    parser.add_argument("--ingest-seconds", type=float, help="longest measurement beside an ingestion (default 120)")
    parser.add_argument("--data-dir", type=pathlib.Path, help="where the folder is, or goes")
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Answer latency", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        results = measured(arguments, pathlib.Path(made))
    _print(results)
    report.write(arguments.out, "answer_latency", began=began, results={"quick": arguments.quick, **results})


def measured(arguments: argparse.Namespace, work: pathlib.Path) -> dict[str, Any]:
    """All figures."""
    folder = arguments.data_dir or work / "data"
    seconds = arguments.seconds or (3.0 if arguments.quick else 20.0)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    latency.make_folder(folder, arguments.data, chunks=arguments.chunks or (2000 if arguments.quick else 100_000))
    asked = latency.questions(arguments.data, work)
    bodies = [json.dumps({"question": question}).encode() for question in asked]
    with serving(folder) as service:
        with service.client() as client:
            until_idle(client)  # what an earlier run left unfinished
        load.run(service, "POST", "/v1/ask", bodies[-50:], clients=1, seconds=min(seconds, 3.0))  # warms the service
        by_clients: dict[int, list[dict[str, float]]] = {clients: [] for clients in CLIENTS}
        with memory.sampled(service.pid) as peak:
            for number in range(rounds):
                fresh = bodies[number * len(bodies) // rounds :]
                for clients in CLIENTS:
                    found = load.run(service, "POST", "/v1/ask", fresh, clients=clients, seconds=seconds)
                    by_clients[clients].append(found.figures())
        streams = _streams(service, asked[: 20 if arguments.quick else _STREAMS])
        beside = latency.beside_ingestion(service, arguments, work, "/v1/ask", bodies)
        indexed = latency.chunk_count(service)
    return {
        "chunks": indexed,
        "rounds": rounds,
        "seconds": seconds,
        "answers": {clients: startup.medians(figures) for clients, figures in by_clients.items()},
        "answers_by_round": by_clients,
        "streams": streams,
        "rss": peak.rounded(),
        "while_ingesting": beside,
    }


def _streams(service: Service, questions: Sequence[str]) -> dict[str, Any]:
    """When the first `sentence` came and when the answer ended, as one client sees it; and the service's own share."""
    before = _to_wire(service)
    first: list[float] = []
    whole: list[float] = []
    with service.client() as client:
        for question in questions:
            began = time.perf_counter()
            with client.stream("POST", "/v1/ask", json={"question": question, "stream": True}) as reply:
                if reply.status_code != httpx.codes.OK:
                    raise BenchmarkError(f"ask answered {reply.status_code}")
                seen = False
                for line in reply.iter_lines():
                    if not seen and line == "event: sentence":
                        seen = True
                        first.append(1000 * (time.perf_counter() - began))
                whole.append(1000 * (time.perf_counter() - began))
    seconds, number, quick = (after - earlier for after, earlier in zip(_to_wire(service), before, strict=True))
    return {
        "streams": len(whole),
        "first_sentence_ms": metrics.latencies(first),
        "whole_ms": metrics.latencies(whole),
        "to_wire_mean_ms": round(1000 * seconds / number, 3) if number else None,
        "to_wire_number": number,
        "to_wire_over_10_ms": number - quick,
    }


def _to_wire(service: Service) -> tuple[float, float, float]:
    """Sum of seconds, number, and number within 10 ms, of first sentences."""
    names = ("footnote_stage_seconds_sum", "footnote_stage_seconds_count", "footnote_stage_seconds_bucket")
    found = dict.fromkeys(names, 0.0)
    with service.client() as client:
        for line in client.get("/metrics").raise_for_status().text.splitlines():
            name, _, rest = line.partition("{")
            if name in found and 'stage="ask.to_wire"' in rest and (name != names[2] or 'le="0.01"' in rest):
                found[name] = float(line.split()[-1])
    return found[names[0]], found[names[1]], found[names[2]]


def _print(results: dict[str, Any]) -> None:
    names = ["p50", "p95", "p99", "max", "per_second", "not_ok"]
    rows: list[list[object]] = []
    for clients, figures in results["answers"].items():
        if clients == 1:
            held = figures["p50"] < _WANTED["p50"] and figures["p95"] < _WANTED["p95"]
        else:
            held = figures["per_second"] >= _WANTED["per_second"]
        rows.append([f"ask, {clients} clients", *(figures[name] for name in names), report.verdict(held)])
    beside = results["while_ingesting"]
    held = beside.get("p95", math.inf) < _WANTED["busy_p95"]
    rows.append(["ask while ingesting, 1 client", *(beside.get(name) for name in names), report.verdict(held)])
    print(
        f"\n{results['chunks']} chunks; milliseconds; medians of {results['rounds']} rounds of {results['seconds']} s"
    )
    print(
        "wanted: 1 client p50 < 120 and p95 < 250, 8 clients 12/s, p95 < 700 while ingesting; clients share the cores"
    )
    report.table(["", *names, ""], rows)
    streams = results["streams"]
    print(
        f"streams: first sentence {streams['first_sentence_ms']}, whole {streams['whole_ms']}; from known to the wire "
        f"{streams['to_wire_mean_ms']} ms on average, over 10 ms {streams['to_wire_over_10_ms']:.0f} of "
        f"{streams['to_wire_number']:.0f}; RSS under load {results['rss']['rss_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
