"""Requests to a service: bounded retries, pages of lists, problems (RFC 9457) as errors."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any
from urllib.parse import quote

import httpx

from ingestion.cli.errors import LocalError, RefusedError, StoppedError, UnreachableError

PAGE = 200  # entries of a list asked for at once
_TIMEOUT = httpx.Timeout(connect=5.0, read=180.0, write=60.0, pool=None)  # seconds; a large file is stored meanwhile
_CONNECT_TRIES = 6  # with the pauses between them about 15 s: a service that restarts is back by then
_PATIENCE_SECONDS = 120.0  # of waiting in all for a service that says "later"
_LONGEST_PAUSE_SECONDS = 10.0
_BUSY = (429, 502, 503, 504)
_FINAL_CODES = frozenset({"storage_full"})  # passes only when a person makes room
_PASSING_CODES = frozenset({"idempotency_in_progress"})  # the try before this one is still being carried out

Body = Callable[[], Mapping[str, Any]]  # fresh arguments of httpx for each try: a stream is read once


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A good answer."""

    status: int
    body: dict[str, Any]


class Service:
    """One service and the key that is shown to it. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        local: bool,
        key_file: pathlib.Path | None = None,
        started_here: bool = False,
    ) -> None:
        self.url = url
        self.key = key
        self.key_file = key_file  # where the key was read
        self.started_here = started_here  # it ends with this command
        self.stopping = threading.Event()  # set: no further try, pauses end
        headers = {"User-Agent": "footnote-cli"} | ({"Authorization": f"Bearer {key}"} if key else {})
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        # A proxy of the environment is for the world outside, not for this machine.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT, limits=limits, trust_env=not local)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object at a path."""
        return self.request("GET", path, params=params).body

    def post(self, path: str, given: Any = None, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a JSON object; tried again only where it can't have arrived."""
        return self.request("POST", path, params=params, body=lambda: {} if given is None else {"json": given}).body

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Body = dict,
        idempotency_key: str | None = None,
    ) -> Reply:
        """One request, tried again while the service is busy or away.

        Args:
            method: of HTTP.
            path: begins with `/`; its parts are quoted already, see `segment`.
            params: of the query; None values are left out.
            body: gives httpx's arguments for the body anew for each try.
            idempotency_key: makes a POST safe to repeat.

        Raises:
            RefusedError: the service's problem.
            UnreachableError: no answer.
            StoppedError: `stopping` was set.
        """
        query = {name: value for name, value in (params or {}).items() if value is not None}
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        repeatable = method in ("GET", "PUT", "DELETE") or idempotency_key is not None
        tries, waited = 0, 0.0
        while True:
            tries += 1
            pause = min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**tries) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
            try:
                given = dict(body())
                sent = headers | given.pop("headers", {})
                response = self._http.request(method, path, params=query or None, headers=sent, **given)
            except httpx.LocalProtocolError as error:
                raise LocalError("the file changed while it was sent", code="file_changed") from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                self._raise_if_stopping()
                lost = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if tries >= _CONNECT_TRIES or (lost and not repeatable) or not isinstance(error, httpx.TransportError):
                    raise UnreachableError(f"{self.url} does not answer: {_reason(error)}") from error
            else:
                if response.is_success:
                    return Reply(status=response.status_code, body=_object(response))
                refusal = _refusal(response)
                pause = _retry_after(response) or pause
                busy = response.status_code in _BUSY and refusal.code not in _FINAL_CODES
                later = busy or refusal.code in _PASSING_CODES
                if not later or waited + pause > _PATIENCE_SECONDS:
                    raise refusal
                waited += pause
            self.stopping.wait(pause)
            self._raise_if_stopping()

    def pages(
        self, path: str, params: Mapping[str, Any] | None = None, *, most: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """The entries of a list, page after page, `most` of them at most."""
        after: str | None = None
        given = 0
        while True:
            size = PAGE if most is None else min(PAGE, most - given)
            page = self.get(path, {**(params or {}), "limit": size, "after": after})
            for entry in page["data"]:
                yield entry
                given += 1
            after = page.get("next")
            if not page.get("has_more") or after is None or (most is not None and given >= most):
                return

    def events(self, path: str, body: Mapping[str, Any] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events that a POST of `body`, or else a GET, is answered with; see `events_of`."""
        if body is None:
            yield from self.events_of(path, dict, method="GET")
        else:
            yield from self.events_of(path, lambda: {"json": body})

    def events_of(
        self, path: str, body: Body, *, params: Mapping[str, Any] | None = None, method: str = "POST"
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events that a request is answered with, each with its name, as they come.

        Raises:
            RefusedError: the service's problem, before the first event or as one.
            UnreachableError: no answer, or it broke off.
        """
        query = {name: value for name, value in (params or {}).items() if value is not None}
        waited = 0.0
        while True:
            with (
                self._unreachable_named(),
                self._http.stream(method, path, params=query or None, **body()) as response,
            ):
                if response.is_success:
                    yield from _events(response.iter_bytes())
                    return
                response.read()
                refusal = _refusal(response)
                pause = _retry_after(response) or 1.0
            if response.status_code not in _BUSY or waited + pause > _PATIENCE_SECONDS:
                raise refusal
            waited += pause
            self.stopping.wait(pause)
            self._raise_if_stopping()

    def download(
        self,
        method: str,
        path: str,
        target: IO[bytes],
        *,
        params: Mapping[str, Any] | None = None,
        told: Callable[[int], None] = lambda _: None,
    ) -> Mapping[str, str]:
        """Write an answer's bytes to `target` as they come, telling their number; gives its headers."""
        query = {name: value for name, value in (params or {}).items() if value is not None}
        with self._unreachable_named(), self._http.stream(method, path, params=query or None) as response:
            if not response.is_success:
                response.read()
                raise _refusal(response)
            for block in response.iter_bytes(1 << 20):
                target.write(block)
                told(target.tell())
            return dict(response.headers)

    def download_file(
        self,
        method: str,
        path: str,
        target: pathlib.Path,
        *,
        params: Mapping[str, Any] | None = None,
        told: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Write an answer's bytes to a file of the caller's alone that is there whole or not at all; gives their number.

        Raises:
            LocalError: the file can't be written.
        """
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                self.download(method, path, stream, params=params, told=told)
                stream.flush()
                os.fsync(stream.fileno())
                size = stream.tell()
            partial.replace(target)
        except OSError as error:
            raise LocalError(f"{target} can't be written: {(error.strerror or str(error)).lower()}") from error
        finally:
            partial.unlink(missing_ok=True)
        return size

    def new_key(self) -> str:
        """An Idempotency-Key for one request and its repetitions."""
        return uuid.uuid4().hex

    @contextlib.contextmanager
    def _unreachable_named(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise UnreachableError(f"{self.url} broke off: {_reason(error)}") from error

    def _raise_if_stopping(self) -> None:
        if self.stopping.is_set():
            raise StoppedError("stopped before it was sent")


def segment(value: str) -> str:
    """A name as a part of a path; `/` stays, an external id holds several parts."""
    return quote(value, safe="/")


def _object(response: httpx.Response) -> dict[str, Any]:
    if not response.content:
        return {}
    try:
        value = response.json()
    except ValueError as error:
        raise UnreachableError(f"{response.url} does not speak Footnote's API: its answer is no JSON") from error
    return value if isinstance(value, dict) else {"data": value}


def _events(blocks: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events of a stream's bytes; an `error` is raised."""
    left = b""
    name = ""
    for block in blocks:
        *lines, left = (left + block).split(b"\n")
        for line in lines:
            field, _, value = line.partition(b": ")
            if field == b"event":
                name = value.decode("ascii", "replace")
            elif field == b"data":
                told = json.loads(value)
                if name == "error":
                    raise RefusedError(str(told["detail"]), code=str(told["code"]), status=int(told["status"]))
                yield name, told


def _refusal(response: httpx.Response) -> RefusedError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    status = response.status_code
    message = problem.get("detail") or problem.get("title") or f"the service answered {status} {response.reason_phrase}"
    code = str(problem.get("code") or f"http_{status}")
    return RefusedError(str(message), code=code, status=status, rejected=problem.get("rejected") or ())


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, of the form that Footnote sends; a date, which proxies may send, counts as absent."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), 60.0) if text.isascii() and text.isdigit() else None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
