"""One address of the web, fetched because the person named it; nothing that it links to is followed."""

from __future__ import annotations

import hashlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

import httpx

from ingestion.cli.errors import LocalError
from ingestion.cli.sources import Source

_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(30.0)  # seconds, for each step; silence of that length ends a download
_BLOCK_BYTES = 1 << 16


def is_url(text: str) -> bool:
    """Whether an argument names an address rather than a file."""
    return "://" in text


def fetch(url: str, *, limit_bytes: int, external_id: str | None) -> Source:
    """Download to a temporary file. Its external id is the address without scheme, user and fragment.

    Raises:
        LocalError: neither http nor https, here or where a redirect leads; over the limit; refused; no answer.
    """
    try:
        with (
            httpx.Client(follow_redirects=True, max_redirects=_REDIRECTS, timeout=_TIMEOUT) as client,
            client.stream("GET", url) as response,
        ):
            if not response.is_success:
                raise LocalError(f"{url} answered {response.status_code}", code="download_failed")
            name = external_id or _external_id(httpx.URL(url))
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip() or None
            return _stored(response.iter_bytes(_BLOCK_BYTES), url, name, media_type, limit_bytes)
    except httpx.UnsupportedProtocol as error:
        raise LocalError(f"{url}: only http and https addresses are fetched", code="download_failed") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LocalError(f"{url}: {str(error) or type(error).__name__}", code="download_failed") from error


def standard_input(*, limit_bytes: int, external_id: str | None) -> Source:
    """All of standard input as a file, named by its content where it is given no name: twice the same is once."""
    stream = sys.stdin.buffer
    source = _stored(iter(lambda: stream.read(_BLOCK_BYTES), b""), "standard input", "", None, limit_bytes)
    digest = hashlib.sha256()
    with source.path.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
    name = external_id or f"stdin/{digest.hexdigest()[:16]}"
    return Source(path=source.path, external_id=name, size_bytes=source.size_bytes, temporary=True)


def _stored(blocks: Iterator[bytes], origin: str, external_id: str, media_type: str | None, limit_bytes: int) -> Source:
    descriptor, name = tempfile.mkstemp(prefix="footnote-")
    path = pathlib.Path(name)
    kept = False
    try:
        with os.fdopen(descriptor, "wb") as target:
            size = _copy(blocks, target, origin, limit_bytes)
        kept = True
    finally:
        if not kept:
            path.unlink()
    return Source(path=path, external_id=external_id, size_bytes=size, media_type=media_type, temporary=True)


def _copy(blocks: Iterator[bytes], target: IO[bytes], origin: str, limit_bytes: int) -> int:
    size = 0
    for block in blocks:
        size += len(block)
        if size > limit_bytes:
            raise LocalError(
                f"{origin} has more than {limit_bytes} bytes, the limit: FOOTNOTE_MAX_UPLOAD_BYTES", code="too_large"
            )
        target.write(block)
    return size


def _external_id(url: httpx.URL) -> str:
    port = f":{url.port}" if url.port else ""
    query = f"?{url.query.decode('ascii', 'replace')}" if url.query else ""
    parts = [part for part in url.path.split("/") if part not in ("", ".", "..")]
    return "/".join([f"{url.host}{port}", *parts]) + query.rstrip("/")
