"""What Prometheus reads: requests, stage timings, items by state, the queue, the index, the process."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from app.domain.drift import DriftKind, DriftReport
from app.domain.jobs import JobKind, JobState
from app.domain.models import ModelCall

_REQUEST_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.09, 0.2, 0.4, 1.0, 2.5, 10.0, 60.0)
_STAGE_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0)


class Metrics:
    """Counters of one process, in a registry of its own; an `app.domain.events.Observer`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "footnote_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self._request_seconds = Histogram(
            "footnote_request_seconds",
            "Time to answer a request",
            ("method", "route"),
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "footnote_stage_seconds", "Time of a stage", ("stage",), buckets=_STAGE_SECONDS, registry=self.registry
        )
        self._stage_units = Counter(
            "footnote_stage_units", "Units a stage dealt with", ("stage",), registry=self.registry
        )
        self._ended = Counter(
            "footnote_items_ended", "Items that came to a state", ("kind", "state", "code"), registry=self.registry
        )
        self._calls = Counter("footnote_model_calls", "Calls of models", ("model", "outcome"), registry=self.registry)
        self._tokens = Counter(
            "footnote_model_tokens",
            "Tokens of these calls; those that the provider had read before count as prompt too",
            ("model", "outcome", "kind"),
            registry=self.registry,
        )
        self._cost = Counter(
            "footnote_model_cost_usd", "What these calls cost, US dollars", ("model", "outcome"), registry=self.registry
        )
        self._items = Gauge("footnote_items", "Items by kind and state", ("kind", "state"), registry=self.registry)
        self._threads = Gauge("footnote_request_threads", "Request work by state", ("state",), registry=self.registry)
        self._tasks = Gauge("footnote_event_loop_tasks", "Tasks of the event loop", registry=self.registry)
        self._drift = Gauge(
            "footnote_drift", "Places where the last look found stores to disagree", ("kind",), registry=self.registry
        )
        self._looked_at = Gauge(
            "footnote_drift_looked_at_seconds",
            "When that look was, Unix time; 0 before the first",
            registry=self.registry,
        )
        self._index = Gauge("footnote_index", "Size of the index", ("unit",), registry=self.registry)
        ProcessCollector(namespace="footnote", registry=self.registry)  # memory, CPU, open files

    def stage(self, name: str, seconds: float, units: int) -> None:
        """See Observer."""
        self._stage_seconds.labels(name).observe(seconds)
        self._stage_units.labels(name).inc(units)

    def item(self, kind: JobKind, state: JobState, code: str | None) -> None:
        """See Observer."""
        self._ended.labels(kind.value, state.value, code or "").inc()

    def model_call(self, call: ModelCall) -> None:
        """See Observer; never by key: whose calls they were is in the books alone."""
        self._calls.labels(call.model, call.outcome).inc()
        used = call.usage
        for kind, count in (
            ("prompt", used.prompt_tokens),
            ("completion", used.completion_tokens),
            ("cached", used.cached_tokens),
        ):
            self._tokens.labels(call.model, call.outcome, kind).inc(max(0, count))  # a provider may say anything
        self._cost.labels(call.model, call.outcome).inc(max(0.0, call.cost_usd))

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the template, never the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def page(
        self,
        *,
        items: Mapping[tuple[JobKind, JobState], int],
        index: Mapping[str, int],
        drift: DriftReport | None,
        running: int,
        waiting: int,
        tasks: int,
    ) -> bytes:
        """Everything in Prometheus' text format, with these figures of this moment."""
        for kind in JobKind:
            for state in JobState:
                self._items.labels(kind.value, state.value).set(items.get((kind, state), 0))
        for drift_kind in DriftKind:
            found = drift.found.get(drift_kind, 0) - drift.repaired.get(drift_kind, 0) if drift else 0
            self._drift.labels(drift_kind.value).set(found)
        self._looked_at.set(drift.finished_at.timestamp() if drift else 0)
        self._index.clear()  # what can't be told now is left out
        for unit, count in index.items():
            self._index.labels(unit).set(count)
        self._threads.labels("running").set(running)
        self._threads.labels("waiting").set(waiting)
        self._tasks.set(tasks)
        return generate_latest(self.registry)
