"""What operators ask for: looks for drift, and a collection's indexes."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from app.domain.documents import chunk_ids


def told(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream."""
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def settle(api: Any) -> None:
    deadline = time.monotonic() + 60
    while any(row["state"] in ("queued", "running") for row in api.get("/v1/jobs?limit=200").json()["data"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_drift_is_told_as_it_is_found_and_counted(api: Any, problem: Any) -> None:
    name = api.collection()
    made = api.live(name, "The heron stands in the reeds.", external_id="h")
    settle(api)
    api.post("/v1/doctor?repair=true")
    with api.services.database.read() as work:
        collection = work.collections.by_name(api.services.keys.authenticate(api.secret).workspace_id, name)
        index = work.collections.live_index(collection.id)
    document = api.get(f"/v1/documents/{made['document_id']}").json()
    ids = chunk_ids(index.id, uuid.UUID(document["live_version_id"]), 1)
    api.services.vectors.delete_points(index.space, ids)

    events = told(api.post("/v1/doctor").text)

    assert [each["kind"] for event, each in events if event == "finding"] == ["point_missing"]
    assert events[-1][0] == "report"
    assert events[-1][1]["left"] == 1
    assert 'footnote_drift{kind="point_missing"} 1.0' in api.client.get("/metrics").text
    assert told(api.post("/v1/doctor?repair=true").text)[-1][1]["left"] == 0
    settle(api)
    assert told(api.post("/v1/doctor?deep=true").text)[-1][1]["found"] == {}
    problem(api.post("/v1/doctor", key=api.key("editor")), 403, "forbidden")
    problem(api.post("/v1/doctor?repair=perhaps"), 422, "invalid_request")


def test_an_index_is_built_activated_and_dropped(api: Any, problem: Any) -> None:
    name = api.collection()
    for number in range(5):
        api.live(name, f"The heron number {number} stands in the reeds.", external_id=f"h{number}")
    path = f"/v1/collections/{name}/indexes"

    (live,) = api.get(path).json()["data"]
    assert (live["role"], live["versions"], live["missing"]) == ("live", 5, 0)
    estimate = api.get(f"{path}/estimate").json()
    assert (estimate["needed"], estimate["versions"]) == (False, 5)
    problem(api.post(path, json={}), 409, "index_current")
    job = api.post(path, json={"force": True})
    assert (job.status_code, job.json()["kind"]) == (202, "reindex")
    settle(api)
    assert api.get(job.headers["location"]).json()["state"] == "completed"

    building = api.get(path).json()["data"][1]
    assert (building["role"], building["versions"], building["missing"]) == ("building", 5, 0)
    compared = api.post(f"{path}/{building['id']}/compare", json={"queries": ["heron 3"], "limit": 5}).json()
    assert compared["shared"] == 1.0
    assert len(compared["data"][0]["live"]) == 5
    problem(api.call("DELETE", f"{path}/{live['id']}"), 409, "index_live")
    changed = api.post(f"{path}/{building['id']}/activate").json()["data"]
    assert [(each["id"], each["role"]) for each in changed] == [(building["id"], "live"), (live["id"], "standby")]
    assert api.post("/v1/search", json={"query": "heron 3", "collections": [name]}).json()["hits"]
    assert len(api.call("DELETE", f"{path}/{live['id']}").json()["data"]) == 1
    problem(api.post(f"{path}/{live['id']}/activate"), 404, "unknown_index")
    problem(api.get("/v1/collections/nowhere/indexes"), 404, "unknown_collection")
    problem(api.get(path, key=api.key("editor")), 403, "forbidden")
