"""How far an `ingest` is: bars on a terminal, a line now and then elsewhere. Only counted work is shown."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from ingestion.cli import terminal
from ingestion.cli.outcomes import Tally

_LINE_SECONDS = 10.0  # between lines in a log


class Display(Protocol):
    """Shows a tally; entered for as long as it may draw."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, tally: Tally) -> None:
        """The tally as it is now."""
        ...


def display(*, as_json: bool) -> Display:
    """What suits where standard error goes: with --json nothing, its lines are the progress."""
    if as_json:
        return Lines(every_seconds=float("inf"))
    return Bars() if sys.stderr.isatty() else Lines(every_seconds=_LINE_SECONDS)


class Lines:
    """One line each so many seconds, where something has changed."""

    def __init__(self, *, every_seconds: float) -> None:
        self._every = every_seconds
        self._last = time.monotonic()
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, tally: Tally) -> None:
        """See Display."""
        if time.monotonic() - self._last < self._every:
            return
        self._last = time.monotonic()
        said = (
            f"{tally.files_sent} of {terminal.counted(tally.files, 'file')} sent; documents: {tally.ended + tally.ended_in_batches} ended, "
            f"{tally.failed} of them failed, {tally.under_way - tally.ended_in_batches} under way"
        )
        if said != self._said:
            terminal.note(said)
            self._said = said


class Bars:
    """Two bars: bytes that went out, and documents that ended of those known so far."""

    def __init__(self) -> None:
        from rich import console, progress  # noqa: PLC0415 - only where there is a terminal

        self._progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[counted]}", markup=False),
            progress.TimeElapsedColumn(),
            console=console.Console(stderr=True),
            refresh_per_second=5,
            transient=True,
        )
        self._sent = self._progress.add_task("sent", total=None, counted="")
        self._done = self._progress.add_task("indexed", total=None, counted="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, tally: Tally) -> None:
        """See Display."""
        megabytes = f"{tally.bytes_sent / 1e6:.1f}/{tally.bytes / 1e6:.1f} MB"
        files = f"{tally.files_sent}/{terminal.counted(tally.files, 'file')}, {megabytes}"
        self._progress.update(self._sent, completed=tally.bytes_sent, total=max(tally.bytes, 1), counted=files)
        known = tally.ended + tally.under_way
        ended = tally.ended + tally.ended_in_batches
        failed = f", {tally.failed} failed" if tally.failed else ""
        documents = f"{ended}/{terminal.counted(known, 'document')}{failed}"
        self._progress.update(self._done, completed=ended, total=max(known, 1), counted=documents)
