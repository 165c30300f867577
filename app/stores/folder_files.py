"""Originals and texts in a folder of the data folder.

A content is written under a temporary name in `staging`, made durable and renamed into place, so a crash leaves the old
content or the new one, never a part. Names are durable once their folder is: each call syncs each folder it touched
once, however many contents it wrote.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO

from app.domain.disk import our_errors
from app.domain.errors import BadNameError, NotFoundError
from app.stores import file_keys

STAGING = "staging"
# From this many contents on, two syncs of the whole file system replace one sync a file and one a folder. Measured on a
# virtual disk with 256 contents of 2 kB in 16 folders: 0.18 s against 0.6 to 0.8 s; threads bring the latter to 0.4 s.
SYNC_TOGETHER = 16


class FolderFileStore:
    """FileStore on a folder of one file system; safe to call from several threads.

    A key is the path below the folder; `staging` is not part of the key space.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Make the folder where it does not exist.

        Raises:
            ConfigurationError: it can't be made or written to; code `read_only` where the system says so.
            StorageFullError: no room for it.
        """
        self._folder = folder
        self._staging = folder / STAGING
        with our_errors(folder):
            self._staging.mkdir(parents=True, exist_ok=True)
            self._made: set[pathlib.Path] = set()  # folders known to be durable

    def stage(self) -> pathlib.Path:
        """A fresh path for an upload, in the same file system, so that `put` is a rename."""
        return self._staging / secrets.token_hex(16)

    def sweep_staging(self, *, older_than: float | None = None) -> int:
        """Remove what crashed uploads left behind; gives the number of files removed.

        Args:
            older_than: seconds since the epoch; files changed since then stay. None removes all, which is right before
                the first upload of the process that holds the data folder.
        """
        limit = time.time() + 1.0 if older_than is None else older_than
        removed = 0
        with our_errors(self._staging):
            for path in list(self._staging.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < limit:
                        path.unlink()
                        removed += 1
        return removed

    def put(self, key: str, source: pathlib.Path) -> None:
        """Take over a local file, which is gone from `source` afterwards. Errors as the port says."""
        target = self._path(key)
        with our_errors(target):
            self._make_folder(target.parent)
            _sync(source)
            try:
                source.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy(source, target)
                source.unlink()
            _sync(target.parent)

    def write_many(self, contents: Mapping[str, bytes]) -> None:
        """Write small contents, all durable on return. Errors as the port says; some may then have been written."""
        targets = {self._path(key): content for key, content in contents.items()}
        with our_errors(self._folder):
            folders = {target.parent for target in targets}
            for folder in folders:
                self._make_folder(folder)
            staged: dict[pathlib.Path, pathlib.Path] = {}
            try:
                with _syncing(self._staging, together=len(targets) >= SYNC_TOGETHER) as sync:
                    for target, content in targets.items():
                        staged[target] = self.stage()
                        staged[target].write_bytes(content)
                    sync(staged.values())
                    for target, path in staged.items():
                        path.replace(target)
                    sync(folders)
            finally:
                for path in staged.values():
                    path.unlink(missing_ok=True)  # a full disk must not be fuller for it

    def open(self, key: str) -> BinaryIO:
        """A seekable stream to read; the caller closes it. Errors as the port says."""
        path = self._path(key)
        with our_errors(path):
            try:
                return path.open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise NotFoundError(f"the store holds nothing at {key}") from error

    @contextlib.contextmanager
    def local(self, key: str) -> Iterator[pathlib.Path]:
        """The stored file itself; a delete while the context is open takes the name, so open it once, at the start."""
        path = self._path(key)
        if not path.is_file():
            raise NotFoundError(f"the store holds nothing at {key}")
        yield path

    def delete(self, keys: Iterable[str], *, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
        """Remove contents; absent keys are passed over. Gives the bytes of those that were there, by key.

        Folders stay: there are at most 256 of them a kind, and a writer may be about to use one.
        """
        del sizes  # what is there is seen
        removed: dict[str, int] = {}
        touched: set[pathlib.Path] = set()
        for key in keys:
            path = self._path(key)
            with our_errors(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                size = path.stat().st_size
                path.unlink()
                removed[key] = size
                touched.add(path.parent)
        with our_errors(self._folder):
            for folder in touched:
                _sync(folder)  # deleted is gone, after a loss of power too
        return removed

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins so, in no stated order; what is written or deleted meanwhile may show or not."""
        for folder, folders, names in os.walk(self._folder):
            below = pathlib.PurePath(folder).relative_to(self._folder).as_posix()
            if below == ".":
                folders[:] = [name for name in folders if name != STAGING]
                below = ""
            start = f"{below}/" if below else ""
            folders[:] = [name for name in folders if _may_hold(f"{start}{name}/", prefix)]
            yield from (f"{start}{name}" for name in names if f"{start}{name}".startswith(prefix))

    def link_to(self, target: pathlib.Path) -> None:
        """Give every content a second name below a folder of the same file system, which is made; copies nothing.

        What is deleted afterwards stays there.
        """
        with our_errors(target):
            for key in self.keys():
                linked = target / key
                linked.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                    os.link(self._path(key), linked)

    def free_bytes(self) -> int | None:
        """The room that this process may still use on the folder's file system."""
        with our_errors(self._folder):
            return shutil.disk_usage(self._folder).free

    def ping(self) -> None:
        """Raise where the folder is gone."""
        with our_errors(self._folder):
            self._staging.stat()

    def _path(self, key: str) -> pathlib.Path:
        if file_keys.checked(key).split("/", 1)[0] == STAGING:
            raise BadNameError(f"{key!r:.100} is not a key: {STAGING} is where uploads wait")
        return self._folder / key

    def _make_folder(self, folder: pathlib.Path) -> None:
        """Make a folder, its name durable in its parent."""
        if folder in self._made and folder.is_dir():
            return
        if folder != self._folder:
            self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        if folder != self._folder:
            _sync(folder.parent)
        self._made.add(folder)

    def _copy(self, source: pathlib.Path, target: pathlib.Path) -> None:
        """What a rename is, between two file systems."""
        staged = self.stage()
        try:
            shutil.copyfile(source, staged)
            _sync(staged)
            staged.replace(target)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise


def _may_hold(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) or prefix.startswith(folder)


def _sync_each(paths: Iterable[pathlib.Path]) -> None:
    for path in paths:
        _sync(path)


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _syncing(folder: pathlib.Path, *, together: bool) -> Iterator[Callable[[Iterable[pathlib.Path]], None]]:
    """A function that makes files and folders durable: one by one, or their whole file system at once.

    Linux reports through `syncfs` what could not be written since its descriptor was opened, so it is opened first.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if together else None
    if syncfs is None:
        yield _sync_each
        return
    descriptor = os.open(folder, os.O_RDONLY)

    def sync_all(_paths: Iterable[pathlib.Path]) -> None:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))

    try:
        yield sync_all
    finally:
        os.close(descriptor)
