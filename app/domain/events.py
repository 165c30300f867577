"""What the core tells those who watch: counters and timings, never texts."""

from __future__ import annotations

from typing import Protocol

from app.domain.jobs import JobKind, JobState
from app.domain.models import ModelCall


class Observer(Protocol):
    """Takes notes for metrics and logs. Called from any thread; must be quick and must not raise."""

    def stage(self, name: str, seconds: float, units: int) -> None:
        """A stage of work ended: load, chunk, embed, index, switch; search.embed and others; ask.retrieve and others."""
        ...

    def item(self, kind: JobKind, state: JobState, code: str | None) -> None:
        """An item came to this state, with the code of its error."""
        ...

    def model_call(self, call: ModelCall) -> None:
        """A model was called, well or not."""
        ...


class Silent:
    """An observer that takes no notes."""

    def stage(self, name: str, seconds: float, units: int) -> None:
        """See Observer."""

    def item(self, kind: JobKind, state: JobState, code: str | None) -> None:
        """See Observer."""

    def model_call(self, call: ModelCall) -> None:
        """See Observer."""
