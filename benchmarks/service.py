"""The product as a user runs it: `footnote serve` on a folder of its own, `footnote ingest` beside it, HTTP to both.

Only processes that were started here are ended, each by its id.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from benchmarks import memory
from benchmarks.report import ROOT

START_SECONDS = 180.0  # a first start may convert and measure the model
STOP_SECONDS = 60.0
_LOOK_SECONDS = 0.01
_COMMAND = (sys.executable, "-m", "ingestion.cli")


class BenchmarkError(Exception):
    """The product did not do what a benchmark needs; the message says what."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """One run of `footnote ingest --json`."""

    seconds: float  # the command's own: from looking for files to the last job's final state
    command_seconds: float  # with the start of the command itself
    exit_code: int
    outcomes: list[dict[str, Any]]
    summary: dict[str, Any]
    client_rss_mb: float  # the command's own peak
    peak: memory.Peak  # of the service and its children meanwhile


class Service:
    """`footnote serve` on a data folder. A fresh folder is a first start."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        settings: dict[str, str] | None = None,
        command: Sequence[str] = (*_COMMAND, "serve"),
    ) -> None:
        self.folder = folder
        self._command = command
        self.log = folder.with_name(f"{folder.name}.log")
        self.url = ""
        self._settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that serves."""
        if self._process is None:
            raise BenchmarkError("the service was not started")
        return self._process.pid

    @property
    def key(self) -> str:
        """The admin key that the first start wrote."""
        return (self.folder / "admin.key").read_text(encoding="utf-8").strip()

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def ended_well(self) -> bool:
        """Whether the process has ended with exit code 0."""
        return self._process is not None and self._process.poll() == 0

    def start(self) -> float:
        """Start, and wait until /health/ready says 200; gives the seconds from the start of the process to that."""
        began = time.perf_counter()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--port", "0", "--data-dir", str(self.folder)],
                cwd=ROOT,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        with httpx.Client(timeout=10.0) as client:
            while time.perf_counter() - began < START_SECONDS:
                if self._process.poll() is not None:
                    raise BenchmarkError(f"the service ended at its start:\n{self.tail()}")
                with contextlib.suppress(OSError, ValueError, KeyError, httpx.TransportError):
                    said = json.loads((self.folder / "service.json").read_text(encoding="utf-8"))
                    if (
                        said["pid"] == self.pid
                        and client.get(f"{said['url']}/health/ready").status_code == httpx.codes.OK
                    ):
                        self.url = said["url"]
                        return time.perf_counter() - began
                time.sleep(_LOOK_SECONDS)
        raise BenchmarkError(f"the service was not ready after {START_SECONDS} s:\n{self.tail()}")

    def stop(self) -> None:
        """Ask it to stop; kill it where it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-characters:] if self.log.exists() else ""

    def client(self, *, key: str | None = None, timeout: float = 120.0) -> httpx.Client:
        """An HTTP client with a key, the admin's where none is given."""
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key or self.key}"}, timeout=timeout, trust_env=False
        )

    def ingest(self, *arguments: str | pathlib.Path, collection: str, timeout: float = 3600.0) -> Ingested:
        """Run `footnote ingest` against this service and wait for it."""
        began = time.perf_counter()
        with memory.sampled(self.pid) as peak, self.ingesting(*arguments, collection=collection) as command:
            with memory.sampled(command.pid) as client_peak:
                out, err = command.communicate(timeout=timeout)
            command_seconds = time.perf_counter() - began
        return _ingested(command.returncode, out, err, command_seconds, client_peak.rss_mb, peak)

    @contextlib.contextmanager
    def ingesting(self, *arguments: str | pathlib.Path, collection: str) -> Iterator[subprocess.Popen[str]]:
        """`footnote ingest --json` as a process; killed where it outlives the context."""
        command = subprocess.Popen(
            [*_COMMAND, "ingest", *map(str, arguments), "-c", collection, "--data-dir", str(self.folder), "--json"],
            cwd=ROOT,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield command
        finally:
            if command.poll() is None:
                command.kill()
                command.wait()

    def _environment(self) -> dict[str, str]:
        """Of the product's processes: this one's, without settings of the product that are not the benchmark's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
        return {**kept, **self._settings}


@contextlib.contextmanager
def serving(
    folder: pathlib.Path, *, settings: dict[str, str] | None = None, command: Sequence[str] = (*_COMMAND, "serve")
) -> Iterator[Service]:
    """A service that is ready; stopped when the context ends."""
    service = Service(folder, settings=settings, command=command)
    try:
        service.start()
        yield service
    finally:
        service.stop()


def with_warm_cache(folder: pathlib.Path, cache: pathlib.Path) -> None:
    """Make a data folder whose model needs no conversion or measurement any more.

    Args:
        folder: to be made.
        cache: keeps what the first start of this machine prepared; filled by one start where it does not exist.
    """
    if not cache.exists():
        first = folder.with_name(f"{folder.name}-first")
        with serving(first):
            pass
        kept = first / "cache"
        if kept.exists():
            shutil.copytree(kept, cache)
        else:  # nothing to keep on this processor: f32 is its only native path
            cache.mkdir(parents=True)
        shutil.rmtree(first)
    folder.mkdir(parents=True, mode=0o700)
    shutil.copytree(cache, folder / "cache")


def make_collection(client: httpx.Client, name: str) -> None:
    """Create a collection."""
    client.post("/v1/collections", json={"name": name}).raise_for_status()


def pages(client: httpx.Client, path: str, **parameters: str | int) -> Iterator[dict[str, Any]]:
    """Every row of a list."""
    after: dict[str, str] = {}
    while True:
        reply = client.get(path, params={"limit": 200, **parameters, **after}).raise_for_status().json()
        yield from reply["data"]
        if not reply["has_more"]:
            return
        after = {"after": reply["next"]}


def until_idle(client: httpx.Client, *, timeout: float = 1800.0) -> None:
    """Wait until no job is unfinished.

    Raises:
        BenchmarkError: one is, after all that time.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        waiting = [
            state
            for state in ("queued", "running")
            if client.get("/v1/jobs", params={"state": state, "limit": 1}).raise_for_status().json()["data"]
        ]
        if not waiting:
            return
        time.sleep(0.1)
    raise BenchmarkError(f"jobs are unfinished after {timeout} s")


def search(client: httpx.Client, query: str, **parameters: Any) -> list[dict[str, Any]]:
    """The hits of one search."""
    reply = client.post("/v1/search", json={"query": query, **parameters})
    if reply.status_code != httpx.codes.OK:
        raise BenchmarkError(f"search answered {reply.status_code}: {reply.text[:500]}")
    hits: list[dict[str, Any]] = reply.json()["hits"]
    return hits


def _ingested(
    exit_code: int, out: str, err: str, command_seconds: float, client_rss_mb: float, peak: memory.Peak
) -> Ingested:
    lines: Sequence[dict[str, Any]] = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    summaries = [line["summary"] for line in lines if "summary" in line]
    if not summaries:
        raise BenchmarkError(f"`footnote ingest` ended with {exit_code} and no summary: {err[-2000:]}")
    return Ingested(
        seconds=summaries[0]["seconds"],
        command_seconds=command_seconds,
        exit_code=exit_code,
        outcomes=[line for line in lines if "summary" not in line],
        summary=summaries[0],
        client_rss_mb=round(client_rss_mb, 1),
        peak=peak,
    )
