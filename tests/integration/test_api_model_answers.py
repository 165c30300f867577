"""Models over HTTP: a service with a file of models, and a server that speaks as OpenAI's does, well or badly."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from app.bootstrap import Services, build
from app.main import create_app
from app.settings import Settings
from tests.services import live_api
from tests.services.provider_server import Behaviour, ProviderServer
from tests.services.provider_wires import COMPATIBLE
from tests.services.running import embedded_alone
from tests.services.scripted_models import WordChecker

pytestmark = embedded_alone

Json = dict[str, Any]
PIER = "The pier of Marlow is 300 metres long. The pier was built by Ann Smith in 1871. The pier burnt down in 1903."
QUESTION = "Why did the pier of Marlow burn down, and when?"
FILE = """
[[model]]
name = "writer"
provider = "openai_compatible"
model = "m-1"
base_url = "{url}"
tier = "standard"
first_token_seconds = 1
retries = 0
price = {{input = 10, output = 100}}
"""


@dataclasses.dataclass
class Service:
    """A service that answers with a model, and the model's server."""

    client: httpx.Client
    upstream: ProviderServer
    services: Services

    def ask(self, *texts: str, **body: Any) -> httpx.Response:
        """Ask; the model says these texts."""
        if texts:
            self.upstream.behaviour = Behaviour(texts=texts)
        return self.client.post("/v1/ask", json={"question": QUESTION, "model": "writer", **body})

    def events(self, *texts: str, **body: Any) -> list[tuple[str, Json]]:
        """The events of a stream."""
        return events(self.ask(*texts, stream=True, **body))


def events(reply: httpx.Response) -> list[tuple[str, Json]]:
    assert reply.status_code == 200, reply.text
    blocks = [block for block in reply.text.split("\n\n") if block]
    return [
        (block.split("\n")[0].removeprefix("event: "), json.loads(block.split("\n")[1].removeprefix("data: ")))
        for block in blocks
    ]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("models") / "data"
    upstream = ProviderServer(COMPATIBLE)
    upstream.start()
    folder.mkdir()
    (folder / "models.toml").write_text(FILE.format(url=upstream.url), encoding="utf-8")
    services = _with_words(build(Settings(data_dir=folder, embedder="hashing-64", min_free_bytes=0, port=0)))
    with live_api.serving(create_app(services=services)) as (host, port):
        key = pathlib.Path(services.admin_key_path).read_text(encoding="utf-8").strip()
        with httpx.Client(
            base_url=f"http://{host}:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
        ) as client:
            reply = client.post("/v1/documents?wait=30", json={"text": PIER, "collection": "default", "title": "Pier"})
            assert reply.json()["state"] == "live", reply.text
            yield Service(client=client, upstream=upstream, services=services)
    upstream.stop()


def _with_words(services: Services) -> Services:
    """Sentences are checked by their words: the vectors of this embedder mean nothing."""
    object.__setattr__(services.ask, "checker", WordChecker())
    return services


@pytest.fixture(autouse=True)
def well(service: Service) -> None:
    """Every test begins with a server that behaves and a breaker that is closed."""
    service.upstream.behaviour = Behaviour()
    deadline = time.monotonic() + 30
    while not service.client.get("/v1/models").json()["data"][-1]["available"]:
        service.ask("The pier burnt down in 1903 [1].")
        assert time.monotonic() < deadline
        time.sleep(0.2)
    service.upstream.requests.clear()


def test_an_answer_of_a_model_stands_on_verified_places_and_says_how_it_came_about(service: Service) -> None:
    answer = service.ask("The pier burnt ", "down in 1903 [1].").json()
    assert answer["text"] == "The pier burnt down in 1903."
    assert (answer["model"], answer["route"], answer["degraded"], answer["template"]) == (
        "writer",
        "standard",
        False,
        "default@0",
    )
    assert answer["usage"] == {
        "prompt_tokens": 25,
        "completion_tokens": 15,
        "cost_usd": pytest.approx(0.00175, abs=2e-4),
    }
    assert answer["evidence"][0]["document_id"] == answer["citations"][0]["document_id"]
    (cited,) = answer["citations"]
    piece = service.client.get(
        f"/v1/documents/{cited['document_id']}/text", params={"start": cited["start"], "end": cited["end"]}
    )
    assert piece.json()["text"] == cited["quote"] == "The pier burnt down in 1903."
    kept = service.client.get(f"/v1/answers/{answer['id']}").json()
    assert {name: kept[name] for name in ("route_reason", "attempts", "evidence", "usage", "template", "policy")} == {
        name: answer[name] for name in ("route_reason", "attempts", "evidence", "usage", "template", "policy")
    }


def test_a_stream_tells_each_sentence_when_it_holds_and_raw_text_where_that_is_asked_for(service: Service) -> None:
    told = service.events("The pier burnt down in 1903 [1]. ", "The moon is cheese [1]. ", "It is 300", deltas=True)
    names = [name for name, _ in told]
    assert names[0] == "sources"
    assert names[-1] == "answer"
    assert [value["text"] for name, value in told if name == "sentence"] == ["The pier burnt down in 1903."]
    raw = "".join(value["text"] for name, value in told if name == "delta")
    assert " ".join(raw.split()) == "The pier burnt down in 1903. The moon is cheese. It is 300"
    assert all(value["provisional"] for name, value in told if name == "delta")
    assert "delta" not in [name for name, _ in service.events("The pier burnt down in 1903 [1].")]


def test_raw_text_needs_a_stream(service: Service) -> None:
    reply = service.ask("x", deltas=True)
    assert (reply.status_code, reply.json()["code"]) == (422, "deltas_need_stream")


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (Behaviour(status=500), "model_down"),
        (Behaviour(status=401), "model_unauthorized"),
        (Behaviour(status=429, headers={"Retry-After": "1"}), "model_busy"),
        (Behaviour(texts=("The pier burnt down in 1903 [1]. ", "x"), cuts=True), "model_down"),
        (Behaviour(hangs=True), "model_timeout"),
    ],
)
def test_a_model_that_fails_degrades_the_answer_and_does_not_fail_it(
    service: Service, behaviour: Behaviour, outcome: str
) -> None:
    service.upstream.behaviour = behaviour
    told = events(service.client.post("/v1/ask", json={"question": QUESTION, "model": "writer", "stream": True}))
    name, answer = told[-1]
    assert name == "answer"
    assert (answer["degraded"], answer["model"]) == (True, "extractive")
    assert [each["outcome"] for each in answer["attempts"]] == [outcome]
    if behaviour.cuts:
        names = [name for name, _ in told]
        assert names[: names.index("reset")] == ["sources", "sentence"]


def test_a_client_that_leaves_ends_the_call_of_the_model(service: Service) -> None:
    service.upstream.behaviour = Behaviour(
        texts=("The pier burnt down in 1903 [1]. ", *["more "] * 200), pause_seconds=0.1
    )
    body = json.dumps({"question": QUESTION, "model": "writer", "stream": True}).encode()
    url = service.client.base_url
    before, booked = service.upstream.open, failures(service)
    opened = socket.create_connection((url.host, url.port or 80), timeout=30)
    opened.sendall(
        f"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nAuthorization: {service.client.headers['authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    read = b""
    while b"event: sentence" not in read:
        more = opened.recv(4096)
        assert more, read
        read += more
    opened.close()
    service.upstream.until(lambda: service.upstream.open <= before, "the call goes on")
    service.upstream.until(lambda: failures(service) > booked, "what it cost is not in the books")


def failures(service: Service) -> int:
    """Calls in the books that did not end well."""
    with service.services.database.read() as work:
        lines = work.model_calls.usage(None, since_day="2000-01-01", until_day="2999-01-01", by=frozenset())
    return sum(each.failures for each in lines)


def test_output_that_meets_a_schema_carries_the_places_of_its_fields(service: Service) -> None:
    schema = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}
    answer = service.ask('{"year": ', "1903}", response_schema=schema).json()
    assert answer["output"] == {"year": 1903}
    assert [field["path"] for field in answer["fields"]] == ["/year"]
    (cited,) = (each for each in answer["citations"] if each["n"] in answer["fields"][0]["citations"])
    assert "1903" in cited["quote"]
    reply = service.ask('{"year": "never"}', response_schema=schema)
    assert (reply.status_code, reply.json()["code"]) == (502, "output_invalid")
    reply = service.ask("{}", response_schema={"type": "nothing"})
    assert (reply.status_code, reply.json()["code"]) == (422, "bad_schema")


def test_an_answer_is_asked_again_on_another_model_and_both_are_shown(service: Service) -> None:
    answer = service.ask("The pier burnt down in 1903 [1].").json()
    service.upstream.behaviour = Behaviour(texts=("The pier of Marlow is 300 metres long [1].",))
    shown = service.client.post(f"/v1/answers/{answer['id']}/replay", json={}).json()
    assert shown["original"]["id"] == answer["id"]
    assert shown["replay"]["text"] == "The pier of Marlow is 300 metres long."
    assert (shown["same_text"], shown["same_evidence"]) == (False, True)
    assert shown["replay"]["replay_of"] == answer["id"]
    other = service.client.post(f"/v1/answers/{answer['id']}/replay", json={"model": "extractive"}).json()
    assert other["replay"]["model"] == "extractive"
    assert service.client.get(f"/v1/answers/{other['replay']['id']}").json()["replay_of"] == answer["id"]
    assert (
        service.client.post(f"/v1/answers/{answer['id']}/replay", json={"model": "x"}).json()["code"]
        == "model_not_found"
    )


def test_a_web_socket_tells_the_same_events(service: Service) -> None:
    service.upstream.behaviour = Behaviour(texts=("The pier burnt down in 1903 [1].",))
    url = service.client.base_url
    headers = {"Authorization": service.client.headers["authorization"]}
    with connect(f"ws://{url.host}:{url.port}/v1/ask", additional_headers=headers, proxy=None) as opened:
        opened.send(json.dumps({"question": QUESTION, "model": "writer", "deltas": True}))
        names: list[str] = []
        while not names or names[-1] != "answer":
            names.append(json.loads(opened.recv(timeout=30))["event"])
    assert list(dict.fromkeys(names)) == ["sources", "delta", "sentence", "answer"]


def test_a_policy_of_the_workspace_holds(service: Service) -> None:
    put = service.client.put("/v1/policy", json={"models": [], "note": "no models"})
    assert put.status_code == 200, put.text
    try:
        reply = service.ask("The pier burnt down in 1903 [1].")
        assert (reply.status_code, reply.json()["code"]) == (403, "model_not_allowed")
        answer = service.client.post("/v1/ask", json={"question": QUESTION}).json()
        assert (answer["model"], answer["policy"]) == ("extractive", "workspace@1")
    finally:
        service.client.put("/v1/policy", json={}).raise_for_status()


def test_many_at_once_each_have_their_own_answer(service: Service) -> None:
    service.upstream.behaviour = Behaviour(texts=("The pier burnt ", "down in 1903 [1]."), pause_seconds=0.05)
    with contextlib.ExitStack() as stack:
        import concurrent.futures  # noqa: PLC0415 - beside its use

        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(16))
        replies = list(pool.map(lambda _: service.ask(), range(16)))
    assert {reply.json()["text"] for reply in replies} == {"The pier burnt down in 1903."}
    assert len({reply.json()["id"] for reply in replies}) == 16
