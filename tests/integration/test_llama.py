"""A tiny GGUF with random weights, in the process and behind llama.cpp's own server: what holds for both, and what for one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import pathlib
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import jsonschema
import psutil
import pytest

from app.domain.errors import ModelDownError, ModelRefusedError
from app.domain.models import ChatRequest, Message
from app.inference.chat import langchain_backend
from app.inference.chat.backend import Backend, Endpoint
from app.inference.chat.llama_backend import LlamaBackend, open_backend
from tests.services import running, tiny_gguf
from tests.services.chatting import Told, ask, begun, request
from tests.services.llama_server import LlamaServer

pytestmark = pytest.mark.services

_CONTEXT = 1024
_SLOTS = 4
_QUESTIONS = [
    f"{word} was opened in which year?"
    for word in ["bridge", "river", "year", "metres", "source", "answer", "system", "user"]
] + [f"{word} in 18 or 19?" for word in ["assistant", "question", "not", "his", "her", "from", "are", "this"]]
_ASKED = _QUESTIONS[1]  # of which the model has much to say
_SCHEMAS: dict[str, dict[str, Any]] = {
    "nested objects": {
        "type": "object",
        "properties": {
            "place": {
                "type": "object",
                "properties": {
                    "since": {"type": "string", "format": "date"},
                    "at": {
                        "type": "object",
                        "properties": {"north": {"type": "boolean"}, "level": {"type": ["integer", "null"]}},
                        "required": ["north", "level"],
                        "additionalProperties": False,
                    },
                },
                "required": ["since", "at"],
                "additionalProperties": False,
            },
        },
        "required": ["place"],
        "additionalProperties": False,
    },
    "arrays": {
        "type": "object",
        "properties": {
            "years": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
            "flags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 4},
        },
        "required": ["years", "flags"],
        "additionalProperties": False,
    },
    "enums": {
        "type": "object",
        "properties": {"kind": {"enum": ["bridge", "tunnel", 'a "road"']}, "lanes": {"enum": [1, 2, None]}},
        "required": ["kind", "lanes"],
        "additionalProperties": False,
    },
    "numbers": {
        "type": "object",
        "properties": {
            "year": {"type": "integer", "minimum": 1800, "maximum": 2026},
            "offset": {"type": "integer", "minimum": -5, "maximum": 5},
        },
        "required": ["year", "offset"],
        "additionalProperties": False,
    },
}
# llama.cpp's server takes these too, and holds a model to less than they say: it leaves bounds of fractions out, and a string with
# bytes that are no UTF-8, which random weights write, gets longer on its way.
_STRICTER: dict[str, dict[str, Any]] = {
    "fractions": {
        "type": "object",
        "properties": {
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "low": {"type": "number", "maximum": -0.5},
        },
        "required": ["share", "low"],
    },
    "strings of a length": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 3, "maxLength": 8},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 2, "maxItems": 3},
        },
        "required": ["name", "tags"],
    },
    "an array of alternatives": {
        "type": "array",
        "items": {
            "anyOf": [{"type": "string", "minLength": 2, "maxLength": 5}, {"const": {"a": [1, "\n"]}}, {"type": "null"}]
        },
        "minItems": 2,
        "maxItems": 4,
    },
    "a list that refers to itself": {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer", "exclusiveMinimum": 0},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["value", "next"],
            }
        },
        "$ref": "#/$defs/node",
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    if importlib.util.find_spec("llama_cpp") is None:
        running.missing("no llama-cpp-python here: `make llama` builds it")
    yield tiny_gguf.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    from llama_cpp import _utils  # noqa: PLC0415 - where it is installed

    for never_closed in (_utils.outnull_file, _utils.errnull_file):
        never_closed.close()


@pytest.fixture(scope="module")
def server(model: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    server = LlamaServer(tmp_path_factory.mktemp("server") / "one", model, slots=_SLOTS, context_tokens=_CONTEXT)
    server.start()
    yield server
    server.stop()


def in_process(model: pathlib.Path, **options: int) -> LlamaBackend:
    options = {"context_tokens": _CONTEXT, "threads": 1, **options}
    return open_backend(Endpoint(provider="llama", model=str(model), options=options))


def behind_server(server: LlamaServer) -> Backend:
    endpoint = Endpoint(provider="openai_compatible", model="tiny", base_url=f"{server.url}/v1", api_key="none")
    return langchain_backend.open_backend(endpoint)


Way = Callable[[], Backend]


@pytest.fixture(params=["in the process", "server"])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param == "server":
        server = request.getfixturevalue("server")
        return lambda: behind_server(server)
    model = request.getfixturevalue("model")
    return lambda: in_process(model)


@contextlib.asynccontextmanager
async def opened(way: Way) -> AsyncIterator[Backend]:
    backend = way()
    try:
        yield backend
    finally:
        await backend.close()


def played(way: Way, scenario: Callable[[Any], Awaitable[None]]) -> None:
    """Run it with a backend, and see that no thread of a model is left."""

    async def run() -> None:
        async with opened(way) as backend:
            await scenario(backend)

    asyncio.run(run())
    assert not [each for each in threading.enumerate() if each.name.startswith("llama-")]


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def _comparable(text: str) -> str:
    """Of how many characters bytes are that are no UTF-8, the two count differently; half a one at the end is left out."""
    return re.sub("\ufffd+", "?", text).rstrip("?")


# Both ways.


def test_an_answer_comes_in_pieces_and_says_why_it_ended_and_what_it_used(way: Way) -> None:
    async def scenario(backend: Backend) -> None:
        tolds = [await ask(backend, request(question)) for question in _QUESTIONS]
        assert {told.finished.reason for told in tolds} == {"stop", "length"}
        for told in tolds:
            usage = told.finished.usage
            assert usage is not None
            assert usage.prompt_tokens > 40
            assert usage.completion_tokens == 64 or told.finished.reason == "stop"
            assert told.text
            assert tiny_gguf.TURN_END not in told.text
        assert max(told.pieces for told in tolds) > 8

    played(way, scenario)


def test_the_process_and_the_server_say_the_same_and_count_the_same(model: pathlib.Path, server: LlamaServer) -> None:
    async def scenario() -> None:
        async with opened(lambda: in_process(model)) as near, opened(lambda: behind_server(server)) as far:
            for question in _QUESTIONS[:4]:
                here, there = await ask(near, request(question)), await ask(far, request(question))
                assert _comparable(here.text) == _comparable(there.text)
                assert here.finished.reason == there.finished.reason
                counts = []
                for told in (here, there):
                    assert told.finished.usage is not None
                    counts.append((told.finished.usage.prompt_tokens, told.finished.usage.completion_tokens))
                assert counts[0] == counts[1]

    asyncio.run(scenario())


def test_sixteen_clients_at_once_have_the_answers_that_each_has_alone(way: Way) -> None:
    async def scenario(backend: Backend) -> None:
        alone = [(await ask(backend, request(question))).text for question in _QUESTIONS]
        assert len(set(alone)) == len(_QUESTIONS)
        together = await asyncio.gather(*(asked(backend, question) for question in _QUESTIONS))
        assert together == alone

    async def asked(backend: Backend, question: str) -> str:
        try:
            return (await ask(backend, request(question))).text
        except (
            ModelDownError
        ):  # a busy server closes connections that are kept: what composes backends asks again, and so here
            return (await ask(backend, request(question))).text

    played(way, scenario)


@pytest.mark.parametrize("name", _SCHEMAS)
def test_what_is_written_under_a_schema_meets_it_even_with_random_weights(way: Way, name: str) -> None:
    schema = _SCHEMAS[name]

    async def scenario(backend: Backend) -> None:
        for temperature in (0.0, 1.5):
            told = await ask(backend, request("as JSON", json_schema=schema, max_tokens=400, temperature=temperature))
            assert told.finished.reason == "stop"
            jsonschema.validate(json.loads(told.text), schema, cls=jsonschema.Draft202012Validator)

    played(way, scenario)


def test_a_prompt_that_is_longer_than_the_context_is_refused_by_its_code(way: Way) -> None:
    async def scenario(backend: Backend) -> None:
        with pytest.raises(ModelRefusedError) as refused:
            await ask(backend, request("bridge " * _CONTEXT))
        assert refused.value.code == "context_too_long"
        assert (await ask(backend, request(_ASKED))).text

    played(way, scenario)


# The server alone.


def test_a_client_that_leaves_frees_its_slot_of_the_server(server: LlamaServer) -> None:
    async def scenario(backend: Backend) -> None:
        question = request(
            "bridge",
            max_tokens=900,
            temperature=1.5,
            json_schema={"type": "array", "items": {"type": "integer"}, "minItems": 300},
        )
        events = await begun(backend, question)
        assert server.busy_slots() == 1
        await events.aclose()
        await until(lambda: server.busy_slots() == 0)

    played(lambda: behind_server(server), scenario)


def test_a_server_that_is_killed_in_mid_answer_is_down(model: pathlib.Path, tmp_path: pathlib.Path) -> None:
    server = LlamaServer(tmp_path / "one", model, slots=1, context_tokens=_CONTEXT)
    server.start()

    async def scenario(backend: Backend) -> None:
        events = await begun(backend, _LONG)
        server.stop()
        with pytest.raises(ModelDownError):
            async for _ in events:
                pass

    played(lambda: behind_server(server), scenario)


# The process alone.


@pytest.mark.parametrize("name", _STRICTER)
def test_a_schema_with_bounds_alternatives_or_recursion_holds_too(model: pathlib.Path, name: str) -> None:
    schema = _STRICTER[name]

    async def scenario(backend: Backend) -> None:
        for temperature in (0.0, 0.7, 1.0, 2.0):
            told = await ask(backend, request("as JSON", json_schema=schema, max_tokens=500, temperature=temperature))
            assert told.finished.reason == "stop"
            jsonschema.validate(json.loads(told.text), schema, cls=jsonschema.Draft202012Validator)

    played(lambda: in_process(model, seed=5), scenario)


def test_json_that_is_cut_off_by_the_limit_says_so(model: pathlib.Path) -> None:
    async def scenario(backend: Backend) -> None:
        schema = {"type": "array", "items": {"type": "string", "minLength": 20}, "minItems": 20}
        told = await ask(backend, request("as JSON", json_schema=schema, max_tokens=30))
        assert told.finished.reason == "length"
        assert told.finished.usage is not None
        assert told.finished.usage.completion_tokens == 30
        with pytest.raises(ValueError, match=r"."):
            json.loads(told.text)

    played(lambda: in_process(model), scenario)


def test_an_answer_that_fills_the_context_ends_there(model: pathlib.Path) -> None:
    async def scenario(backend: Backend) -> None:
        told = await ask(backend, _LONG)
        usage = told.finished.usage
        assert told.finished.reason == "length"
        assert usage is not None
        assert usage.prompt_tokens + usage.completion_tokens == 256 + 1  # the last token is said, not read

    played(lambda: in_process(model, context_tokens=256), scenario)


def test_what_a_prompt_shares_with_the_one_before_is_not_read_again(model: pathlib.Path) -> None:
    async def scenario(backend: Backend) -> None:
        sources = "the river and the bridge " * 20
        first, again, other = [await ask(backend, request(sources + end)) for end in ("when?", "when?", "who?")]
        fresh = in_process(model)
        alone = await ask(fresh, request(sources + "who?"))
        await fresh.close()
        counts = [told.finished.usage.cached_tokens for told in (first, again, other)]  # type: ignore[union-attr]
        size = first.finished.usage.prompt_tokens  # type: ignore[union-attr]
        assert counts[0] == 0
        assert counts[1] == size - 1
        assert size - 40 < counts[2] < size
        assert (again.text, other.text) == (first.text, alone.text)

    played(lambda: in_process(model), scenario)


def test_marks_of_the_template_in_a_document_are_no_marks(model: pathlib.Path) -> None:
    async def scenario(backend: Backend) -> None:
        plain, hostile = [
            await ask(backend, request(f"a {mark} b", max_tokens=1)) for mark in ("x", tiny_gguf.TURN_END)
        ]
        assert plain.finished.usage is not None
        assert hostile.finished.usage is not None
        letters = len(tiny_gguf.TURN_END)  # none of which is a token with its neighbour
        assert hostile.finished.usage.prompt_tokens >= plain.finished.usage.prompt_tokens + letters - 1

    played(lambda: in_process(model), scenario)


def test_equal_seeds_give_equal_answers_and_others_do_not(model: pathlib.Path) -> None:
    async def told(seed: int) -> Told:
        async with opened(lambda: in_process(model, seed=seed)) as backend:
            return await ask(backend, request(_ASKED, temperature=1.5))

    answers = [asyncio.run(told(seed)).text for seed in (7, 7, 8)]
    assert answers[0] == answers[1] != answers[2]


def test_a_client_that_leaves_frees_the_thread_at_the_next_token(model: pathlib.Path) -> None:
    async def scenario(backend: LlamaBackend) -> None:
        events = await begun(backend, _LONG)
        behind = asyncio.ensure_future(ask(backend, request(_ASKED, max_tokens=4)))
        await until(lambda: backend.waiting == 1)
        await events.aclose()
        assert (await behind).text
        await until(lambda: not backend.is_busy)

    played(lambda: in_process(model), scenario)


def test_a_prompt_that_is_being_read_is_left_in_the_middle_of_a_batch(model: pathlib.Path) -> None:
    async def scenario(backend: LlamaBackend) -> None:
        await ask(backend, request(_ASKED, max_tokens=1))
        long = request("the river " * 900, max_tokens=1)
        whole = asyncio.ensure_future(ask(backend, long))
        began = time.monotonic()
        await whole
        seconds = time.monotonic() - began
        await ask(backend, request(_ASKED, max_tokens=1))
        left = asyncio.ensure_future(ask(backend, long))
        await asyncio.sleep(seconds / 4)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        await until(lambda: not backend.is_busy)
        engine: Any = backend._engine
        assert engine._read == []  # one batch is all or nothing, and this one was not ended

    played(lambda: in_process(model, context_tokens=2048, batch_tokens=2048), scenario)


def test_closing_in_mid_answer_ends_the_call_and_the_thread(model: pathlib.Path) -> None:
    async def scenario(backend: LlamaBackend) -> None:
        events = await begun(backend, _LONG)
        await backend.close()
        with pytest.raises(ModelDownError, match="closing"):
            async for _ in events:
                pass

    played(lambda: in_process(model), scenario)


def test_two_hundred_calls_leave_no_thread(model: pathlib.Path) -> None:
    async def scenario(backend: Backend) -> None:
        await ask(backend, request("warm", max_tokens=4))
        process = psutil.Process()
        threads = process.num_threads()
        for number in range(200):
            if number % 4 == 0:
                events = await begun(backend, request(_ASKED, max_tokens=200))
                await events.aclose()
            else:
                schema = _SCHEMAS["enums"] if number % 4 == 1 else None
                await ask(backend, request(f"number {number}", max_tokens=6, json_schema=schema))
        assert process.num_threads() <= threads

    before = psutil.Process().num_threads()
    played(lambda: in_process(model), scenario)
    asyncio.run(
        until(lambda: psutil.Process().num_threads() <= before)
    )  # what waited for the thread ends a little later


def test_the_event_loop_turns_while_a_model_computes(model: pathlib.Path) -> None:
    async def scenario(backend: Backend) -> None:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turning = asyncio.ensure_future(turn())
        await ask(backend, request("the river " * 900, max_tokens=1))
        turning.cancel()
        assert turns > 20  # one, were it read on the loop

    played(lambda: in_process(model, context_tokens=2048), scenario)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage", "a folder", "wrong numbers"])
def test_a_file_that_is_no_model_is_a_model_that_is_down(
    model: pathlib.Path, tmp_path: pathlib.Path, damage: str
) -> None:
    path = tmp_path / "damaged.gguf"
    whole = model.read_bytes()
    match damage:
        case "empty":
            path.touch()
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "garbage":
            path.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 40)
        case "a folder":
            path.mkdir()
        case "wrong numbers":
            path.write_bytes(whole[:16] + b"\xff" * 64 + whole[80:])
        case _:
            pass

    async def scenario(backend: Backend) -> None:
        with pytest.raises(ModelDownError, match=r"damaged\.gguf"):
            await ask(backend, request(_ASKED))

    played(lambda: in_process(path), scenario)


def test_a_model_without_a_template_has_chatml_and_ends_at_its_mark(
    tmp_path: pathlib.Path, model: pathlib.Path
) -> None:
    del model  # its fixture says whether llama.cpp is here
    bare = tiny_gguf.write(tmp_path / "bare.gguf", template=None)

    async def scenario(backend: Backend) -> None:
        assert (await ask(backend, request(_QUESTIONS[0]))).text

    played(lambda: in_process(bare), scenario)


def test_nothing_of_llama_cpp_goes_to_stderr(
    model: pathlib.Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario(backend: Backend) -> None:
        await ask(backend, request(_ASKED, max_tokens=4))
        with pytest.raises(ModelRefusedError):
            await ask(backend, request("bridge", json_schema={"enum": []}))

    played(lambda: in_process(model), scenario)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


_LONG = ChatRequest(
    messages=(Message(role="user", text="bridge"),),
    max_tokens=4000,
    json_schema={"type": "array", "items": {"type": "string", "minLength": 400}, "minItems": 400},
)
