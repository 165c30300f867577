"""What an `ingest` names, as files with the external ids that they will have."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import pathlib
import re
import stat
from collections.abc import Iterator, Sequence

from ingestion.cli.errors import LocalError

_DATA_FOLDER = ("folder.lock", "format.json")  # what every data folder holds
_SURROGATE = re.compile("[\udc80-\udcff]")  # a byte of a file name that is not UTF-8, as Python shows it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file to send."""

    path: pathlib.Path
    external_id: str
    size_bytes: int  # as found; what is sent is what is there then
    media_type: str | None = None  # as a download declared it
    named: bool = False  # on the command line itself, not found in a folder
    temporary: bool = False  # a download or standard input, removed when it is sent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file that was found and can't be sent."""

    path: pathlib.Path
    external_id: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which files below a folder are meant."""

    include: Sequence[str] = ()  # patterns; none: every file
    exclude: Sequence[str] = ()  # patterns of files and folders

    def admits(self, relative: str) -> bool:
        """Whether a file is meant, by its path below the folder."""
        return not self.bars(relative) and (not self.include or _matches(relative, self.include))

    def bars(self, relative: str) -> bool:
        """Whether a file, or a folder with all that is in it, is left out."""
        return _matches(relative, self.exclude)


def found(path: pathlib.Path, selection: Selection, *, external_id: str | None = None) -> Iterator[Source | Unreadable]:
    """The files that a path of the command line stands for, in order of their names.

    A folder is walked: hidden entries are passed over, links are followed unless they lead back to a folder that is
    being walked, and what is no file (a pipe, a device) is passed over. So is a data folder of Footnote: it holds the
    admin's key and other workspaces' documents. A file given by name is taken whatever its name.

    Raises:
        LocalError: there is no such path, it is neither file nor folder, or it lies in a data folder.
    """
    if any(_is_data_folder(each) for each in (path.resolve(), *path.resolve().parents)):
        raise LocalError(f"{path} is a data folder of Footnote, or lies in one: it is not ingested", code="data_folder")
    try:
        status = path.stat()
    except OSError as error:
        raise LocalError(f"{path}: {_why(error)}", code="no_such_path") from error
    if stat.S_ISDIR(status.st_mode):
        yield from _below(path, "", selection, frozenset({(status.st_dev, status.st_ino)}))
    elif stat.S_ISREG(status.st_mode):
        name = external_id or _text(path.name)
        yield Source(path=path, external_id=name, size_bytes=status.st_size, named=True)
    else:
        raise LocalError(f"{path} is neither a file nor a folder; a stream goes in as `-`", code="no_such_path")


def require_distinct(sources: Sequence[Source | Unreadable]) -> None:
    """Raise LocalError where two files would have one external id: each would replace the other at every run."""
    seen: dict[str, pathlib.Path] = {}
    for source in sources:
        other = seen.setdefault(source.external_id, source.path)
        if other != source.path:
            raise LocalError(
                f"{other} and {source.path} would both be {source.external_id!r}, and one would replace the other; "
                "give the folder above them, or a collection to each",
                code="external_id_twice",
            )


def _below(
    folder: pathlib.Path, prefix: str, selection: Selection, ancestors: frozenset[tuple[int, int]]
) -> Iterator[Source | Unreadable]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Unreadable(path=folder, external_id=prefix.rstrip("/") or _text(folder.name), reason=_why(error))
        return
    for entry in entries:
        relative = prefix + _text(entry.name)
        if entry.name.startswith(".") or selection.bars(relative):
            continue
        path = pathlib.Path(entry.path)
        try:
            status = entry.stat()
        except OSError as error:
            if selection.admits(relative):
                yield Unreadable(path=path, external_id=relative, reason=_why(error))
            continue
        identity = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            if identity not in ancestors and not _is_data_folder(path):
                yield from _below(path, f"{relative}/", selection, ancestors | {identity})
        elif stat.S_ISREG(status.st_mode) and selection.admits(relative):
            yield Source(path=path, external_id=relative, size_bytes=status.st_size)


def _is_data_folder(folder: pathlib.Path) -> bool:
    return all((folder / name).is_file() for name in _DATA_FOLDER)


def _matches(relative: str, patterns: Sequence[str]) -> bool:
    name = relative.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(relative, each) or fnmatch.fnmatchcase(name, each) for each in patterns)


def _text(name: str) -> str:
    """A file name as text that can be sent: a byte that is not UTF-8 becomes %XX."""
    return _SURROGATE.sub(lambda match: f"%{ord(match.group()) - 0xDC00:02X}", name)


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
