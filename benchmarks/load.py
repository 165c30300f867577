"""A cheap load generator: threads with one kept-alive connection each, bodies made beforehand, replies barely read.

It shares the machine's cores with the service: on two cores some of the time measured is its own. `/health/live`, which
does nothing, measured by the same threads, tells how much.
"""

from __future__ import annotations

import dataclasses
import http.client
import itertools
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence

from benchmarks import metrics
from benchmarks.service import BenchmarkError, Service

_TIMEOUT_SECONDS = 60.0
_BUSY_PAUSE_SECONDS = 0.01


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One reply."""

    began: float  # seconds of time.perf_counter
    milliseconds: float
    status: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What some clients saw."""

    clients: int
    seconds: float
    replies: list[Timed]

    def figures(self) -> dict[str, float]:
        """Percentiles of good replies in ms, good replies a second, and how many were not good (503: busy)."""
        good = [each.milliseconds for each in self.replies if each.status == http.client.OK]
        return {
            "clients": self.clients,
            **metrics.latencies(good),
            "per_second": round(len(good) / self.seconds, 2),
            "searches": len(good),
            "not_ok": len(self.replies) - len(good),
        }


def searches(service: Service, queries: Sequence[str], *, clients: int, seconds: float, limit: int = 10) -> Load:
    """Clients that search one after the other without a pause, each other queries, for some time."""
    bodies = search_bodies(queries, limit=limit)
    return run(service, "POST", "/v1/search", bodies, clients=clients, seconds=seconds)


def search_bodies(queries: Sequence[str], *, limit: int = 10) -> list[bytes]:
    """Searches as they are sent."""
    return [json.dumps({"query": query, "limit": limit}).encode() for query in queries]


def floor(service: Service, *, clients: int, seconds: float) -> Load:
    """The same for the route that does nothing."""
    return run(service, "GET", "/health/live", [b""], clients=clients, seconds=seconds)


def run(service: Service, method: str, path: str, bodies: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """Keep clients busy.

    Raises:
        BenchmarkError: a client could not go on.
    """
    stop = threading.Event()
    replies: list[list[Timed]] = [[] for _ in range(clients)]
    errors: list[BaseException] = []

    def client(number: int) -> None:
        first = number * len(bodies) // clients
        share = itertools.cycle([*bodies[first:], *bodies[:first]])
        try:
            replies[number].extend(
                itertools.takewhile(lambda _: not stop.is_set(), _asked(service, method, path, share))
            )
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    took = time.perf_counter() - began
    for thread in threads:
        thread.join(_TIMEOUT_SECONDS)
    if errors:
        raise BenchmarkError(f"{len(errors)} of {clients} clients broke off: {errors[0]!r}\n{service.tail()}")
    return Load(clients=clients, seconds=took, replies=[each for some in replies for each in some])


def one_after_another(service: Service, path: str, bodies: Sequence[bytes], *, until: threading.Event) -> list[Timed]:
    """One client that asks without a pause until an event is set."""
    asked = _asked(service, "POST", path, itertools.cycle(bodies))
    return list(itertools.takewhile(lambda _: not until.is_set(), asked))


def _asked(service: Service, method: str, path: str, bodies: Iterator[bytes]) -> Iterator[Timed]:
    host = urllib.parse.urlsplit(service.url).netloc
    headers = {"Authorization": f"Bearer {service.key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_SECONDS)
    try:
        for body in bodies:
            began = time.perf_counter()
            connection.request(method, path, body=body or None, headers=headers)
            reply = connection.getresponse()
            reply.read()
            took = time.perf_counter() - began
            if reply.status == http.client.SERVICE_UNAVAILABLE:
                time.sleep(_BUSY_PAUSE_SECONDS)
            yield Timed(began=began, milliseconds=1000 * took, status=reply.status)
    finally:
        connection.close()
