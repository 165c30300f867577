"""The queue and the bridge in front of a model in the process, over an engine that waits at a gate."""

from __future__ import annotations

import asyncio
import pathlib
import threading
from collections.abc import Coroutine
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
from app.domain.models import ChatRequest, Finished, Usage
from app.inference.chat.backend import Endpoint
from app.inference.chat.llama_backend import LlamaBackend, open_backend
from app.inference.chat.llama_model import Say, Wanted
from tests.services.chatting import ask, begun, request


class Gated:
    """Says the question back word by word; where that begins with `wait`, it says one word and waits at the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.served: list[str] = []
        self.is_closed = False
        self._interrupted = threading.Event()

    def generate(self, request: ChatRequest, say: Say, wanted: Wanted) -> Finished:
        self._interrupted.clear()
        text = request.messages[-1].text
        self.served.append(text)
        if text == "poison":
            raise ValueError("what no model can take")
        if text == "refuse":
            raise ModelRefusedError("too long", code="context_too_long")
        for word in text.split():
            if not wanted() or self._interrupted.is_set():
                raise ModelDownError("told to end")
            say(word)
            if word == "wait":
                self._wait()
        return Finished(reason="stop", usage=Usage(completion_tokens=len(text.split())))

    def _wait(self) -> None:
        while not self.gate.wait(0.002):
            if self._interrupted.is_set():
                raise ModelDownError("told to end")

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.is_closed = True


def backend(engine: Gated, *, queue: int = 2, seconds: float = 30.0) -> LlamaBackend:
    endpoint = Endpoint(provider="llama", model="/models/gated.gguf", first_token_seconds=seconds, idle_seconds=seconds)
    return LlamaBackend(endpoint, load=lambda: engine, queue=queue)


def played(scenario: Coroutine[Any, Any, None]) -> None:
    """Run it, and see that it leaves no thread."""
    asyncio.run(scenario)
    assert not [each for each in threading.enumerate() if each.name.startswith("llama-")]


async def until_busy(model: LlamaBackend, *, waiting: int) -> None:
    while not (model.is_busy and model.waiting == waiting):  # noqa: ASYNC110 - the thread tells nobody
        await asyncio.sleep(0.001)


def test_pieces_come_in_their_order_and_then_the_end() -> None:
    async def scenario() -> None:
        model = backend(Gated())
        told = await ask(model, request("one two three"))
        assert told.text == "onetwothree"
        assert told.finished == Finished(reason="stop", usage=Usage(completion_tokens=3))
        await model.close()

    played(scenario())


def test_many_words_at_once_wake_a_loop_that_is_busy_only_once() -> None:
    async def scenario() -> None:
        model = backend(Gated())
        asked = asyncio.ensure_future(ask(model, request(" ".join(["word"] * 500))))
        await asyncio.sleep(0)  # the call is in the queue
        thread = model._thread
        assert thread is not None
        while model.is_busy or model.waiting:  # the loop is held up, the model is not
            pass
        told = await asked
        assert (told.text, told.pieces) == ("word" * 500, 1)
        await model.close()

    played(scenario())


def test_no_thread_runs_and_nothing_is_loaded_before_the_first_call() -> None:
    async def scenario() -> None:
        engine = Gated()
        loaded: list[str] = []
        model = LlamaBackend(Endpoint(provider="llama", model="m.gguf"), load=lambda: loaded.append("!") or engine)  # type: ignore[func-returns-value]
        assert (loaded, model._thread) == ([], None)
        await ask(model, request("one"))
        await ask(model, request("two"))
        assert loaded == ["!"]
        await model.close()
        assert engine.is_closed

    played(scenario())


def test_a_client_that_leaves_frees_the_thread_for_the_next_one() -> None:
    async def scenario() -> None:
        engine = Gated()
        model = backend(engine)
        events = await begun(model, request("wait for ever"))
        await events.aclose()
        assert (await ask(model, request("next"))).text == "next"
        assert engine.served == ["wait for ever", "next"]
        await model.close()

    played(scenario())


def test_a_client_that_leaves_the_queue_is_never_served() -> None:
    async def scenario() -> None:
        engine = Gated()
        model = backend(engine)
        first = asyncio.ensure_future(ask(model, request("wait first")))
        await until_busy(model, waiting=0)
        gone = asyncio.ensure_future(ask(model, request("gone")))
        await until_busy(model, waiting=1)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        engine.gate.set()
        assert (await first).text == "waitfirst"
        assert (await ask(model, request("last"))).text == "last"
        assert engine.served == ["wait first", "last"]
        await model.close()

    played(scenario())


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        engine = Gated()
        model = backend(engine, queue=2)
        running = asyncio.ensure_future(ask(model, request("wait")))
        await until_busy(model, waiting=0)
        waiting = [asyncio.ensure_future(ask(model, request(f"number {n}"))) for n in range(2)]
        await until_busy(model, waiting=2)
        with pytest.raises(ModelBusyError) as refused:
            await ask(model, request("one too many"))
        assert refused.value.retry_after_seconds >= 1
        engine.gate.set()
        assert [each.text for each in await asyncio.gather(running, *waiting)] == ["wait", "number0", "number1"]
        await model.close()

    played(scenario())


def test_a_model_that_says_nothing_for_too_long_is_left_and_serves_the_next_caller() -> None:
    async def scenario() -> None:
        engine = Gated()
        model = backend(engine, seconds=0.05)
        events = await begun(model, request("wait here"))
        with pytest.raises(ModelTimeoutError, match=r"0\.05 s"):
            await anext(events)
        assert (await ask(model, request("next"))).text == "next"
        await model.close()

    played(scenario())


def test_time_in_the_queue_counts_for_the_first_piece() -> None:
    async def scenario() -> None:
        engine = Gated()
        slow = backend(engine)
        running = asyncio.ensure_future(ask(slow, request("wait")))
        await until_busy(slow, waiting=0)
        object.__setattr__(slow._endpoint, "first_token_seconds", 0.02)
        with pytest.raises(ModelTimeoutError):
            await ask(slow, request("behind"))
        engine.gate.set()
        assert (await running).text == "wait"
        assert engine.served == ["wait"]
        await slow.close()

    played(scenario())


def test_a_call_that_fails_harms_no_other() -> None:
    async def scenario() -> None:
        model = backend(Gated())
        with pytest.raises(ModelDownError, match="what no model can take"):
            await ask(model, request("poison"))
        with pytest.raises(ModelRefusedError) as refused:
            await ask(model, request("refuse"))
        assert refused.value.code == "context_too_long"
        assert (await ask(model, request("next"))).text == "next"
        await model.close()

    played(scenario())


def test_a_model_that_can_not_be_loaded_is_tried_again_at_the_next_call() -> None:
    async def scenario() -> None:
        answers: list[FootnoteError | Gated] = [ModelDownError("no such file"), Gated()]

        def load() -> Gated:
            answer = answers.pop(0)
            if isinstance(answer, FootnoteError):
                raise answer
            return answer

        model = LlamaBackend(Endpoint(provider="llama", model="m.gguf"), load=load)
        with pytest.raises(ModelDownError, match="no such file"):
            await ask(model, request("one"))
        assert (await ask(model, request("two"))).text == "two"
        await model.close()

    played(scenario())


def test_closing_ends_the_running_call_and_the_waiting_ones() -> None:
    async def scenario() -> None:
        engine = Gated()
        model = backend(engine)
        running = asyncio.ensure_future(ask(model, request("wait")))
        await until_busy(model, waiting=0)
        waiting = asyncio.ensure_future(ask(model, request("behind")))
        await until_busy(model, waiting=1)
        await model.close()
        for each in (running, waiting):
            with pytest.raises(ModelDownError, match="closing"):
                await each
        with pytest.raises(ModelDownError, match="closing"):
            await ask(model, request("after"))
        await model.close()
        assert engine.is_closed

    played(scenario())


def test_a_loop_that_ends_in_mid_answer_leaves_the_thread_free() -> None:
    engine = Gated()
    model = backend(engine)

    async def leave() -> None:
        await begun(model, request("wait"))

    asyncio.run(leave())  # closes what was begun, as its loop ends

    async def scenario() -> None:
        assert (await ask(model, request("next"))).text == "next"
        await model.close()

    played(scenario())


@pytest.mark.parametrize(
    ("options", "said"),
    [({"contxt": 1}, "contxt"), ({"threads": "two"}, "threads"), ({"seed": True}, "seed")],
)
def test_options_that_are_unknown_or_no_numbers_are_named(
    options: dict[str, Any], said: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_backend(Endpoint(provider="llama", model=str(tmp_path), options=options))
