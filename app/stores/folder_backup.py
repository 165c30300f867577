"""One file that holds a data folder, written while the service runs, and a data folder made of it again.

The file is a plain tar: `manifest.json` comes last and names every other member with size and SHA-256. Nothing in it is
secret but the documents themselves: keys are hashes in the database, `admin.key` stays where it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pathlib
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from typing import IO

from app.domain.disk import our_errors
from app.domain.errors import ConfigurationError, ConflictError, FolderNewerError
from app.stores.folder_lock import FORMAT

MANIFEST = "manifest.json"
_STAGING = "backup-staging"
_BLOCK = 1 << 20
_MAX_MANIFEST_BYTES = 1 << 30


@contextlib.contextmanager
def staging(data_dir: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty folder in the data folder's file system, gone at the end; what a crash left of earlier ones goes too."""
    room = data_dir / _STAGING
    shutil.rmtree(room, ignore_errors=True)
    folder = room / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(room, ignore_errors=True)


def pack(folder: pathlib.Path, target: pathlib.Path) -> dict[str, int]:
    """Write a folder's files into one archive, durable when this returns; gives the number of files and their bytes.

    Raises:
        ConflictError: the target exists; a backup is never overwritten.
        StorageFullError: no room for it; nothing is left at the target.
        ConfigurationError: the target's folder does not exist or can't be written to.
    """
    if target.exists():
        raise ConflictError(f"{target} exists; a backup overwrites nothing", code="target_exists")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with our_errors(target):
            counts = _write(folder, temporary)
        os.link(temporary, target)  # fails where another backup took the name meanwhile
    except FileExistsError as error:
        raise ConflictError(f"{target} exists; a backup overwrites nothing", code="target_exists") from error
    finally:
        temporary.unlink(missing_ok=True)
    return counts


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write(folder: pathlib.Path, temporary: pathlib.Path) -> dict[str, int]:
    members: dict[str, dict[str, object]] = {}
    total = 0
    with open(temporary, "xb", opener=_for_its_owner) as stream:  # it holds every workspace's documents
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                name = path.relative_to(folder).as_posix()
                size = path.stat().st_size
                with path.open("rb") as source:
                    hashed = _Hashing(source)
                    member = tarfile.TarInfo(name)
                    member.size, member.mode, member.mtime = size, 0o600, int(path.stat().st_mtime)
                    archive.addfile(member, hashed)
                members[name] = {"bytes": size, "sha256": hashed.digest.hexdigest()}
                total += size
            manifest = json.dumps({"format": FORMAT, "members": members}).encode()
            last = tarfile.TarInfo(MANIFEST)
            last.size, last.mode = len(manifest), 0o600
            archive.addfile(last, io.BytesIO(manifest))
        stream.flush()
        os.fsync(stream.fileno())
    return {"files": len(members), "bytes": total}


class _Hashing(io.RawIOBase):
    """A stream that notes the SHA-256 of what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self.source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Some bytes of the source."""
        block = self.source.read(size)
        self.digest.update(block)
        return block


def restore(
    archive: pathlib.Path, data_dir: pathlib.Path, *, check: Callable[[pathlib.Path], str | None]
) -> dict[str, int]:
    """Make a data folder of an archive: unpacked beside it, verified, then moved into place in one step.

    Args:
        archive: what `pack` wrote.
        data_dir: does not exist, or is empty.
        check: says what is wrong with the unpacked folder beyond its checksums, None where nothing is.

    Returns:
        The number of files and their bytes.

    Raises:
        ConfigurationError: the folder is not empty, or the archive is damaged or foreign; nothing is left then.
        FolderNewerError: a newer version wrote the archive.
        StorageFullError: no room.
    """
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise ConfigurationError(f"{data_dir} is not an empty folder; a restore overwrites nothing", code="not_empty")
    data_dir = data_dir.resolve()  # `.`, or a link to an empty folder
    inside = data_dir.is_mount()  # its name can't be taken over: what was unpacked moves in
    place = data_dir if inside else data_dir.parent
    temporary = place / f".{data_dir.name}.restore-{secrets.token_hex(4)}"
    try:
        with our_errors(data_dir):
            data_dir.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir(mode=0o700)
            found = _unpack(archive, temporary)
            counts = _verify(archive, temporary, found)
            if (wrong := check(temporary)) is not None:
                raise ConfigurationError(f"the database in {archive} is damaged: {wrong}", code="bad_archive")
            (temporary / "format.json").write_text(json.dumps({"format": FORMAT}) + "\n")
            if inside:
                _move_in(temporary, data_dir)
            else:
                if data_dir.exists():
                    data_dir.rmdir()
                temporary.rename(data_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return counts


def _move_in(temporary: pathlib.Path, data_dir: pathlib.Path) -> None:
    """Move everything up by one folder, the database last: without it the folder is an empty one with files nobody names."""
    for entry in sorted(temporary.iterdir(), key=lambda path: path.suffix == ".db"):
        entry.rename(data_dir / entry.name)


def _unpack(archive: pathlib.Path, folder: pathlib.Path) -> dict[str, tuple[int, str]]:
    """Write every member below the folder; gives size and SHA-256 by name."""
    found: dict[str, tuple[int, str]] = {}
    try:
        with tarfile.open(archive, mode="r:") as stream:
            for member in stream:
                target = folder / member.name
                source = stream.extractfile(member) if member.isfile() else None
                if source is None or not target.resolve().is_relative_to(folder.resolve()):
                    raise ConfigurationError(f"{archive} is no backup of Footnote: it holds {member.name!r:.120}")
                target.parent.mkdir(parents=True, exist_ok=True)
                digest, size = hashlib.sha256(), 0
                with target.open("xb") as written:
                    while block := source.read(_BLOCK):
                        written.write(block)
                        digest.update(block)
                        size += len(block)
                found[member.name] = (size, digest.hexdigest())
    except (tarfile.TarError, EOFError) as error:
        raise ConfigurationError(
            f"{archive} is damaged or no backup of Footnote: {error}", code="bad_archive"
        ) from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no file {archive}", code="bad_archive") from error
    return found


def _verify(archive: pathlib.Path, folder: pathlib.Path, found: dict[str, tuple[int, str]]) -> dict[str, int]:
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise ConfigurationError(f"{archive} has a manifest of impossible size", code="bad_archive")
        manifest = json.loads(path.read_text())
        written_as = int(manifest["format"])
        members = {name: (int(each["bytes"]), str(each["sha256"])) for name, each in manifest["members"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{archive} is cut off or no backup of Footnote: no manifest", code="bad_archive"
        ) from error
    if written_as > FORMAT:
        raise FolderNewerError(f"{archive} has format {written_as}, this version of Footnote knows {FORMAT}")
    path.unlink()
    del found[MANIFEST]
    if found != members:
        wrong = sorted(name for name in {*found, *members} if found.get(name) != members.get(name))
        raise ConfigurationError(
            f"{archive} is damaged: {len(wrong)} of {len(members)} files differ, the first is {wrong[0]}",
            code="bad_archive",
        )
    return {"files": len(members), "bytes": sum(size for size, _ in members.values())}
