"""`footnote models pull`: from a server of this machine that cuts, lies, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import http.server
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ingestion.cli import pulling
from ingestion.cli.errors import LocalError

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclasses.dataclass
class Hub:
    """What runs, and how it behaves."""

    url: str
    content: bytes = CONTENT
    etag: str | None = '"v1"'
    cut_after: list[int] = dataclasses.field(default_factory=list)  # bytes, of the next answers
    linked: str | None = None  # a checksum, as the hub names one
    status: int = 200
    asked: list[tuple[str, str, str | None]] = dataclasses.field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._head(start=0)

    def do_GET(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        goes_on = found is not None and self.headers.get("If-Range") == hub.etag
        start = int(found[1]) if found is not None and goes_on else 0
        self._head(start=start)
        part = hub.content[start:]
        if hub.cut_after:
            part = part[: hub.cut_after.pop(0)]
        with contextlib.suppress(OSError):
            self.wfile.write(part)

    def _head(self, *, start: int) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        hub.asked.append((self.command, self.path, self.headers.get("Range")))
        self.send_response(206 if start and hub.status == 200 else hub.status)
        if hub.etag:
            self.send_header("ETag", hub.etag)
        if hub.linked:
            self.send_header("X-Linked-Etag", f'"{hub.linked}"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
        self.send_header("Content-Length", str(len(hub.content) - start))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listening:
        listening.daemon_threads = True
        running = Hub(url=f"http://127.0.0.1:{listening.server_address[1]}")
        listening.hub = running  # type: ignore[attr-defined]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        listening.shutdown()
        thread.join()


def pull(hub: Hub, folder: pathlib.Path, *, sha256: str | None = SHA256) -> pulling.Pulled:
    source = pulling.source(f"{hub.url}/files/tiny.gguf", None, "main")
    return pulling.pull(source, folder, sha256=sha256, told=lambda _done, _total: None, pause_seconds=0)


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_whole_and_told_as_it_comes(hub: Hub, tmp_path: pathlib.Path) -> None:
    told: list[tuple[int, int | None]] = []
    source = pulling.source(f"{hub.url}/tiny.gguf?download=true", None, "main")

    done = pulling.pull(source, tmp_path / "models", sha256=SHA256.upper(), told=lambda *far: told.append(far))

    assert (done.size_bytes, done.sha256, done.fetched) == (len(CONTENT), SHA256, True)
    assert done.path.read_bytes() == CONTENT
    assert names(tmp_path / "models") == ["tiny.gguf"]
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: pathlib.Path) -> None:
    pull(hub, tmp_path)
    hub.asked.clear()

    assert pull(hub, tmp_path).fetched is False
    with pytest.raises(LocalError, match="exists and has another checksum"):
        pull(hub, tmp_path, sha256="0" * 64)

    assert hub.asked == []
    assert (tmp_path / "tiny.gguf").read_bytes() == CONTENT


def test_a_cut_download_goes_on_where_it_was(hub: Hub, tmp_path: pathlib.Path) -> None:
    hub.cut_after = [100_000, 50_000]

    pull(hub, tmp_path)

    assert [each[2] for each in hub.asked if each[0] == "GET"] == [None, "bytes=100000-", "bytes=150000-"]
    assert (tmp_path / "tiny.gguf").read_bytes() == CONTENT


def test_a_command_that_was_given_up_goes_on_when_it_is_run_again(hub: Hub, tmp_path: pathlib.Path) -> None:
    hub.cut_after = [100_000, 0, 0, 0, 0]
    with pytest.raises(LocalError, match=r"broke off: .*run it again to go on"):
        pull(hub, tmp_path)
    assert [name[:6] for name in names(tmp_path)] == [".tiny."]

    hub.asked.clear()
    pull(hub, tmp_path)

    assert [each[2] for each in hub.asked if each[0] == "GET"] == ["bytes=100000-"]
    assert (tmp_path / "tiny.gguf").read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_fetched_anew(hub: Hub, tmp_path: pathlib.Path) -> None:
    hub.cut_after = [100_000, 0, 0, 0, 0]
    with pytest.raises(LocalError):
        pull(hub, tmp_path, sha256=None)
    hub.content, hub.etag = CONTENT[::-1], '"v2"'

    pull(hub, tmp_path, sha256=None)

    assert (tmp_path / "tiny.gguf").read_bytes() == CONTENT[::-1]


def test_without_a_tag_nothing_is_put_together_from_parts(hub: Hub, tmp_path: pathlib.Path) -> None:
    hub.etag = None
    hub.cut_after = [100_000]

    pull(hub, tmp_path)

    assert [each[2] for each in hub.asked if each[0] == "GET"] == [None, None]


def test_a_wrong_checksum_leaves_nothing_behind(hub: Hub, tmp_path: pathlib.Path) -> None:
    with pytest.raises(LocalError, match="nothing was kept") as caught:
        pull(hub, tmp_path, sha256="0" * 64)

    assert caught.value.code == "checksum_mismatch"
    assert names(tmp_path) == []


def test_the_hubs_own_checksum_counts_where_none_is_given(hub: Hub, tmp_path: pathlib.Path) -> None:
    hub.linked = "f" * 64
    with pytest.raises(LocalError, match="nothing was kept"):
        pull(hub, tmp_path, sha256=None)
    hub.linked = SHA256
    assert pull(hub, tmp_path, sha256=None).sha256 == SHA256


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_refusal_is_an_error_with_its_status(hub: Hub, tmp_path: pathlib.Path, status: int) -> None:
    hub.status = status
    with pytest.raises(LocalError, match=f"answered {status}"):
        pull(hub, tmp_path)

    assert names(tmp_path) == []


def test_two_commands_do_not_write_into_one_file(hub: Hub, tmp_path: pathlib.Path) -> None:
    hub.cut_after = [100_000, 0, 0, 0, 0]
    with pytest.raises(LocalError):
        pull(hub, tmp_path)
    (partial,) = tmp_path.iterdir()
    with partial.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(LocalError, match="another command fetches"):
            pull(hub, tmp_path)


@pytest.mark.parametrize(
    ("origin", "file"),
    [("http://example.invalid/x.gguf", None), ("ftp://127.0.0.1/x", None), ("https://127.0.0.1", None), ("owner/name", None), ("name", "x.gguf")],
)  # fmt: skip
def test_what_names_no_file_of_the_hub_or_of_an_https_address_is_refused(origin: str, file: str | None) -> None:
    with pytest.raises(LocalError):
        pulling.source(origin, file, "main")


def run(hub: Hub, folder: pathlib.Path, *arguments: str, allowed: str = "true") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "FOOTNOTE_DATA_DIR": str(folder),
        "FOOTNOTE_ALLOW_DOWNLOADS": allowed,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-m", "ingestion.cli", "models", "pull", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_fetches_from_the_hub_that_the_environment_names(hub: Hub, tmp_path: pathlib.Path) -> None:
    done = run(hub, tmp_path, "owner/name", "deep/tiny.gguf", "--revision", "v2", "--sha256", SHA256, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == SHA256
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == CONTENT
    assert {each[1] for each in hub.asked} == {"/owner/name/resolve/v2/deep/tiny.gguf"}


def test_nothing_is_fetched_where_downloads_are_not_allowed(hub: Hub, tmp_path: pathlib.Path) -> None:
    done = run(hub, tmp_path, f"{hub.url}/tiny.gguf", allowed="false")

    assert done.returncode == 1
    assert "FOOTNOTE_ALLOW_DOWNLOADS" in done.stderr
    assert hub.asked == []
