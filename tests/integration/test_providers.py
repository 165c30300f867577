"""Every provider's documented wire form, well and badly spoken by a real server on the loopback: the right end for each."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.errors import (
    ConfigurationError,
    FootnoteError,
    ModelBusyError,
    ModelDownError,
    ModelRefusedError,
    ModelTimeoutError,
)
from app.domain.models import ChatEvent, ChatRequest, Delta, Finished, Message, Usage
from app.inference.chat.backend import Endpoint
from app.inference.chat.langchain_backend import LangChainBackend, open_backend
from tests.services import provider_wires as wires
from tests.services.provider_server import Behaviour, ProviderServer, serving
from tests.services.provider_wires import Wire

KEY = "sk-secret-1"
PROMPT = "what is the prompt?"
SAID = "Assets rose to 14 million dollars — in 2019."
SCHEMA = {
    "type": "object",
    "properties": {"year": {"type": "integer"}},
    "required": ["year"],
    "additionalProperties": False,
}
QUESTION = ChatRequest(
    messages=(Message(role="system", text="Answer."), Message(role="user", text=PROMPT)), max_tokens=64
)


class Bench:
    """One loop for all tests, one server and a few clients for each provider."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.servers: dict[str, ProviderServer] = {}
        self._backends: dict[tuple[Any, ...], LangChainBackend] = {}

    def server(self, wire: Wire) -> ProviderServer:
        """The provider's, which behaves."""
        found = self.servers.get(wire.provider)
        if found is None:
            found = self.servers[wire.provider] = ProviderServer(wire)
            found.start()
        found.behaviour = Behaviour()
        found.requests.clear()
        return found

    def backend(self, wire: Wire, *, patience: float = 30.0, **options: Any) -> LangChainBackend:
        """A client of the provider's server."""
        key = (wire.provider, patience, *sorted(options.items()))
        if key not in self._backends:
            self._backends[key] = open_backend(endpoint(wire, self.servers[wire.provider].url, patience, **options))
        return self._backends[key]

    def ask(self, backend: LangChainBackend, request: ChatRequest = QUESTION) -> list[ChatEvent]:
        """All that it says."""

        async def asked() -> list[ChatEvent]:
            return [event async for event in backend.stream(request)]

        return self.runner.run(asked())

    def close(self) -> None:
        """Clients first."""
        for backend in self._backends.values():
            self.runner.run(backend.close())
        for server in self.servers.values():
            server.stop()
        self.runner.close()


def endpoint(wire: Wire, url: str, patience: float = 30.0, **options: Any) -> Endpoint:
    return Endpoint(
        provider=wire.provider,
        model="amazon.m-1" if wire.provider == "bedrock" else "m-1",
        base_url=url,
        api_key=None if wire.provider == "bedrock" else KEY,
        options={**wire.options, **options},
        first_token_seconds=patience,
        idle_seconds=patience,
    )


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture(params=wires.ALL, ids=lambda wire: wire.provider)
def wire(request: pytest.FixtureRequest) -> Wire:
    found: Wire = request.param
    return found


def said(events: list[ChatEvent]) -> str:
    return "".join(each.text for each in events if isinstance(each, Delta))


def failed(bench: Bench, backend: LangChainBackend) -> FootnoteError:
    """The error that a call ends with; it names the model and the host, and neither the key nor the prompt."""
    with pytest.raises(FootnoteError) as caught:
        bench.ask(backend)
    error = caught.value
    shown = "".join(str(each) for each in _all_of(error))
    assert "m-1 at 127.0.0.1:" in error.message
    assert KEY not in shown
    assert PROMPT not in shown
    return error


def _all_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_a_streamed_answer_comes_whole_with_its_reason_and_its_tokens(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    events = bench.ask(bench.backend(wire))
    cached = wires.CACHED_TOKENS if wire.is_cached_counted else 0
    usage = Usage(prompt_tokens=wires.PROMPT_TOKENS, completion_tokens=wires.COMPLETION_TOKENS, cached_tokens=cached)
    assert said(events) == SAID
    assert events[-1] == Finished(reason="stop", usage=usage, endpoint=server.url)
    assert sum(isinstance(each, Finished) for each in events) == 1
    (request,) = server.requests
    assert request.path.partition("?")[0] == wire.path
    assert (KEY in request.headers[wire.key_header]) is (wire.provider != "bedrock")
    assert PROMPT in json.dumps(request.body)
    assert "64" in json.dumps(request.body)  # the most tokens, by each provider's own name


def test_a_slow_stream_comes_piece_by_piece(bench: Bench, wire: Wire) -> None:
    bench.server(wire).behaviour = Behaviour(texts=("a", "b", "c"), pause_seconds=0.05)
    events = bench.ask(bench.backend(wire))
    assert [each.text for each in events if isinstance(each, Delta)] == ["a", "b", "c"]


def test_an_answer_that_is_asked_for_at_once_is_one_piece(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    events = bench.ask(bench.backend(wire, stream=False))
    assert said(events) == SAID
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stop"
    assert events[-1].usage is not None
    assert events[-1].usage.completion_tokens == wires.COMPLETION_TOKENS
    # Ollama's client streams nevertheless, and collects.
    assert server.requests[0].path.partition("?")[0] == (wire.whole_path)


@pytest.mark.parametrize("reason", ["length", "filtered"])
def test_why_an_answer_ended_is_known(bench: Bench, wire: Wire, reason: str) -> None:
    if wire.provider == "ollama" and reason == "filtered":
        pytest.skip("Ollama filters nothing")
    bench.server(wire).behaviour = Behaviour(reason=reason)
    events = bench.ask(bench.backend(wire))
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == reason


def test_a_schema_is_put_to_the_provider_in_its_own_way(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    server.behaviour = Behaviour(texts=('{"ye', 'ar": 20', "19}"), pause_seconds=0.02)
    request = ChatRequest(messages=QUESTION.messages, max_tokens=64, json_schema=SCHEMA)
    events = bench.ask(bench.backend(wire), request)
    assert json.loads(said(events)) == {"year": 2019}
    assert sum(isinstance(each, Delta) for each in events) > 1
    body = server.requests[0].body
    match wire.provider:
        case "openai" | "openai_compatible" | "azure" | "mistral":
            assert body["response_format"]["json_schema"] == {"name": "answer", "schema": SCHEMA, "strict": True}
        case "deepseek":
            assert body["response_format"] == {"type": "json_object"}
            assert json.dumps(SCHEMA) in body["messages"][-1]["content"]
        case "anthropic":
            assert body["output_config"]["format"]["type"] == "json_schema"
            assert body["output_config"]["format"]["schema"]["properties"].keys() == {"year"}
        case "google":
            assert body["generationConfig"]["responseMimeType"] == "application/json"
            assert body["generationConfig"]["responseJsonSchema"] == SCHEMA
        case "bedrock":
            held = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
            assert json.loads(held) == SCHEMA
        case "ollama":
            assert body["format"] == SCHEMA


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, ModelRefusedError, "model_refused"),
        (401, ModelRefusedError, "model_unauthorized"),
        (403, ModelRefusedError, "model_unauthorized"),
        (404, ModelRefusedError, "model_not_found"),
        (413, ModelRefusedError, "context_too_long"),
        (429, ModelBusyError, "model_busy"),
        (500, ModelDownError, "model_down"),
        (503, ModelDownError, "model_down"),
        (wires.OVERLOADED, ModelDownError, "model_down"),
    ],
)
def test_a_status_is_one_error_and_is_asked_for_once(
    bench: Bench, wire: Wire, status: int, kind: type[FootnoteError], code: str
) -> None:
    server = bench.server(wire)
    server.behaviour = Behaviour(status=status)
    error = failed(bench, bench.backend(wire))
    assert type(error) is kind
    assert error.code == code
    assert str(status) in error.message
    assert len(server.requests) == 1, "the library has retried by itself"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "7"}, 7), ({"retry-after-ms": "2500"}, 3), ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1)],
)
def test_a_busy_provider_is_left_alone_as_long_as_it_says(
    bench: Bench, wire: Wire, headers: dict[str, str], seconds: int
) -> None:
    bench.server(wire).behaviour = Behaviour(status=429, headers=headers)
    error = failed(bench, bench.backend(wire))
    assert isinstance(error, ModelBusyError)
    assert error.retry_after_seconds == seconds


def test_google_says_in_the_body_when_to_come_back(bench: Bench) -> None:
    bench.server(wires.GOOGLE).behaviour = Behaviour(status=429)
    error = failed(bench, bench.backend(wires.GOOGLE))
    assert isinstance(error, ModelBusyError)
    assert error.retry_after_seconds == 7


def test_google_answers_400_to_a_wrong_key(bench: Bench) -> None:
    bench.server(wires.GOOGLE).behaviour = Behaviour(status=400, body=wires.GOOGLE_BAD_KEY)
    assert failed(bench, bench.backend(wires.GOOGLE)).code == "model_unauthorized"


def test_a_prompt_that_azure_filters_is_a_filtered_answer(bench: Bench) -> None:
    bench.server(wires.AZURE).behaviour = Behaviour(status=400, body=wires.AZURE_FILTERED)
    (finished,) = bench.ask(bench.backend(wires.AZURE))
    assert isinstance(finished, Finished)
    assert finished.reason == "filtered"


def test_a_refusal_of_openai_s_is_a_filtered_answer(bench: Bench) -> None:
    bench.server(wires.OPENAI).behaviour = Behaviour(texts=("",), extra=wires.OPENAI_REFUSAL)
    (finished,) = bench.ask(bench.backend(wires.OPENAI))
    assert isinstance(finished, Finished)
    assert finished.reason == "filtered"


@pytest.mark.parametrize(
    "wire", [wires.COMPATIBLE, wires.ANTHROPIC, wires.BEDROCK, wires.OLLAMA], ids=lambda wire: wire.provider
)
def test_an_answer_that_is_whole_is_not_lost_by_a_server_that_does_not_hang_up(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    before = server.open
    server.behaviour = Behaviour(lingers=True)
    events = bench.ask(bench.backend(wire, patience=1.0))
    assert said(events) == SAID
    assert isinstance(events[-1], Finished)
    server.until_closed(before)


def test_a_prompt_that_google_blocks_is_a_filtered_answer(bench: Bench) -> None:
    bench.server(wires.GOOGLE).behaviour = Behaviour(texts=("",), extra=wires.GOOGLE_BLOCKED, ends=False)
    events = bench.ask(bench.backend(wires.GOOGLE))
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "filtered"


@pytest.mark.parametrize(
    "wire", [each for each in wires.ALL if each.broken_off is not None], ids=lambda wire: wire.provider
)
def test_an_error_in_mid_stream_is_told_by_its_code(bench: Bench, wire: Wire) -> None:
    bench.server(wire).behaviour = Behaviour(extra=wire.broken_off or b"", ends=False)
    error = failed(bench, bench.backend(wire))
    assert type(error) is (ModelDownError if wire.provider == "ollama" else ModelBusyError)  # Ollama names no codes


def test_anthropic_overloaded_in_mid_stream_is_down(bench: Bench) -> None:
    bench.server(wires.ANTHROPIC).behaviour = Behaviour(extra=wires.ANTHROPIC_OVERLOADED, ends=False)
    assert type(failed(bench, bench.backend(wires.ANTHROPIC))) is ModelDownError


def test_a_malformed_piece_is_a_model_that_is_down(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    server.behaviour = Behaviour(extra=wire.nonsense)
    assert type(failed(bench, bench.backend(wire))) is ModelDownError
    server.until_closed(left=1)


def test_a_connection_cut_in_mid_stream_is_a_model_that_is_down(bench: Bench, wire: Wire) -> None:
    bench.server(wire).behaviour = Behaviour(cuts=True)
    assert type(failed(bench, bench.backend(wire))) is ModelDownError


def test_a_stream_that_ends_without_a_reason_was_broken_off(bench: Bench, wire: Wire) -> None:
    bench.server(wire).behaviour = Behaviour(ends=False)
    assert type(failed(bench, bench.backend(wire))) is ModelDownError


def test_a_page_that_is_no_answer_is_a_model_that_is_down(bench: Bench, wire: Wire) -> None:
    bench.server(wire).behaviour = Behaviour(status=299, body={"page": "please log in"})
    assert type(failed(bench, bench.backend(wire))) is ModelDownError


def test_a_redirect_is_not_followed_with_the_key(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    server.behaviour = Behaviour(status=307, headers={"Location": server.url + "/elsewhere"})
    assert isinstance(failed(bench, bench.backend(wire)), ModelRefusedError | ModelDownError)
    assert len(server.requests) == 1


def test_a_server_that_hangs_is_given_up_and_its_connection_closed(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    backend = bench.backend(wire, patience=0.15)
    before = server.open
    server.behaviour = Behaviour(hangs=True)
    assert type(failed(bench, backend)) is ModelTimeoutError
    server.until_closed(before)


def test_silence_in_mid_stream_is_given_up_and_the_connection_closed(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    backend = bench.backend(wire, patience=0.15)
    before = server.open
    server.behaviour = Behaviour(stalls=True)
    assert type(failed(bench, backend)) is ModelTimeoutError
    server.until_closed(before)


def test_whoever_leaves_closes_the_connection_upstream(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    backend = bench.backend(wire, patience=29.0)
    server.behaviour = Behaviour(stalls=True)

    async def leaves() -> None:
        stream = backend.stream(QUESTION)
        first = await anext(stream)
        assert isinstance(first, Delta)
        before = server.open
        await stream.aclose()
        server.until_closed(before - 1)  # the loop does not turn meanwhile: it was closed before `aclose` returned

    bench.runner.run(leaves())


@pytest.mark.parametrize("behaviour", [Behaviour(hangs=True), Behaviour(stalls=True)], ids=["before", "amid"])
def test_a_task_that_is_cancelled_closes_the_connection_upstream(
    bench: Bench, wire: Wire, behaviour: Behaviour
) -> None:
    server = bench.server(wire)
    backend = bench.backend(wire, patience=29.0)
    server.behaviour = behaviour

    async def cancelled() -> None:
        before = server.open

        async def asks() -> None:
            async for _ in backend.stream(QUESTION):
                pass

        task = asyncio.create_task(asks())
        await asyncio.to_thread(server.until, lambda: len(server.requests) == 1, "no request came")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.until_closed, before)

    bench.runner.run(cancelled())


def test_sixteen_clients_at_once_have_their_own_answers(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    server.behaviour = Behaviour(pause_seconds=0.05)
    backend = bench.backend(wire)

    async def asks() -> str:
        return said([event async for event in backend.stream(QUESTION)])

    async def together() -> list[str]:
        return await asyncio.gather(*(asks() for _ in range(16)))

    assert bench.runner.run(together()) == [SAID] * 16
    assert len(server.requests) == 16


def test_many_failures_leave_no_thread_and_no_connection(bench: Bench, wire: Wire) -> None:
    server = bench.server(wire)
    backend = bench.backend(wire, patience=28.0)
    bench.ask(backend)
    before = (server.open, threading.active_count())
    ends = itertools.cycle((Behaviour(cuts=True), Behaviour(status=500), Behaviour(extra=wire.nonsense)))
    for behaviour in itertools.islice(ends, 6):
        server.behaviour = behaviour
        failed(bench, backend)
    server.until_closed(before[0])
    assert threading.active_count() <= before[1] + 2  # Bedrock's pool grows to what was asked at once


def test_nobody_listens(bench: Bench, wire: Wire) -> None:
    with serving(wire) as gone:
        url = gone.url
    backend = open_backend(endpoint(wire, url))
    error = failed(bench, backend)
    assert type(error) is ModelDownError
    bench.runner.run(backend.close())


def test_tracing_variables_and_other_addresses_of_the_environment_change_nothing(
    bench: Bench, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = bench.server(wire)
    before = server.open
    with serving(wires.OPENAI) as elsewhere:
        base = elsewhere.url
        for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "LANGSMITH_GATEWAY"):
            monkeypatch.setenv(name, "true")
        monkeypatch.setenv("LANGSMITH_API_KEY", "ls-1")
        for name in ("LANGSMITH_ENDPOINT", "OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL", "OLLAMA_HOST"):
            monkeypatch.setenv(name, base)
        for name in ("MISTRAL_BASE_URL", "DEEPSEEK_API_BASE", "GOOGLE_GEMINI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
            monkeypatch.setenv(name, base)
        backend = open_backend(endpoint(wire, server.url))
        assert said(bench.ask(backend)) == SAID
        assert len(server.requests) == 1
        assert elsewhere.requests == []
    bench.runner.run(backend.close())
    server.until_closed(before)


def test_bedrock_without_credentials_asks_nobody_for_some(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    server = bench.server(wires.BEDROCK)
    bare = Endpoint(provider="bedrock", model="amazon.m-1", base_url=server.url, options={"region": "eu-central-1"})
    backend = open_backend(bare)
    error = failed(bench, backend)  # a look at 169.254.169.254 would fail by the hook that closes sockets
    assert error.code == "model_unauthorized"
    assert server.requests == []
    bench.runner.run(backend.close())


def test_bedrock_takes_an_api_key_of_its_own(bench: Bench) -> None:
    keyed = Endpoint(provider="bedrock", model="amazon.m-1", api_key=KEY, options={"region": "eu-central-1"})
    backend = open_backend(keyed)
    bench.runner.run(backend.open())
    sent: list[bytes] = []

    def stop(request: Any, **_: Any) -> None:
        sent.append(request.headers["Authorization"])
        raise InterruptedError

    backend._model.client.meta.events.register("before-send.bedrock-runtime.ConverseStream", stop)
    with pytest.raises(ModelDownError):
        bench.ask(backend)
    assert sent == [f"Bearer {KEY}".encode()]
    bench.runner.run(backend.close())


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"provider": "opnai"}, "opnai"),
        ({"provider": "openai"}, "a key"),
        ({"provider": "openai_compatible"}, "base_url"),
        ({"provider": "azure", "api_key": "k"}, "base_url"),
        ({"provider": "openai", "api_key": "k", "options": {"api_versoin": "1"}}, "api_versoin"),
        ({"provider": "bedrock", "api_key": "k", "base_url": "http://a", "options": {"region": "r"}}, "https"),
        ({"provider": "bedrock", "model": "arn:aws:bedrock:x", "options": {"region": "r"}}, "base_model"),
    ],
)
def test_an_endpoint_that_can_not_work_is_refused_at_once(parts: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_backend(Endpoint(**{"model": "m-1", **parts}))
    assert named in caught.value.message
