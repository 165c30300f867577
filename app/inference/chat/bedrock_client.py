"""AWS Bedrock's client for LangChain: synchronous, so its calls run in threads, and each can be cut from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.domain.errors import ConfigurationError
from app.inference.chat.backend import Endpoint

_SECRETS = frozenset({"aws_access_key_id", "aws_secret_access_key", "aws_session_token"})
OPTIONS = _SECRETS | {"region", "profile", "instance_role", "provider", "base_model"}
_SOME_REGION = "us-east-1"  # to sign for, where a base URL was given without a region
_MOST_THREADS = 32  # calls of one endpoint at once; each waits for the network nearly all of its time
_SLACK_SECONDS = 5.0  # by which a thread's own patience is longer than that of the loop, which cuts it

_running = threading.local()  # `call`: the Call of this thread


class Call:
    """One call in a thread, and what is needed to end it from another."""

    def __init__(self) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._connection: Any = None

    def uses(self, connection: Any) -> None:
        """Note what it speaks over.

        Raises:
            ConnectionAbortedError: nobody waits for it any more.
        """
        with self._lock:
            if self.is_over:
                raise ConnectionAbortedError
            self._connection = connection

    def end(self) -> None:
        """In its own thread: nothing is spoken over any more."""
        with self._lock:
            self._connection = None

    def cut(self) -> None:
        """Shut the socket down, which wakes the thread; a close would wait for the lock that the reading thread holds."""
        with self._lock:
            self.is_over = True
            sock = getattr(self._connection, "sock", None)
            if isinstance(sock, socket.socket):
                with contextlib.suppress(OSError):  # it is closed already
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


def check(endpoint: Endpoint) -> None:
    """Look for what must be set.

    Raises:
        ConfigurationError: what is missing.
    """
    if endpoint.base_url is None and not region_of(endpoint):
        raise ConfigurationError(f"model {endpoint.model!r} of bedrock needs the option region, or AWS_REGION")
    if endpoint.api_key and (endpoint.base_url or "").startswith("http:"):
        raise ConfigurationError(f"model {endpoint.model!r} of bedrock: a key is sent to an https address only")
    if endpoint.model.startswith("arn:") and not {"provider", "base_model"} <= set(endpoint.options):
        raise ConfigurationError(f"model {endpoint.model!r} is an ARN: it needs the options provider and base_model")


def region_of(endpoint: Endpoint) -> str:
    """The region, from the options or the environment."""
    given = endpoint.options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return str(given or "")


def make(endpoint: Endpoint, url: str) -> Any:
    """A client of Bedrock's runtime, whose connections can be cut. Slow: for a thread.

    It signs by the endpoint's key, by access keys from the options, or by those found where AWS's tools look for them;
    the machine's role is asked for on demand only.
    """
    import boto3  # noqa: PLC0415 - an extra, and slow
    import botocore.config  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    config = botocore.config.Config(
        connect_timeout=endpoint.connect_seconds,
        read_timeout=max(endpoint.first_token_seconds, endpoint.idle_seconds) + _SLACK_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=_threads(endpoint),
        **({"auth_scheme_preference": "httpBearerAuth"} if endpoint.api_key else {}),
    )
    options = endpoint.options
    session = botocore.session.Session(profile=str(options["profile"]) if "profile" in options else None)
    if options.get("instance_role") is not True:
        session.get_component("credential_provider").remove("iam-role")  # it would call 169.254.169.254
    if endpoint.api_key:
        # The chain has no public way in; LangChain's own does the same, but leaves the call to 169.254.169.254.
        session.get_component("token_provider")._providers.insert(0, _Key(endpoint.api_key))  # noqa: SLF001
    given = {name: str(options[name]) for name in _SECRETS if name in options}
    made = boto3.Session(botocore_session=session, region_name=region_of(endpoint) or _SOME_REGION, **given)
    client = made.client("bedrock-runtime", endpoint_url=url, config=config)
    _noted(client)
    return client


class _Key:
    """An API key of Bedrock's own, as botocore's tokens are provided."""

    METHOD = "footnote"

    def __init__(self, key: str) -> None:
        self._key = key

    def load_token(self, **_: Any) -> Any:
        """The key."""
        from botocore.tokens import FrozenAuthToken  # noqa: PLC0415 - an extra, and slow

        return FrozenAuthToken(self._key)


def _noted(client: Any) -> None:
    """Let the connections of a client tell the Call of their thread that it speaks over them."""
    pools = client._endpoint.http_session._pool_classes_by_scheme  # noqa: SLF001 - botocore has no other way in
    for scheme, pool in tuple(pools.items()):
        connection = type("Noted" + pool.ConnectionCls.__name__, (_Noted, pool.ConnectionCls), {})
        pools[scheme] = type("Noted" + pool.__name__, (pool,), {"ConnectionCls": connection})


class _Noted:
    """Of a connection: before it connects, once it has, and before each request."""

    def connect(self, *args: Any, **parts: Any) -> Any:
        _running.call.uses(self)
        connected = super().connect(*args, **parts)  # type: ignore[misc] # of the class that it is mixed into
        _running.call.uses(self)
        return connected

    def request(self, *args: Any, **parts: Any) -> Any:
        _running.call.uses(self)
        return super().request(*args, **parts)  # type: ignore[misc]


class Threads:
    """The bounded pool in which the calls of one endpoint run."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._pool = ThreadPoolExecutor(_threads(endpoint), thread_name_prefix="bedrock")

    async def pieces(self, call: Callable[[], Generator[Any, None, None]]) -> AsyncGenerator[Any, None]:
        """What a synchronous generator gives, on the loop; leaving ends it in its thread."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        this = Call()
        task = self._pool.submit(_run, call, this, lambda each: loop.call_soon_threadsafe(queue.put_nowait, each))
        try:
            while (piece := await queue.get()) is not _END:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            task.cancel()
            this.cut()

    def close(self) -> None:
        """Take no more; what runs was cut by those who waited for it."""
        self._pool.shutdown(wait=False, cancel_futures=True)


_END = object()


def _run(call: Callable[[], Generator[Any, None, None]], this: Call, tell: Callable[[Any], object]) -> None:
    _running.call = this
    try:
        with contextlib.closing(call()) as pieces:
            for piece in pieces:
                if this.is_over:
                    return
                tell(piece)
        this.end()
        tell(_END)
    except Exception as error:  # noqa: BLE001 - handed to whoever waits, who tells errors apart
        if not this.is_over:
            tell(error)
    finally:
        this.end()


def _threads(endpoint: Endpoint) -> int:
    return min(endpoint.max_connections, _MOST_THREADS)
