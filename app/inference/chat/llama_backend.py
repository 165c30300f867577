"""A GGUF file in this process: one model, one thread, a bounded queue, and a bridge to the event loop.

The thread loads the model at the first call, then serves calls one after the other. What it says crosses to the event loop by
one wake-up for all pieces that came since the loop looked last, so a fast model does not flood a busy loop.
"""

from __future__ import annotations

import asyncio
import collections
import importlib.util
import logging
import pathlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import anyio.to_thread

from app.domain.errors import (
    ConfigurationError,
    FootnoteError,
    ModelBusyError,
    ModelDownError,
    ModelTimeoutError,
)
from app.domain.models import ChatEvent, ChatRequest, Delta, Finished
from app.inference.chat.backend import Endpoint, Option
from app.inference.chat.llama_model import LlamaModel, Run, Say, Wanted

log = logging.getLogger(__name__)

_RUN_OPTIONS = ("context_tokens", "batch_tokens", "threads", "gpu_layers", "seed")
_QUEUE = 16  # calls that may wait, where the options do not say


class Engine(Protocol):
    """A model in memory. One thread calls it, but for `interrupt`."""

    def generate(self, request: ChatRequest, say: Say, wanted: Wanted) -> Finished:
        """Answer: tell `say` each piece, and end early once `wanted` says no."""
        ...

    def interrupt(self) -> None:
        """End soon what `generate` is at."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


def open_backend(endpoint: Endpoint) -> LlamaBackend:
    """A way to the GGUF file that `endpoint.model` names; the file is read at the first call.

    Options: `context_tokens`, `batch_tokens`, `threads`, `gpu_layers`, `seed` as in `Run`, and `queue`, how many calls may
    wait for the one that runs.

    Raises:
        ConfigurationError: llama-cpp-python is missing, or an option is unknown or no whole number.
    """
    numbers = _numbers(endpoint.options)
    if importlib.util.find_spec("llama_cpp") is None:
        raise ConfigurationError("a GGUF model in the process needs llama-cpp-python: pip install 'footnote[llama]'")
    queue = numbers.pop("queue", _QUEUE)
    run = Run(**numbers)
    path = pathlib.Path(endpoint.model).expanduser()
    return LlamaBackend(endpoint, load=lambda: LlamaModel(path, run), queue=queue)


def _numbers(options: Mapping[str, Option]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in options.items():
        if name not in (*_RUN_OPTIONS, "queue"):
            known = ", ".join((*_RUN_OPTIONS, "queue"))
            raise ConfigurationError(f"a llama model has no option {name!r}; it has {known}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigurationError(f"the option {name} of a llama model is a whole number, not {value!r}")
        found[name] = value
    return found


class _Call:
    """One request on its way through the thread."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.abandoned = False  # nobody waits for it
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._lock = threading.Lock()
        self._pieces: list[str] = []  # that the loop has not taken yet
        self._end: Finished | Exception | None = None
        self._is_told = False  # the loop will look

    def is_wanted(self) -> bool:
        """Whether anybody waits for it."""
        return not self.abandoned

    def say(self, text: str) -> None:
        """Add a piece. From the thread."""
        with self._lock:
            self._pieces.append(text)
        self._tell()

    def end(self, end: Finished | Exception) -> None:
        """Nothing more comes; the first end holds. From any thread."""
        with self._lock:
            self._end = self._end or end
        self._tell()

    async def next(self) -> tuple[str, Finished | Exception | None]:
        """What was said since, and the end where it has come."""
        await self._arrived.wait()
        self._arrived.clear()
        with self._lock:
            self._is_told = False
            text = "".join(self._pieces)
            self._pieces.clear()
            return text, self._end

    def _tell(self) -> None:
        with self._lock:
            if self._is_told:
                return
            self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop has ended, and who waited with it
            self.abandoned = True


class LlamaBackend:
    """Implements `app.inference.chat.backend.Backend`."""

    def __init__(self, endpoint: Endpoint, *, load: Callable[[], Engine], queue: int = _QUEUE) -> None:
        """Take a model; nothing is loaded yet, and no thread runs.

        Args:
            endpoint: its name and its time limits.
            load: gives the model; called in the thread.
            queue: calls that may wait.
        """
        self._endpoint = endpoint
        self._load = load
        self._queue = queue
        self._changed = threading.Condition()
        self._waiting: collections.deque[_Call] = collections.deque()
        self._current: _Call | None = None
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Calls that wait for the thread."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether the thread is at a call."""
        return self._current is not None

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """As `Backend.stream`. The time to the first piece includes what is spent in the queue and, once, on loading."""
        call = _Call(request)
        self._enter(call)
        try:
            seconds = self._endpoint.first_token_seconds
            while True:
                try:
                    async with asyncio.timeout(seconds):
                        text, end = await call.next()
                except TimeoutError as error:
                    raise ModelTimeoutError(f"the model {self._name} said nothing for {seconds:g} s") from error
                if text:
                    yield Delta(text=text)
                if isinstance(end, Finished):
                    yield end
                    return
                if end is not None:
                    raise end
                seconds = self._endpoint.idle_seconds
        finally:
            self._leave(call)

    async def close(self) -> None:
        """End what runs, fail what waits, end the thread and free the model. May be called twice."""
        with self._changed:
            self._is_closed = True
            for call in self._waiting:
                call.end(self._closing())
            self._waiting.clear()
            if self._current is not None:
                self._current.end(self._closing())
                self._abandon(self._current)
            self._changed.notify_all()
        if self._thread is not None:
            await anyio.to_thread.run_sync(self._thread.join)

    @property
    def _name(self) -> str:
        return pathlib.PurePath(self._endpoint.model).name

    def _closing(self) -> ModelDownError:
        return ModelDownError(f"the model {self._name} is closing")

    def _enter(self, call: _Call) -> None:
        with self._changed:
            if self._is_closed:
                raise self._closing()
            if len(self._waiting) >= self._queue:
                raise ModelBusyError(f"{len(self._waiting)} calls wait for the model {self._name}, which is the limit")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"llama-{self._name}", daemon=True)
                self._thread.start()
            self._waiting.append(call)
            self._changed.notify_all()

    def _leave(self, call: _Call) -> None:
        with self._changed:
            if call is self._current:
                self._abandon(call)
            elif call in self._waiting:
                self._waiting.remove(call)

    def _abandon(self, call: _Call) -> None:
        call.abandoned = True
        if self._engine is not None:
            self._engine.interrupt()

    def _serve(self) -> None:
        """The thread: one call after the other, until closed."""
        while (call := self._next()) is not None:
            try:
                call.end(self._ready().generate(call.request, call.say, call.is_wanted))
            except FootnoteError as error:
                call.end(error)
            except Exception as error:  # whatever llama.cpp raises belongs to the caller that waits
                if not call.abandoned:
                    log.exception("the model failed", extra={"model": self._name})
                call.end(_down(self._name, error))
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _next(self) -> _Call | None:
        with self._changed:
            self._current = None
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            self._current = self._waiting.popleft() if self._waiting else None
            return self._current

    def _ready(self) -> Engine:
        if self._engine is None:
            self._engine = self._load()  # again where it failed: a file may have come
        return self._engine


def _down(name: str, error: Exception) -> ModelDownError:
    down = ModelDownError(f"the model {name} failed: {error}")
    down.__cause__ = error
    return down
