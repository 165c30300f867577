"""Keys, roles, workspaces and readers over HTTP; deny by default."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest


def _routes(api: Any, *, some_id: str = "0199c0de-0000-7000-8000-000000000000") -> list[tuple[str, str]]:
    found = []
    for path, methods in api.client.get("/openapi.json").json()["paths"].items():
        if path.startswith("/v1/"):
            filled = re.sub(r"\{[^}]*id[^}]*\}", some_id, path).replace("{name}", "default")
            found += [(method.upper(), filled) for method in methods]
    return found


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer fn_wrong", "fn_wrong"])
@pytest.mark.usefixtures("this_process")
def test_every_v1_route_refuses_strangers(api: Any, problem: Any, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    routes = _routes(api)
    assert len(routes) > 25
    for method, path in routes:
        reply = api.client.request(method, path, headers=headers, params={"collection": "default"})
        problem(reply, 401, "unauthenticated")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_stranger_is_not_told_what_is_wrong_with_a_request(api: Any, problem: Any) -> None:
    key = "fn_wrong"
    json_type = {"Content-Type": "application/json"}
    problem(api.get("/v1/documents?limit=0", key=key), 401, "unauthenticated")
    problem(api.get("/v1/documents?after=x", key=key), 401, "unauthenticated")
    problem(api.get("/v1/documents/not-an-id", key=key), 401, "unauthenticated")
    problem(api.post("/v1/search", key=key, content=b"{", headers=json_type), 401, "unauthenticated")
    problem(api.post("/v1/search", key=key, json={}), 401, "unauthenticated")
    problem(api.post("/v1/documents", key=key, content=b"words"), 401, "unauthenticated")


def test_a_revoked_key_stops_working_at_once(api: Any, problem: Any) -> None:
    made = api.post("/v1/keys", json={"name": "short", "role": "reader"}).json()
    assert api.get("/v1/documents", key=made["secret"]).status_code == 200
    assert api.call("DELETE", f"/v1/keys/{made['id']}").status_code == 204
    problem(api.get("/v1/documents", key=made["secret"]), 401, "unauthenticated")
    problem(api.call("DELETE", f"/v1/keys/{made['id']}"), 404, "key_not_found")


def test_a_key_past_its_time_does_not_work(api: Any, problem: Any) -> None:
    made = api.post("/v1/keys", json={"name": "old", "role": "reader", "expires_at": "2020-01-01T00:00:00Z"}).json()
    problem(api.get("/v1/documents", key=made["secret"]), 401, "unauthenticated")


def test_a_rotated_key_is_replaced_by_one_that_may_do_the_same(api: Any, problem: Any) -> None:
    made = api.post("/v1/keys", json={"name": "turn", "role": "editor", "user": "ann", "groups": ["b", "a"]}).json()
    reply = api.post(f"/v1/keys/{made['id']}/rotate")
    assert reply.status_code == 201
    fresh = reply.json()
    assert {name: fresh[name] for name in ("name", "role", "user", "groups")} == {
        "name": "turn", "role": "editor", "user": "ann", "groups": ["a", "b"],
    }  # fmt: skip
    problem(api.get("/v1/documents", key=made["secret"]), 401, "unauthenticated")
    assert api.get("/v1/documents", key=fresh["secret"]).status_code == 200


def test_a_secret_is_shown_once(api: Any) -> None:
    made = api.post("/v1/keys", json={"name": "once", "role": "reader"}).json()
    listed = api.get("/v1/keys?limit=200").text
    assert made["id"] in listed
    assert made["secret"] not in listed


def test_the_making_of_a_key_takes_no_idempotency_key(api: Any, problem: Any) -> None:
    reply = api.post("/v1/keys", json={"name": "x", "role": "reader"}, headers={"Idempotency-Key": "a"})
    problem(reply, 400, "idempotency_not_supported")


def test_a_key_does_not_revoke_itself(api: Any, problem: Any) -> None:
    me = next(each for each in api.get("/v1/keys?limit=200").json()["data"] if api.secret.startswith(each["prefix"]))
    problem(api.call("DELETE", f"/v1/keys/{me['id']}"), 409, "own_key")


def test_a_reader_writes_nothing(api: Any, problem: Any) -> None:
    name = api.collection()
    made = api.live(name, "read me", external_id="r")
    key = api.key("reader")
    path = f"/v1/documents/{made['document_id']}"
    by_id = f"/v1/documents/by-external-id/r?collection={name}"
    refused = [
        api.post("/v1/collections", key=key, json={"name": "c"}),
        api.call("PATCH", f"/v1/collections/{name}", key=key, json={"description": "d"}),
        api.call("DELETE", f"/v1/collections/{name}", key=key),
        api.post("/v1/documents", key=key, json={"collection": name, "text": "t"}),
        api.post("/v1/documents", key=key, files={"file": ("a.txt", b"t")}, data={"collection": name}),
        api.batch(name, [{"text": "t"}], key=key),
        api.call("PUT", by_id, key=key, json={"text": "t"}),
        api.call("PATCH", path, key=key, json={"title": "t"}),
        api.call("DELETE", path, key=key),
        api.call("DELETE", by_id, key=key),
        api.post(f"/v1/jobs/{made['job_id']}/cancel", key=key),
        api.post(f"/v1/jobs/{made['job_id']}/retry", key=key),
    ]
    for reply in refused:
        problem(reply, 403, "forbidden")
    assert api.get(path, key=key).json()["title"] == api.get(path).json()["title"]
    assert len(api.get(f"/v1/documents?collection={name}").json()["data"]) == 1


@pytest.mark.parametrize("role", ["reader", "editor"])
def test_the_role_comes_before_whatever_else_is_wrong_with_a_request(api: Any, problem: Any, role: str) -> None:
    key = api.key(role)
    admins = (
        "/v1/keys",
        "/v1/workspaces",
        "/v1/backup",
        "/v1/doctor",
        "/v1/collections/import",
        "/v1/templates",
        "/v1/models/reload",
    )
    refused = 0
    for method, path in _routes(api, some_id="not-an-id"):
        for_editors = method != "GET" and not path.startswith(
            ("/v1/search", "/v1/ask", "/v1/answers", "/v1/conversations")
        )
        for_admins = path.startswith(admins) or "/indexes" in path
        for_admins = for_admins or ("/policy" in path and (method != "GET" or path.endswith("/versions")))
        if for_admins or (for_editors and role == "reader"):
            for parts in (
                {"content": b"{", "headers": {"Content-Type": "application/json"}},
                {"content": b"words", "headers": {"Content-Type": "text/plain"}},
                {"json": {"unknown": 1}},
            ):
                reply = api.call(method, path, key=key, params={"limit": "x", "after": "x", "wait": "x"}, **parts)
                problem(reply, 403, "forbidden")
            problem(api.call(method, f"{path}?after=x", key=key, headers={"Idempotency-Key": "a b"}), 403, "forbidden")
            refused += 1
    assert refused == {"editor": 29, "reader": 43}[role]


@pytest.mark.parametrize("role", ["reader", "editor"])
def test_only_admins_see_and_make_keys_and_workspaces(api: Any, problem: Any, role: str) -> None:
    key = api.key(role)
    some = uuid.uuid4()
    for reply in (
        api.get("/v1/keys", key=key),
        api.post("/v1/keys", key=key, json={"name": "x", "role": "admin"}),
        api.call("DELETE", f"/v1/keys/{some}", key=key),
        api.post(f"/v1/keys/{some}/rotate", key=key),
        api.get("/v1/workspaces", key=key),
        api.post("/v1/workspaces", key=key, json={"name": "w"}),
        api.call("DELETE", f"/v1/workspaces/{some}", key=key),
    ):
        problem(reply, 403, "forbidden")


def test_another_workspace_sees_nothing(api: Any, problem: Any) -> None:
    name = api.collection()
    made = api.live(name, "private words", external_id="p")
    workspace = f"w-{uuid.uuid4().hex[:8]}"
    assert api.post("/v1/workspaces", json={"name": workspace}).status_code == 201
    other = api.key("admin", workspace=workspace)
    path = f"/v1/documents/{made['document_id']}"
    for reply in (
        api.get(path, key=other),
        api.get(f"{path}/text", key=other),
        api.get(f"{path}/chunks", key=other),
        api.get(f"{path}/versions", key=other),
        api.get(f"{path}/content", key=other),
        api.get(f"{path}/deletion", key=other),
        api.call("PATCH", path, key=other, json={"title": "x"}),
        api.call("DELETE", path, key=other),
        api.get(f"/v1/documents/by-external-id/p?collection={name}", key=other),
        api.get(f"/v1/collections/{name}", key=other),
        api.call("DELETE", f"/v1/collections/{name}", key=other),
        api.get(f"/v1/jobs/{made['job_id']}", key=other),
        api.get(f"/v1/jobs/{made['job_id']}/items", key=other),
        api.post(f"/v1/jobs/{made['job_id']}/retry", key=other),
        api.post("/v1/search", key=other, json={"query": "private", "collections": [name]}),
    ):
        problem(reply, 404, reply.json()["code"])
        assert "private words" not in reply.text
    assert api.get("/v1/documents", key=other).json()["data"] == []
    assert api.get("/v1/jobs", key=other).json()["data"] == []
    assert api.post("/v1/search", key=other, json={"query": "private words"}).json()["hits"] == []
    problem(api.post("/v1/workspaces", key=other, json={"name": "more"}), 403, "forbidden")


def test_an_empty_workspace_is_removed_and_a_full_one_is_not(api: Any, problem: Any) -> None:
    name = f"w-{uuid.uuid4().hex[:8]}"
    made = api.post("/v1/workspaces", json={"name": name}).json()
    key = api.key("admin", workspace=name)
    assert api.post("/v1/collections", key=key, json={"name": "c"}).status_code == 201
    assert api.call("DELETE", f"/v1/workspaces/{made['id']}").status_code == 409
    empty = api.post("/v1/workspaces", json={"name": f"{name}-2"}).json()
    assert api.call("DELETE", f"/v1/workspaces/{empty['id']}").status_code == 204
    default = next(each for each in api.get("/v1/workspaces").json()["data"] if each["name"] == "default")
    problem(api.call("DELETE", f"/v1/workspaces/{default['id']}"), 409, "default_workspace")


def test_the_list_of_collections_counts_what_the_caller_may_read(api: Any) -> None:
    full, empty = api.collection(), api.collection()
    api.live(full, "for all")
    api.live(full, "for the board alone", readers=["group:board"])
    member, other = api.key("reader", groups=["board"]), api.key("reader")

    def counts(key: str | None) -> list[int | None]:
        listed = {
            each["name"]: each["documents"] for each in api.get("/v1/collections?limit=200", key=key).json()["data"]
        }
        return [listed[full], listed[empty]]

    assert (counts(None), counts(member), counts(other)) == ([2, 0], [2, 0], [1, 0])


def test_a_version_that_one_may_not_read_is_not_listed(api: Any) -> None:
    name, other = api.collection(), api.key("reader", user="bob")
    for text, readers in (("one", ["*"]), ("two", ["user:ann"]), ("three", ["*"])):
        made = api.live(name, text, external_id="v", readers=readers)

    path = f"/v1/documents/{made['document_id']}/versions"
    assert [each["seq"] for each in api.get(path).json()["data"]] == [3, 2, 1]
    assert [each["seq"] for each in api.get(path, key=other).json()["data"]] == [3, 1]


def test_what_one_may_not_read_answers_as_what_does_not_exist(api: Any, problem: Any) -> None:
    name = api.collection()
    made = api.live(name, "for the board alone", external_id="board", readers=["group:board"])
    member, other = api.key("editor", groups=["board"]), api.key("editor", user="ann")
    path = f"/v1/documents/{made['document_id']}"
    assert [hit["text"] for hit in api.hits(name, "board", key=member)] == ["for the board alone"]
    assert api.hits(name, "board", key=other) == []
    assert api.get(f"/v1/documents?collection={name}", key=other).json()["data"] == []
    for part in ("", "/text", "/chunks", "/versions", "/content"):
        problem(api.get(path + part, key=other), 404, "document_not_found")
    problem(api.call("DELETE", path, key=other), 404, "document_not_found")
    problem(api.get(f"/v1/jobs/{made['job_id']}", key=other), 404, "job_not_found")
    gone = api.live(name, "gone from the board", external_id="gone", readers=["group:board"])
    purge = api.call("DELETE", f"/v1/documents/{gone['document_id']}?wait=60", key=member).json()["job_id"]
    for job_id in (gone["job_id"], purge):
        assert api.get(f"/v1/jobs/{job_id}", key=member).status_code == 200
        problem(api.get(f"/v1/jobs/{job_id}", key=other), 404, "job_not_found")
    taken = api.post("/v1/documents", key=other, json={"collection": name, "text": "t", "external_id": "board"})
    problem(taken, 409, "external_id_taken")
