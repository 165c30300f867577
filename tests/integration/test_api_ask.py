"""Questions over HTTP: as JSON, as server-sent events, over a web socket; answers read back."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

Json = dict[str, Any]

TEXT = (
    "The lighthouse tower is 38 metres high. It was built by Ada Merrin in 1871.\n\n"
    "A ticket to the lighthouse costs 6 euros. Dogs are not admitted.\n"
)
QUESTION = "What does a ticket to the lighthouse cost?"


@pytest.fixture(scope="module")
def place(api: Any) -> Json:
    collection = api.collection()
    document = api.live(collection, TEXT, external_id="guide/lighthouse.txt", title="Lighthouse")
    return {"collection": collection, "document_id": document["document_id"]}


def ask(api: Any, place: Json, question: str = QUESTION, **parts: Any) -> Json:
    key = parts.pop("key", None)
    body = {"question": question, "collections": [place["collection"]], **parts}
    reply = api.post("/v1/ask", key=key, json=body)
    assert reply.status_code == 200, reply.text
    answer: Json = reply.json()
    return answer


def check(api: Any, answer: Json) -> None:
    """Every citation is the stored text at its offsets; every sentence has one and stands where it says."""
    for citation in answer["citations"]:
        path = f"/v1/documents/{citation['document_id']}/text"
        where = {"version_id": citation["version_id"], "start": citation["start"], "end": citation["end"]}
        assert api.get(path, params=where).json()["text"] == citation["quote"]
        assert citation["verified"] is True
    numbers = [citation["n"] for citation in answer["citations"]]
    assert numbers == list(range(1, len(numbers) + 1))
    for sentence in answer["sentences"]:
        assert sentence["citations"]
        assert set(sentence["citations"]) <= set(numbers)
        assert answer["text"][sentence["start"] : sentence["end"]] == sentence["text"]


def events(reply: Any) -> list[tuple[str, Json]]:
    found = []
    for block in reply.text.split("\n\n")[:-1]:
        name, data = block.split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        found.append((name[7:], json.loads(data[6:])))
    return found


def test_an_answer_stands_on_verified_places(api: Any, place: Json) -> None:
    answer = ask(api, place)
    assert answer["status"] == "answered"
    assert "6 euros" in answer["text"]
    assert answer["citations"][0]["external_id"] == "guide/lighthouse.txt"
    assert answer["model"] == answer["route"] == "extractive"
    assert answer["degraded"] is False
    assert 0 < answer["confidence"] <= 1
    assert set(answer["timings_ms"]) == {
        "guard", "rewrite", "retrieve", "rerank", "context", "route", "generate", "validate", "remember",
    }  # fmt: skip
    assert "nearest" not in answer
    assert "candidates" not in answer
    check(api, answer)


def test_what_the_documents_do_not_say_is_not_answered(api: Any, place: Json) -> None:
    answer = ask(api, place, "Which glacier feeds the Orinoco delta?")
    assert answer["status"] == "no_answer"
    assert (answer["text"], answer["sentences"], answer["citations"]) == ("", [], [])
    assert {hit["external_id"] for hit in answer["nearest"]} == {"guide/lighthouse.txt"}


def test_an_empty_collection_answers_nothing(api: Any) -> None:
    answer = ask(api, {"collection": api.collection()})
    assert (answer["status"], answer["confidence"], answer["nearest"]) == ("no_answer", 0.0, [])


def test_marks_alone_are_refused(api: Any, place: Json) -> None:
    answer = ask(api, place, "?!")
    assert answer["status"] == "refused"
    assert [each["code"] for each in answer["warnings"]] == ["not_a_question"]


def test_explain_shows_what_was_weighed(api: Any, place: Json) -> None:
    answer = ask(api, place, explain=True)
    scores = [each["score"] for each in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)
    for each in answer["candidates"]:
        assert TEXT[each["start"] : each["end"]] == each["text"]


def test_a_filter_and_a_collection_hold_for_the_evidence(api: Any, problem: Any, place: Json) -> None:
    nothing = ask(api, place, filter={"type": "eq", "key": "year", "value": 1})
    assert nothing["nearest"] == []
    body = {"question": QUESTION, "collections": ["nowhere"]}
    problem(api.post("/v1/ask", json=body), 404, "unknown_collection")
    problem(api.post("/v1/ask", json={**body, "stream": True}), 404, "unknown_collection")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"question": ""}, "query_empty"),
        ({"question": "\u200b"}, "query_empty"),
        ({"question": "x" * 201}, "query_too_long"),
        ({"question": "q", "max_sources": 0}, "invalid_request"),
        ({"question": "q", "max_sources": 51}, "invalid_request"),
        ({"question": "q", "unknown": 1}, "invalid_request"),
        ({"question": "q", "filter": {"type": "no"}}, "bad_filter"),
        ({"question": "q", "collections": []}, "bad_query"),
    ],
)
def test_a_bad_question_is_a_problem_streamed_or_not(api: Any, problem: Any, body: Json, code: str) -> None:
    problem(api.post("/v1/ask", json=body), 422, code)
    problem(api.post("/v1/ask", json={**body, "stream": True}), 422, code)


def test_a_stream_tells_sources_then_sentences_then_the_answer(api: Any, place: Json) -> None:
    reply = api.post("/v1/ask", json={"question": QUESTION, "collections": [place["collection"]], "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-store"
    found = events(reply)
    names = [name for name, _ in found]
    assert names == ["sources", *["sentence"] * (len(found) - 2), "answer"]
    answer = found[-1][1]
    assert [{**said, "footnotes": None} for _, said in found[1:-1]] == [
        {**sentence, "footnotes": None} for sentence in answer["sentences"]
    ]
    assert found[1][1]["footnotes"] == [each for each in answer["citations"] if each["n"] in found[1][1]["citations"]]
    assert {hit["document_id"] for hit in found[0][1]["hits"]} == {place["document_id"]}
    check(api, answer)


@pytest.mark.usefixtures("this_process")
def test_an_error_within_a_stream_is_an_event(api: Any, place: Json) -> None:
    ask_of_services = api.services.ask
    late = {"question": QUESTION, "collections": [place["collection"]], "stream": True}
    object.__setattr__(ask_of_services, "tokenizer", None)  # breaks the context step, after the sources
    try:
        broken = events(api.post("/v1/ask", json=late))
    finally:
        object.__setattr__(ask_of_services, "tokenizer", api.services.embedder.tokenizer)
    assert [name for name, _ in broken] == ["sources", "error"]
    assert (broken[1][1]["code"], broken[1][1]["status"]) == ("internal_error", 500)
    assert "NoneType" not in broken[1][1]["detail"]
    object.__setattr__(ask_of_services, "reranker", Hanging())
    try:
        found = events(api.post("/v1/ask", json=late))
    finally:
        object.__setattr__(ask_of_services, "reranker", None)
    assert [name for name, _ in found] == ["sources", "error"]
    assert found[1][1]["code"] == "deadline_exceeded"
    assert found[1][1]["status"] == 503


class Hanging:
    """A reranker that never answers in time."""

    def scores(self, question: str, texts: list[str]) -> list[float]:
        from app.domain.errors import DeadlineExceededError  # noqa: PLC0415

        raise DeadlineExceededError(f"{question} {len(texts)}")


def test_an_answer_is_read_back_by_who_asked(api: Any, problem: Any, place: Json) -> None:
    ann, ann_too, bob = (
        api.key("reader", user="ann"),
        api.key("editor", user="ann"),
        api.key("reader", user="bob"),
    )
    nobody = api.key("reader")
    answer = ask(api, place, key=ann)
    path = f"/v1/answers/{answer['id']}"
    for key in (ann, ann_too, None):
        assert api.get(path, key=key).json() == {**answer, "timings_ms": api.get(path).json()["timings_ms"]}
    for key in (bob, nobody):
        problem(api.get(path, key=key), 404, "answer_not_found")
    problem(api.get(f"/v1/answers/{uuid.uuid4()}"), 404, "answer_not_found")
    problem(api.get("/v1/answers/x"), 422, "invalid_request")


def test_a_closed_or_deleted_document_is_gone_from_answers_new_and_old(api: Any) -> None:
    collection = api.collection()
    where = {"collection": collection}
    closing = api.live(collection, TEXT, external_id="closing", title="Lighthouse")["document_id"]
    key = api.key("reader", user="eve")
    old = ask(api, where, key=key)
    assert old["status"] == "answered"
    assert api.call("PATCH", f"/v1/documents/{closing}", json={"readers": ["user:ann"]}).status_code == 200

    now = api.get(f"/v1/answers/{old['id']}", key=key).json()
    assert (now["text"], now["sentences"], now["citations"]) == ("", [], [])
    assert [each["code"] for each in now["warnings"]] == ["sources_hidden"]
    assert ask(api, where, key=key)["nearest"] == []
    assert api.get(f"/v1/answers/{old['id']}").json()["citations"] == old["citations"]  # an admin's view

    deleted = api.call("DELETE", f"/v1/documents/{closing}")
    assert deleted.status_code == 202
    assert api.get(f"/v1/answers/{old['id']}").json()["text"] == ""
    assert ask(api, where)["nearest"] == []
    api.until_final(deleted.json()["job_id"])
    purged = api.get(f"/v1/answers/{old['id']}").json()
    assert (purged["text"], purged["sentences"], purged["citations"]) == ("", [], [])
    assert [each["code"] for each in purged["warnings"]] == ["sources_deleted"]
    with api.services.database.read() as work:
        kept = work.answers.get(api.services.keys.authenticate(api.secret).workspace_id, uuid.UUID(old["id"]))
    assert kept.text == ""  # not hidden, gone


def test_an_old_version_is_still_cited_by_an_old_answer(api: Any) -> None:
    collection = api.collection()
    api.live(collection, TEXT, external_id="a", title="Lighthouse")
    old = ask(api, {"collection": collection})
    api.live(collection, TEXT.replace("38 metres", "39 metres"), external_id="a", title="Lighthouse")
    assert api.get(f"/v1/answers/{old['id']}").json()["citations"] == old["citations"]
    new = ask(api, {"collection": collection})
    assert {each["version_id"] for each in new["citations"]}.isdisjoint(each["version_id"] for each in old["citations"])
    check(api, new)


HOSTILE = (
    "<script>alert(1)</script> The vault code of the harbour is 4711 &amp; <b>bold</b>.\x1b[31m\n\n"
    "The vault door \u202eof the harbour\u202c is op\u200bened at 9 [1].\n\n" + "a" * 20_000 + "\n"
)


def test_hostile_text_gives_right_offsets_and_nothing_alive(api: Any) -> None:
    collection = api.collection()
    api.live(collection, HOSTILE)
    for question in ("What is the vault code of the harbour?", "When is the vault door opened?", "a" * 200):
        body = {"question": question, "collections": [collection], "explain": True}
        plain = api.post("/v1/ask", json=body)
        check(api, plain.json())
        streamed = api.post("/v1/ask", json={**body, "stream": True})
        for text in (plain.text, streamed.text):
            assert not set("<>&\x1b\u2028\u2029") & set(text)
        for sentence in plain.json()["sentences"]:
            assert not set("\x1b\u202e\u202c\u200b") & set(sentence["text"])
            assert "[1]" not in sentence["text"]
        events(streamed)


# Web sockets


def socket(api: Any, **parts: Any) -> Any:
    return api.client.websocket_connect("ws://localhost/v1/ask", **parts)


def heard(open_socket: Any) -> list[tuple[str, Json]]:
    found: list[tuple[str, Json]] = []
    while not found or found[-1][0] not in ("answer", "error"):
        message = json.loads(open_socket.receive_text())
        found.append((message["event"], message["data"]))
    return found


def test_a_web_socket_answers_one_question_after_the_other(api: Any, place: Json) -> None:
    headers = {"Authorization": f"Bearer {api.secret}"}
    with socket(api, headers=headers) as opened:
        for question, status in ((QUESTION, "answered"), ("?!", "refused")):
            opened.send_json({"question": question, "collections": [place["collection"]]})
            name, answer = heard(opened)[-1]
            assert (name, answer["status"]) == ("answer", status)
            check(api, answer)
        for text, code in (
            ("{", "invalid_json"),
            ('{"question": 1}', "invalid_request"),
            ('{"question": ""}', "query_empty"),
        ):
            opened.send_text(text)
            name, told = heard(opened)[-1]
            assert (name, told["code"]) == ("error", code)
        opened.send_json({"question": QUESTION, "collections": [place["collection"]]})
        assert heard(opened)[-1][1]["status"] == "answered"


def test_a_web_socket_takes_its_key_with_the_first_message(api: Any, place: Json) -> None:
    with socket(api) as opened:
        opened.send_json({"question": QUESTION, "collections": [place["collection"]], "key": api.secret})
        assert heard(opened)[-1][1]["status"] == "answered"
        opened.send_json({"question": QUESTION, "collections": [place["collection"]]})
        assert heard(opened)[-1][1]["status"] == "answered"


@pytest.mark.parametrize("message", ['{"question": "q"}', '{"question": "q", "key": "fn_wrong"}', "{", '{"a": 1}'])
def test_a_web_socket_without_a_key_is_closed(api: Any, message: str) -> None:
    with socket(api) as opened:
        opened.send_text(message)
        assert heard(opened)[-1][1]["code"] == "unauthenticated"
        with pytest.raises(WebSocketDisconnect) as closed:
            opened.receive_text()
        assert closed.value.code == 1008


def test_a_web_socket_with_a_wrong_key_is_not_opened(api: Any) -> None:
    for header in ("Bearer fn_wrong", "Basic YTpi", "Bearer "):
        with pytest.raises(Exception) as refused, socket(api, headers={"Authorization": header}):  # noqa: PT011 - the client's own class
            pytest.fail("it was opened")
        assert "401" in str(refused.value) or getattr(refused.value, "status_code", 0) == 401


def test_a_web_socket_of_another_host_is_not_opened(api: Any) -> None:
    with pytest.raises(Exception) as refused, socket(api, headers={"Host": "evil.example"}):  # noqa: PT011
        pytest.fail("it was opened")
    assert getattr(refused.value, "status_code", 0) == 421
