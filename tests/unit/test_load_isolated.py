"""The isolated loader: one bad file harms nobody else."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from app.domain.errors import DocumentError, TransientError
from app.domain.passages import Loaded
from ingestion.load.assembly import Limits
from ingestion.load.isolated import IsolatedLoader, Request

pytestmark = pytest.mark.slow


@pytest.fixture
def loader() -> Iterator[IsolatedLoader]:
    loader = IsolatedLoader(deadline_seconds=30, memory_bytes=1 << 30, limits=Limits())
    yield loader
    loader.close()


def _note(folder: pathlib.Path, name: str, text: str = "A short note.") -> Request:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return Request(path=path, filename=name, media_type="text/plain")


def _hanging(folder: pathlib.Path) -> Request:
    """A file whose bytes never come: a pipe that nobody writes to."""
    path = folder / "hangs.txt"
    os.mkfifo(path)
    return Request(path=path, filename="hangs.txt", media_type="text/plain")


def _pids(loader: IsolatedLoader) -> list[int]:
    return [child._process.pid for child in (*loader._idle, *loader._busy)]


def _text(outcome: Loaded | DocumentError) -> str:
    return outcome.text if isinstance(outcome, Loaded) else outcome.code


def test_what_a_child_reads_is_what_the_loader_gives(loader: IsolatedLoader, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<title>T</title><h1>One</h1><p>Two \U0001f600</p>", encoding="utf-8")

    loaded = loader.load(path, filename="page.html", media_type="text/html")

    assert loaded.text == "One\n\nTwo \U0001f600"
    assert [(block.kind.value, block.level) for block in loaded.blocks] == [("heading", 1), ("paragraph", 0)]
    assert loaded.title == "T"


def test_many_documents_come_back_in_order_from_one_child(loader: IsolatedLoader, tmp_path: pathlib.Path) -> None:
    requests = [_note(tmp_path, f"{number}.txt", f"Note {number}") for number in range(150)]

    outcomes = loader.load_many(requests)

    assert [_text(outcome) for outcome in outcomes] == [f"Note {number}" for number in range(150)]
    assert len(_pids(loader)) == 1


def test_a_document_that_cannot_be_read_fails_alone(loader: IsolatedLoader, tmp_path: pathlib.Path) -> None:
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"%PDF-1.7 and nothing else")
    gone = Request(path=tmp_path / "gone.txt", filename="gone.txt", media_type="text/plain")
    requests = [
        _note(tmp_path, "a.txt"),
        Request(path=bad, filename="bad.pdf", media_type="application/pdf"),
        gone,
        _note(tmp_path, "b.txt"),
    ]

    outcomes = loader.load_many(requests)

    assert [_text(outcome) for outcome in outcomes] == [
        "A short note.",
        "malformed",
        "unreadable_file",
        "A short note.",
    ]


def test_a_document_that_hangs_is_given_up_and_the_others_are_read(tmp_path: pathlib.Path) -> None:
    loader = IsolatedLoader(deadline_seconds=2, memory_bytes=None, limits=Limits())
    requests = [_note(tmp_path, "a.txt"), _hanging(tmp_path), _note(tmp_path, "b.txt")]

    outcomes = loader.load_many(requests)
    loader.close()

    assert [_text(outcome) for outcome in outcomes] == ["A short note.", "load_timeout", "A short note."]


def test_a_child_that_dies_before_a_document_costs_nothing_but_a_new_child(
    loader: IsolatedLoader, tmp_path: pathlib.Path
) -> None:
    loader.load_many([_note(tmp_path, "a.txt")])
    os.kill(_pids(loader)[0], signal.SIGKILL)

    outcomes = loader.load_many([_note(tmp_path, "b.txt"), _note(tmp_path, "c.txt")])

    assert [_text(outcome) for outcome in outcomes] == ["A short note."] * 2


def _kill_whatever_works(loader: IsolatedLoader, until: threading.Event) -> None:
    while not until.wait(0.1):
        for child in list(loader._busy):
            child.kill()


def test_a_document_that_ends_every_child_is_blamed_and_no_other(tmp_path: pathlib.Path) -> None:
    loader = IsolatedLoader(deadline_seconds=30, memory_bytes=None, limits=Limits())
    loader.load_many([_note(tmp_path, "a.txt")])
    over = threading.Event()
    killer = threading.Thread(target=_kill_whatever_works, args=(loader, over))
    killer.start()

    (outcome,) = loader.load_many([_hanging(tmp_path)])
    over.set()
    killer.join()

    assert _text(outcome) == "loader_crashed"
    assert [_text(other) for other in loader.load_many([_note(tmp_path, "b.txt")])] == ["A short note."]
    loader.close()


def test_closing_in_the_middle_of_a_document_does_not_fail_the_document(tmp_path: pathlib.Path) -> None:
    loader = IsolatedLoader(deadline_seconds=30, memory_bytes=None, limits=Limits())
    loader.load_many([_note(tmp_path, "a.txt")])
    closer = threading.Timer(0.5, loader.close)
    closer.start()

    with pytest.raises(TransientError):
        loader.load_many([_hanging(tmp_path)])

    closer.join()


def test_a_document_that_takes_too_much_memory_is_named_and_the_next_one_is_read(tmp_path: pathlib.Path) -> None:
    loader = IsolatedLoader(deadline_seconds=60, memory_bytes=96 << 20, limits=Limits())
    large = _note(tmp_path, "large.txt", "\u4e2d\u6587 " * 6_000_000)

    outcomes = loader.load_many([_note(tmp_path, "a.txt"), large, _note(tmp_path, "b.txt")])
    loader.close()

    assert [_text(outcome) for outcome in outcomes] == ["A short note.", "loader_out_of_memory", "A short note."]


def test_a_loader_that_was_closed_refuses_as_one_that_may_come_back(tmp_path: pathlib.Path) -> None:
    loader = IsolatedLoader(deadline_seconds=5, memory_bytes=None, limits=Limits())
    loader.close()

    with pytest.raises(TransientError):
        loader.load_many([_note(tmp_path, "a.txt")])


_PARENT = """
import pathlib, sys, threading
from ingestion.load.assembly import Limits
from ingestion.load.isolated import IsolatedLoader, Request
loader = IsolatedLoader(deadline_seconds=300, memory_bytes=None, limits=Limits())
loader.load(pathlib.Path(sys.argv[1]), filename="a.txt", media_type="text/plain")
print(loader._idle[0]._process.pid, flush=True)
if sys.argv[2] == "hang":
    loader.load(pathlib.Path(sys.argv[3]), filename="hangs.txt", media_type="text/plain")
"""


def _start_parent(folder: pathlib.Path, what: str) -> subprocess.Popen[str]:
    note = _note(folder, "a.txt")
    command = [sys.executable, "-c", _PARENT, str(note.path), what, str(_hanging(folder).path)]
    root = pathlib.Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        command,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    )


def _wait_until_gone(pid: int) -> bool:
    for _ in range(200):
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # ended; whoever inherited it has not looked yet
            return True
        time.sleep(0.05)
    return False


def test_a_child_in_the_middle_of_a_file_ends_when_its_parent_is_killed(tmp_path: pathlib.Path) -> None:
    with _start_parent(tmp_path, "hang") as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.kill()

    assert _wait_until_gone(pid)


def test_a_program_that_forgets_to_close_its_loader_ends_in_silence(tmp_path: pathlib.Path) -> None:
    with _start_parent(tmp_path, "end") as parent:
        out, err = parent.communicate(timeout=60)

    assert parent.returncode == 0
    assert err == ""
    assert _wait_until_gone(int(out))
