"""Bad input: the right status, a problem with a stable code, and nothing stored."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

_JSON = {"Content-Type": "application/json"}


@pytest.fixture
def collection(api: Any) -> Iterator[str]:
    """A collection in which nothing may be at the end."""
    name = api.collection()
    yield name
    assert api.get(f"/v1/documents?collection={name}").json()["data"] == []
    assert api.staged() == []


def _form(api: Any, parts: list[tuple[str, str | None, bytes]], **more: Any) -> Any:
    """A form as bytes, so that names come as they are written here."""
    body = b""
    for name, filename, content in parts:
        shown = "" if filename is None else f'; filename="{filename}"'
        body += f'--x\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode() + content + b"\r\n"
    body += b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return api.post("/v1/documents", content=body, headers=headers, **more)


def test_an_empty_file(api: Any, problem: Any, collection: str) -> None:
    problem(_form(api, [("collection", None, collection.encode()), ("file", "a.txt", b"")]), 422, "empty_file")


def test_an_empty_text(api: Any, problem: Any, collection: str) -> None:
    for text in ("", " \n\t"):
        problem(api.post("/v1/documents", json={"collection": collection, "text": text}), 422, "empty_file")


def test_a_file_of_the_limit_goes_in_and_one_byte_over_does_not(api: Any, problem: Any) -> None:
    name = api.collection()
    limit = api.services.settings.max_upload_bytes
    kept = _form(api, [("collection", None, name.encode()), ("file", "a.txt", b"a" * limit)])
    assert kept.status_code == 202
    over = _form(api, [("collection", None, name.encode()), ("file", "b.txt", b"a" * (limit + 1))])
    problem(over, 413, "too_large")
    assert len(api.get(f"/v1/documents?collection={name}").json()["data"]) == 1
    assert api.staged() == []


@pytest.mark.usefixtures("collection")
def test_a_body_that_announces_too_much_is_not_read(api: Any, problem: Any) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(10**12)}
    problem(api.post("/v1/documents", content=b"--x", headers=headers), 413, "too_large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "application/xml", ""])
def test_a_wrong_content_type(api: Any, problem: Any, collection: str, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    problem(api.post("/v1/documents", content=b"words", headers=headers), 415, "unsupported_media_type")
    problem(api.post("/v1/search", content=b"{}", headers=headers), 415, "unsupported_media_type")
    path = f"/v1/documents/batch?collection={collection}"
    problem(api.post(path, content=b"{}", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "name", ["../a.txt", "..\\\\a.txt", "/etc/passwd", "C:\\\\a.txt", "a\x00.txt", "..", "a/b.txt", ""]
)
def test_a_file_name_that_leads_elsewhere(api: Any, problem: Any, collection: str, name: str) -> None:
    reply = _form(api, [("collection", None, collection.encode()), ("file", name, b"words")])
    assert reply.status_code in (400, 422), reply.text
    problem(reply, reply.status_code, "bad_name" if reply.status_code == 422 else "invalid_form")


def test_a_nul_in_a_file_name_is_a_bad_name(api: Any, problem: Any, collection: str) -> None:
    problem(_form(api, [("collection", None, collection.encode()), ("file", "a\x00b", b"w")]), 422, "bad_name")


@pytest.mark.parametrize("external_id", ["../a", "a/../b", "a//b", "/a", "a\x00b", "", "a" * 600])
def test_an_external_id_that_leads_elsewhere(api: Any, problem: Any, collection: str, external_id: str) -> None:
    body = {"collection": collection, "text": "words", "external_id": external_id}
    problem(api.post("/v1/documents", json=body), 422, "bad_name")


def test_an_encoded_external_id_that_leads_elsewhere(api: Any, problem: Any, collection: str) -> None:
    path = f"/v1/documents/by-external-id/a%2F..%2Fb?collection={collection}"
    problem(api.call("PUT", path, json={"text": "words"}), 422, "bad_name")


def test_forms_that_are_not_as_they_should_be(api: Any, problem: Any, collection: str) -> None:
    where = ("collection", None, collection.encode())
    file = ("file", "a.txt", b"words")
    problem(_form(api, [where]), 422, "file_missing")
    problem(_form(api, [file]), 422, "collection_missing")
    problem(_form(api, [where, file, ("file", "b.txt", b"more")]), 422, "invalid_request")
    problem(_form(api, [where, file, ("colour", None, b"red")]), 422, "invalid_request")
    problem(_form(api, [where, file, ("title", None, b"a"), ("title", None, b"b")]), 422, "invalid_request")
    problem(_form(api, [where, file, ("title", None, b"\xff")]), 400, "invalid_form")
    problem(_form(api, [where, file, ("metadata", None, b"{")]), 400, "invalid_json")
    problem(_form(api, [where, file, ("metadata", None, b"[]")]), 422, "bad_metadata")
    problem(_form(api, [where, file, ("metadata", None, b'{"a": {"b": 1}}')]), 422, "bad_metadata")
    problem(_form(api, [where, file, ("metadata", None, b'{"a": 1e999}')]), 422, "bad_metadata")
    problem(_form(api, [where, file, ("readers", None, b"[1]")]), 422, "bad_metadata")
    problem(_form(api, [where, file, ("readers", None, b"everyone")]), 422, "bad_metadata")


@pytest.mark.usefixtures("collection")
def test_a_form_that_is_cut_off(api: Any, problem: Any) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nwords'
    problem(api.post("/v1/documents", content=body, headers=headers), 400, "invalid_form")
    problem(api.post("/v1/documents", content=b"no form", headers=headers), 400, "invalid_form")
    headers = {"Content-Type": "multipart/form-data"}
    problem(api.post("/v1/documents", content=body, headers=headers), 400, "invalid_form")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"query": NaN}',
        b'"\xff"',
        b'{"query": "\\ud800"}',
        b"[" * 50_000,
        b'{"query": "a", "filter": ' + b'{"type":"and","filters":[' * 5000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_json(api: Any, problem: Any, body: bytes) -> None:
    problem(api.post("/v1/search", content=body, headers=_JSON), 400, "invalid_json")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "words",
        None,
        {"query": 1},
        {"query": "a", "limit": "10"},
        {"query": "a", "limit": 0},
        {"query": "a", "limit": 201},
        {"query": "a", "limit": 10**40},
        {"query": "a", "mode": "magic"},
        {"query": "a", "collections": "default"},
        {"query": "a", "unknown": 1},
    ],
    ids=repr,
)
def test_a_search_that_does_not_fit_the_schema(api: Any, problem: Any, body: Any) -> None:
    assert problem(api.post("/v1/search", content=json.dumps(body), headers=_JSON), 422, "invalid_request")["errors"]


def test_a_query_that_is_empty_or_too_long(api: Any, problem: Any) -> None:
    for query in ("", "   ", "\u200b"):
        problem(api.post("/v1/search", json={"query": query}), 422, "query_empty")
    problem(api.post("/v1/search", json={"query": "a" * 201}), 422, "query_too_long")


@pytest.mark.parametrize(
    "condition",
    [
        {},
        [],
        "year",
        {"type": "like", "key": "a", "value": "b"},
        {"type": "eq", "key": "a"},
        {"type": "eq", "key": "", "value": 1},
        {"type": "eq", "key": "a", "value": None},
        {"type": "gt", "key": "a", "value": True},
        {"type": "in", "key": "a", "value": []},
        {"type": "and", "filters": []},
        {"type": "eq", "key": "a", "value": "b\x00"},
        {"type": "eq", "key": "a", "value": 10**400},
    ],
    ids=repr,
)
def test_a_bad_filter(api: Any, problem: Any, condition: Any) -> None:
    problem(api.post("/v1/search", json={"query": "a", "filter": condition}), 422, "bad_filter")
    problem(api.get("/v1/documents", params={"filter": json.dumps(condition)}), 422, "bad_filter")


@pytest.mark.parametrize("value", [10**18, 10**30, -(2**63), 1e308, 5e-324])
def test_extreme_numbers_in_a_filter_match_nothing_and_harm_nothing(api: Any, value: float) -> None:
    for kind in ("eq", "gt", "lte"):
        condition = {"type": kind, "key": "a", "value": value}
        assert api.post("/v1/search", json={"query": "a", "filter": condition}).status_code == 200
        assert api.get("/v1/documents", params={"filter": json.dumps(condition)}).status_code == 200


def test_a_filter_in_the_query_that_is_no_json(api: Any, problem: Any) -> None:
    problem(api.get("/v1/documents", params={"filter": "{"}), 422, "bad_filter")


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1e3", "../..", "DA85DC85-FCD6-4F51-A4FE-765E142B2F7A", "\u0661"])
def test_a_bad_cursor(api: Any, problem: Any, cursor: str) -> None:
    job = api.live(api.collection(), "cursor words")
    for path in (
        "/v1/documents",
        "/v1/collections",
        "/v1/jobs",
        "/v1/keys",
        "/v1/workspaces",
        f"/v1/jobs/{job['job_id']}/items",
        f"/v1/documents/{job['document_id']}/chunks",
        f"/v1/documents/{job['document_id']}/versions",
    ):
        problem(api.get(path, params={"after": cursor}), 400, "bad_cursor")


def test_a_cursor_of_another_list_is_refused(api: Any, problem: Any) -> None:
    for number in range(2):
        api.live(api.collection(), f"cursor words {number}")
    cursor = api.get("/v1/documents", params={"limit": 1}).json()["next"]

    assert api.get("/v1/documents", params={"after": cursor}).status_code == 200
    for path in ("/v1/collections", "/v1/jobs", "/v1/keys", "/v1/workspaces"):
        problem(api.get(path, params={"after": cursor}), 400, "bad_cursor")


def test_an_unknown_collection(api: Any, problem: Any) -> None:
    problem(api.post("/v1/documents", json={"collection": "nowhere", "text": "a"}), 404, "unknown_collection")
    form = [("collection", None, b"nowhere"), ("file", "a.txt", b"words")]
    problem(_form(api, form), 404, "unknown_collection")
    problem(api.batch("nowhere", [{"text": "a"}]), 404, "unknown_collection")
    problem(api.post("/v1/search", json={"query": "a", "collections": ["nowhere"]}), 404, "unknown_collection")
    problem(api.get("/v1/documents?collection=nowhere"), 404, "unknown_collection")
    problem(api.get("/v1/collections/nowhere"), 404, "unknown_collection")
    assert api.staged() == []


def test_a_collection_name_that_is_bad_or_taken(api: Any, problem: Any) -> None:
    for name in ("", "a b", "../x", "a" * 65, "-a", "a\x00"):
        problem(api.post("/v1/collections", json={"name": name}), 422, "bad_name")
    reply = api.post("/v1/collections", json={"name": api.collection()})
    assert reply.status_code == 409


def test_a_json_body_over_the_limit(api: Any, problem: Any, collection: str) -> None:
    limit = api.services.settings.max_json_bytes
    body = {"collection": collection, "text": "a" * limit}
    problem(api.post("/v1/documents", json=body), 413, "too_large")
    problem(api.post("/v1/documents", json={"collection": collection, "text": "a" * 50_001}), 413, "too_large")


def test_a_text_over_the_limit_of_a_file(api: Any, problem: Any, collection: str) -> None:
    limit = api.services.settings.max_upload_bytes
    text = "é" * (limit // 2 + 1)  # within the limits of a JSON body and of characters
    put = f"/v1/documents/by-external-id/a?collection={collection}"
    for method, path, body in (
        ("POST", "/v1/documents", {"collection": collection, "text": text}),
        ("PUT", put, {"text": text}),
    ):
        content = json.dumps(body, ensure_ascii=False).encode()
        said = problem(api.call(method, path, content=content, headers=_JSON), 413, "too_large")
        assert "FOOTNOTE_MAX_UPLOAD_BYTES" in said["detail"]


def test_a_batch_over_a_limit(api: Any, problem: Any, collection: str) -> None:
    size = api.services.settings.max_batch_bytes
    path = f"/v1/documents/batch?collection={collection}"
    reply = api.post(path, content=b" " * (size + 1), headers={"Content-Type": "application/x-ndjson"})
    problem(reply, 413, "too_large")


def test_a_batch_with_too_many_lines_keeps_what_went_in_and_says_so(api: Any, problem: Any) -> None:
    name = api.collection()
    body = problem(api.batch(name, [{"text": f"t {number}"} for number in range(601)]), 413, "too_large")
    assert (
        body["accepted"] == len(api.get(f"/v1/documents?collection={name}&limit=200").json()["data"])
        or body["accepted"] > 200
    )
    assert body["job_id"]


def test_a_url_is_not_fetched(api: Any, problem: Any, collection: str) -> None:
    body = {"collection": collection, "url": "http://localhost/"}
    problem(api.post("/v1/documents", json=body), 422, "url_not_supported")


def test_a_text_range_that_is_none(api: Any, problem: Any) -> None:
    made = api.live(api.collection(), "range words " * 2000)
    path = f"/v1/documents/{made['document_id']}/text"
    problem(api.get(f"{path}?start=5&end=4"), 422, "bad_range")
    problem(api.get(path), 422, "bad_range")
    problem(api.get(f"{path}?start=-1"), 422, "invalid_request")
    problem(api.get(f"{path}?version_id={uuid.uuid4()}"), 404, "version_not_found")


def test_ids_that_are_unknown_or_none(api: Any, problem: Any) -> None:
    problem(api.get(f"/v1/documents/{uuid.uuid4()}"), 404, "document_not_found")
    problem(api.get(f"/v1/jobs/{uuid.uuid4()}"), 404, "job_not_found")
    problem(api.get("/v1/documents/not-an-id"), 422, "invalid_request")
    problem(api.call("DELETE", f"/v1/keys/{uuid.uuid4()}"), 404, "key_not_found")
    problem(api.call("DELETE", f"/v1/workspaces/{uuid.uuid4()}"), 404, "workspace_not_found")


def test_what_does_not_fit_is_said_without_the_validators_words(api: Any, problem: Any) -> None:
    some = uuid.uuid4()
    said = {
        "path.document_id must be an id, as 0199c0de-0000-7000-8000-000000000000": api.get("/v1/documents/not-an-id"),
        "path.key_id must be an id, as 0199c0de-0000-7000-8000-000000000000": api.call("DELETE", "/v1/keys/7"),
        "query.limit must be a whole number": api.get("/v1/documents?limit=some"),
        "query.limit must be at most 200": api.get("/v1/documents?limit=201"),
        "query.wait must be at least 0.0": api.call("DELETE", f"/v1/documents/{some}?wait=-1"),
        "query.wait must be a number": api.call("DELETE", f"/v1/documents/{some}?wait=x"),
        "query.filter may have at most 16384 characters": api.get(f"/v1/documents?filter={'a' * 16_385}"),
        "query.offsets must be one of 'codepoints' or 'utf16'": api.get(f"/v1/documents/{some}/text?offsets=bytes"),
        "body must be a JSON object": api.post("/v1/search", json=[]),
        "body.explain must be true or false": api.post("/v1/search", json={"query": "a", "explain": "yes"}),
        "body.name is missing": api.post("/v1/keys", json={"role": "reader"}),
        "body.expires_at must be a time, as 2026-01-31T12:00:00Z": api.post(
            "/v1/keys", json={"name": "n", "role": "reader", "expires_at": "soon"}
        ),
    }
    for sentence, reply in said.items():
        assert problem(reply, 422, "invalid_request")["detail"] == sentence


@pytest.mark.parametrize("wait", ["-1", "soon", "nan", "inf"])
def test_a_wait_that_is_no_time(api: Any, problem: Any, collection: str, wait: str) -> None:
    path = f"/v1/documents?wait={wait}"
    problem(api.post(path, json={"collection": collection, "text": "words"}), 422, "invalid_request")


def test_unknown_paths_and_methods(api: Any, problem: Any) -> None:
    problem(api.get("/v1/nothing"), 404, "no_such_route")
    problem(api.get("/docs/../../etc/passwd"), 404, "no_such_route")
    reply = api.call("DELETE", "/v1/search")
    problem(reply, 405, "method_not_allowed")
    assert "POST" in reply.headers["allow"]


def test_an_unsupported_file_lists_what_is_supported(api: Any, problem: Any, collection: str) -> None:
    form = [("collection", None, collection.encode()), ("file", "a.bin", bytes(range(256)) * 8)]
    body = problem(_form(api, form), 415, "unsupported_format")
    assert "pdf" in body["detail"].lower()


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 2**64, -(2**63), 10**30])
def test_a_whole_number_that_could_not_be_told_from_its_neighbour_is_refused(
    api: Any, problem: Any, number: int
) -> None:
    body = {"collection": "default", "text": "x", "metadata": {"a": number}}
    problem(api.post("/v1/documents", json=body), 422, "bad_metadata")


def test_a_name_with_a_nul_names_nothing(api: Any, problem: Any) -> None:
    name = "a\0b"
    problem(api.post("/v1/search", json={"query": "x", "collections": [name]}), 404, "unknown_collection")
    problem(api.get("/v1/documents?collection=a%00b"), 404, "unknown_collection")
    problem(api.get("/v1/collections/a%00b"), 404, "unknown_collection")


def test_a_filter_that_is_nested_too_deep_is_no_error_of_ours(api: Any, problem: Any) -> None:
    condition: Any = {"type": "eq", "key": "a", "value": 1}
    for _ in range(200):
        condition = {"type": "and", "filters": [condition]}
    body = {"collection": api.collection(), "filter": condition}
    for each in (body, body | {"dry_run": True}):
        problem(api.post("/v1/documents/delete", json=each), 422, "bad_filter")
