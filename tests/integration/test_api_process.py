"""The process that serves: where it listens, what it prints, how it stops."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from app.api import server

pytestmark = pytest.mark.slow

_PROGRAM = """
import sys
from app import main, settings
from app.domain.errors import FootnoteError
try:
    sys.exit(main.serve(settings.load()))
except FootnoteError as error:
    sys.exit(f"{error.code}: {error.message}")
"""
_DEADLINE_SECONDS = 60.0


class Process:
    """A service of its own."""

    def __init__(self, folder: pathlib.Path, **settings: str) -> None:
        names = {f"FOOTNOTE_{name.upper()}": value for name, value in settings.items()}
        given = {"FOOTNOTE_DATA_DIR": str(folder), "FOOTNOTE_EMBEDDER": "hashing-16", "FOOTNOTE_PORT": "0", **names}
        self.announced = folder / "service.json"
        self.popen = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], env={**os.environ, **given}, stderr=subprocess.PIPE, text=True
        )

    def url(self) -> str:
        """Where it listens."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not self.announced.exists():
            assert self.popen.poll() is None, self.popen.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return str(json.loads(self.announced.read_text())["url"])

    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urllib.parse.urlsplit(self.url())
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it wrote on stderr."""
        _, errors = self.popen.communicate(timeout=_DEADLINE_SECONDS)
        return self.popen.returncode, errors


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "data"


@pytest.fixture
def process(folder: pathlib.Path) -> Iterator[Process]:
    running = Process(folder)
    yield running
    running.popen.kill()
    running.popen.communicate()


def test_it_listens_greets_and_stops_though_a_connection_is_kept_open(process: Process, folder: pathlib.Path) -> None:
    kept = http.client.HTTPConnection(*process.address(), timeout=10)
    kept.request("GET", "/health/live")
    reply = kept.getresponse()
    assert (reply.status, reply.getheader("server")) == (200, None)
    reply.read()
    silent = socket.create_connection(process.address())
    url = process.url()
    assert process.announced.stat().st_mode & 0o777 == 0o600
    assert json.loads(process.announced.read_text())["pid"] == process.popen.pid
    process.popen.send_signal(signal.SIGTERM)
    code, errors = process.ended()
    assert code == 0, errors
    assert not process.announced.exists()
    key = (folder / "admin.key").read_text().strip()
    assert url in errors
    assert f"{url}/docs" in errors
    assert str(folder / "admin.key") in errors
    assert key not in errors
    silent.close()
    kept.close()


def test_a_second_process_is_told_who_has_the_folder(process: Process, folder: pathlib.Path) -> None:
    url = process.url()
    code, errors = Process(folder).ended()
    assert code == 1
    assert errors.startswith("folder_in_use: ")
    assert url in errors
    assert process.announced.exists()


def test_a_taken_port_is_reported(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, errors = Process(tmp_path / "other", port=str(taken.getsockname()[1])).ended()
    assert code == 1
    assert "address_in_use" in errors
    assert "FOOTNOTE_PORT" in errors


def test_a_head_that_is_too_large_is_refused(process: Process) -> None:
    with socket.create_connection(process.address(), timeout=10) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n")
        answer = b""
        for _ in range(2 * server.HEAD_BYTES // 1024):
            try:
                connection.sendall(b"X-Padding: " + b"a" * 1011 + b"\r\n")
            except OSError:
                break
        while piece := _received(connection):
            answer += piece
    assert b"400" in answer[:20] or answer == b""  # the system may drop an answer to what was still being sent


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("address", "url"),
    [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://")],  # noqa: S104
)
def test_the_url_is_one_that_this_machine_reaches(address: str, url: str) -> None:
    with server.bind(address, 0) as bound:
        assert server.url_of(bound).startswith(url)
        assert not server.url_of(bound).endswith(":0")
