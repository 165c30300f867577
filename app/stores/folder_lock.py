"""One folder, one holder: taken before the database, migrations or the index are touched."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib

import filelock

from app.domain.errors import ConfigurationError, FolderInUseError, FolderNewerError

FORMAT = 1  # of the folder's layout; rises with every change that older code can't read
_LOCK = "folder.lock"
_FORMAT = "format.json"
SERVICE = "service.json"  # pid and URL of the service that runs; written by app.main once it listens


class FolderLock:
    """Holds a data folder for this process until `release`, or until the process ends."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._lock = filelock.FileLock(folder / _LOCK, timeout=0, mode=0o600, is_singleton=False, thread_local=False)

    def take(self) -> None:
        """Take the folder, making it where it does not exist.

        Raises:
            FolderInUseError: another process has it; the message names its pid and URL.
            FolderNewerError: a newer version of Footnote wrote it.
            ConfigurationError: it can't be written to (code `read_only`), or is no folder.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire()
            self._check_format()
            (self._folder / SERVICE).unlink(missing_ok=True)  # a predecessor's: this process has the lock
        except filelock.Timeout as error:
            raise FolderInUseError(f"the data folder {self._folder} is in use {_holder(self._folder)}") from error
        except OSError as error:
            self.release()
            raise ConfigurationError(
                f"the data folder {self._folder} can't be written to: {error.strerror or error}", code="read_only"
            ) from error
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the folder."""
        self._lock.release(force=True)

    def _check_format(self) -> None:
        path = self._folder / _FORMAT
        if not path.exists():
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps({"format": FORMAT}) + "\n")
            temporary.replace(path)
            return
        try:
            found = int(json.loads(path.read_text())["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f'{path} is damaged; it should hold {{"format": {FORMAT}}}') from error
        if found > FORMAT:
            raise FolderNewerError(
                f"the data folder {self._folder} has format {found}, this version of Footnote knows {FORMAT}: it was "
                "written by a newer version, use that"
            )


def service(folder: pathlib.Path) -> dict[str, object] | None:
    """What the holder of a folder says of itself: pid and URL; None where nobody does."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / SERVICE).read_text())
        if isinstance(found, dict):
            return found
    return None


def announce(folder: pathlib.Path, *, url: str) -> None:
    """Say where this process, which holds the folder, can be reached."""
    path = folder / SERVICE
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump({"pid": os.getpid(), "url": url}, stream)
    temporary.replace(path)


def _holder(folder: pathlib.Path) -> str:
    known = service(folder)
    if known is None:
        return "by another process, which has not said yet where it listens"
    return f"by process {known.get('pid')}, which serves {known.get('url')}"
