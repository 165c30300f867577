"""What waits, in what order, for how long, how much of it, and how a client follows it; with workers that take nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from app.api import job_events
from app.api.event_stream import KEEP_ALIVE
from app.api.house import Call, House
from app.bootstrap import build
from app.domain.jobs import Item, JobKind, JobState, Stage
from app.domain.repositories import LeaseProgress, Outcome
from app.main import create_app
from app.settings import Settings
from tests.conftest import Api

_INGEST = (JobKind.INGEST, JobKind.BATCH)
_LIMIT = 6


@pytest.fixture
def still(tmp_path: pathlib.Path) -> Iterator[Api]:
    """A service whose workers take nothing: the test does what they would."""
    settings = Settings(data_dir=tmp_path, embedder="hashing-16", min_free_bytes=0, max_queued_items=_LIMIT)
    services = build(settings)
    services.runner.stop()
    with TestClient(create_app(services=services), base_url="http://localhost") as client:
        yield Api(client=client, services=services, secret=services.admin_key_path.read_text().strip())


def house_of(api: Any) -> House:
    house: House = api.client.app.state.house
    return house


def on_loop(api: Any, work: Callable[..., Any]) -> Any:
    """Run where the application runs."""
    return api.client.portal.call(work)


def add(api: Api, text: str, *, query: str = "", **parts: Any) -> Any:
    return api.post(f"/v1/documents{query}", json={"collection": "default", "text": text, **parts})


def claim(api: Api, limit: int = 1) -> list[Item]:
    now = dt.datetime.now(dt.UTC)
    with api.services.database.write() as work:
        items = work.jobs.claim(
            owner="test",
            kinds=_INGEST,
            now=now,
            lease_until=now + dt.timedelta(minutes=5),
            limit=limit,
            max_bytes=1 << 20,
        )
        work.commit()
    return items


def finish(api: Api, items: list[Item]) -> None:
    now = dt.datetime.now(dt.UTC)
    with api.services.database.write() as work:
        work.jobs.finish(
            [Outcome(item_id=each.id, lease_token=each.lease_token, state=JobState.COMPLETED) for each in items], now
        )
        work.jobs.settle([each.job_id for each in items], now)
        work.commit()


@dataclasses.dataclass(slots=True)
class Stream:
    """A GET of events, made on the application's own loop."""

    api: Api
    path: str
    key: str
    sent: list[Any] = dataclasses.field(default_factory=list)
    hang_up: asyncio.Event | None = None

    async def run(self) -> None:
        self.hang_up = asyncio.Event()
        before = asyncio.all_tasks()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {self.key}".encode())],
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
            "state": {},
        }
        app: Any = self.api.client.app
        await app(scope, self._receive, self._send)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before, "it left a task behind"

    def leave(self) -> None:
        if self.hang_up is not None:
            self.hang_up.set()

    async def _receive(self) -> dict[str, Any]:
        assert self.hang_up is not None
        await self.hang_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        body = b"".join(each.get("body", b"") for each in self.sent).decode()
        return [
            (head.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
            for head, data in (block.split("\n") for block in body.split("\n\n") if block)
        ]

    def until(self, count: int) -> dict[str, Any]:
        """The event of that number."""
        deadline = time.monotonic() + 20
        while len(self.events) < count:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.02)
        return self.events[count - 1][1]


@contextlib.contextmanager
def following(api: Api, job_id: str, *, key: str = "") -> Iterator[tuple[Stream, Any]]:
    stream = Stream(api, f"/v1/jobs/{job_id}/events", key or api.secret)
    portal = api.client.portal
    assert portal is not None
    future = portal.start_task_soon(stream.run)
    try:
        yield stream, future
    finally:
        on_loop(api, stream.leave)
        with contextlib.suppress(Exception):
            future.result(10)


# Events


def test_a_job_that_has_ended_is_one_event(api: Any) -> None:
    job_id = api.live(api.collection(), "ended words")["job_id"]
    reply = api.get(f"/v1/jobs/{job_id}/events")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    name, data = reply.text.strip().split("\n")
    assert name == "event: job"
    assert json.loads(data.removeprefix("data: ")) == api.get(f"/v1/jobs/{job_id}").json()


def test_each_change_is_an_event_and_the_last_ends_the_stream(still: Api) -> None:
    first, job_id = add(still, "one").json()["job_id"], add(still, "two").json()["job_id"]
    with following(still, job_id) as (stream, future):
        assert (stream.until(1)["state"], stream.until(1)["queue_position"]) == ("queued", 1)
        (before,) = claim(still)
        assert str(before.job_id) == first
        assert (stream.until(2)["state"], stream.until(2)["queue_position"]) == ("queued", 0)
        (item,) = claim(still)
        assert (stream.until(3)["state"], stream.until(3)["stage"]) == ("running", "load")
        with still.services.database.write() as work:
            report = LeaseProgress(
                item_id=item.id, lease_token=item.lease_token, stage=Stage.INDEX, units_done=3, units_total=9
            )
            work.jobs.progress([report])
            work.commit()
        assert stream.until(4)["progress"] == {"done": 3, "failed": 0, "total": 9, "unit": "chunks"}
        finish(still, [item])
        assert stream.until(5)["state"] == "completed"
        future.result(10)
    assert {name for name, _ in stream.events} == {"job"}
    assert len(stream.events) == 5


def test_a_client_that_hangs_up_leaves_nothing_behind(still: Api) -> None:
    job_id = add(still, "one").json()["job_id"]
    house = house_of(still)
    with following(still, job_id) as (stream, future):
        stream.until(1)
        assert house.compute.running == 0, "it holds a thread"
        on_loop(still, stream.leave)
        with contextlib.suppress(Exception):
            future.result(5)
        assert not isinstance(future.exception(), AssertionError)
    assert (house.compute.running, house.compute.waiting) == (0, 0)


def test_a_service_that_stops_ends_its_streams(still: Api) -> None:
    job_id = add(still, "one").json()["job_id"]
    with following(still, job_id) as (stream, future):
        stream.until(1)
        began = time.monotonic()
        on_loop(still, house_of(still).stopping.set)
        future.result(5)
        assert time.monotonic() - began < 1
    assert stream.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def test_a_job_is_followed_by_those_who_may_see_it(still: Api, problem: Any) -> None:
    made = add(still, "secret", readers=["user:ann"]).json()
    ann, bob = (still.key("reader", user=name) for name in ("ann", "bob"))
    problem(still.get(f"/v1/jobs/{made['job_id']}/events", key=bob), 404, "job_not_found")
    problem(still.get(f"/v1/jobs/{uuid.uuid4()}/events"), 404, "job_not_found")
    problem(still.get(f"/v1/jobs/{made['job_id']}/events", key="fn_wrong"), 401, "unauthenticated")
    with following(still, made["job_id"], key=ann) as (stream, future):
        stream.until(1)
        reply = still.call("PATCH", f"/v1/documents/{made['document_id']}", json={"readers": ["user:bob"]})
        assert reply.status_code == 200
        assert stream.until(2)["code"] == "job_not_found"
        future.result(5)
    assert [name for name, _ in stream.events] == ["job", "error"]


def test_while_nothing_changes_the_connection_is_kept_alive(still: Api) -> None:
    job_id = uuid.UUID(add(still, "one").json()["job_id"])
    scope = {"type": "http", "headers": [], "method": "GET", "path": "/"}
    call = Call(request=Request(scope), house=house_of(still), secret=still.secret)

    async def first_two() -> list[Any]:
        shown = await call.run(job_events.look(call, job_id))
        events = job_events.told(call, job_id, shown, keep_alive_seconds=0.5)
        async with contextlib.aclosing(events):
            return [await anext(events), await anext(events)]

    told = on_loop(still, first_two)
    assert [told[0][0], told[1]] == ["job", KEEP_ALIVE]


# Priorities, place, estimate


def test_what_a_person_sends_goes_before_bulk(still: Api, problem: Any) -> None:
    bulk = add(still, "one of many", query="?priority=bulk").json()["job_id"]
    path = "/v1/documents/by-external-id/b2?collection=default&priority=bulk"
    other = still.call("PUT", path, json={"text": "another of many"}).json()["job_id"]
    person = add(still, "a note").json()["job_id"]
    assert [still.get(f"/v1/jobs/{each}").json()["queue_position"] for each in (person, bulk, other)] == [0, 1, 2]
    assert [str(claim(still)[0].job_id) for _ in range(3)] == [person, bulk, other]
    problem(add(still, "x", query="?priority=high"), 422, "invalid_request")


def test_when_a_job_will_begin_is_told_only_where_the_pace_is_known(still: Api) -> None:
    jobs = [add(still, f"note {number}").json()["job_id"] for number in range(5)]
    assert still.get(f"/v1/jobs/{jobs[4]}").json()["estimated_start_seconds"] is None
    time.sleep(1.1)
    finish(still, claim(still))
    shown = still.get(f"/v1/jobs/{jobs[4]}").json()
    assert shown["queue_position"] == 3
    assert 4 <= shown["estimated_start_seconds"] <= 40
    assert still.get(f"/v1/jobs/{jobs[0]}").json()["estimated_start_seconds"] is None, "it has ended"


# Limits


def test_a_queue_that_is_full_takes_no_more_of_that_workspace(still: Api, problem: Any) -> None:
    for number in range(_LIMIT):
        assert add(still, f"note {number}", external_id=f"n{number}").status_code == 202

    reply = add(still, "one too many", external_id="late")
    body = problem(reply, 429, "queue_full")
    assert "FOOTNOTE_MAX_QUEUED_ITEMS" in body["detail"]
    assert int(reply.headers["retry-after"]) >= 1
    problem(still.get("/v1/documents/by-external-id/late?collection=default"), 404, "document_not_found")
    assert still.staged() == []
    assert add(still, "note 0", external_id="n0").json()["outcome"] == "under_way"

    reply = still.batch("default", [{"text": "x"}, {"text": "y"}], wait=0)
    body = problem(reply, 429, "queue_full")
    assert [(each["line"], each["code"]) for each in body["rejected"]] == [(1, "queue_full"), (2, "queue_full")]
    assert int(reply.headers["retry-after"]) >= 1


def test_there_is_room_again_when_documents_have_ended(still: Api, problem: Any) -> None:
    for number in range(_LIMIT):
        assert add(still, f"note {number}").status_code == 202
    problem(add(still, "one too many"), 429, "queue_full")
    finish(still, claim(still))
    time.sleep(1.1)
    assert add(still, "now it goes").status_code == 202
    problem(add(still, "and no further"), 429, "queue_full")


def test_of_a_batch_those_lines_go_in_that_there_is_room_for(still: Api) -> None:
    body = still.batch("default", [{"text": f"line {number}"} for number in range(_LIMIT + 3)], wait=0).json()
    assert body["accepted"] == _LIMIT
    assert [(each["line"], each["code"]) for each in body["rejected"]] == [
        (_LIMIT + extra, "queue_full") for extra in (1, 2, 3)
    ]
    assert still.get(f"/v1/jobs/{body['job_id']}").json()["progress"]["total"] == _LIMIT


def test_a_retry_needs_room_as_well(still: Api, problem: Any) -> None:
    body = still.batch("default", [{"text": f"line {number}"} for number in range(3)], wait=0).json()
    assert still.post(f"/v1/jobs/{body['job_id']}/cancel").json()["state"] == "cancelled"
    time.sleep(1.1)
    for number in range(_LIMIT - 2):
        assert add(still, f"note {number}").status_code == 202
    problem(still.post(f"/v1/jobs/{body['job_id']}/retry"), 429, "queue_full")
    finish(still, claim(still))
    time.sleep(1.1)
    assert still.post(f"/v1/jobs/{body['job_id']}/retry").status_code == 202
