"""Questions that belong together, and whose they are."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest

from app.domain.conversations import Summary
from app.domain.ids import new_id

Json = dict[str, Any]
HARBOUR = "The harbour of Marlow was built in 1850. The harbour master of Marlow is Ada Brown."


def begin(api: Any, *, key: str | None = None, **body: Any) -> Json:
    reply = api.post("/v1/conversations", key=key, json=body)
    assert reply.status_code == 201, reply.text
    assert reply.headers["location"] == f"/v1/conversations/{reply.json()['id']}"
    made: Json = reply.json()
    return made


def ask(api: Any, conversation: Json, question: str, *, key: str | None = None, **parts: Any) -> Json:
    body = {"question": question, "conversation_id": conversation["id"], **parts}
    reply = api.post("/v1/ask", key=key, json=body)
    assert reply.status_code == 200, reply.text
    answer: Json = reply.json()
    return answer


def turns(api: Any, conversation: Json, *, key: str | None = None, query: str = "") -> Json:
    reply = api.get(f"/v1/conversations/{conversation['id']}/turns{query}", key=key)
    assert reply.status_code == 200, reply.text
    page: Json = reply.json()
    return page


@pytest.fixture
def collection(api: Any) -> str:
    name: str = api.collection()
    api.live(name, HARBOUR)
    return name


def test_a_question_may_lean_on_the_turn_before(api: Any, collection: str) -> None:
    conversation = begin(api)
    first = ask(api, conversation, "When was the harbour of Marlow built?", collections=[collection])
    assert (first["conversation_id"], first["standalone_question"]) == (conversation["id"], None)
    second = ask(api, conversation, "Who is its harbour master?", collections=[collection])
    assert second["question"] == "Who is its harbour master?"
    assert second["standalone_question"] == "Who is Marlow's harbour master?"
    shown = turns(api, conversation)["data"]
    assert [each["question"] for each in shown] == [first["question"], second["question"]]
    assert api.get(f"/v1/answers/{second['id']}").json()["standalone_question"] == second["standalone_question"]
    assert api.get(f"/v1/conversations/{conversation['id']}").json()["title"] == first["question"]


@pytest.mark.parametrize("body", [{}, {"json": {}}, {"data": {}}, {"content": iter(())}])
def test_one_begins_without_a_body(api: Any, body: Json) -> None:
    reply = api.post("/v1/conversations", **body)
    assert reply.status_code == 201, reply.text
    assert reply.json()["title"] == ""


def test_a_body_that_is_there_is_json(api: Any, problem: Any) -> None:
    path, words = "/v1/conversations", {"Content-Type": "text/plain"}
    problem(api.post(path, content=b"title", headers=words), 415, "unsupported_media_type")
    problem(api.post(path, content=iter((b"ti", b"tle")), headers=words), 415, "unsupported_media_type")
    problem(api.post(path, content=b"title"), 415, "unsupported_media_type")
    problem(api.post(path, content=b"title", headers={"Content-Type": "application/json"}), 400, "invalid_json")
    problem(api.post(path, json=[]), 422, "invalid_request")


def test_events_of_a_stream_name_the_conversation(api: Any, collection: str) -> None:
    conversation = begin(api, title="Harbours")
    body = {"question": "When was it built?", "conversation_id": conversation["id"], "collections": [collection]}
    told = api.post("/v1/ask", json=body | {"stream": True}).text
    answer = json.loads(told.split("event: answer\ndata: ", 1)[1].split("\n", 1)[0])
    assert answer["conversation_id"] == conversation["id"]
    assert api.get(f"/v1/conversations/{conversation['id']}").json()["title"] == "Harbours"


def test_only_who_began_it_sees_it(api: Any, problem: Any) -> None:
    mine, again, other = api.key("reader", user="ada"), api.key("reader", user="ada"), api.key("reader", user="bob")
    conversation = begin(api, key=mine)
    answer = ask(api, conversation, "Is there anything?", key=mine)
    path = f"/v1/conversations/{conversation['id']}"
    for key in (mine, again):
        assert [each["id"] for each in api.get("/v1/conversations", key=key).json()["data"]] == [conversation["id"]]
        assert api.get(f"/v1/answers/{answer['id']}", key=key).status_code == 200
    for key in (other, None):  # None: the admin's
        assert conversation["id"] not in api.get("/v1/conversations?limit=200", key=key).text
        for reply in (
            api.get(path, key=key),
            api.get(f"{path}/turns", key=key),
            api.get(f"{path}/export", key=key),
            api.call("PATCH", path, key=key, json={"title": "x"}),
            api.call("DELETE", path, key=key),
            api.post("/v1/ask", key=key, json={"question": "Who?", "conversation_id": conversation["id"]}),
        ):
            problem(reply, 404, "conversation_not_found")
        problem(api.get(f"/v1/answers/{answer['id']}", key=key), 404, "answer_not_found")


def test_deleting_one_deletes_its_answers(api: Any, problem: Any, collection: str) -> None:
    conversation, kept = begin(api), begin(api)
    answers = [ask(api, conversation, f"When was pier {n} built?", collections=[collection]) for n in range(3)]
    stays = ask(api, kept, "When was the harbour built?", collections=[collection])
    receipt = api.call("DELETE", f"/v1/conversations/{conversation['id']}").json()
    assert (receipt["conversation_id"], receipt["answers"], receipt["summaries"]) == (conversation["id"], 3, 0)
    assert receipt["deleted_at"]
    for answer in answers:
        problem(api.get(f"/v1/answers/{answer['id']}"), 404, "answer_not_found")
    problem(api.get(f"/v1/conversations/{conversation['id']}"), 404, "conversation_not_found")
    assert api.get(f"/v1/answers/{stays['id']}").status_code == 200


def summarise(api: Any, conversation: Json, document_id: str) -> uuid.UUID:
    """Give a conversation a summary that leans on a document."""
    conversation_id = uuid.UUID(conversation["id"])
    summary = Summary(
        conversation_id=conversation_id,
        through_id=new_id(),
        text="The Albatross sank.",
        documents=frozenset({uuid.UUID(document_id)}),
        created_at=api.services.clock.now(),
    )
    with api.services.database.write() as work:
        assert work.conversations.set_summary(summary)
        work.commit()
    return conversation_id


def test_a_summary_goes_with_its_conversation_and_is_on_the_receipt(api: Any) -> None:
    document = api.live(api.collection(), "The Albatross sank near Marlow in 1900.")
    conversation = begin(api)
    conversation_id = summarise(api, conversation, document["document_id"])
    assert api.call("DELETE", f"/v1/conversations/{conversation['id']}").json()["summaries"] == 1
    with api.services.database.read() as work:
        assert work.conversations.summary(conversation_id) is None


def test_a_summary_goes_with_the_purge_of_what_it_leans_on(api: Any) -> None:
    document = api.live(api.collection(), "The Albatross sank near Marlow in 1900.")
    kept = api.live(api.collection(), "The Pelican sails to Marlow every day.")
    gone_id, kept_id = (summarise(api, begin(api), each["document_id"]) for each in (document, kept))
    assert api.call("DELETE", f"/v1/documents/{document['document_id']}?wait=60").status_code in (200, 202)
    with api.services.database.read() as work:
        assert work.conversations.summary(gone_id) is None
        assert work.conversations.summary(kept_id)


def test_old_turns_hide_what_was_deleted_and_nothing_leans_on_it(api: Any) -> None:
    name = api.collection()
    document = api.live(name, "Which ship sank? The Albatross sank near Marlow in 1900.")
    api.live(name, "The Pelican sails to Marlow every day.")
    conversation = begin(api)
    first = ask(api, conversation, "Which ship sank near Marlow?", collections=[name])
    assert "Albatross" in first["text"]
    assert api.call("DELETE", f"/v1/documents/{document['document_id']}?wait=60").status_code in (200, 202)
    (shown,) = turns(api, conversation)["data"]
    assert "Albatross" not in json.dumps({**shown, "question": ""})
    assert "sources_" in json.dumps(shown["warnings"])
    second = ask(api, conversation, "How long is it?", collections=[name])
    assert "Albatross" not in json.dumps(second)


@pytest.mark.parametrize("how", ["deleted", "closed"])
def test_a_question_that_leant_on_what_was_deleted_or_closed_is_shown_as_it_was_typed(api: Any, how: str) -> None:
    name = api.collection()
    key = api.key("reader", user="ada")
    document = api.live(name, "The Harrow Lodge was built by Zebulon Quark in 1880.", readers=["*"])
    conversation = begin(api, key=key)
    assert "Zebulon" in ask(api, conversation, "Who built the Harrow Lodge?", key=key, collections=[name])["text"]
    second = ask(api, conversation, "When was he born?", key=key, collections=[name])
    assert second["standalone_question"] == "When was Zebulon Quark born?"
    path = f"/v1/documents/{document['document_id']}"
    if how == "deleted":
        assert api.call("DELETE", f"{path}?wait=60").status_code in (200, 202)
    else:
        assert api.call("PATCH", path, json={"readers": ["user:bob"]}).status_code == 200
    shown = turns(api, conversation, key=key)["data"]
    export = api.get(f"/v1/conversations/{conversation['id']}/export", key=key).text
    one = api.get(f"/v1/answers/{second['id']}", key=key).json()
    third = ask(api, conversation, "And where did he live?", key=key, collections=[name])
    for each in (json.dumps(shown), export, json.dumps(one), json.dumps(third)):
        assert "Zebulon" not in each
    assert one["standalone_question"] is None


def test_pages_and_export_give_each_turn_once_in_order(api: Any) -> None:
    conversation = begin(api)
    asked = [ask(api, conversation, f"Is there a number {n}?")["id"] for n in range(7)]
    seen: list[str] = []
    query = "?limit=3"
    while True:
        page = turns(api, conversation, query=query)
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        query = f"?limit=3&after={page['next']}"
    assert seen == asked
    export = api.get(f"/v1/conversations/{conversation['id']}/export")
    assert export.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in export.text.splitlines()] == asked


def test_two_clients_at_once_lose_no_turn(api: Any) -> None:
    conversation = begin(api)
    given: list[str] = []

    def client(name: str) -> None:
        for n in range(8):
            given.append(ask(api, conversation, f"Is there a {name} {n}?")["id"])  # noqa: PERF401 - shown as they come

    clients = [threading.Thread(target=client, args=(name,)) for name in ("ship", "pier")]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert len(given) == 16
    assert {each["id"] for each in turns(api, conversation)["data"]} == set(given)


def test_titles_are_given_and_changed(api: Any, problem: Any) -> None:
    conversation = begin(api, title="  Ships \n and piers ")
    assert conversation["title"] == "Ships and piers"
    path = f"/v1/conversations/{conversation['id']}"
    assert api.call("PATCH", path, json={"title": "Piers"}).json()["title"] == "Piers"
    assert api.get(path).json()["title"] == "Piers"
    for title in ("", "  ", "x" * 201, "a\0b"):
        problem(api.call("PATCH", path, json={"title": title}), 422, "bad_title")
        problem(api.post("/v1/conversations", json={"title": title}), 422, "bad_title")


def test_an_unknown_conversation(api: Any, problem: Any) -> None:
    body = {"question": "Who?", "conversation_id": str(uuid.uuid4())}
    problem(api.post("/v1/ask", json=body), 404, "conversation_not_found")
    problem(api.post("/v1/ask", json=body | {"conversation_id": "x"}), 422, "invalid_request")


def test_the_same_idempotency_key_begins_one(api: Any) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    one, two = (api.post("/v1/conversations", json={}, headers=headers).json() for _ in range(2))
    assert one == two
