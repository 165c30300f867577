"""A collection out and in over HTTP."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from app.documents.archive.comparing import differences

TAR = {"Content-Type": "application/x-tar"}


def exported(api: Any, name: str) -> bytes:
    reply = api.get(f"/v1/collections/{name}/export")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/x-tar"), reply.text
    return bytes(reply.content)


@pytest.fixture
def filled(api: Any) -> str:
    name = str(api.collection())
    for number in range(3):
        api.live(name, f"text {number} of the harbour", external_id=f"n/{number}", readers=["group:crew"])
    return name


def test_a_collection_goes_out_and_in(api: Any, filled: str, tmp_path: pathlib.Path) -> None:
    archive = exported(api, filled)
    other = f"{filled}-other"

    reply = api.post(f"/v1/collections/import?collection={other}", content=archive, headers=TAR)
    again = api.post(f"/v1/collections/import?collection={other}", content=archive, headers=TAR)

    assert reply.status_code == 200, reply.text
    counts = {"added": 3, "replaced": 0, "unchanged": 0, "under_way": 0}
    assert reply.json() == {
        "collection": other, "created": True, "documents": 3, "done": 3, "as_they_are": True, "job_ids": [], **counts
    }  # fmt: skip
    assert again.json() | {"created": False} == reply.json() | counts | {"added": 0, "unchanged": 3, "created": False}
    (tmp_path / "1").write_bytes(archive)
    (tmp_path / "2").write_bytes(exported(api, other))
    assert differences(tmp_path / "1", tmp_path / "2") == []
    assert api.hits(other, "harbour")
    assert api.hits(other, "harbour", key=api.key("reader")) == []
    assert api.staged() == []


def test_an_import_tells_how_far_it_is(api: Any, filled: str) -> None:
    archive = exported(api, filled)

    reply = api.post(f"/v1/collections/import?collection={filled}-s&stream=true", content=archive, headers=TAR)

    events = [each.split("\n") for each in reply.text.strip().split("\n\n")]
    assert [name for name, _ in events] == ["event: progress", "event: imported"]
    assert json.loads(events[-1][1].removeprefix("data: "))["added"] == 3


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_damaged_archive_is_refused_and_nothing_is_made(api: Any, problem: Any, filled: str, stream: str) -> None:
    archive = exported(api, filled)
    target = f"/v1/collections/import?collection={filled}-d&stream={stream}"
    for content in (archive[: len(archive) // 2], archive[:-1], b"hello", b"", archive.replace(b"harbour", b"harbor ")):
        problem(api.post(target, content=content, headers=TAR), 422, "bad_archive")
    newer = archive.replace(b'"format":1', b'"format":9')
    problem(api.post(target, content=newer, headers=TAR), 422, "archive_newer")
    problem(api.post(target, content=archive, headers={"Content-Type": "text/plain"}), 415, "unsupported_media_type")
    problem(api.get(f"/v1/collections/{filled}-d"), 404, "unknown_collection")
    assert api.staged() == []


def test_a_name_that_is_no_name_is_refused(api: Any, problem: Any, filled: str) -> None:
    archive = exported(api, filled)
    problem(api.post("/v1/collections/import?collection=a/b", content=archive, headers=TAR), 422, "bad_name")


def test_what_there_is_no_room_for_is_refused_before_it_is_read(api: Any, problem: Any) -> None:
    headers = TAR | {"Content-Length": str(2**50)}
    problem(api.post("/v1/collections/import", content=b"", headers=headers), 507, "storage_full")


def test_only_admins_take_collections_out_and_in(api: Any, problem: Any, filled: str) -> None:
    for role in ("reader", "editor"):
        key = api.key(role)
        problem(api.get(f"/v1/collections/{filled}/export", key=key), 403, "forbidden")
        problem(api.post("/v1/collections/import", content=b"x", headers=TAR, key=key), 403, "forbidden")
    problem(api.get("/v1/collections/nowhere/export"), 404, "unknown_collection")
