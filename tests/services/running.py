"""Production mode as plain processes: a stand-in for Qdrant, moto's S3, API, workers and beat; ended by their ids."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any, NoReturn

import httpx
import pytest
import sqlalchemy as sa

from app.bootstrap import Services, build
from app.settings import Settings

ROOT = pathlib.Path(__file__).parents[2]
EMBEDDER = os.environ.get("FOOTNOTE_TEST_EMBEDDER", "hashing-16")  # of an installation in the process
_START_SECONDS = 60.0
_BROKERS = {"rabbitmq": ("FOOTNOTE_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//", 5672),
            "redis": ("FOOTNOTE_TEST_REDIS_URL", "redis://127.0.0.1:6379/5", 6379)}  # fmt: skip


other_apis: dict[
    int, str
] = {}  # in production mode, the address of the second API process, by the services of the first

# Of tests that take half a minute and have a shorter neighbour: `make faults` runs them.
in_long_rounds = pytest.mark.skipif(
    os.environ.get("FOOTNOTE_FAULT_ROUNDS") != "long", reason="of the long rounds: FOOTNOTE_FAULT_ROUNDS=long"
)

# Of tests that look into the data folder, or end threads of the process: what embedded mode alone has.
embedded_alone = pytest.mark.skipif(bool(os.environ.get("FOOTNOTE_TEST_MODE")), reason="of the embedded mode alone")


def missing(why: str) -> NoReturn:
    """Skip, or fail in CI, where a server of the machine is missing."""
    if os.environ.get("FOOTNOTE_REQUIRE_SERVICES") == "1":
        pytest.fail(why)
    pytest.skip(why)


def postgres() -> str:
    """The address of the machine's server, whose databases stay as they are; tests make their own there."""
    return os.environ.get("FOOTNOTE_TEST_POSTGRES_URL") or missing("FOOTNOTE_TEST_POSTGRES_URL names no server")


def require(*, broker: str) -> None:
    """Skip, or fail in CI, where a server of the machine is missing."""
    postgres()
    variable, _, port = _BROKERS[broker]
    if not os.environ.get(variable):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError:
            missing(f"no {broker} on this machine, and {variable} names none")


def broker_url(broker: str) -> str:
    """Of the machine's broker."""
    variable, default, _ = _BROKERS[broker]
    return os.environ.get(variable, default)


def procfile(name: str, *, port: int | None = None) -> list[str]:
    """The command of that name in Procfile, for the interpreter that runs the tests, on the loopback address."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    program, *arguments = shlex.split(lines[name])
    replaced = {"0.0.0.0": "127.0.0.1", "8321": str(port)}  # noqa: S104 - compared, not bound
    module = {"footnote": "ingestion.cli", "celery": "celery"}[program]
    return ["-m", module, *(replaced.get(each, each) for each in arguments)]


class Stack:
    """Everything of one installation."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *arguments: str, timeout: float = 110.0) -> subprocess.CompletedProcess[str]:
        """`footnote ...`, to its end."""
        command = [sys.executable, "-m", "ingestion.cli", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, name: str, *command: str) -> None:
        """A process that goes on."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def api(self, name: str, port: int) -> str:
        """An API process that is ready; its address."""
        self.start(name, *procfile("api", port=port))
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                    return url
            assert self.processes[name].poll() is None, self.log(name)
            time.sleep(0.1)
        pytest.fail(f"{name} is not ready: {self.log(name)}")

    def worker(self, name: str) -> None:
        """A Celery worker."""
        self.start(name, *procfile("worker"), "-n", f"{name}-{uuid.uuid4().hex[:6]}@%h")

    def beat(self) -> None:
        """Celery's beat."""
        self.start("beat", *procfile("beat"))

    def log(self, name: str) -> str:
        """The end of a process's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(30)

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(30)

    def migrate(self) -> None:
        """The database's first form, and the admin's key."""
        done = self.run(*procfile("migrate")[2:], "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["admin_key"]

    @property
    def key(self) -> str:
        """The admin's."""
        return pathlib.Path(self.environment["FOOTNOTE_DATA_DIR"], "admin.key").read_text().strip()

    def close(self) -> None:
        """End what still runs."""
        for name in list(self.processes):
            self.kill(name)


@contextlib.contextmanager
def stack(folder: pathlib.Path, *, broker: str, **settings: str) -> Iterator[Stack]:
    """An empty database, index, bucket and broker, migrated; no process of ours runs yet."""
    with database() as postgres, _installed(folder, postgres, broker_url(broker), settings) as made:
        made.migrate()
        yield made


@contextlib.contextmanager
def stack_on(folder: pathlib.Path, *, postgres: str, broker: str, **settings: str) -> Iterator[Stack]:
    """The same on a database and a broker that are given by their addresses."""
    with _installed(folder, postgres, broker, settings) as made:
        yield made


@contextlib.contextmanager
def bare(folder: pathlib.Path, *, broker: str) -> Iterator[Stack]:
    """The same, not migrated."""
    with database() as postgres, _installed(folder, postgres, broker_url(broker), {}) as made:
        yield made


@contextlib.contextmanager
def _installed(folder: pathlib.Path, postgres: str, broker: str, settings: dict[str, str]) -> Iterator[Stack]:
    made = Stack(folder, {})
    made.environment = dict(os.environ)
    qdrant, s3 = free_port(), free_port()
    made.start("qdrant", "tests/services/qdrant_wire.py", str(folder / "qdrant"), "--port", str(qdrant))
    made.start("s3", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(s3))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
    made.environment = kept | {
        "FOOTNOTE_DATA_DIR": str(folder / "data"),
        "FOOTNOTE_DATABASE_URL": postgres,
        "FOOTNOTE_QDRANT_URL": f"http://127.0.0.1:{qdrant}",
        "FOOTNOTE_QDRANT_EXACT": "true",
        "FOOTNOTE_BROKER_URL": broker,
        "FOOTNOTE_QUEUE_PREFIX": f"test-{uuid.uuid4().hex[:8]}",
        "FOOTNOTE_S3_BUCKET": "footnote",
        "FOOTNOTE_S3_ENDPOINT": f"http://127.0.0.1:{s3}",
        "FOOTNOTE_S3_ACCESS_KEY": "test",
        "FOOTNOTE_S3_SECRET_KEY": "test",
        "FOOTNOTE_EMBEDDER": "hashing-16",
        "FOOTNOTE_LEASE_SECONDS": "6",
        "FOOTNOTE_MIN_FREE_BYTES": "0",
        "FOOTNOTE_SMALL_FILE_BYTES": "64",  # so that the tests' notes go to both places
        **settings,
    }
    if "FOOTNOTE_FILES_DIR" in settings:  # in place of the bucket
        del made.environment["FOOTNOTE_S3_BUCKET"]
    try:
        until_open(qdrant, s3)
        yield made
    finally:
        made.close()


def call(url: str, key: str, method: str, path: str, **parts: Any) -> Any:
    """One request, which must be well answered."""
    headers = {"Authorization": f"Bearer {key}", **parts.pop("headers", {})}
    reply = httpx.request(method, url + path, headers=headers, timeout=90, trust_env=False, **parts)
    assert reply.is_success, reply.text
    return reply.json() if reply.content else None


def free_port() -> int:
    """A port that nothing listens on in this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until_open(*ports: int) -> None:
    """Wait until something listens on each of the ports."""
    deadline = time.monotonic() + _START_SECONDS
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(0.05)


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The address of an empty database of its own."""
    server = sa.make_url(postgres())
    name = f"footnote_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@contextlib.contextmanager
def installation(folder: pathlib.Path, **limits: Any) -> Iterator[Services]:
    """Services on a folder of their own, with FOOTNOTE_TEST_EMBEDDER; with FOOTNOTE_TEST_MODE=rabbitmq or =redis on production mode, with two workers."""
    if not (broker := os.environ.get("FOOTNOTE_TEST_MODE")):
        yield build(Settings(data_dir=folder / "folder", embedder=EMBEDDER, **limits))
        return
    require(broker=broker)
    given = {f"FOOTNOTE_{name.upper()}": str(value) for name, value in limits.items()}
    with stack(folder, broker=broker, **given) as made:
        for number in (1, 2):
            made.worker(f"worker-{number}")
        made.beat()
        other = made.api("api-2", free_port())
        with pytest.MonkeyPatch.context() as patch:
            for name, value in made.environment.items():
                patch.setenv(name, value)
            services = build(Settings())  # of the environment
        other_apis[id(services)] = other
        yield services
