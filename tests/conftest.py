"""The HTTP service in the test's process, on the embedded adapters with a small deterministic embedder."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import json
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from starlette.testclient import TestClient

from app.bootstrap import Services
from app.main import create_app
from tests.services import running

Json = dict[str, Any]

# Of the rounds of faults; the processes among which pytest-xdist divides the tests have the same.
os.environ.setdefault("FOOTNOTE_FAULT_SEED", str(random.SystemRandom().randrange(1, 10**6)))

# A shell that starts the tests in the background has SIGINT ignored, and the commands under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def only_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that closes sockets to everything but the loopback address and paths: nothing leaves the machine.

    It sees what goes through Python's own sockets in this process, whichever library calls them; not libpq, and not the
    processes that tests start.

    Raises:
        RuntimeError: not an OSError, which a client would take for a network that is down.
    """
    match event, arguments:
        case (("socket.connect" | "socket.sendto" | "socket.sendmsg"), (_, (host, *_))):
            pass
        case (("socket.getaddrinfo" | "socket.gethostbyname"), (host, *_)):
            pass
        case _:  # a path, or a socket that was connected before
            return
    if not _is_local(host):
        raise RuntimeError(f"a test may speak to this machine only, not to {host!r}: {event}")


def _is_local(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


sys.addaudithook(only_this_machine)

# Plain lines: the library's own default shows every variable of a traceback, which takes seconds.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)

# Small limits, so that what goes over them is small too.
LIMITS: Json = {
    "max_upload_bytes": 64 * 1024,
    "max_json_bytes": 128 * 1024,
    "max_batch_bytes": 512 * 1024,
    "max_batch_lines": 600,
    "max_batch_line_bytes": 4096,
    "max_query_chars": 200,
    "max_text_chars": 50_000,
    "max_slice_chars": 10_000,
    "min_free_bytes": 0,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A client with an admin's key, and the calls that tests make most."""

    client: TestClient
    services: Services
    secret: str

    def call(self, method: str, path: str, *, key: str | None = None, **parts: Any) -> Any:
        """A response, asked for with that key or the admin's."""
        headers = {"Authorization": f"Bearer {self.secret if key is None else key}", **parts.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **parts)

    def get(self, path: str, **parts: Any) -> Any:
        """GET."""
        return self.call("GET", path, **parts)

    def post(self, path: str, **parts: Any) -> Any:
        """POST."""
        return self.call("POST", path, **parts)

    def key(self, role: str, **parts: Any) -> str:
        """The secret of a new key."""
        reply = self.post("/v1/keys", json={"name": f"k-{uuid.uuid4().hex[:8]}", "role": role, **parts})
        assert reply.status_code == 201, reply.text
        return str(reply.json()["secret"])

    def collection(self) -> str:
        """The name of a new collection."""
        name = f"c-{uuid.uuid4().hex[:12]}"
        assert self.post("/v1/collections", json={"name": name}).status_code == 201
        return name

    def live(self, collection: str, text: str, **parts: Any) -> Json:
        """A document that is live."""
        reply = self.post("/v1/documents?wait=60", json={"collection": collection, "text": text, **parts})
        assert reply.status_code in (200, 202), reply.text
        body: Json = reply.json()
        assert body["state"] == "live", body
        return body

    def hits(self, collection: str, query: str, *, key: str | None = None, **parts: Any) -> list[Json]:
        """What a search finds."""
        reply = self.post("/v1/search", key=key, json={"query": query, "collections": [collection], **parts})
        assert reply.status_code == 200, reply.text
        found: list[Json] = reply.json()["hits"]
        return found

    def batch(self, collection: str, lines: list[Any], *, wait: int = 60, **parts: Any) -> Any:
        """The response to a batch; strings are lines as they stand."""
        body = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
        headers = {"Content-Type": "application/x-ndjson", **parts.pop("headers", {})}
        path = f"/v1/documents/batch?collection={collection}&wait={wait}"
        return self.post(path, content=body.encode(), headers=headers, **parts)

    def until_final(self, job_id: str) -> Json:
        """The job, once it is final."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            job: Json = self.get(f"/v1/jobs/{job_id}").json()
            if job["finished_at"]:
                return job
            time.sleep(0.02)
        pytest.fail(f"the job is not final: {job}")

    def staged(self) -> list[str]:
        """What lies in the staging folder and stays there; workers pass through it with what other tests sent."""
        folder = self.services.stage().parent
        left: set[str] | None = None
        end = time.monotonic() + 10
        while left != set() and time.monotonic() < end:
            lying = {path.name for path in folder.iterdir()}
            left = lying if left is None else left & lying
            time.sleep(0 if not left else 0.02)
        return sorted(left or ())


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running.installation(tmp_path_factory.mktemp("api"), **LIMITS) as services:
        yield from _api(services)


class InTurns(TestClient):
    """In production mode every second request goes to another API process: what one has done, the other must know."""

    other: str | None = None  # its address
    here = False  # whether all requests go to this process, for tests that look into it
    turns = itertools.count()

    def request(self, method: str, url: Any, **parts: Any) -> Any:
        """As the base class's."""
        if self.other is None or self.here or str(url).startswith(_OF_ONE_PROCESS) or next(self.turns) % 2:
            return super().request(method, url, **parts)
        with httpx.Client(base_url=self.other, trust_env=False, timeout=90) as client:
            given = {name: value for name, value in parts.items() if type(value).__name__ != "UseClientDefault"}
            return client.request(method, url, **given)


_OF_ONE_PROCESS = ("/metrics", "/docs", "/health")  # of the process that is asked


def _api(services: Services) -> Iterator[Api]:
    with InTurns(create_app(services=services), base_url="http://localhost") as client:
        client.other = running.other_apis.get(id(services))
        yield Api(client=client, services=services, secret=services.admin_key_path.read_text().strip())


@pytest.fixture
def this_process(api: Api) -> Iterator[None]:
    """Every request goes to the process that the test looks into."""
    assert isinstance(api.client, InTurns)
    api.client.here = True
    yield
    api.client.here = False


def problem(reply: Any, status: int, code: str) -> Json:
    """The body of a problem, which must have that status and code and the form of all problems."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: Json = reply.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"] == f"urn:footnote:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == reply.headers["x-request-id"]
    return body


@pytest.fixture(name="problem")
def _problem() -> Any:
    return problem
