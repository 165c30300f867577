"""What became of each document of an `ingest`: counted, written as it is known, and listed where it failed."""

from __future__ import annotations

import collections
import dataclasses
import enum
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ingestion.cli import terminal

_MOST_FAILURES_SHOWN = 1000  # of the list for people; --json has them all


class State(enum.StrEnum):
    """How it stands with a document when the command is done with it."""

    COMPLETED = "completed"
    COMPLETED_WITH_WARNINGS = "completed_with_warnings"
    UNCHANGED = "unchanged"  # the service has it just so
    ACCEPTED = "accepted"  # sent; the command did not wait for the rest
    CANCELLED = "cancelled"
    FAILED = "failed"


FAILURES = (State.FAILED, State.CANCELLED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One document, or one line of a batch."""

    external_id: str
    path: str
    state: State
    line: int | None = None  # 1-based, of a batch
    document_id: str | None = None
    job_id: str | None = None
    warnings: Sequence[Mapping[str, Any]] = ()
    code: str | None = None  # of a failure
    message: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As --json writes it; parts that do not apply are left out."""
        value: dict[str, Any] = {
            "external_id": self.external_id,
            "path": self.path,
            "line": self.line,
            "state": self.state.value,
            "document_id": self.document_id,
            "job_id": self.job_id,
            "warnings": list(self.warnings) or None,
            "error": {"code": self.code, "message": self.message} if self.code else None,
        }
        return {name: part for name, part in value.items() if part is not None}


@dataclasses.dataclass(slots=True, kw_only=True)
class Tally:
    """Counted work, as the progress bars show it."""

    files: int = 0  # to be sent
    files_sent: int = 0  # sent, or given up
    bytes: int = 0  # of the files
    bytes_sent: int = 0
    under_way: int = 0  # documents that the service has accepted and not ended
    ended: int = 0  # documents that ended, well or not
    ended_in_batches: int = 0  # of those under way, in batches that have not ended
    failed: int = 0


class Report:
    """Takes outcomes from any thread."""

    def __init__(self, *, as_json: bool) -> None:
        self.tally = Tally()
        self._as_json = as_json
        self._lock = threading.Lock()
        self._states: collections.Counter[State] = collections.Counter()
        self._unchanged_lines = 0
        self._failures: list[Outcome] = []
        self._warned: list[Outcome] = []

    @property
    def failed(self) -> int:
        """Documents that did not go in."""
        return sum(self._states[state] for state in FAILURES)

    @property
    def unchanged_lines(self) -> int:
        """Lines of batches that needed no work."""
        return self._unchanged_lines

    def to_send(self, *, files: int, size_bytes: int) -> None:
        """What has been found."""
        with self._lock:
            self.tally.files += files
            self.tally.bytes += size_bytes

    def moved(self, size_bytes: int) -> None:
        """Bytes that went out; negative where they will go again."""
        with self._lock:
            self.tally.bytes_sent += size_bytes

    def file_done(self) -> None:
        """A file was sent, or given up."""
        with self._lock:
            self.tally.files_sent += 1

    def accepted(self, documents: int) -> None:
        """The service has taken these on."""
        with self._lock:
            self.tally.under_way += documents

    def ended(self, documents: int) -> None:
        """These are no longer under way; their outcomes are added beside this."""
        with self._lock:
            self.tally.under_way -= documents

    def add(self, outcome: Outcome) -> None:
        """One document is done with."""
        with self._lock:
            self._states[outcome.state] += 1
            self.tally.ended += 1
            self._unchanged_lines += outcome.state is State.UNCHANGED and outcome.line is not None
            if outcome.state in FAILURES:
                self.tally.failed += 1
                self._failures.append(outcome)
            if outcome.state is State.COMPLETED_WITH_WARNINGS:
                self._warned.append(outcome)
            if self._as_json:
                terminal.write(terminal.json_line(outcome.as_json()))

    def summary(self, seconds: float) -> dict[str, Any]:
        """The counts, and all that failed."""
        documents = sum(self._states.values())
        counts = {state.value: self._states[state] for state in State}
        failures = [outcome.as_json() for outcome in self._failures]
        return {"summary": {"documents": documents, **counts, "seconds": round(seconds, 3), "failures": failures}}

    def close(self, seconds: float, *, stopped: bool = False) -> None:
        """Write the summary; `stopped` where an error or a person ended the command before its time."""
        if self._as_json:
            terminal.write(terminal.json_line(self.summary(seconds)))
            return
        counts = ", ".join(f"{self._states[state]} {state.replace('_', ' ')}" for state in State if self._states[state])
        documents = sum(self._states.values())
        none = "none was finished" if stopped else "nothing to do"
        terminal.write(f"{terminal.counted(documents, 'document')} in {seconds:.1f} s: {counts or none}")
        for outcome in self._warned[:_MOST_FAILURES_SHOWN]:
            said = "; ".join(f"{_page(each)}{each.get('message')}" for each in outcome.warnings)
            terminal.write(f"  warning  {terminal.visible(_place(outcome))}: {terminal.visible(said)}")
        for outcome in self._failures[:_MOST_FAILURES_SHOWN]:
            sentence = f"{outcome.message} [{outcome.code}]"
            terminal.write(
                f"  {outcome.state.value}  {terminal.visible(_place(outcome))}: {terminal.visible(sentence)}"
            )
        if (more := len(self._failures) - _MOST_FAILURES_SHOWN) > 0:
            terminal.write(f"  and {more} more; --json lists all")


def _place(outcome: Outcome) -> str:
    return outcome.path if outcome.line is None else f"{outcome.path}, line {outcome.line} ({outcome.external_id})"


def _page(warning: Mapping[str, Any]) -> str:
    return f"page {warning['page']}: " if warning.get("page") else ""
