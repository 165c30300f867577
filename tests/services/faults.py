"""An installation of production mode that may be struck: what strikes it, and what still has to work meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import kombu
import pytest

from tests.services import running, servers
from tests.services.proxy import Mode, Proxy
from tests.services.running import Stack
from tests.services.servers import Postgres, Redis

LEASE_SECONDS = 3.0
_WIRED = {"database": "FOOTNOTE_DATABASE_URL", "index": "FOOTNOTE_QDRANT_URL", "files": "FOOTNOTE_S3_ENDPOINT"}
_DISK_BYTES = 600 * 1024 * 1024


@dataclasses.dataclass(slots=True, kw_only=True)
class Installation:
    """The processes, and what stands between them."""

    stack: Stack
    disk: pathlib.Path  # what the database, the broker if it is Redis, and the processes write to
    broker: str
    postgres: Postgres
    redis: Redis | None
    wires: dict[str, Proxy]  # before `database`, `index`, `files` and, where that is RabbitMQ, `broker`
    ports: dict[str, int]  # of API processes
    amqp_url: str | None  # of the broker itself, past the wire

    @property
    def urls(self) -> list[str]:
        """Of the API processes."""
        return [f"http://127.0.0.1:{port}" for port in self.ports.values()]

    def start(self, name: str) -> None:
        """One process by its name; of an API process, until it is ready."""
        if name == "beat":
            self.stack.beat()
        elif name.startswith("worker"):
            self.stack.worker(name)
        else:
            self.stack.api(name, self.ports[name])

    def broker_down(self) -> None:
        """As if its machine had stopped."""
        if self.redis is not None:
            self.redis.stop()
        else:
            self.wires["broker"].set("refuse")

    def broker_up(self) -> None:
        """Back, as it was."""
        if self.redis is not None:
            self.redis.start()
        else:
            self.wires["broker"].set("pass")

    def broker_forgets(self) -> None:
        """As if its disk had been lost. Of a broker that others use too, no more than this installation's is taken."""
        if self.redis is not None:
            self.redis.empty()
            return
        prefix = self.stack.environment["FOOTNOTE_QUEUE_PREFIX"]
        with kombu.Connection(self.amqp_url) as connection:
            for lane in ("ingest", "upkeep"):
                with contextlib.suppress(*connection.channel_errors):  # it is not there
                    connection.channel().queue_delete(f"{prefix}.{lane}")
            with contextlib.suppress(*connection.channel_errors):
                connection.channel().exchange_delete(f"{prefix}.ingest")


@contextlib.contextmanager
def installation(folder: pathlib.Path, *, broker: str, **settings: str) -> Iterator[Installation]:
    """Two API processes, two workers and a beat, all running."""
    running.require(broker=broker)
    with contextlib.ExitStack() as undo:
        disk = undo.enter_context(servers.small_disk(folder / "disk", _DISK_BYTES))
        postgres = Postgres(disk / "postgres")
        undo.callback(postgres.stop)
        postgres.start()
        redis = None
        if broker == "redis":
            redis = Redis(disk / "redis")
            undo.callback(redis.stop)
            redis.start()
        url = redis.url if redis else running.broker_url(broker)
        given = {
            "FOOTNOTE_DATA_DIR": str(disk / "data"),
            "FOOTNOTE_LEASE_SECONDS": str(LEASE_SECONDS),
            "FOOTNOTE_DATABASE_TIMEOUT_SECONDS": "5",
            "FOOTNOTE_QDRANT_TIMEOUT_SECONDS": "3",
            "FOOTNOTE_S3_TIMEOUT_SECONDS": "2",
            "FOOTNOTE_SMALL_FILE_BYTES": "1000",  # files of the traffic go to both places
            **settings,
        }
        stack = undo.enter_context(running.stack_on(folder, postgres=postgres.url, broker=url, **given))
        wired = dict(_WIRED if redis else _WIRED | {"broker": "FOOTNOTE_BROKER_URL"})
        wires = {part: _wire(undo, stack, name) for part, name in wired.items()}
        stack.migrate()
        made = Installation(
            stack=stack,
            disk=disk,
            broker=broker,
            postgres=postgres,
            redis=redis,
            wires=wires,
            ports={name: running.free_port() for name in ("api-1", "api-2")},
            amqp_url=None if redis else url,
        )
        if redis is None:
            undo.callback(made.broker_forgets)
        undo.callback(stack.close)
        for name in ("worker-1", "worker-2", "beat", *made.ports):
            made.start(name)
        yield made


def _wire(undo: contextlib.ExitStack, stack: Stack, name: str) -> Proxy:
    """A proxy before the server that a setting names, which then names the proxy."""
    url = httpx.URL(stack.environment[name])
    proxy = Proxy(url.port or 5672)
    undo.callback(proxy.close)
    stack.environment[name] = str(url.copy_with(port=proxy.port))
    return proxy


Strike = Callable[[Installation, random.Random, float], contextlib.AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens, and what the API says meanwhile."""

    strike: Strike  # as long as the context is open; the number is the longest that it may take by itself
    seconds: float  # how long it lasts at the most, in a long round
    serves: frozenset[str]  # what is answered as ever
    refuses: frozenset[str] = frozenset()  # what is answered 503


READ: Final = "read"
WRITE: Final = "write"
SEARCH: Final = "search"
_ALL = frozenset((READ, WRITE, SEARCH))


@contextlib.contextmanager
def _killed(made: Installation, names: list[str], rng: random.Random) -> Iterator[None]:
    name = rng.choice(names)
    made.stack.kill(name)
    yield
    made.start(name)


@contextlib.contextmanager
def _broker_stopped(made: Installation, *, empty: bool) -> Iterator[None]:
    if empty and made.redis is not None:
        made.broker_forgets()
    made.broker_down()
    if empty and made.redis is None:
        made.broker_forgets()
    yield
    made.broker_up()


@contextlib.contextmanager
def _postgres_stopped(made: Installation, rng: random.Random) -> Iterator[None]:
    made.postgres.stop(rng.choice((signal.SIGQUIT, signal.SIGINT)))
    yield
    made.postgres.start()


@contextlib.contextmanager
def _stopped(made: Installation, rng: random.Random) -> Iterator[None]:
    """A worker stands still past its lease, then goes on as if nothing had been."""
    process = made.stack.processes[rng.choice(["worker-1", "worker-2"])]
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(LEASE_SECONDS * rng.uniform(1.2, 2.5))
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def _disk_full(made: Installation, rng: random.Random) -> Iterator[None]:
    """Nothing is left, or a little; who gave up over that is started again once there is room."""
    if not made.disk.is_mount():
        pytest.skip("no small disk can be mounted here")
    filler = made.disk / "filler"
    left = rng.choice((0, 0, 64 * 1024, 2 * 1024 * 1024))
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(64 * 1024)):
            pass
    os.truncate(filler, max(0, filler.stat().st_size - left))
    try:
        yield
    finally:
        filler.unlink()
        for server in (made.postgres, made.redis):
            if server is not None and not server.runs:
                server.start()


def _wired(part: str, mode: Mode) -> Strike:
    @contextlib.contextmanager
    def strike(made: Installation, _: random.Random, __: float) -> Iterator[None]:
        made.wires[part].set(mode)
        try:
            yield
        finally:
            made.wires[part].set("pass")

    return strike


_INDEX = {"serves": frozenset((READ, WRITE)), "refuses": frozenset((SEARCH,))}
FAULTS = {
    "worker_killed": Fault(strike=lambda m, r, _: _killed(m, ["worker-1", "worker-2"], r), seconds=3, serves=_ALL),
    "api_killed": Fault(strike=lambda m, r, _: _killed(m, ["api-1", "api-2"], r), seconds=3, serves=_ALL),
    "beat_killed": Fault(strike=lambda m, r, _: _killed(m, ["beat"], r), seconds=6, serves=_ALL),
    "worker_stopped": Fault(strike=lambda m, r, _: _stopped(m, r), seconds=1, serves=_ALL),
    "broker_stopped": Fault(strike=lambda m, _, __: _broker_stopped(m, empty=False), seconds=20, serves=_ALL),
    "broker_emptied": Fault(strike=lambda m, _, __: _broker_stopped(m, empty=True), seconds=5, serves=_ALL),
    "postgres_restarted": Fault(
        strike=lambda m, r, _: _postgres_stopped(m, r), seconds=4, serves=frozenset(), refuses=_ALL
    ),
    "files_answer_503": Fault(
        strike=_wired("files", "busy"), seconds=15, serves=frozenset((READ, SEARCH)), refuses=frozenset((WRITE,))
    ),
    "postgres_hangs": Fault(strike=_wired("database", "hang"), seconds=15, serves=frozenset(), refuses=_ALL),
    "files_hang": Fault(
        strike=_wired("files", "hang"), seconds=15, serves=frozenset((READ, SEARCH)), refuses=frozenset((WRITE,))
    ),
    "disk_full": Fault(strike=lambda m, r, _: _disk_full(m, r), seconds=8, serves=frozenset()),
    "index_refuses": Fault(strike=_wired("index", "refuse"), seconds=30, **_INDEX),
    "index_hangs": Fault(strike=_wired("index", "hang"), seconds=10, serves=frozenset((READ, WRITE))),
    "index_answers_503": Fault(strike=_wired("index", "busy"), seconds=10, **_INDEX),
    "index_cuts": Fault(strike=_wired("index", "cut"), seconds=10, **_INDEX),
}
