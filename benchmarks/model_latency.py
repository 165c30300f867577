"""What Footnote adds to a model's own time: to the first raw text, to each validated sentence; and its event loop meanwhile.

    python -m benchmarks.model_latency [--quick] [--chunks 5000] [--requests 200] [--streams 100] [--rate 10] [--data-dir FOLDER]

A stand-in for a model's server (`benchmarks.upstream`, a process of its own) answers at once, or over 20 s. With one client:
from sending the question to the first `delta`, HTTP and the stand-in's own time included. Then so many streams of 20 s, arriving
evenly over 20 s, `--rate` pieces a second each. A sentence's delay runs from the moment at which the stand-in sent its last piece
to the moment at which the client had its `sentence` event. The service runs with a task that is due every 5 ms
(`benchmarks.watched_service`); how late that comes is how long the event loop was blocked. Client, service and stand-in share
the machine's cores. What a first question after the start waits for, the loading of libraries, is not in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from benchmarks import latency, metrics, report
from benchmarks.service import BenchmarkError, Service, serving, until_idle

_WANTED = {"p50": 25.0, "p95": 60.0, "streams_p95": 250.0, "sentence_ms": 30.0, "loop_ms": 50.0}
_STREAM_SECONDS = 20.0
_SETTLED_SECONDS = 4.0  # after the start, in which the service loads the models' libraries beside its work
MODELS = """
[[model]]
name = "{name}"
provider = "openai_compatible"
model = "{model}"
base_url = "http://127.0.0.1:{port}/v1"
tier = "strong"
context_tokens = 32000
output_tokens = 4000
concurrency = 200
queue = 200
"""


def main() -> None:
    """Measure, print, write."""
    parser = report.parser("model_latency", __doc__)
    parser.add_argument("--chunks", type=int, default=5000)
    parser.add_argument("--requests", type=int, help="of one client (default 200)")
    parser.add_argument("--streams", type=int, help="of 20 s, beside each other (default 100)")
    parser.add_argument("--rate", type=int, default=10, help="pieces a second of each stream")
    parser.add_argument("--data-dir", type=pathlib.Path, help="where the folder is, or goes")
    arguments = parser.parse_args()
    began = report.machine()
    report.heading("Time added to a model's", began)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as made:
        results = measured(arguments, pathlib.Path(made))
    _print(results)
    report.write(arguments.out, "model_latency", began=began, results={"quick": arguments.quick, **results})


def measured(arguments: argparse.Namespace, work: pathlib.Path) -> dict[str, Any]:
    """All figures."""
    folder = arguments.data_dir or work / "data"
    latency.make_folder(folder, arguments.data, chunks=1000 if arguments.quick else arguments.chunks)
    asked = latency.questions(arguments.data, work)
    with upstream() as port:
        slow = f"slow-{_STREAM_SECONDS:g}-{arguments.rate}"
        listed = [("instant", "instant"), ("slow", slow)]
        text = "".join(MODELS.format(name=name, model=model, port=port) for name, model in listed)
        (folder / "models.toml").write_text(text, encoding="utf-8")
        command = (sys.executable, "-m", "benchmarks.watched_service")
        settings = {"FOOTNOTE_REQUESTS_PER_MINUTE": ""}
        with serving(folder, settings=settings, command=command) as service:
            with service.client() as client:
                until_idle(client)
            time.sleep(_SETTLED_SECONDS)
            one = _one_client(service, asked, arguments.requests or (30 if arguments.quick else 200))
            streams = arguments.streams or (10 if arguments.quick else 100)
            _loop(service)
            told = asyncio.run(_many(service, asked[-streams:]))
            many = _figures(told, _sent(port), _loop(service))
            indexed = latency.chunk_count(service)
    return {"chunks": indexed, "rate": arguments.rate, "one": one, "many": many}


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """The stand-in, as a process; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.upstream", str(port)])
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _one_client(service: Service, questions: Sequence[str], number: int) -> dict[str, Any]:
    """One question after the other; the first ten warm what a first question warms."""
    first, sentences, first_sentence = [], 0, []
    for place, question in enumerate(questions[: number + 10]):
        if place == 10:
            _loop(service)
        told = asyncio.run(_stream(service, question, "instant"))
        if place >= 10 and told["first_delta"] is not None:
            first.append(1000 * (told["first_delta"] - told["began"]))
            if told["sentences"]:
                first_sentence.append(1000 * (told["sentences"][0][1] - told["began"]))
            sentences += len(told["sentences"])
    return {
        "requests": len(first),
        "first_delta_ms": metrics.latencies(first),
        "first_sentence_ms": metrics.latencies(first_sentence),
        "sentences": sentences,
        "loop": _loop(service),
    }


async def _many(service: Service, questions: Sequence[str]) -> list[dict[str, Any]]:
    """So many streams, each begun a little after the one before."""

    async def later(place: int, question: str) -> dict[str, Any]:
        await asyncio.sleep(place * _STREAM_SECONDS / len(questions))
        return await _stream(service, question, "slow")

    return await asyncio.gather(*(later(place, each) for place, each in enumerate(questions)))


def _sent(port: int) -> dict[str, list[tuple[str, float]]]:
    """When the stand-in had sent each sentence, by question."""
    times: dict[str, list[tuple[str, float]]] = httpx.get(
        f"http://127.0.0.1:{port}/times", trust_env=False, timeout=60
    ).json()["times"]
    return times


def _figures(told: Sequence[dict[str, Any]], sent: dict[str, Any], loop: dict[str, float]) -> dict[str, Any]:
    delays = [delay for each in told for delay in _delays(each, sent.get(each["question"], []))]
    first = [1000 * (each["first_delta"] - each["began"]) for each in told if each["first_delta"] is not None]
    return {
        "streams": len(told),
        "asked": sum(each["asked"] for each in told),
        "answered": sum(each["status"] == "answered" for each in told),
        "first_delta_ms": metrics.latencies(first),
        "sentences": sum(len(each["sentences"]) for each in told),
        "sentence_delay_ms": metrics.latencies(delays) if delays else {},
        "loop": loop,
    }


def _delays(told: dict[str, Any], sent: Sequence[tuple[str, float]]) -> Iterator[float]:
    """Milliseconds from the last piece of each sentence to its event, sentence by sentence, as often as it was said."""
    left = [(text.rpartition(" [")[0].rstrip("."), at) for text, at in sent]
    for text, at in told["sentences"]:
        plain = text.rstrip(".")
        while left:
            said, sent_at = left.pop(0)
            if said.split() == plain.split():
                yield 1000 * (at - sent_at)
                break


async def _stream(service: Service, question: str, model: str) -> dict[str, Any]:
    """One question over a connection of its own: when the first raw text came, and each sentence; time.monotonic()."""
    parts = urllib.parse.urlsplit(service.url)
    body = json.dumps({"question": question, "model": model, "stream": True, "deltas": True}).encode()
    head = (
        f"POST /v1/ask HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {service.key}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=4 * 1024 * 1024)
    told: dict[str, Any] = {
        "question": question,
        "began": time.monotonic(),
        "first_delta": None,
        "sentences": [],
        "status": "",
        "asked": False,
    }
    writer.write(head.encode() + body)
    event = ""
    async for line in reader:
        if line.startswith(b"event: "):
            event = line[7:].strip().decode()
            if event == "delta" and told["first_delta"] is None:
                told["first_delta"] = time.monotonic()
        elif line.startswith(b"data: ") and event == "sentence":
            told["sentences"].append((json.loads(line[6:])["text"], time.monotonic()))
        elif line.startswith(b"data: ") and event == "answer":
            answer = json.loads(line[6:])
            told["status"] = answer["status"]
            if answer["model"] != model and answer["attempts"]:
                raise BenchmarkError(f"{answer['model']} answered in place of {model}: {answer['attempts']}")
            told["asked"] = bool(answer["attempts"])  # not where the evidence was too weak to ask a model
        elif line.startswith(b"data: ") and event == "error":
            raise BenchmarkError(line.decode())
    writer.close()
    return told


def _loop(service: Service) -> dict[str, float]:
    with service.client() as client:
        told: dict[str, float] = client.get("/-/loop").raise_for_status().json()
    return told


def _print(results: dict[str, Any]) -> None:
    one, many = results["one"], results["many"]
    first, streams = one["first_delta_ms"], many["first_delta_ms"]
    held = first["p50"] < _WANTED["p50"] and first["p95"] < _WANTED["p95"]
    delay = many["sentence_delay_ms"]
    rows: list[list[object]] = [
        ["first delta, 1 client", first["p50"], first["p95"], first["max"], report.verdict(held)],
        [
            f"first delta, {many['streams']} streams",
            streams["p50"],
            streams["p95"],
            streams["max"],
            report.verdict(streams["p95"] < _WANTED["streams_p95"]),
        ],
        [
            "sentence after its last piece",
            delay.get("p50"),
            delay.get("p95"),
            delay.get("max"),
            report.verdict(bool(delay) and delay["p95"] < _WANTED["sentence_ms"]),
        ],
        *(
            [
                "event loop late, " + name,
                None,
                None,
                each["max_ms"],
                report.verdict(each["max_ms"] < _WANTED["loop_ms"]),
            ]
            for name, each in (("1 client", one["loop"]), (f"{many['streams']} streams", many["loop"]))
        ),
    ]
    print(f"\n{results['chunks']} chunks; milliseconds; {results['rate']} pieces a second a stream")
    report.table(["", "p50", "p95", "max", ""], rows)
    print(
        f"{one['requests']} questions of one client, {one['sentences']} validated sentences; {many['streams']} streams, "
        f"{many['asked']} asked the model, {many['answered']} answered, {many['sentences']} validated sentences; loop over 50 ms: "
        f"{one['loop']['over_50_ms']:.0f} of {one['loop']['looks']:.0f} looks and {many['loop']['over_50_ms']:.0f} of "
        f"{many['loop']['looks']:.0f}"
    )


if __name__ == "__main__":
    main()
