"""The child process of the isolated loader: `python -m ingestion.load.child`, spoken to over its standard streams.

Its first frame sets it up; every other is a batch of files, answered one by one in order. It ends when its input ends,
which is when its parent closes it or is gone, in whatever way.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import queue
import resource
import signal
import sys
import threading
from typing import Any, BinaryIO

from app.domain.errors import DocumentError
from app.domain.passages import Loaded
from ingestion.load import registry, wire
from ingestion.load.assembly import Limits

_STATM = pathlib.Path("/proc/self/statm")


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent decides when to stop
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the frames
    requests = sys.stdin.buffer
    setup = wire.read(requests)
    if setup is None:
        return
    limits = Limits(**setup["limits"])
    _make_harmless(setup["memory_bytes"])
    batches: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # Reading in a thread of its own notices at once, also in the middle of a file, that the parent is gone.
    threading.Thread(target=_receive, args=(requests, batches), daemon=True).start()
    while True:
        batch = batches.get()
        for number, (path, filename, media_type) in enumerate(batch, start=1):
            _bound_cpu(setup["cpu_seconds"])
            outcome = _load(path, filename, media_type, limits)
            resident_bytes = _resident_bytes() if number == len(batch) else 0
            with contextlib.suppress(BrokenPipeError):  # the thread ends the process
                wire.write_reply(replies, wire.Reply(outcome=outcome, resident_bytes=resident_bytes))
            del outcome


def _receive(requests: BinaryIO, batches: queue.SimpleQueue[Any]) -> None:
    while (batch := wire.read(requests)) is not None:
        batches.put(batch)
    os._exit(0)


def _load(path: str, filename: str, media_type: str, limits: Limits) -> Loaded | DocumentError:
    try:
        return registry.load(pathlib.Path(path), filename=filename, media_type=media_type, limits=limits)
    except DocumentError as error:
        return error
    except MemoryError:
        return DocumentError("reading the document took more memory than is allowed", code="loader_out_of_memory")
    except OSError as error:
        return DocumentError(f"the file can't be read: {error.strerror}", code="unreadable_file")
    except Exception as error:  # noqa: BLE001 - whatever a hostile file makes a parser raise fails this file alone
        # The kind of error only: its message may quote the document.
        return DocumentError(f"the document can't be read: {type(error).__name__} in its loader", code="loader_failed")


def _make_harmless(memory_bytes: int | None) -> None:
    """Last in line for the processor, first for the kernel to end when memory runs out, bounded in memory."""
    with contextlib.suppress(OSError):
        os.nice(5)
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/oom_score_adj").write_text("700", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        with contextlib.suppress(OSError, ValueError):  # macOS does not know this limit
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _bound_cpu(seconds: int) -> None:
    """The kernel ends this process after so much more processor time: also where its parent no longer can."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + seconds + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return 0


if __name__ == "__main__":
    main()
