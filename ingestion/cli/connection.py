"""Which service a command speaks to: one named, the one that runs on the data folder, or one started here."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx

from app.domain.errors import ConfigurationError, FolderInUseError
from ingestion.cli import options, terminal
from ingestion.cli.client import Service
from ingestion.cli.errors import LocalError, UnknownKeyError, UnreachableError

if TYPE_CHECKING:
    import uvicorn

    from app.settings import Settings

KEY_FILE = "admin.key"
SERVICE_FILE = "service.json"
_ALIVE_SECONDS = 5.0  # a live service answers /health/live in milliseconds, unless the machine is very busy
_HOLDER_SECONDS = 15.0  # a holder that has just started has no URL yet
_START_SECONDS = 60.0  # of the server; the model is ready before it
_LOOK_SECONDS = 0.01
_STOP_SECONDS = 60.0  # well above FOOTNOTE_STOP_GRACE_SECONDS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has the data folder, as `service.json` says."""

    pid: int
    url: str


@contextlib.contextmanager
def connect(
    data_dir: pathlib.Path | None, url: str | None, key: str | None, *, makes_folder: bool
) -> Iterator[Service]:
    """A service to speak to, until the block ends.

    Raises:
        UnreachableError: the service that was named does not answer.
        FolderInUseError: another process has the folder and does not answer.
        LocalError: no such data folder, and the command makes none.
        UnknownKeyError: a service runs, but no key for it is at hand.
    """
    if url is not None:
        yield from _remote(url, key)
        return
    settings = options.settings(data_dir)
    if settings.production:
        raise LocalError(
            "in production mode a command speaks to a service: name it with --url or FOOTNOTE_URL", code="no_url"
        )
    folder = settings.data_dir
    if not makes_folder and not (folder.is_dir() and any(folder.iterdir())):
        raise LocalError(
            f"there is no data folder at {folder}: `footnote serve` and `footnote ingest` make one; "
            "--data-dir or FOOTNOTE_DATA_DIR name another",
            code="no_data_folder",
        )
    with contextlib.ExitStack() as stack:
        holder = find(folder)
        base, started = (holder.url, False) if holder else stack.enter_context(_start_or_join(settings))
        key_file = None if key else folder / KEY_FILE
        secret = key or folder_key(folder)
        service = Service(base, key=secret, local=True, key_file=key_file, started_here=started)
        stack.callback(service.close)
        yield service


def find(folder: pathlib.Path) -> Holder | None:
    """The service that runs on a folder and answers, if any."""
    holder = read_holder(folder)
    if holder is None or not _runs(holder.pid) or not _answers(holder.url):
        return None
    return holder


def read_holder(folder: pathlib.Path) -> Holder | None:
    """What `service.json` says; None where it is absent or is not what a service writes."""
    try:
        said = json.loads((folder / SERVICE_FILE).read_bytes())
        return Holder(pid=int(said["pid"]), url=str(said["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def folder_key(folder: pathlib.Path) -> str:
    """The admin key that the first start wrote into the folder."""
    path = folder / KEY_FILE
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnknownKeyError(f"no key: {path} can't be read; give one with --key or FOOTNOTE_KEY") from error


def _remote(url: str, key: str | None) -> Iterator[Service]:
    if not key:  # the folder's own admin key is never sent to another machine
        raise UnknownKeyError("no key: --url takes --key or FOOTNOTE_KEY")
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL as error:
        raise UnreachableError(f"{url!r} is no URL: {error}") from error
    if not url.startswith(("http://", "https://")) or not host:
        raise UnreachableError(f"{url!r} is no URL of a service; one begins with http:// or https://")
    service = Service(url.rstrip("/"), key=key, local=host in ("localhost", "127.0.0.1", "::1"))
    with contextlib.closing(service):
        yield service


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=_ALIVE_SECONDS, trust_env=False).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


@contextlib.contextmanager
def _start_or_join(settings: Settings) -> Iterator[tuple[str, bool]]:
    """A service in this process; or the one that took the folder in the meantime."""
    with contextlib.ExitStack() as stack:
        try:
            base = stack.enter_context(_started(settings))
        except FolderInUseError as error:
            yield _joined(settings.data_dir, error).url, False
            return
        yield base, True


def _joined(folder: pathlib.Path, refusal: FolderInUseError) -> Holder:
    deadline = time.monotonic() + _HOLDER_SECONDS
    while time.monotonic() < deadline:
        if holder := find(folder):
            return holder
        time.sleep(0.25)
    holder = read_holder(folder)
    who = f"process {holder.pid} holds it and does not answer at {holder.url}" if holder else refusal.message
    raise FolderInUseError(f"the data folder {folder} is in use: {who}") from refusal


@contextlib.contextmanager
def _started(settings: Settings) -> Iterator[str]:
    """The API on a free port of the loopback address, in a thread of this process; its workers run until the end."""
    from app import bootstrap, main  # noqa: PLC0415 - only where no service runs
    from app.api import logs, server  # noqa: PLC0415

    quiet = {"log_level": "error", "host": "127.0.0.1", "port": 0, "allowed_hosts": ("127.0.0.1",)}
    settings = settings.model_copy(update=quiet)
    logs.configure(settings)
    first = not (settings.data_dir / KEY_FILE).exists()
    services = bootstrap.build(settings)
    with contextlib.ExitStack() as undo:
        undo.callback(services.stop)
        listener = undo.enter_context(contextlib.closing(server.bind(settings.host, settings.port)))
        url = server.url_of(listener)
        app = main.create_app(settings, services=services)

        def on_stopping() -> None:
            (settings.data_dir / SERVICE_FILE).unlink(missing_ok=True)
            app.state.house.stopping.set()
            services.queue.quiet()

        running = server.Server(
            server.config(app, grace_seconds=settings.stop_grace_seconds, max_message_bytes=settings.max_json_bytes),
            on_listening=lambda: services.announce(url),  # another command joins this one instead of failing
            on_stopping=on_stopping,
        )
        thread = threading.Thread(
            target=running.run, kwargs={"sockets": [listener]}, name="footnote-service", daemon=True
        )
        thread.start()
        undo.callback(thread.join, _STOP_SECONDS)
        undo.callback(setattr, running, "should_exit", True)  # noqa: FBT003 - setattr takes it by position
        _await_start(running, thread)
        if first:
            terminal.note(f"the admin key is in {settings.data_dir / KEY_FILE}")
        yield url


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ConfigurationError("the service could not start in this process; its log on standard error says why")
        time.sleep(_LOOK_SECONDS)
