"""Documents over HTTP: in, found, changed, replaced, deleted."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest


def _upload(api: Any, collection: str, content: bytes = b"some words", *, name: str = "a.txt", **parts: Any) -> Any:
    data = {"collection": collection, **parts}
    return api.post("/v1/documents?wait=60", files={"file": (name, content)}, data=data)


def test_an_uploaded_file_is_found_with_its_exact_place(api: Any) -> None:
    name = api.collection()
    reply = _upload(
        api,
        name,
        b"Intro.\n\nInvoices are paid within thirty days.",
        external_id="finance/rules.txt",
        title="Rules",
        metadata='{"year": 2024}',
    )
    assert reply.status_code == 202
    body = reply.json()
    assert reply.headers["location"] == f"/v1/jobs/{body['job_id']}"
    assert (body["state"], body["outcome"], body["job"]["state"]) == ("live", "accepted", "completed")
    assert body["job"]["progress"]["unit"] == "chunks"
    (hit,) = api.hits(name, "invoices paid", filter={"type": "eq", "key": "year", "value": 2024})
    assert (hit["external_id"], hit["title"], hit["version_id"]) == ("finance/rules.txt", "Rules", body["version_id"])
    text = api.get(f"/v1/documents/{body['document_id']}/text?start={hit['start']}&end={hit['end']}").json()
    assert text["text"] == hit["text"]
    assert api.staged() == []


def test_a_document_looks_as_designed(api: Any) -> None:
    name = api.collection()
    made = api.live(name, "a text", external_id="x/y", title="T", metadata={"a": 1, "b": True}, readers=["user:ann"])
    shown = api.get(f"/v1/documents/{made['document_id']}").json()
    assert list(shown) == [
        "id", "external_id", "title", "collection", "media_type", "size_bytes", "metadata", "readers",
        "live_version_id", "state", "created_at", "updated_at",
    ]  # fmt: skip
    assert shown["size_bytes"] == 6
    assert shown["metadata"] == {"a": 1, "b": True}
    assert api.get(f"/v1/documents/by-external-id/x/y?collection={name}").json() == shown
    (version,) = api.get(f"/v1/documents/{made['document_id']}/versions").json()["data"]
    assert list(version) == ["id", "seq", "sha256", "size_bytes", "pages", "chunks", "marks", "state", "created_at"]
    assert (version["id"], version["seq"], version["state"]) == (made["version_id"], 1, "live")
    (chunk,) = api.get(f"/v1/documents/{made['document_id']}/chunks").json()["data"]
    assert (chunk["text"], chunk["start"], chunk["end"]) == ("a text", 0, 6)


def test_the_original_comes_back_as_an_attachment(api: Any) -> None:
    content = "Größe".encode()
    made = _upload(api, api.collection(), content, name='na"ïve.txt').json()
    reply = api.get(f"/v1/documents/{made['document_id']}/content")
    assert reply.content == content
    assert reply.headers["content-disposition"].startswith("attachment;")
    assert "filename*=UTF-8''" in reply.headers["content-disposition"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert int(reply.headers["content-length"]) == len(content)


def test_a_put_of_the_same_is_200_and_of_another_replaces(api: Any) -> None:
    name = api.collection()
    path = f"/v1/documents/by-external-id/notes/a?collection={name}&wait=60"
    first = api.call("PUT", path, json={"text": "the first wording"})
    assert (first.status_code, first.json()["outcome"]) == (202, "accepted")
    same = api.call("PUT", path, json={"text": "the first wording"})
    assert (same.status_code, same.json()["outcome"], same.json()["job_id"]) == (200, "unchanged", None)
    assert "location" not in same.headers
    second = api.call("PUT", path, files={"file": ("a.txt", b"another wording")})
    assert second.json()["document_id"] == first.json()["document_id"]
    assert [hit["text"] for hit in api.hits(name, "wording")] == ["another wording"]


def test_a_change_of_title_metadata_and_readers_is_at_once(api: Any) -> None:
    name = api.collection()
    made = api.live(name, "pandas eat bamboo")
    ann, bob = api.key("reader", user="ann"), api.key("reader", user="bob")
    path = f"/v1/documents/{made['document_id']}"
    reply = api.call("PATCH", path, json={"title": "New", "metadata": {"k": "v"}, "readers": ["user:ann"]})
    assert reply.status_code == 200
    assert (reply.json()["title"], reply.json()["metadata"]) == ("New", {"k": "v"})
    assert reply.headers["location"].startswith("/v1/jobs/")
    assert api.hits(name, "pandas", key=bob) == []
    assert api.get(path, key=bob).status_code == 404
    assert api.get(path, key=ann).json()["readers"] == ["user:ann"]
    again = api.call("PATCH", path, json={"title": "New"})
    assert "location" not in again.headers


def test_a_delete_hides_at_once_and_ends_in_a_receipt(api: Any) -> None:
    name = api.collection()
    made = api.live(name, "ephemeral words", external_id="gone")
    reply = api.call("DELETE", f"/v1/documents/by-external-id/gone?collection={name}&wait=60")
    assert reply.status_code == 202
    assert reply.json()["document_id"] == made["document_id"]
    assert reply.json()["job"]["state"] == "completed"
    assert api.hits(name, "ephemeral words") == []
    assert api.get(f"/v1/documents/{made['document_id']}").status_code == 404
    receipt = api.get(f"/v1/documents/{made['document_id']}/deletion").json()
    assert receipt["finished_at"] is not None
    assert receipt["chunks"] == 1
    assert receipt["bytes"] > 0


def test_a_deleted_collection_is_gone_with_its_documents(api: Any) -> None:
    name = api.collection()
    made = api.live(name, "words of a collection")
    reply = api.call("DELETE", f"/v1/collections/{name}?wait=60")
    assert (reply.status_code, reply.json()["job"]["state"]) == (202, "completed")
    assert api.get(f"/v1/collections/{name}").status_code == 404
    assert api.get(f"/v1/documents/{made['document_id']}").status_code == 404


def test_a_collection_is_renamed_and_counted(api: Any) -> None:
    name = api.collection()
    api.live(name, "one")
    reply = api.call("PATCH", f"/v1/collections/{name}", json={"name": f"{name}-b", "description": "D"})
    assert (reply.status_code, reply.json()["documents"], reply.json()["description"]) == (200, 1, "D")
    assert api.get(f"/v1/collections/{name}").status_code == 404


def test_lists_are_given_in_pages(api: Any) -> None:
    name = api.collection()
    made = [api.live(name, f"text {number}", metadata={"n": number})["document_id"] for number in range(5)]
    seen: list[str] = []
    after = ""
    while True:
        page = api.get(f"/v1/documents?collection={name}&limit=2{after}").json()
        seen += [each["id"] for each in page["data"]]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert seen == made
    wanted = json.dumps({"type": "gte", "key": "n", "value": 3})
    filtered = api.get("/v1/documents", params={"collection": name, "filter": wanted}).json()
    assert [each["id"] for each in filtered["data"]] == made[3:]


def test_chunks_come_in_pages_by_their_place(api: Any) -> None:
    name = api.collection()
    text = "\n\n".join(f"Paragraph {number}. " + "many words follow here " * 12 for number in range(12))
    made = api.live(name, text)
    path = f"/v1/documents/{made['document_id']}/chunks"
    everything = api.get(path).json()["data"]
    assert len(everything) > 2
    page = api.get(f"{path}?limit=2").json()
    rest = api.get(f"{path}?after={page['next']}").json()
    assert page["data"] + rest["data"] == everything


def test_offsets_can_count_utf16_units(api: Any) -> None:
    made = api.live(api.collection(), "\U0001f600 smile")
    path = f"/v1/documents/{made['document_id']}/text"
    assert api.get(f"{path}?start=2&end=7").json()["text"] == "smile"
    units = api.get(f"{path}?start=3&end=8&offsets=utf16").json()
    assert (units["text"], units["start"], units["end"], units["total_chars"]) == ("smile", 3, 8, 8)


def test_a_batch_goes_in_and_its_bad_lines_are_reported(api: Any) -> None:
    name = api.collection()
    lines = [{"text": f"line number {number}", "external_id": f"d{number}"} for number in range(300)]
    reply = api.batch(name, [*lines[:150], "{not json", *lines[150:], {"text": ""}, {"text": "t", "readers": ["x"]}])
    assert reply.status_code == 202, reply.text
    body = reply.json()
    assert (body["accepted"], body["rejected_total"]) == (300, 3)
    assert [(each["line"], each["code"]) for each in body["rejected"]] == [
        (151, "invalid_json"), (302, "empty_file"), (303, "bad_metadata"),
    ]  # fmt: skip
    job = body["job"]
    assert (job["state"], job["progress"]) == (
        "completed",
        {"done": 300, "failed": 0, "total": 300, "unit": "documents"},
    )
    items = api.get(f"/v1/jobs/{body['job_id']}/items?state=completed&limit=2").json()
    assert [each["line"] for each in items["data"]] == [1, 2]
    more = api.get(f"/v1/jobs/{body['job_id']}/items?limit=200&after={items['next']}").json()
    assert more["data"][0]["line"] == 3
    assert len(api.hits(name, "line number", limit=200)) == 200


def test_a_batch_sent_again_says_how_many_lines_needed_no_work(api: Any) -> None:
    name = api.collection()
    lines = [{"text": f"entry number {number}", "external_id": f"d{number}"} for number in range(6)]
    assert api.batch(name, lines).json()["accepted"] == 6

    lines[0]["title"] = "Retitled"
    lines[1]["text"] = "another entry"
    body = api.batch(name, [*lines, {"text": "another entry", "external_id": "d1"}, "{"]).json()

    counts = {each: body[each] for each in ("accepted", "unchanged", "updated", "under_way", "rejected_total")}
    assert counts == {"accepted": 1, "unchanged": 4, "updated": 1, "under_way": 1, "rejected_total": 1}
    assert body["job"]["progress"]["total"] == body["accepted"]


def test_a_batch_of_bad_lines_is_a_problem_that_lists_them(api: Any, problem: Any) -> None:
    body = problem(api.batch(api.collection(), ["{", '{"text": 1}']), 422, "nothing_accepted")
    assert [each["line"] for each in body["rejected"]] == [1, 2]
    problem(api.batch(api.collection(), []), 422, "nothing_accepted")


def test_jobs_are_listed_newest_first_and_looked_at(api: Any) -> None:
    made = api.live(api.collection(), "job words")
    newest = api.get("/v1/jobs?limit=1").json()
    assert newest["data"][0]["id"] == made["job_id"]
    job = api.get(f"/v1/jobs/{made['job_id']}").json()
    assert list(job) == [
        "id", "kind", "state", "stage", "progress", "retry_of", "queue_position", "estimated_start_seconds", "document_id", "collection",
        "created_at", "started_at", "finished_at", "warnings", "error",
    ]  # fmt: skip
    assert all(each["state"] == "completed" for each in api.get("/v1/jobs?state=completed").json()["data"])


def test_a_final_job_is_not_cancelled_and_what_went_through_not_tried_again(api: Any, problem: Any) -> None:
    made = api.live(api.collection(), "settled words")
    problem(api.post(f"/v1/jobs/{made['job_id']}/cancel"), 409, "job_final")
    problem(api.post(f"/v1/jobs/{made['job_id']}/retry"), 409, "nothing_to_retry")


def test_a_failed_upload_is_tried_again_as_a_new_job(api: Any) -> None:
    failed = _upload(api, api.collection(), b"%PDF-1.4 not really", name="broken.pdf").json()
    assert failed["state"] == "failed"
    assert failed["job"]["error"]["message"]
    reply = api.post(f"/v1/jobs/{failed['job_id']}/retry")
    assert reply.status_code == 202
    assert reply.json()["retry_of"] == failed["job_id"]
    assert reply.headers["location"] == f"/v1/jobs/{reply.json()['id']}"


def test_a_search_explains_itself(api: Any) -> None:
    name = api.collection()
    api.live(name, "otters hold hands")
    api.live(name, "otters sleep")
    body = api.post("/v1/search", json={"query": "otters", "collections": [name], "explain": True, "limit": 1}).json()
    assert set(body) == {"hits", "explanation", "timings_ms"}
    assert set(body["hits"][0]["explain"]) == {"dense_rank", "dense_score", "sparse_rank", "sparse_score"}
    assert {"embed", "hydrate"} <= set(body["timings_ms"])
    plain = api.post("/v1/search", json={"query": "otters", "collections": [name]}).json()
    assert list(plain) == ["hits"]
    assert list(plain["hits"][0]) == [
        "chunk_id", "document_id", "external_id", "version_id", "title", "text", "score", "page", "start", "end",
        "headings",
    ]  # fmt: skip


def test_a_search_can_give_one_hit_a_document(api: Any) -> None:
    name = api.collection()
    long_text = "\n\n".join("walrus " + "tusks and whiskers and more " * 20 for _ in range(6))
    api.live(name, long_text)
    assert len(api.hits(name, "walrus")) > 1
    assert len(api.hits(name, "walrus", group="document")) == 1


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_every_mode_finds(api: Any, mode: str) -> None:
    name = api.collection()
    api.live(name, "quokkas smile")
    assert [hit["text"] for hit in api.hits(name, "quokkas", mode=mode)] == ["quokkas smile"]


def test_wait_ends_when_its_time_is_over(api: Any) -> None:
    reply = api.post("/v1/documents?wait=0.001", json={"collection": api.collection(), "text": str(uuid.uuid4())})
    assert reply.status_code == 202
    assert reply.json()["job"]["state"] in ("queued", "running", "completed")
