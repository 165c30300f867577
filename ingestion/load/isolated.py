"""Loads documents in child processes, so that no file can crash, hang or fill the service that reads it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence

from app.domain.errors import DocumentError, TransientError
from app.domain.passages import Loaded
from ingestion.load import wire
from ingestion.load.assembly import Limits

BATCH = 64  # documents that share one round trip
_ROOT = pathlib.Path(__file__).resolve().parents[2]  # where the packages of this product are
_KEPT_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
)
_READ_BYTES = 1 << 20
_MAX_RESIDENT_BYTES = 320 << 20  # a child that holds more between documents makes room by being replaced
_NEAR_LIMIT = 0.6  # of the memory allowed: a child that dies having held so much died of that


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One file to read."""

    path: pathlib.Path
    filename: str  # as uploaded
    media_type: str


class IsolatedLoader:
    """Reads files in child processes that are started when first needed. Safe to use from several threads."""

    def __init__(
        self,
        *,
        processes: int = 1,
        deadline_seconds: float,
        memory_bytes: int | None,
        limits: Limits,
    ) -> None:
        """Take the bounds; start nothing yet.

        Args:
            processes: how many children there are at most; further callers wait for one.
            deadline_seconds: for each document by itself.
            memory_bytes: address space of a child; about 150 MiB are gone before the first document. None for no bound.
            limits: what one document may cost.
        """
        self._deadline_seconds = deadline_seconds
        self._memory_bytes = memory_bytes
        self._limits = limits
        self._places = threading.BoundedSemaphore(processes)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._closed = False

    def load(self, path: pathlib.Path, *, filename: str, media_type: str) -> Loaded:
        """Read one file.

        Raises:
            DocumentError: it can't be read; also `load_timeout`, `loader_out_of_memory`, `loader_crashed`.
            TransientError: no child can be started, or the loader was closed.
        """
        outcome = self.load_many([Request(path=path, filename=filename, media_type=media_type)])[0]
        if isinstance(outcome, DocumentError):
            raise outcome
        return outcome

    def load_many(self, requests: Sequence[Request]) -> list[Loaded | DocumentError]:
        """Read files, small ones at little more than their own cost; the outcomes stand in the order of the requests.

        A file that ends its child is tried once more, alone in a fresh one, before it is blamed; no other suffers.

        Raises:
            TransientError: no child can be started, or the loader was closed.
        """
        outcomes: list[Loaded | DocumentError] = []
        while len(outcomes) < len(requests):
            batch = requests[len(outcomes) : len(outcomes) + BATCH]
            with self._places:
                answered, loss = self._attempt(batch)
                outcomes.extend(answered)
                if loss is not None:
                    outcomes.append(self._judge(batch[len(answered)], loss, alone=len(answered) == 0))
        return outcomes

    def close(self) -> None:
        """End the children; who waits for a document gets a TransientError."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for child in self._busy:
                child.kill()  # the thread that uses it notices, and cleans up
        for child in idle:
            child.close()

    def _attempt(self, batch: Sequence[Request]) -> tuple[list[Loaded | DocumentError], _Loss | None]:
        """Outcomes up to the first document that was lost, and how it was; no loss where all are there."""
        answered: list[Loaded | DocumentError] = []
        resident_bytes = 0
        with self._child() as child:
            try:
                for reply in child.load(batch):
                    answered.append(reply.outcome)
                    resident_bytes = reply.resident_bytes
            except _Loss as loss:
                child.close()
                self._refuse_when_closed()
                return answered, loss
            ended_by_memory = any(
                isinstance(outcome, DocumentError) and outcome.code == "loader_out_of_memory" for outcome in answered
            )
            if ended_by_memory or resident_bytes > _MAX_RESIDENT_BYTES:
                child.close()
        return answered, None

    def _judge(self, request: Request, loss: _Loss, *, alone: bool) -> Loaded | DocumentError:
        """The outcome of a document whose child was lost: once more by itself, unless time was the matter."""
        if loss.code == "load_timeout" and alone:
            return loss.error()
        answered, again = self._attempt([request])
        return answered[0] if again is None else again.error()

    @contextlib.contextmanager
    def _child(self) -> Iterator[_Child]:
        """A child that is alive, back in the pool afterwards unless it was closed."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None:
            child = _Child(
                deadline_seconds=self._deadline_seconds, memory_bytes=self._memory_bytes, limits=self._limits
            )
        with self._lock:
            self._busy.add(child)
        try:
            self._refuse_when_closed()
            yield child
        except BaseException:
            child.close()
            raise
        finally:
            with self._lock:
                self._busy.discard(child)
                kept = child.alive and not self._closed
                if kept:
                    self._idle.append(child)
            if not kept:
                child.close()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise TransientError("the loader is shutting down")


class _Loss(Exception):  # noqa: N818 - never leaves this module
    """A child that did not answer for a document."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def error(self) -> DocumentError:
        return DocumentError(str(self), code=self.code)


class _Child:
    """One child process, used by one thread at a time."""

    def __init__(self, *, deadline_seconds: float, memory_bytes: int | None, limits: Limits) -> None:
        self._deadline_seconds = deadline_seconds
        self._memory_bytes = memory_bytes
        self.alive = True
        self._received = bytearray()  # and not yet taken
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        # No settings and no secrets of the service; one arena, so that address space is about what is used.
        environment |= {"PYTHONPATH": str(_ROOT), "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ingestion.load.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # libraries print what they dislike, text of the document included
                env=environment,
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            raise TransientError(f"a loader process can't be started: {error.strerror}") from error
        self._finalizer = weakref.finalize(self, _end, self._process)
        setup = {
            "limits": dataclasses.asdict(limits),
            "memory_bytes": memory_bytes,
            "cpu_seconds": int(2 * deadline_seconds) + 1,
        }
        self._send(setup)

    def load(self, batch: Sequence[Request]) -> Iterator[wire.Reply]:
        """The replies in order. Raises _Loss where one does not come."""
        self._send([(str(request.path.absolute()), request.filename, request.media_type) for request in batch])
        for _ in batch:
            deadline = time.monotonic() + self._deadline_seconds
            meta, text = wire.sizes(self._receive(wire.HEAD_BYTES, deadline))
            try:
                yield wire.parse_reply(self._receive(meta, deadline), self._receive(text, deadline))
            except ValueError as error:
                raise self._crashed() from error

    def close(self) -> None:
        """End it, whatever it does."""
        self.alive = False
        self._finalizer()

    def _send(self, meta: object) -> None:
        if self._process.stdin is None:
            raise AssertionError
        with contextlib.suppress(BrokenPipeError):  # it is gone; reading will tell
            wire.write(self._process.stdin, meta)  # type: ignore[arg-type]

    def _receive(self, size: int, deadline: float) -> bytes:
        """So many bytes, before the deadline."""
        if self._process.stdout is None:
            raise AssertionError
        source = self._process.stdout.fileno()
        while len(self._received) < size:  # one read may bring many small replies
            left = deadline - time.monotonic()
            if left <= 0 or not _readable(source, left):
                raise _Loss("load_timeout", f"reading the document took longer than {self._deadline_seconds:g} seconds")
            piece = os.read(source, _READ_BYTES)
            if not piece:
                raise self._crashed()
            self._received += piece
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def kill(self) -> None:
        """End it from another thread; the one that uses it sees the end and closes it."""
        self._process.kill()

    def _crashed(self) -> _Loss:
        """Why the child is gone, as far as that can be told."""
        peak_bytes = _reap(self._process)
        if self._memory_bytes is not None and peak_bytes > _NEAR_LIMIT * self._memory_bytes:
            return _Loss("loader_out_of_memory", "reading the document took more memory than is allowed")
        ended = self._process.returncode
        if ended == -signal.SIGXCPU:
            return _Loss("load_timeout", f"reading the document took longer than {self._deadline_seconds:g} seconds")
        how = f"by signal {-ended}" if ended is not None and ended < 0 else f"with status {ended}"
        return _Loss("loader_crashed", f"the process that read the document ended {how}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what was not sent can't be flushed any more
                stream.close()
    process.wait()


def _readable(source: int, seconds: float) -> bool:
    poll = select.poll()  # unlike select(), for any number of open files
    poll.register(source, select.POLLIN)
    return bool(poll.poll(max(1, int(seconds * 1000))))


def _reap(process: subprocess.Popen[bytes]) -> int:
    """The most memory that an ended child held, in bytes; 0 where that can't be known."""
    try:
        os.kill(process.pid, signal.SIGKILL)  # it has closed its output: whatever it still does is of no use
        _, status, usage = os.wait4(process.pid, 0)
    except (ProcessLookupError, ChildProcessError):  # another thread was quicker
        process.wait()
        return 0
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
