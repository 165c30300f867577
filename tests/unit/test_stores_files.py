"""What the folder promises beyond the port: staging, full disks, closed folders."""

from __future__ import annotations

import errno
import os
import pathlib
import resource
import subprocess
import sys
import textwrap

import pytest

from app.domain.disk import our_errors
from app.domain.errors import ConfigurationError, FootnoteError, NotFoundError, StorageFullError, TransientError
from app.stores.folder_files import FolderFileStore


@pytest.fixture
def store(tmp_path: pathlib.Path) -> FolderFileStore:
    return FolderFileStore(tmp_path / "files")


def test_an_upload_is_staged_in_the_same_file_system_and_is_no_key(store: FolderFileStore) -> None:
    first, second = store.stage(), store.stage()
    first.write_bytes(b"upload")

    assert first != second
    assert list(store.keys()) == []
    store.put("originals/aa/one", first)
    assert list(store.keys()) == ["originals/aa/one"]


def test_leftovers_of_a_crash_are_swept(store: FolderFileStore) -> None:
    old, new = store.stage(), store.stage()
    old.write_bytes(b"left behind")
    os.utime(old, (1_000, 1_000))
    new.write_bytes(b"under way")

    removed = store.sweep_staging(older_than=2_000)

    assert removed == 1
    assert not old.exists()
    assert new.exists()
    assert store.sweep_staging() == 1
    assert not new.exists()


def test_a_source_on_another_file_system_is_copied(store: FolderFileStore) -> None:
    elsewhere = pathlib.Path("/dev/shm")  # noqa: S108 - the other file system of every Linux
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == store.stage().parent.stat().st_dev:
        pytest.skip("there is no second file system here")
    source = elsewhere / store.stage().name
    source.write_bytes(b"from elsewhere")

    store.put("originals/aa/one", source)

    with store.open("originals/aa/one") as stream:
        assert stream.read() == b"from elsewhere"
    assert not source.exists()


def test_a_source_that_is_not_there_is_an_error_and_leaves_the_old_content(
    store: FolderFileStore, tmp_path: pathlib.Path
) -> None:
    store.write_many({"texts/a": b"old"})

    with pytest.raises(TransientError):
        store.put("texts/a", tmp_path / "absent")

    with store.open("texts/a") as stream:
        assert stream.read() == b"old"


FULL = """
    import pathlib, resource, signal, sys
    from app.domain.errors import StorageFullError
    from app.stores.folder_files import FolderFileStore

    store = FolderFileStore(pathlib.Path(sys.argv[1]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # as a disk with no room for more
    contents = {f"texts/{number}": b"x" * 1_000 for number in range(int(sys.argv[2]))}
    try:
        store.write_many({**contents, "texts/large": b"x" * 50_000})
    except StorageFullError as error:
        print(error.code)
"""


@pytest.mark.parametrize("others", [0, 30])
def test_a_disk_that_fills_up_is_reported_and_leaves_no_part_of_the_content(
    store: FolderFileStore, tmp_path: pathlib.Path, others: int
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path / "files"), str(others)]

    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert printed.strip() == "storage_full"
    assert store.sweep_staging() == 0
    with pytest.raises(NotFoundError):
        store.open("texts/large")


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, StorageFullError, "storage_full"),
        (errno.EDQUOT, StorageFullError, "storage_full"),
        (errno.EROFS, ConfigurationError, "read_only"),
        (errno.EACCES, ConfigurationError, "read_only"),
        (errno.EIO, TransientError, "files_unavailable"),
    ],
)
def test_what_the_system_says_becomes_an_error_of_ours(
    tmp_path: pathlib.Path, number: int, kind: type[FootnoteError], code: str
) -> None:
    with pytest.raises(kind) as raised, our_errors(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path))

    assert raised.value.code == code
    assert os.strerror(number) in raised.value.message


def test_a_folder_that_can_not_be_made_refuses_to_start() -> None:
    with pytest.raises(FootnoteError):
        FolderFileStore(pathlib.Path("/proc/footnote"))


def test_a_delete_of_many_gives_the_size_of_each(store: FolderFileStore) -> None:
    store.write_many({f"texts/{number}": b"x" * number for number in range(300)})

    removed = store.delete(f"texts/{number}" for number in range(300))

    assert removed == {f"texts/{number}": number for number in range(300)}
    assert list(store.keys()) == []


def test_no_descriptor_is_left_open(store: FolderFileStore, tmp_path: pathlib.Path) -> None:
    def open_descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names of links, not paths

    store.write_many({"texts/a": b"x"})
    before = open_descriptors()
    for round_ in range(20):
        store.write_many({f"texts/{round_}/{number}": b"x" for number in range(20)})
        (tmp_path / "upload").write_bytes(b"x")
        store.put("originals/a", tmp_path / "upload")

    assert open_descriptors() == before
    assert before < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
