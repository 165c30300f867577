"""Idempotency-Key: once, whatever the number of tries."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from app.bootstrap import SystemClock
from app.domain.access import Principal
from app.gateway.idempotency import Idempotency, InProgressError, Reply


def _named() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def test_the_same_upload_twice_is_one_document_and_one_reply(api: Any) -> None:
    name, headers = api.collection(), _named()
    parts = {"files": {"file": ("a.txt", b"once upon a time")}, "data": {"collection": name}, "headers": headers}
    first = api.post("/v1/documents", **parts)
    again = api.post("/v1/documents", **parts)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(api.get(f"/v1/documents?collection={name}").json()["data"]) == 1


def test_another_request_under_the_same_name_is_refused(api: Any, problem: Any) -> None:
    name, headers = api.collection(), _named()
    assert api.post("/v1/documents", json={"collection": name, "text": "a"}, headers=headers).status_code == 202
    other = api.post("/v1/documents", json={"collection": name, "text": "b"}, headers=headers)
    problem(other, 409, "idempotency_mismatch")
    elsewhere = api.post("/v1/collections", json={"name": "zzz"}, headers=headers)
    problem(elsewhere, 409, "idempotency_mismatch")


def test_what_failed_may_be_tried_again_under_its_name(api: Any, problem: Any) -> None:
    name, headers = f"c-{uuid.uuid4().hex[:8]}", _named()
    body = {"collection": name, "text": "early"}
    problem(api.post("/v1/documents", json=body, headers=headers), 404, "unknown_collection")
    assert api.post("/v1/collections", json={"name": name}).status_code == 201
    assert api.post("/v1/documents", json=body, headers=headers).status_code == 202


def test_the_same_batch_twice_is_one(api: Any, problem: Any) -> None:
    name, headers = api.collection(), _named()
    lines = [{"text": f"line {number}"} for number in range(3)]
    first = api.batch(name, lines, headers=headers, wait=0)
    again = api.batch(name, lines, headers=headers, wait=0)
    assert (first.status_code, again.json()) == (202, first.json())
    assert len(api.get(f"/v1/documents?collection={name}").json()["data"]) == 3
    problem(api.batch(name, lines[:2], headers=headers, wait=0), 409, "idempotency_mismatch")
    assert api.staged() == []


def test_collections_workspaces_and_retries_are_named_too(api: Any) -> None:
    headers, name = _named(), f"c-{uuid.uuid4().hex[:8]}"
    replies = [api.post("/v1/collections", json={"name": name}, headers=headers) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 201]
    assert replies[0].json() == replies[1].json()


def test_names_are_per_key(api: Any) -> None:
    name, headers, other = api.collection(), _named(), api.key("editor")
    first = api.post("/v1/documents", json={"collection": name, "text": "a"}, headers=headers).json()
    second = api.post("/v1/documents", key=other, json={"collection": name, "text": "b"}, headers=headers).json()
    assert first["document_id"] != second["document_id"]


@pytest.mark.parametrize("value", ["", "a" * 256, "a b"])
def test_a_name_that_is_none(api: Any, problem: Any, value: str) -> None:
    reply = api.post("/v1/collections", json={"name": "zzz"}, headers={"Idempotency-Key": value})
    problem(reply, 400, "bad_idempotency_key")


def test_a_request_under_way_is_waited_for_and_one_of_a_dead_process_is_not(api: Any) -> None:
    principal: Principal = api.services.keys.authenticate(api.secret)
    clock = SystemClock()
    mine = Idempotency(database=api.services.database, clock=clock, born=clock.now() - dt.timedelta(minutes=1))
    name = uuid.uuid4().hex
    assert mine.begin(principal, name, "f") is None
    with pytest.raises(InProgressError) as caught:
        mine.begin(principal, name, "f")
    assert caught.value.retry_after_seconds > 0
    later = Idempotency(database=api.services.database, clock=clock, born=clock.now() + dt.timedelta(minutes=1))
    assert later.once(principal, name, "f", lambda: Reply(status=201, body="{}")).status == 201
