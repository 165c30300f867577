"""Every FileStore, held to the port. A new adapter is one more entry in STORES."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping

import pytest
from moto.server import ThreadedMotoServer

from app.db.unit_of_work import SqlDatabase
from app.domain.errors import BadNameError, NotFoundError, PartDownError, TransientError
from app.domain.ports import FileStore
from app.stores.folder_files import FolderFileStore
from app.stores.s3_files import Bucket, S3FileStore
from app.stores.small_files import SmallFilesInRows
from tests.services.proxy import Proxy

STORES: Mapping[str, Callable[[pathlib.Path, str], FileStore]] = {
    "folder": lambda path, _: FolderFileStore(path / "files"),
    "s3": lambda _, url: S3FileStore(bucket(url)),
    "s3-prefix": lambda _, url: S3FileStore(bucket(url, prefix="ours/")),
    "rows-and-s3": lambda path, url: SmallFilesInRows(database(path), S3FileStore(bucket(url)), small_bytes=20),
    "rows-and-folder": lambda path, _: SmallFilesInRows(
        database(path), FolderFileStore(path / "files"), small_bytes=1_000_000
    ),
}


def database(path: pathlib.Path) -> SqlDatabase:
    """Where small contents are rows. The statements are run on PostgreSQL by the tests of production mode."""
    made = SqlDatabase(path / "footnote.db", pool_size=12, busy_timeout_seconds=10)
    made.migrate()
    return made


def bucket(url: str, *, prefix: str = "") -> Bucket:
    name = f"b-{uuid.uuid4().hex}"
    return Bucket(name=name, endpoint=url, access_key="test", secret_key="test", prefix=prefix)  # noqa: S106 - a test's


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of moto's server, in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path, s3: str) -> FileStore:
    return STORES[request.param](tmp_path, s3)


def read(store: FileStore, key: str) -> bytes:
    with store.open(key) as stream:
        return stream.read()


def test_what_was_put_is_read_back_and_gone_from_its_source(store: FileStore, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "upload"
    source.write_bytes(b"\x00\xff" * 70_000)

    store.put("originals/ab/one", source)

    assert read(store, "originals/ab/one") == b"\x00\xff" * 70_000
    assert not source.exists()


def test_a_second_put_replaces_the_first(store: FileStore, tmp_path: pathlib.Path) -> None:
    for content in (b"longer than the next", b"new"):
        (tmp_path / "upload").write_bytes(content)
        store.put("originals/ab/one", tmp_path / "upload")

    assert read(store, "originals/ab/one") == b"new"
    assert list(store.keys()) == ["originals/ab/one"]


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_many_contents_are_written_at_once(store: FileStore, count: int) -> None:
    contents = {f"texts/{number % 4}/{number}": b"%d" % number * number for number in range(count)}

    store.write_many(contents)

    assert {key: read(store, key) for key in set(store.keys())} == contents


def test_a_stream_can_be_read_from_any_place(store: FileStore) -> None:
    store.write_many({"texts/a": b"0123456789"})

    with store.open("texts/a") as stream:
        stream.seek(7)
        assert stream.read(2) == b"78"
        stream.seek(0)
        assert stream.read(1) == b"0"


def test_an_open_stream_outlives_a_delete(store: FileStore) -> None:
    store.write_many({"texts/a": b"still here"})

    with store.open("texts/a") as stream:
        store.delete(["texts/a"])

        assert stream.read() == b"still here"


def test_a_local_path_holds_the_content(store: FileStore) -> None:
    store.write_many({"texts/a": b"content"})

    with store.local("texts/a") as path:
        assert path.read_bytes() == b"content"


def test_an_unknown_key_is_not_found(store: FileStore) -> None:
    store.write_many({"texts/a": b"x"})

    for key in ("texts/b", "texts", "texts/a/b"):
        with pytest.raises(NotFoundError):
            store.open(key)
        with pytest.raises(NotFoundError), store.local(key):
            pass


def test_a_delete_gives_the_bytes_it_removed_and_passes_over_what_is_absent(store: FileStore) -> None:
    store.write_many({"texts/a": b"12345", "texts/b": b"123", "texts/c": b""})

    removed = store.delete(["texts/a", "texts/b", "texts/b", "texts/a/below", "originals/unknown"])

    assert removed == {"texts/a": 5, "texts/b": 3}
    assert list(store.keys()) == ["texts/c"]


def test_keys_are_listed_by_how_they_begin(store: FileStore) -> None:
    keys = {"originals/aa/1", "originals/ab/2", "texts/aa/1", "top"}
    store.write_many(dict.fromkeys(keys, b"x"))

    assert set(store.keys()) == keys
    assert set(store.keys("originals/")) == {"originals/aa/1", "originals/ab/2"}
    assert set(store.keys("originals/a")) == {"originals/aa/1", "originals/ab/2"}
    assert set(store.keys("originals/ab/2")) == {"originals/ab/2"}
    assert set(store.keys("t")) == {"texts/aa/1", "top"}
    assert set(store.keys("absent")) == set()


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "A", "a b", "a\x00", "a\n", "ä", "a.txt", "a\\b"],
)
def test_a_key_that_is_not_one_is_refused_everywhere(store: FileStore, tmp_path: pathlib.Path, key: str) -> None:
    source = tmp_path / "upload"
    source.write_bytes(b"x")

    with pytest.raises(BadNameError):
        store.put(key, source)
    with pytest.raises(BadNameError):
        store.write_many({"texts/good": b"x", key: b"x"})
    with pytest.raises(BadNameError):
        store.open(key)
    with pytest.raises(BadNameError):
        store.delete([key])
    assert source.exists()
    assert list(store.keys()) == []


def test_the_room_left_is_known_or_said_to_be_unknown(store: FileStore) -> None:
    free = store.free_bytes()

    assert free is None or free > 0


def test_readers_see_the_old_content_or_the_new(store: FileStore) -> None:
    contents = [bytes([number]) * 100_000 for number in range(20)]
    store.write_many({"texts/a": contents[0]})
    seen: list[bytes] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(read(store, "texts/a"))

    reader = threading.Thread(target=look)
    reader.start()
    for content in contents:
        store.write_many({"texts/a": content})
    done.set()
    reader.join()

    assert seen
    assert set(seen) <= set(contents)


def test_a_store_that_does_not_answer_is_a_transient_error_of_its_calls() -> None:
    gone = Bucket(name="b", endpoint="http://127.0.0.1:9", access_key="x", secret_key="x")  # noqa: S106 - a test's
    store = S3FileStore(gone)  # a process starts without it
    with pytest.raises(TransientError) as raised:
        store.ping()
    assert raised.value.code == "files_unavailable"


def test_a_store_that_says_nothing_is_a_transient_error_of_its_calls(s3: str, tmp_path: pathlib.Path) -> None:
    given = bucket(s3)
    wire = Proxy(int(s3.rpartition(":")[2]))
    try:
        through = dataclasses.replace(given, endpoint=f"http://127.0.0.1:{wire.port}", timeout_seconds=0.2)
        store = S3FileStore(through)
        store.write_many({"texts/a": b"x" * 1000})
        wire.set("hang")
        (tmp_path / "upload").write_bytes(b"y")
        for call in (
            lambda: store.open("texts/a"),
            lambda: store.put("originals/b", tmp_path / "upload"),
            lambda: store.write_many({"texts/b": b"y"}),
            lambda: store.delete(["texts/a"]),
            store.ping,
        ):
            with pytest.raises(PartDownError) as raised:
                call()
            assert raised.value.code == "files_unavailable"
    finally:
        wire.close()


def test_what_was_kept_under_another_limit_is_read_replaced_and_removed(tmp_path: pathlib.Path) -> None:
    rows, folder = database(tmp_path), FolderFileStore(tmp_path / "files")
    less, more = (SmallFilesInRows(rows, folder, small_bytes=limit) for limit in (4, 40))

    for writer, other, content in (
        (less, more, b"in the folder"),
        (more, less, b"in a row"),
        (less, more, b"back again"),
    ):
        writer.write_many({"texts/a": content})
        assert read(writer, "texts/a") == read(other, "texts/a") == content
    more.write_many({"texts/a": b"in both"})

    assert less.delete(["texts/a"]) == {"texts/a": 7}
    assert list(less.keys()) == list(folder.keys()) == []


def test_what_is_small_asks_nothing_of_the_large_store(tmp_path: pathlib.Path) -> None:
    gone = Bucket(name="b", endpoint="http://127.0.0.1:9", access_key="x", secret_key="x")  # noqa: S106 - a test's
    store = SmallFilesInRows(database(tmp_path), S3FileStore(gone), small_bytes=10)
    (tmp_path / "upload").write_bytes(b"put")

    store.write_many({"texts/a": b"written"})
    store.put("originals/a", tmp_path / "upload")

    assert read(store, "texts/a") == b"written"
    assert read(store, "originals/a") == b"put"
    with pytest.raises(TransientError):
        store.write_many({"texts/b": b"more than ten"})
    with pytest.raises(TransientError):  # whether it holds them too, it must say
        store.delete(["texts/a"])
