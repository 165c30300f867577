"""What every request passes through."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
import structlog
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.api.metrics import Metrics
from app.api.middleware import CheckHost, Observe
from app.domain.drift import DriftKind, DriftReport
from app.domain.ids import new_id
from app.domain.jobs import JobKind, JobState
from app.domain.models import ModelCall, Purpose, Usage


async def _fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise LookupError("a secret detail")


async def _answers(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_the_unexpected_is_logged_and_answered_without_its_details() -> None:
    client = TestClient(Observe(_fails, metrics=Metrics()), base_url="http://localhost")
    with structlog.testing.capture_logs() as logs:
        reply = client.get("/v1/anything?q=private", headers={"X-Request-Id": "abc-1"})
    assert reply.status_code == 500
    assert reply.json()["code"] == "internal_error"
    assert reply.json()["request_id"] == "abc-1"
    assert "secret" not in reply.text
    assert [entry["event"] for entry in logs] == ["request failed", "request"]
    assert logs[0]["exc_info"]
    assert "private" not in str(logs[1])


@pytest.mark.parametrize("asked", ["a b", "x" * 65, "<script>", ""])
def test_a_request_id_that_is_not_sane_is_replaced(asked: str) -> None:
    client = TestClient(Observe(_answers, metrics=Metrics()), base_url="http://localhost")
    given = client.get("/", headers={"X-Request-Id": asked}).headers["x-request-id"]
    assert given
    assert given != asked


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8321", "127.0.0.1:1", "[::1]:8321", "[::1]"])
def test_our_own_hosts_are_served_at_any_port(host: str) -> None:
    app = CheckHost(_answers, allowed=("localhost", "127.0.0.1", "[::1]"))
    assert TestClient(app).get("/", headers={"Host": host}).status_code == 204


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost:1:2", "127.0.0.1.evil.example", ""]
)
def test_a_foreign_host_is_refused(host: str) -> None:
    app = CheckHost(_answers, allowed=("localhost", "127.0.0.1"))
    reply = TestClient(app).get("/", headers={"Host": host})
    assert reply.status_code == 421
    assert reply.json()["code"] == "bad_host"


def test_a_star_allows_every_host() -> None:
    assert TestClient(CheckHost(_answers, allowed=("*",))).get("/", headers={"Host": "x.example"}).status_code == 204


def test_metrics_show_what_was_noted() -> None:
    metrics = Metrics()
    metrics.request("GET", "/v1/documents", 200, 0.01)
    metrics.stage("embed", 0.5, 32)
    metrics.item(JobKind.INGEST, JobState.FAILED, "unreadable_document")
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    key_id = new_id()
    call = ModelCall(
        id=new_id(),
        workspace_id=new_id(),
        key_id=key_id,
        answer_id=None,
        model="small",
        purpose=Purpose.ANSWER,
        outcome="ok",
        usage=Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=-1),
        cost_usd=0.25,
        first_token_ms=1.0,
        total_ms=2.0,
        created_at=now,
    )
    for each in (call, call, dataclasses.replace(call, outcome="model_timeout", usage=Usage(), cost_usd=0.0)):
        metrics.model_call(each)
    found = {DriftKind.POINT_MISSING: 5, DriftKind.FILE_ORPHANED: 2}
    repaired = {DriftKind.FILE_ORPHANED: 2}
    report = DriftReport(id=new_id(), started_at=now, finished_at=now, found=found, repaired=repaired)
    page = metrics.page(
        items={(JobKind.BATCH, JobState.QUEUED): 3}, index={"points": 7}, drift=report, running=1, waiting=2, tasks=1
    ).decode()
    assert 'footnote_requests_total{method="GET",route="/v1/documents",status="200"} 1.0' in page
    assert 'footnote_stage_units_total{stage="embed"} 32.0' in page
    assert 'footnote_items_ended_total{code="unreadable_document",kind="ingest",state="failed"} 1.0' in page
    assert 'footnote_model_calls_total{model="small",outcome="ok"} 2.0' in page
    assert 'footnote_model_calls_total{model="small",outcome="model_timeout"} 1.0' in page
    assert 'footnote_model_tokens_total{kind="prompt",model="small",outcome="ok"} 14.0' in page
    assert 'footnote_model_tokens_total{kind="cached",model="small",outcome="ok"} 0.0' in page
    assert 'footnote_model_cost_usd_total{model="small",outcome="ok"} 0.5' in page
    assert str(key_id) not in page
    assert 'footnote_items{kind="batch",state="queued"} 3.0' in page
    assert 'footnote_index{unit="points"} 7.0' in page
    assert 'footnote_drift{kind="point_missing"} 5.0' in page
    assert 'footnote_drift{kind="file_orphaned"} 0.0' in page
    assert 'footnote_request_threads{state="waiting"} 2.0' in page
