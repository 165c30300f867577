"""Calls of an embedder or a reranker over HTTP: within a time, up to a size, its errors in the product's words."""

from __future__ import annotations

import ipaddress
import json
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import httpx

from app.domain.errors import ModelRefusedError, PartDownError
from app.inference.specs import Remote

_MOST_BYTES = 64 * 1024 * 1024  # of one answer: 2,048 vectors of 4,096 numbers in JSON are 40 MB at the least
_CONNECT_SECONDS = 5.0
_OF_THE_TEXT = (400, 413, 422)  # what was sent is wrong; other refusals are no fault of it


class RemoteCalls:
    """A client of one server. Safe to use from several threads."""

    def __init__(self, remote: Remote, *, what: str) -> None:
        """Take where it is, and what a person calls it: `the embedder e5`."""
        self._remote = remote
        self._what = what
        headers = {"User-Agent": "footnote"}
        if remote.api_key:
            headers["Authorization"] = f"Bearer {remote.api_key}"
        timeout = httpx.Timeout(remote.timeout_seconds, connect=min(_CONNECT_SECONDS, remote.timeout_seconds))
        # A proxy of the environment is for the world outside, not for this machine.
        self._http = httpx.Client(headers=headers, timeout=timeout, trust_env=not _is_here(remote.base_url))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the server answers, as JSON.

        Raises:
            PartDownError: no answer in time, or none that says anything; or a refusal that has nothing to do with the text.
            ModelRefusedError: the server does not take this text.
        """
        end = time.monotonic() + self._remote.timeout_seconds
        try:
            with self._http.stream("POST", f"{self._remote.base_url}{path}", json=body) as response:
                content = bytearray()
                for block in response.iter_bytes():
                    content += block
                    if time.monotonic() > end:
                        raise PartDownError(f"{self._what} did not end in {self._remote.timeout_seconds:g} s")
                    if len(content) > _MOST_BYTES:
                        raise PartDownError(f"{self._what} answered more than {_MOST_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PartDownError(f"{self._what} does not answer: {type(error).__name__}") from error
        if response.status_code in _OF_THE_TEXT:
            raise ModelRefusedError(f"{self._what} refused a text with the status {response.status_code}")
        if not response.is_success:
            raise PartDownError(f"{self._what} answered with the status {response.status_code}")
        try:
            return json.loads(content)
        except ValueError as error:
            raise self.nonsense("is no JSON") from error

    def nonsense(self, why: str) -> PartDownError:
        """The error for an answer that does not say what was asked."""
        return PartDownError(f"the answer of {self._what} {why}")

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()


def _is_here(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
