"""The way to OpenAI-compatible servers, against LiteLLM's own proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psutil
import pytest

from app.domain.errors import ModelRefusedError
from app.domain.models import ChatEvent, ChatRequest, Delta, Finished, Message
from app.inference.chat.backend import Endpoint
from app.inference.chat.langchain_backend import LangChainBackend, open_backend
from tests.services import litellm_proxy

pytestmark = pytest.mark.services

SCHEMA = {
    "type": "object",
    "properties": {"year": {"type": "integer"}},
    "required": ["year"],
    "additionalProperties": False,
}
QUESTION = ChatRequest(messages=(Message(role="user", text="How did assets do?"),), max_tokens=64)


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with litellm_proxy.serving(tmp_path_factory.mktemp("litellm")) as url:
        yield url


def run(url: str, use: Callable[[LangChainBackend], Coroutine[Any, Any, Any]], **parts: Any) -> Any:
    """What a use of a client gives; it is closed afterwards."""
    known = {"provider": "openai_compatible", "model": "mock", "base_url": url, "api_key": litellm_proxy.KEY}

    async def used() -> Any:
        backend = open_backend(Endpoint(**{**known, "first_token_seconds": 60.0, **parts}))
        try:
            return await use(backend)
        finally:
            await backend.close()

    return asyncio.run(used())


async def asked(backend: LangChainBackend, request: ChatRequest = QUESTION) -> list[ChatEvent]:
    return [event async for event in backend.stream(request)]


def said(events: list[ChatEvent]) -> str:
    return "".join(each.text for each in events if isinstance(each, Delta))


@pytest.mark.parametrize("options", [{}, {"stream": False}], ids=["streamed", "plain"])
def test_an_answer_comes_whole_with_its_tokens(proxy: str, options: dict[str, bool]) -> None:
    events = run(proxy, asked, options=options)
    assert said(events) == litellm_proxy.TEXT
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.reason == "stop"
    assert last.usage is not None
    assert last.usage.prompt_tokens > 0
    assert last.usage.completion_tokens > 0


def test_an_answer_to_a_schema_is_json(proxy: str) -> None:
    """The mock does not look at the schema: this holds that the proxy takes the request as we put it."""
    request = ChatRequest(messages=QUESTION.messages, max_tokens=64, json_schema=SCHEMA)
    events = run(proxy, lambda backend: asked(backend, request), model="mock-json")
    assert json.loads(said(events)) == {"year": 2019}


def test_sixteen_clients_at_once_have_their_answers(proxy: str) -> None:
    async def together(backend: LangChainBackend) -> list[str]:
        return [said(each) for each in await asyncio.gather(*(asked(backend) for _ in range(16)))]

    assert run(proxy, together) == [litellm_proxy.TEXT] * 16


def test_whoever_leaves_closes_the_connection(proxy: str) -> None:
    port = int(proxy.split(":")[2].split("/", maxsplit=1)[0])

    def open_connections() -> int:
        found = psutil.Process().net_connections("tcp")
        return sum(bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in found)

    async def leaves(backend: LangChainBackend) -> tuple[int, int]:
        stream = backend.stream(QUESTION)
        assert isinstance(await anext(stream), Delta)
        during = open_connections()
        await stream.aclose()
        return during, open_connections()

    assert run(proxy, leaves) == (1, 0)


def test_a_model_that_the_proxy_does_not_have_is_refused(proxy: str) -> None:
    with pytest.raises(ModelRefusedError):
        run(proxy, asked, model="nowhere")
