"""One large file over HTTP: resumed where it was cut off, verified, and there whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

import httpx

from ingestion.cli import terminal
from ingestion.cli.errors import LocalError

_TIMEOUT = httpx.Timeout(30.0)  # seconds, for each step; silence of that length ends a try
_REDIRECTS = 5
_TRIES = 4  # one after the other that bring nothing
_LINE_SECONDS = 5.0  # between lines of progress
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_HERE = ("localhost", "127.0.0.1", "::1")

Told = Callable[[int, int | None], None]  # bytes that are here, and of how many, if that is known


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a file is."""

    url: str
    name: str  # of the file, without folders
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A file that is here."""

    path: pathlib.Path
    size_bytes: int
    sha256: str
    fetched: bool  # False: it was here before


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What the server says of the file before it is fetched."""

    tag: str | None  # changes with the content; None: no try can go on where another ended
    size_bytes: int | None
    sha256: str | None


def source(origin: str, file: str | None, revision: str) -> Source:
    """What the arguments name: a file of a hub's repository, or an address.

    Raises:
        LocalError: neither; or an address that neither is https nor leads to this machine.
    """
    if "://" in origin:
        return _address(origin)
    if not _REPOSITORY.fullmatch(origin) or file is None:
        raise LocalError(
            "name OWNER/NAME of the repository and the file in it, or the file's https address", code="no_file"
        )
    try:
        import huggingface_hub  # noqa: PLC0415 - of the extra `models`, where a hub is asked
    except ImportError as error:
        raise LocalError("the hub needs the extra `models`: pip install 'footnote[models]'", code="no_hub") from error
    url = huggingface_hub.hf_hub_url(origin, file, revision=revision)
    token = huggingface_hub.get_token() if url.startswith("https://") else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Source(url=url, name=pathlib.PurePosixPath(file).name, headers=headers)


def pull(source: Source, folder: pathlib.Path, *, sha256: str | None, told: Told, pause_seconds: float = 0.2) -> Pulled:
    """Have the file in the folder.

    Args:
        source: where it is.
        folder: made where it is missing.
        sha256: of the whole file; None: as the server says, if it does.
        told: how far it is.
        pause_seconds: after a try that brought nothing; doubled by each that follows.

    Raises:
        LocalError: no answer, a refusal, another checksum, another file of that name, or no room.
    """
    wanted = sha256.lower() if sha256 else None
    if wanted is not None and not _SHA256.fullmatch(wanted):
        raise LocalError("--sha256 takes 64 hexadecimal digits", code="bad_checksum")
    target = folder / source.name
    if target.exists():
        return _known(target, wanted)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _client(source) as client:
            offer = _offer(client, source)
            fill = functools.partial(_fill, client, source, offer, told, pause_seconds)
            return _fetched(source, offer, target, wanted or offer.sha256, fill)
    except OSError as error:
        raise LocalError(f"{target} can't be written: {error.strerror or error}") from error


@contextlib.contextmanager
def display(*, as_json: bool) -> Iterator[Told]:
    """A bar on a terminal, a line now and then elsewhere, with --json nothing."""
    if as_json:
        yield lambda _done, _total: None
    elif not sys.stderr.isatty():
        yield _Lines().show
    else:
        from rich import console, progress  # noqa: PLC0415 - only where there is a terminal

        columns = (progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn())
        with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bars:
            task = bars.add_task("", total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def _address(origin: str) -> Source:
    try:
        url = httpx.URL(origin)
    except httpx.InvalidURL as error:
        raise LocalError(f"{origin!r} is no address: {error}", code="no_file") from error
    if url.scheme != "https" and not (url.scheme == "http" and url.host in _HERE):
        raise LocalError("only https addresses are fetched, http ones of this machine alone", code="no_file")
    name = pathlib.PurePosixPath(url.path).name
    if not name:
        raise LocalError(f"{origin!r} names no file", code="no_file")
    return Source(url=origin, name=name)


def _known(target: pathlib.Path, wanted: str | None) -> Pulled:
    digest = _digest(target)
    if wanted is not None and digest != wanted:
        raise LocalError(
            f"{target} exists and has another checksum, {digest}; nothing was changed", code="checksum_mismatch"
        )
    return Pulled(path=target, size_bytes=target.stat().st_size, sha256=digest, fetched=False)


def _client(source: Source) -> httpx.Client:
    local = httpx.URL(source.url).host in _HERE
    return httpx.Client(
        headers={"User-Agent": "footnote-cli", "Accept-Encoding": "identity", **source.headers},
        follow_redirects=True,
        max_redirects=_REDIRECTS,
        timeout=_TIMEOUT,
        trust_env=not local,
    )


def _offer(client: httpx.Client, source: Source) -> _Offer:
    """The hub names a large file's checksum and size in its own headers, before it sends one on to where the file lies."""
    try:
        response = client.head(source.url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LocalError(f"{source.url}: {str(error) or type(error).__name__}", code="download_failed") from error
    if not response.is_success:
        raise LocalError(f"{source.url} answered {response.status_code}", code="download_failed")
    headers = httpx.Headers()
    for each in (response, *response.history):
        headers.update(each.headers)
    linked = headers.get("x-linked-etag", "").strip('"').lower()
    size = headers.get("x-linked-size") or response.headers.get("content-length")
    tag = response.headers.get("etag")
    return _Offer(
        tag=tag if tag and not tag.startswith("W/") else None,
        size_bytes=int(size) if size and size.isdigit() else None,
        sha256=linked if _SHA256.fullmatch(linked) else None,
    )


def _fetched(
    source: Source, offer: _Offer, target: pathlib.Path, wanted: str | None, fill: Callable[[BinaryIO], None]
) -> Pulled:
    mark = hashlib.sha256(f"{source.url}\n{offer.tag}".encode()).hexdigest()[:12]
    partial = target.with_name(f".{target.name}.{mark}.part")
    with _alone(partial) as stream:
        if offer.tag is None:
            stream.truncate(0)
        fill(stream)
        stream.flush()
        os.fsync(stream.fileno())
        size, digest = stream.tell(), _digest(partial)
        if wanted is not None and digest != wanted:
            partial.unlink()
            raise LocalError(
                f"{source.url} has the checksum {digest}, not {wanted}: nothing was kept", code="checksum_mismatch"
            )
        partial.replace(target)
    return Pulled(path=target, size_bytes=size, sha256=digest, fetched=True)


@contextlib.contextmanager
def _alone(partial: pathlib.Path) -> Iterator[BinaryIO]:
    """The unfinished file, to which no other command writes in the meantime."""
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalError(f"another command fetches {partial.name} just now", code="busy") from error
        yield stream


def _fill(
    client: httpx.Client, source: Source, offer: _Offer, told: Told, pause_seconds: float, stream: BinaryIO
) -> None:
    """Bring the file to its end, in several tries where some of them bring a part."""
    idle = 0
    while True:
        before = stream.seek(0, os.SEEK_END)
        if offer.size_bytes is not None and before == offer.size_bytes:
            return
        try:
            _try(client, source, offer, stream, told)
        except httpx.HTTPError as error:
            idle = 0 if stream.tell() > before and offer.tag is not None else idle + 1
            if idle >= _TRIES:
                raise LocalError(
                    f"{source.url} broke off: {str(error) or type(error).__name__}; run it again to go on",
                    code="download_failed",
                ) from error
            time.sleep(pause_seconds * 2**idle if idle else 0)
            continue
        have = stream.tell()
        if offer.size_bytes is not None and have != offer.size_bytes:
            stream.truncate(0)
            raise LocalError(f"{source.url} sent {have} bytes, not {offer.size_bytes}", code="download_failed")
        return


def _try(client: httpx.Client, source: Source, offer: _Offer, stream: BinaryIO, told: Told) -> None:
    have = stream.seek(0, os.SEEK_END)
    headers = {"Range": f"bytes={have}-", "If-Range": offer.tag} if have and offer.tag else {}
    with client.stream("GET", source.url, headers=headers) as response:
        if not response.is_success:
            raise LocalError(f"{source.url} answered {response.status_code}", code="download_failed")
        goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT
        if goes_on and not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
            raise LocalError(f"{source.url} sent another part than it was asked for", code="download_failed")
        if not goes_on:
            stream.seek(0)
            stream.truncate()
        for block in response.iter_bytes():  # as they come: what is gathered into larger ones is lost with a cut
            stream.write(block)
            told(stream.tell(), offer.size_bytes)


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Lines:
    """A line on standard error now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, done: int, total: int | None) -> None:
        """How far it is."""
        if time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            terminal.note(f"{done / 1e6:.1f} MB" + (f" of {total / 1e6:.1f} MB" if total else ""))
