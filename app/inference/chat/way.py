"""One endpoint of a model: its backend, how it is doing, and the calls that are under way on it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import enum
import logging
import random
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from app.domain.errors import (
    ConfigurationError,
    FootnoteError,
    ModelBusyError,
    ModelDownError,
    ModelRefusedError,
    ModelTimeoutError,
)
from app.domain.models import ChatEvent, ChatRequest, Delta, EndpointState, Finished
from app.domain.waiting import TimeUpError, Waits
from app.inference.chat.backend import Backend
from app.inference.chat.breaker import Breaker, BreakerPolicy
from app.inference.chat.catalogue import DeclaredEndpoint
from app.inference.chat.opening import Opening

T = TypeVar("T")
_CLOSE_SECONDS = 1.0  # that a caller waits for a stream to be closed; it goes on without it
_SLOW_SHARE = 0.5  # of `first_token_seconds`: who leaves later than that without a piece has found a slow endpoint
_ERROR_CHARS = 300
_REFUSED_ALL = ("model_unauthorized", "model_not_found")  # refusals that every call of the endpoint would meet
log = logging.getLogger(__name__)


class Outcome(enum.Enum):
    """What a call's end tells of its endpoint."""

    WELL = "well"
    FAILED = "failed"
    UNTOLD = "untold"


class Way:
    """Changed on one event loop; `state` may be read from any thread."""

    def __init__(
        self,
        declared: DeclaredEndpoint,
        *,
        opening: Opening,
        clock: Callable[[], float],
        rng: random.Random,
        policy: BreakerPolicy,
    ) -> None:
        self.declared = declared
        self.url = shown(declared.endpoint.base_url)
        self.breaker = Breaker(policy, clock=clock, rng=rng)
        self.clock = clock
        self.in_flight = 0
        self.broken: str | None = None  # why it can't be called at all, as the first call found out
        self._opening = opening
        self._opened: asyncio.Task[Backend] | None = None
        self._rests_until = 0.0
        self._calls = 0
        self._failures = 0
        self._last_error: str | None = None
        self.retired = False  # it is in the catalogue no more: what is under way goes on, nothing begins
        self._aside: set[asyncio.Task[Any]] = set()  # closings that nobody waits for

    @property
    def state(self) -> EndpointState:
        """As it is now."""
        return EndpointState(
            url=self.url,
            breaker=self.breaker.state,
            in_flight=self.in_flight,
            calls=self._calls,
            failures=self._failures,
            last_error=self.unset or self._last_error,
        )

    @property
    def unset(self) -> str | None:
        """Why no call can begin before somebody changes the settings."""
        return self.declared.unset or self.broken

    @property
    def rests_seconds(self) -> float:
        """Until it may be called again, as it said; 0 where it may be."""
        return max(0.0, self._rests_until - self.clock())

    @property
    def usable(self) -> bool:
        """Whether a call may begin now."""
        return self.callable and not self.rests_seconds

    @property
    def callable(self) -> bool:
        """The same, but for a rest that it asked for."""
        return not self.retired and self.unset is None and self.breaker.admits

    @property
    def load(self) -> float:
        """The less, the sooner it is called: calls under way by weight; one that fails often counts up to five times."""
        return (self.in_flight + 1) / self.declared.weight * (1 + 4 * self.breaker.failure_share)

    def begin(self) -> Attempt | None:
        """A call that counts from now on and must be ended; None where none may begin."""
        if not self.usable or (token := self.breaker.enter()) is None:
            return None
        self.in_flight += 1
        self._calls += 1
        return Attempt(self, token)

    def ended(self, token: int, outcome: Outcome, error: FootnoteError | None) -> None:
        """A call is over; its Attempt says so once."""
        self.in_flight -= 1
        if error is not None:
            self._last_error = f"{error.code}: {error.message}"[:_ERROR_CHARS]
        if outcome is Outcome.WELL:
            self.breaker.succeeded(token)
        elif outcome is Outcome.FAILED:
            self._failures += 1
            self.breaker.failed(token)
        else:
            self.breaker.left(token)
        if isinstance(error, ModelBusyError):
            self._rests_until = max(self._rests_until, self.clock() + error.retry_after_seconds)
        if self.retired and not self.in_flight:
            self._set_aside(self._close())

    async def backend(self) -> Backend:
        """The backend, opened at the first call. Others wait for the same opening; one that failed is tried anew."""
        task = self._opened
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._opened = asyncio.ensure_future(self._opening(self.declared.endpoint))
            task.add_done_callback(_looked_at)
        return await asyncio.shield(task)  # who leaves does not end it for the others

    async def warm(self) -> None:
        """Open the backend before a call needs it; what is wrong with it is kept for `state`."""
        if self.retired or self.unset is not None:
            return
        try:
            await self.backend()
        except ConfigurationError as error:
            self.broken = error.message
        except FootnoteError as error:  # the first call tries again, and tells its caller
            self._last_error = f"{error.code}: {error.message}"[:_ERROR_CHARS]

    async def retire(self) -> None:
        """Close the backend, now or when the last call on it has ended."""
        self.retired = True
        if not self.in_flight:
            await self._close()

    async def close(self) -> None:
        """Close the backend, whatever is under way on it."""
        self.retired = True
        await self._close()
        if self._aside:
            await asyncio.wait(self._aside)

    async def abandon(self, stream: AsyncIterator[ChatEvent]) -> None:
        """End a call upstream. The caller waits a moment for it, not longer; nor does its own end cut it short."""
        if (aclose := getattr(stream, "aclose", None)) is not None:
            await asyncio.wait({self._set_aside(aclose())}, timeout=_CLOSE_SECONDS)

    async def _close(self) -> None:
        task, self._opened = self._opened, None
        if task is None:
            return
        with contextlib.suppress(FootnoteError):  # it never opened: there is nothing to close
            backend = await task
            await backend.close()

    def _set_aside(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        task.add_done_callback(_logged)
        return task


class Attempt:
    """One call on one endpoint, from `Way.begin` to its end, which is told to the Way exactly once."""

    def __init__(self, way: Way, token: int) -> None:
        self.way = way
        self.pieces = 0
        self._token = token
        self._asked_at: float | None = None  # None: its backend is not open yet
        self._stream: AsyncIterator[ChatEvent] | None = None
        self._over = False
        self._waits = Waits()

    async def start(self, request: ChatRequest, end: float) -> ChatEvent:
        """The first event. Raises as `next`."""
        try:
            backend = await self._within(self.way.backend, end)
            self._asked_at = self.way.clock()
            self._stream = backend.stream(request)
        except BaseException as error:  # noqa: BLE001 - all are raised again, told apart by `_read`
            await self._fail(error)
        return await self.next(end)

    async def next(self, end: float) -> ChatEvent:
        """The next event; after `Finished`, and after an error, the call has ended.

        Args:
            end: by the clock, when there must be one.

        Raises:
            ModelDownError, ModelTimeoutError, ModelBusyError, ModelRefusedError.
        """
        assert self._stream is not None  # noqa: S101 - for the type checker: `start` came first
        event: ChatEvent = Delta(text="")
        try:
            while isinstance(event, Delta) and not event.text:  # an empty piece is none
                event = await self._within(self._stream.__anext__, end)
        except BaseException as error:  # noqa: BLE001 - as above
            await self._fail(error)
        if isinstance(event, Finished):
            self._end(Outcome.WELL)
            await self._close()
            return dataclasses.replace(event, endpoint=self.way.url or event.endpoint)
        self.pieces += 1
        return event

    async def leave(self) -> None:
        """Nobody wants the rest; nothing where the call has ended."""
        self.put_down()
        await self._close()

    def put_down(self) -> None:
        """The part of `leave` that waits for nothing: the call counts no more."""
        self._end(self._of_leaving())

    async def _within(self, work: Callable[[], Awaitable[T]], end: float) -> T:
        left = end - self.way.clock()
        if left <= 0:
            raise _DeadlineError
        try:
            return await self._waits.until(asyncio.get_running_loop().time() + left, work())
        except TimeUpError as error:
            raise _DeadlineError from error

    async def _fail(self, error: BaseException) -> NoReturn:
        """End the call for this reason, and raise what the caller is told."""
        told, outcome = self._read(error)
        self._end(outcome, told if isinstance(told, FootnoteError) else None)
        if not isinstance(error, GeneratorExit):  # which nothing may be awaited in
            await self._close()
        if told is error:
            raise error
        raise told from (None if isinstance(error, FootnoteError) else error)  # an error with a key in it is not shown

    def _read(self, error: BaseException) -> tuple[BaseException, Outcome]:
        name = self.way.declared.endpoint.model
        if isinstance(error, _DeadlineError):
            outcome = self._of_leaving()
            return ModelTimeoutError(f"the model {name} did not end in the time that there was"), outcome
        if isinstance(error, ModelBusyError | ModelRefusedError | ModelDownError | ModelTimeoutError):
            untold = isinstance(error, ModelBusyError | ModelRefusedError) and error.code not in _REFUSED_ALL
            return self._redacted(error), Outcome.UNTOLD if untold else Outcome.FAILED
        if isinstance(error, ConfigurationError):  # an extra, an option or a file is wrong: no other try would help
            self.way.broken = error.message
            return ModelDownError(f"the model {name} can't be called: {error.message}"), Outcome.UNTOLD
        if isinstance(error, StopAsyncIteration):
            return ModelDownError(f"the model {name} broke off before it had ended"), Outcome.FAILED
        if isinstance(error, Exception):  # a defect of the backend; the answer falls back all the same
            log.error("a backend failed in a way that it should not", exc_info=error)
            return ModelDownError(f"the model {name} failed: {type(error).__name__}"), Outcome.FAILED
        return error, self._of_leaving()  # cancelled, or the process ends

    def _redacted(self, error: FootnoteError) -> FootnoteError:
        """The error without the endpoint's key, should the provider have repeated it."""
        key = self.way.declared.endpoint.api_key
        if not key or key not in error.message:
            return error
        clean = copy.copy(error)
        clean.message = error.message.replace(key, "***")
        clean.args = (clean.message,)
        return clean

    def _of_leaving(self) -> Outcome:
        """What it tells that the rest is not waited for: with a piece it answers; without one, it may be slow."""
        if self.pieces:
            return Outcome.WELL
        if self._asked_at is None:  # a library's import or a file's loading is no fault of the endpoint
            return Outcome.UNTOLD
        waited = self.way.clock() - self._asked_at
        slow = waited >= self.way.declared.endpoint.first_token_seconds * _SLOW_SHARE
        return Outcome.FAILED if slow else Outcome.UNTOLD

    def _end(self, outcome: Outcome, error: FootnoteError | None = None) -> None:
        if not self._over:
            self._over = True
            self._waits.close()
            self.way.ended(self._token, outcome, error)

    async def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await self.way.abandon(stream)


class _DeadlineError(Exception):
    """The caller's time is over."""


def shown(url: str | None) -> str | None:
    """An address without what may be secret in it."""
    if url is None:
        return None
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _looked_at(task: asyncio.Task[Backend]) -> None:
    """An opening that fails when all who waited for it have left is nobody's unseen error."""
    if not task.cancelled():
        task.exception()


def _logged(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a model's stream or backend did not close well: %s", type(error).__name__)
