"""What the Edge store promises beyond the port: crashes, full disks, locks and compaction."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from app.domain.errors import (
    ConfigurationError,
    DocumentError,
    FingerprintMismatchError,
    FolderInUseError,
    FootnoteError,
    StorageFullError,
    TransientError,
)
from app.domain.vectors import Point, Space, Sparse, VectorQuery
from app.stores import edge_compact, edge_vectors
from app.stores.edge_vectors import EdgeVectorStore

SPACE = Space(name="space", dimensions=8)
SHARD = "i/#admin"


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[EdgeVectorStore]:
    made = EdgeVectorStore(tmp_path)
    yield made
    made.close()


def points(count: int, *, start: int = 0, per_version: int = 10) -> list[Point]:
    rng = np.random.default_rng(start)
    return [
        Point(
            chunk_id=uuid.UUID(int=number),
            index_id=uuid.UUID(int=1),
            document_id=uuid.UUID(int=2),
            version_id=uuid.UUID(int=number // per_version),
            scope=(SHARD,),
            metadata={"number": number},
            dense=rng.standard_normal(SPACE.dimensions).astype(np.float32),
            sparse=Sparse(indices=(1, 2), values=(1.0, 2.0)),
        )
        for number in range(start, start + count)
    ]


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], stdout=subprocess.PIPE, text=True
    )


WRITER = """
    import pathlib, sys, uuid
    import numpy as np
    from app.domain.vectors import Point, Space, Sparse
    from app.stores.edge_vectors import EdgeVectorStore

    store = EdgeVectorStore(pathlib.Path(sys.argv[1]), flush_points=150)
    space = Space(name="space", dimensions=8)
    for number in range(0, 1_000_000, 7):
        store.upsert(space, [
            Point(chunk_id=uuid.UUID(int=each), index_id=uuid.UUID(int=1), document_id=uuid.UUID(int=2),
                  version_id=uuid.UUID(int=each), scope=("i/#admin",), metadata={"number": each},
                  dense=np.ones(8, dtype=np.float32), sparse=Sparse(indices=(1,), values=(1.0,)))
            for each in range(number, number + 7)
        ])
        store.delete_versions(space, [uuid.UUID(int=number)])
        print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 20, 60])
def test_a_kill_right_after_a_write_returned_loses_nothing(tmp_path: pathlib.Path, after: int) -> None:
    with child(WRITER, str(tmp_path)) as writer:
        assert writer.stdout
        told = [int(writer.stdout.readline()) for _ in range(after)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout]

    store = EdgeVectorStore(tmp_path)
    there = {point.chunk_id.int for point in store.points(SPACE)}
    store.close()

    promised = {each for number in told for each in range(number + 1, number + 7)}
    assert promised <= there
    assert not there & set(told)


def test_a_crash_while_a_shard_is_made_leaves_none_that_is_half_made(tmp_path: pathlib.Path) -> None:
    (tmp_path / f".{SPACE.name}.new" / "segments").mkdir(parents=True)

    store = EdgeVectorStore(tmp_path)
    store.upsert(SPACE, points(3))

    assert store.count(SPACE) == 3
    assert [path.name for path in tmp_path.iterdir()] == [SPACE.name]
    store.close()


def test_what_was_written_is_there_after_opening_again(tmp_path: pathlib.Path) -> None:
    first = EdgeVectorStore(tmp_path)
    first.upsert(SPACE, points(200))
    first.flush()
    first.close()

    second = EdgeVectorStore(tmp_path)

    assert second.count(SPACE) == 200
    second.close()


def test_a_folder_that_another_process_holds_is_said_to_be_in_use(
    store: EdgeVectorStore, tmp_path: pathlib.Path
) -> None:
    store.ensure(SPACE)

    with pytest.raises(FolderInUseError):
        EdgeVectorStore(tmp_path).ensure(SPACE)


def test_a_shard_on_disk_of_another_length_is_a_mismatch(tmp_path: pathlib.Path) -> None:
    first = EdgeVectorStore(tmp_path)
    first.ensure(SPACE)
    first.close()

    with pytest.raises(FingerprintMismatchError):
        EdgeVectorStore(tmp_path).ensure(Space(name=SPACE.name, dimensions=9))


def test_a_vector_that_is_not_finite_is_refused_with_its_batch(store: EdgeVectorStore) -> None:
    good, bad = points(2)
    bad.dense[3] = np.nan

    with pytest.raises(DocumentError) as refusal:
        store.upsert(SPACE, [good, bad])

    assert refusal.value.code == "bad_vector"
    assert store.count(SPACE) == 0


def test_without_room_nothing_is_added_but_deletes_go_on(tmp_path: pathlib.Path) -> None:
    roomy = EdgeVectorStore(tmp_path)
    roomy.upsert(SPACE, points(20))
    roomy.close()
    store = EdgeVectorStore(tmp_path, room_bytes=1 << 62)  # as on a disk that is almost full

    with pytest.raises(StorageFullError):
        store.upsert(SPACE, points(1, start=20))
    removed = store.delete_versions(SPACE, [uuid.UUID(int=0)])

    assert removed == {uuid.UUID(int=0): 10}
    assert store.count(SPACE) == 10
    store.close()


def test_without_room_no_space_is_made(tmp_path: pathlib.Path) -> None:
    store = EdgeVectorStore(tmp_path, room_bytes=1 << 62)

    with pytest.raises(StorageFullError):
        store.ensure(SPACE)

    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_an_error_of_ours(tmp_path: pathlib.Path) -> None:
    (tmp_path / "taken").write_bytes(b"")

    with pytest.raises(TransientError):
        EdgeVectorStore(tmp_path / "taken").ensure(SPACE)


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("failed to open WAL /x: Can't init WAL: Kind(WouldBlock)", FolderInUseError, "folder_in_use"),
        ("Service runtime error: No space left on device (os error 28)", StorageFullError, "storage_full"),
        ("IO error: Read-only file system (os error 30)", ConfigurationError, "read_only"),
        ("Vector dimension error: expected dim: 4, got 3", FingerprintMismatchError, "fingerprint_mismatch"),
        ("Service runtime error: Shard is not initialized", TransientError, "index_unavailable"),
    ],
)
def test_what_the_library_says_becomes_an_error_of_ours(text: str, kind: type[FootnoteError], code: str) -> None:
    with pytest.raises(kind) as raised, edge_vectors.our_errors("space"):
        raise Exception(text)  # noqa: TRY002 - as the library does

    assert raised.value.code == code


def test_a_mistake_of_ours_stays_what_it_is() -> None:
    with pytest.raises(TypeError), edge_vectors.our_errors("space"):
        raise TypeError


def test_compaction_gives_room_back_and_changes_no_result(tmp_path: pathlib.Path) -> None:
    query = VectorQuery(dense=np.ones(8, dtype=np.float32), sparse=Sparse(indices=(2,), values=(1.0,)), scope=[SHARD])
    store = EdgeVectorStore(tmp_path)
    store.upsert(SPACE, points(4_000))
    assert store.dead_fraction(SPACE) < 0.2
    store.delete_versions(SPACE, [uuid.UUID(int=number) for number in range(200)])
    assert store.dead_fraction(SPACE) > 0.4
    before, held = store.search(SPACE, query), store.disk_bytes(SPACE)
    store.close()

    command = [sys.executable, "-m", "app.stores.edge_compact", str(tmp_path), SPACE.name]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    store = EdgeVectorStore(tmp_path)
    assert json.loads(printed)["bytes_reclaimed"] > 0
    assert store.disk_bytes(SPACE) < held
    assert store.dead_fraction(SPACE) < 0.2
    assert store.search(SPACE, query) == before
    store.upsert(SPACE, points(10, start=5_000))
    assert store.count(SPACE) == 2_010
    store.close()


def test_compaction_leaves_alone_what_is_alive_or_small(tmp_path: pathlib.Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.upsert(SPACE, points(500))
    store.delete_versions(SPACE, [uuid.UUID(int=number) for number in range(40)])
    store.close()

    assert edge_compact.compact(tmp_path, SPACE.name) == 0


def test_compaction_of_a_folder_in_use_says_so(
    store: EdgeVectorStore, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.ensure(SPACE)

    status = edge_compact.main([str(tmp_path), SPACE.name])

    assert status == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "folder_in_use"


def test_a_folder_that_can_not_be_written_is_read_only(tmp_path: pathlib.Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)

    with pytest.raises(ConfigurationError) as raised:
        EdgeVectorStore(tmp_path / "below").ensure(SPACE)

    assert raised.value.code == "read_only"
