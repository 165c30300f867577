"""Remote models by LangChain: OpenAI, Azure, Anthropic, Google, Bedrock, Mistral, DeepSeek, Ollama and what is like OpenAI.

`_astream` of a chat model, which every one of them defines, is called, not `astream`: that one wraps each piece in
callbacks and tracers, collects all pieces to merge them, and would send them to LangSmith where its variables are set.
What a call may wait for is measured here, whatever the library below does; and whoever leaves closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import functools
import gc
import importlib
import sys
import threading
import urllib.parse
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Any, Literal

from app.domain.errors import ConfigurationError, FootnoteError, ModelDownError, ModelTimeoutError
from app.domain.models import ChatEvent, ChatRequest, Delta, Finished, Usage
from app.domain.waiting import TimeUpError, Waits
from app.inference.chat import bedrock_client, langchain_errors, langchain_providers, openai_stream
from app.inference.chat.backend import Endpoint
from app.inference.chat.langchain_errors import Reply
from app.inference.chat.langchain_providers import Provider
from app.inference.chat.openai_stream import Piece

_TAIL_SECONDS = 2.0  # longest wait for the tokens' count once the model has said why it ended
_MOST_CHARS = 4_000_000  # of one answer; whoever sends more is no model
_MOST_KEPT = 16  # idle connections: the pool looks at each of them at every request, 0.05 ms a piece
_KEPT_SECONDS = 30.0  # that an idle connection is kept

Reason = Literal["stop", "length", "filtered"]
_REASONS: dict[str, Reason] = {
    **dict.fromkeys(
        ("length", "max_tokens", "model_length", "model_context_window_exceeded"),
        "length",
    ),
    **dict.fromkeys(
        (
            *("content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety", "recitation"),
            *("blocklist", "prohibited_content", "spii", "language", "image_safety"),
        ),
        "filtered",
    ),
}
# What is no end of an answer; any other reason, also one that is not known here, is a stop.
_FAILED = frozenset(
    {"error", "abort", "insufficient_system_resource", "other", "malformed_function_call", "malformed_model_output"}
)
_LIKE_OPENAI = frozenset({"langchain_openai", "langchain_deepseek"})
_WHERE = ("finish_reason", "stop_reason", "stopReason", "done_reason")  # as providers call it

_one_loads = threading.Lock()
_heard: contextvars.ContextVar[_Heard] = contextvars.ContextVar("heard")


@dataclasses.dataclass(slots=True)
class _Heard:
    """What a call has met so far."""

    asked: bool = False  # whether a request was sent, or is about to be
    response: Any = None  # an httpx.Response
    reason: str | None = None
    refused: bool = False
    usage: Usage | None = None
    chars: int = 0


def open_backend(endpoint: Endpoint) -> LangChainBackend:
    """A client of an endpoint; nothing is imported or connected yet.

    Raises:
        ConfigurationError: an unknown provider or option, what is missing, or the extra that is to be installed.
    """
    return LangChainBackend(endpoint, langchain_providers.find(endpoint))


class LangChainBackend:
    """A client of one endpoint, by LangChain. Lives on one event loop; many calls at once."""

    def __init__(self, endpoint: Endpoint, provider: Provider) -> None:
        self._endpoint = endpoint
        self._provider = provider
        self._model: Any = None
        self._making = asyncio.Lock()
        self._clients: list[Any] = []
        self._threads = bedrock_client.Threads(endpoint) if provider.threaded else None
        self._url, self._host = _shown(langchain_providers.address(endpoint))

    async def open(self) -> None:
        """Load the provider's library, which takes seconds, in a thread; the first call does so by itself.

        Raises:
            ConfigurationError: the library does not take the settings.
        """
        async with self._making:
            if self._model is None:
                self._model = await asyncio.to_thread(self._make)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See `Backend.stream`."""
        await self.open()
        heard = _Heard()
        pieces = self._pieces(request, heard)
        try:
            async with contextlib.aclosing(self._events(pieces, heard)) as events:
                async for event in events:
                    yield event
        finally:
            await pieces.aclose()
            if heard.response is not None:
                await heard.response.aclose()
            elif heard.asked:
                for client in self._clients:
                    await _swept(client)

    async def close(self) -> None:
        """See `Backend.close`."""
        if self._threads is not None:
            self._threads.close()
            if self._model is not None:
                await asyncio.to_thread(self._model.client.close)
        for client in self._clients:
            await client.aclose()

    async def _events(self, pieces: AsyncIterator[Piece], heard: _Heard) -> AsyncGenerator[ChatEvent, None]:
        """Texts as they come, then the end; or the error that it all ends with."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._endpoint.first_token_seconds
        failure: Exception | None = None
        with contextlib.closing(Waits()) as waits:  # also where whoever listens leaves
            while failure is None:
                _heard.set(heard)
                try:
                    piece = await waits.until(end, anext(pieces, None))
                    if piece is None:
                        break
                    self._note(piece, heard)
                except TimeUpError:
                    failure = self._too_late(heard)
                    break
                except Exception as error:  # noqa: BLE001 - each library has its own; they are told apart below
                    failure = error
                    break
                if piece.text:
                    yield Delta(text=piece.text)
                if heard.reason is not None:
                    end = clock() + min(_TAIL_SECONDS, self._endpoint.idle_seconds)
                elif piece.text or piece.is_thought:
                    end = clock() + self._endpoint.idle_seconds
        # Outside of `except`, so that the library's own error, which may quote key and prompt, is not chained.
        yield self._finished(failure, heard)

    def _finished(self, failure: Exception | None, heard: _Heard) -> Finished:
        """How it ended; a failure after the model's own end costs no more than the count of tokens."""
        reply = _reply(heard.response)
        if heard.reason is None and langchain_errors.is_filtered(reply):
            heard.refused = True
        elif heard.reason is None:
            if isinstance(failure, FootnoteError):
                raise failure
            raise langchain_errors.classified(
                failure,
                model=self._endpoint.model,
                host=self._host,
                reply=reply,
                asked=heard.asked,
                answered=heard.response is not None or heard.chars > 0,
            )
        reason = (heard.reason or "").lower()
        if reason in _FAILED:
            raise ModelDownError(f"the model {self._endpoint.model} at {self._host} gave up ({reason})")
        known: Reason = "filtered" if heard.refused else _REASONS.get(reason, "stop")
        return Finished(reason=known, usage=heard.usage, endpoint=self._url)

    def _too_late(self, heard: _Heard) -> ModelTimeoutError:
        seconds = self._endpoint.idle_seconds if heard.chars else self._endpoint.first_token_seconds
        return ModelTimeoutError(f"the model {self._endpoint.model} at {self._host} said nothing for {seconds:g} s")

    def _note(self, piece: Piece, heard: _Heard) -> None:
        """Keep of a piece what the end is made of.

        Raises:
            ValueError: it says more than any model does.
        """
        heard.chars += len(piece.text)
        if heard.chars > _MOST_CHARS:
            raise ValueError
        heard.reason = piece.reason or heard.reason
        heard.refused = heard.refused or piece.refused
        if piece.usage:
            heard.usage = heard.usage + piece.usage if heard.usage and self._provider.sums_usage else piece.usage

    async def _pieces(self, request: ChatRequest, heard: _Heard) -> AsyncGenerator[Piece, None]:
        """What the model says."""
        model = self._model
        prompt = langchain_providers.messages(request, self._endpoint)
        asked = self._provider.asked(request, self._endpoint)
        whole = self._endpoint.options.get("stream") is False
        if self._threads is not None:
            heard.asked = True
            async with contextlib.aclosing(self._threads.pieces(_generated(model, prompt, asked, whole=whole))) as read:
                async for piece in read:
                    yield piece
        elif whole:
            yield _whole(await model._agenerate(prompt, **asked))  # noqa: SLF001
        elif self._provider.package in _LIKE_OPENAI:
            async with contextlib.aclosing(openai_stream.pieces(model, prompt, asked)) as read:
                async for piece in read:
                    yield piece
        else:
            async with contextlib.aclosing(model._astream(prompt, **asked)) as chunks:  # noqa: SLF001 - see the top
                async for chunk in chunks:
                    yield _piece(chunk)

    def _make(self) -> Any:
        try:
            with _loading(self._provider.package):
                return self._provider.make(self._endpoint, self._client)
        except (ValueError, TypeError) as error:  # of pydantic, whose text may show the key
            raise ConfigurationError(
                f"model {self._endpoint.model!r} of {self._endpoint.provider}: its library does not take the settings "
                f"({type(error).__name__})"
            ) from None

    def _client(self, library: str, **parts: Any) -> Any:
        """An AsyncClient of httpx or of httpx2, which waits as long as this endpoint says and follows nobody."""
        httpx = importlib.import_module(library)
        patience = {"connect": self._endpoint.connect_seconds, "read": None, "write": None, "pool": None}

        async def before(request: Any) -> None:
            # Libraries set their own, or none at all; only that of connecting is not measured here.
            request.extensions = {**request.extensions, "timeout": patience}
            _heard.get().asked = True

        async def after(response: Any) -> None:
            _heard.get().response = response

        client = httpx.AsyncClient(
            verify=_trusted(library),
            limits=httpx.Limits(
                max_connections=self._endpoint.max_connections,
                max_keepalive_connections=min(self._endpoint.max_connections, _MOST_KEPT),
                keepalive_expiry=_KEPT_SECONDS,
            ),
            follow_redirects=False,  # a key would go along
            event_hooks={"request": [before], "response": [after]},
            **parts,
        )
        self._clients.append(client)
        return client


def _generated(
    model: Any, prompt: list[Any], asked: dict[str, Any], *, whole: bool
) -> Callable[[], Generator[Piece, None, None]]:
    """What a synchronous model says, for a thread."""

    def generated() -> Generator[Piece, None, None]:
        if whole:
            yield _whole(model._generate(prompt, **asked))  # noqa: SLF001 - see the top
            return
        with contextlib.closing(model._stream(prompt, **asked)) as chunks:  # noqa: SLF001
            for chunk in chunks:
                yield _piece(chunk)

    return generated


def _whole(result: Any) -> Piece:
    """An answer that came at once; some say why it ended beside it."""
    piece = _piece(result.generations[0])
    piece.reason = piece.reason or _reason(result.llm_output or {})
    return piece


def _reason(said: Mapping[str, Any]) -> str | None:
    return next((str(said[name]) for name in _WHERE if said.get(name)), None)


def _piece(chunk: Any) -> Piece:
    """A chunk of LangChain's, or a whole answer of it."""
    message = chunk.message
    content = message.content
    text = content if isinstance(content, str) else _text_of(content)
    extra = message.additional_kwargs
    piece = Piece(text=text, is_thought=bool(extra or (content and not text)), refused=bool(extra.get("refusal")))
    if told := message.usage_metadata:
        details = told.get("input_token_details") or {}
        piece.usage = Usage(
            prompt_tokens=told.get("input_tokens") or 0,
            completion_tokens=told.get("output_tokens") or 0,
            cached_tokens=details.get("cache_read") or 0,
        )
    for said in (chunk.generation_info or {}, message.response_metadata):
        piece.reason = _reason(said) or piece.reason
        if (said.get("prompt_feedback") or {}).get("block_reason"):
            piece.reason = "safety"
    return piece


def _text_of(content: list[Any]) -> str:
    """The text of what comes as blocks: Bedrock's, and those of models that think."""
    blocks = (each for each in content if isinstance(each, dict) and each.get("type") == "text")
    return "".join(str(each.get("text") or "") for each in blocks)


def _reply(response: Any) -> Reply | None:
    """The reply where it is no success."""
    if response is None or response.is_success:
        return None
    body = response.content if hasattr(response, "_content") else b""
    return Reply(status=response.status_code, headers=dict(response.headers), body=langchain_errors.parsed(body))


@contextlib.contextmanager
def _loading(package: str) -> Iterator[None]:
    """Load a library without stopping the loop: what a thread imports is let through, but not the garbage collector.

    Half a million new objects make it hold all threads for 0.1 s and more, several times while they come and again
    whenever it looks at all of them. So it rests while they come, and leaves them alone afterwards: they stay anyway.
    """
    with _one_loads:
        if package in sys.modules or not gc.isenabled():
            yield
            return
        gc.disable()
        try:
            yield
        finally:
            gc.freeze()
            gc.enable()


async def _swept(client: Any) -> None:
    """Close what httpx (1.0 of its core; that of httpx2 does) never would: connections whose call was cancelled between
    connecting and asking. They are neither in use nor idle, and fill the pool for good.
    """
    if type(client).__module__ != "httpx":
        return
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - there is no other way in
        pool = getattr(transport, "_pool", None)
        if pool is None:
            continue
        used = {id(each.connection) for each in pool._requests}  # noqa: SLF001
        for connection in list(pool.connections):
            state = getattr(getattr(connection, "_connection", None), "_state", None)
            if id(connection) not in used and getattr(state, "name", None) == "NEW":
                pool._connections.remove(connection)  # noqa: SLF001
                await connection.aclose()


@functools.cache
def _trusted(library: str) -> Any:
    """Which certificates are trusted, read once: that takes longer than all else."""
    return importlib.import_module(library).create_ssl_context()


def _shown(url: str) -> tuple[str, str]:
    """A URL without what may be secret in it, and its host with its port."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", "")), host
