"""Small contents as rows of the database, all others in a store: a bucket takes as long for a note as for a book.

docs/decisions/0008-small-files.md has the reasons and the figures.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from app.domain.ports import FileStore
from app.domain.repositories import Database
from app.stores import file_keys

_PAGE = 1_000  # keys of one query


class SmallFilesInRows:
    """FileStore over another and a database. A key's content is read from its row where it has one."""

    def __init__(self, database: Database, large: FileStore, *, small_bytes: int) -> None:
        """Take both.

        Args:
            database: its `contents` keep what is small.
            large: keeps the rest.
            small_bytes: the most that is small. What was kept under another limit is found all the same.
        """
        self._database = database
        self._large = large
        self._small_bytes = small_bytes

    def put(self, key: str, source: pathlib.Path) -> None:
        """Take over a local file, which is gone from `source` afterwards. Errors as the port says."""
        file_keys.checked(key)
        if source.stat().st_size <= self._small_bytes:
            self._write({key: source.read_bytes()})
            source.unlink()
        else:
            self._large.put(key, source)
            self._forget([key])

    def write_many(self, contents: Mapping[str, bytes]) -> None:
        """Write small contents, all durable on return: one transaction for those that are small here too."""
        small, large = dict[str, bytes](), dict[str, bytes]()
        for key, content in contents.items():
            part = small if len(content) <= self._small_bytes else large
            part[file_keys.checked(key)] = content
        self._write(small)
        if large:
            self._large.write_many(large)
            self._forget(large)

    def open(self, key: str) -> BinaryIO:
        """A seekable stream of the content as it is now; the caller closes it. Errors as the port says."""
        content = self._read(key)
        return self._large.open(key) if content is None else io.BytesIO(content)

    @contextlib.contextmanager
    def local(self, key: str) -> Iterator[pathlib.Path]:
        """A local path that holds the content, while the context is open."""
        content = self._read(key)
        if content is None:
            with self._large.local(key) as path:
                yield path
            return
        with tempfile.NamedTemporaryFile(prefix="footnote-") as file:
            file.write(content)
            file.flush()
            yield pathlib.Path(file.name)

    def delete(self, keys: Iterable[str], *, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
        """Remove contents from both: under another limit a key may have been written to either."""
        wanted = list(dict.fromkeys(file_keys.checked(key) for key in keys))
        removed = self._forget(wanted)
        known = {**(sizes or {}), **removed}
        return {**self._large.delete(wanted, sizes=known), **removed}

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins so, in no stated order."""
        after = ""
        while True:
            with self._database.read() as work:
                page = work.contents.keys(prefix, after=after, limit=_PAGE)
            yield from page
            if len(page) < _PAGE:
                break
            after = page[-1]
        yield from self._large.keys(prefix)

    def free_bytes(self) -> int | None:
        """The room that is left for large contents."""
        return self._large.free_bytes()

    def ping(self) -> None:
        """Raise where the store of large contents does not answer."""
        self._large.ping()

    def _read(self, key: str) -> bytes | None:
        with self._database.read() as work:
            return work.contents.read(file_keys.checked(key))

    def _write(self, contents: Mapping[str, bytes]) -> None:
        if contents:
            with self._database.write() as work:
                work.contents.write(contents)
                work.commit()

    def _forget(self, keys: Iterable[str]) -> dict[str, int]:
        with self._database.write() as work:
            removed = work.contents.remove(list(keys))
            work.commit()
        return removed
