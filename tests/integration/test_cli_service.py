"""The command line with the real service: one that runs, and one that it starts itself."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ingestion.cli import application, connection

pytestmark = pytest.mark.slow
_DEADLINE_SECONDS = 90.0


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    notes = tmp_path / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "invoices.md").write_text("# Terms\n\nInvoices are paid within thirty days of receipt.\n")
    (notes / "deep" / "cats.txt").write_text("The cat sat on the mat.")
    (notes / "nothing.txt").write_bytes(b"")
    (notes / "lines.jsonl").write_text('{"text": "Whales are mammals."}\n{"text": "Sharks are fish."}\n')
    return notes


def footnote(data_dir: pathlib.Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(data_dir), capture_output=True, text=True, timeout=110, check=False
    )


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ingestion.cli", *(str(each) for each in arguments)]


def environment(data_dir: pathlib.Path) -> dict[str, str]:
    return os.environ | {"FOOTNOTE_DATA_DIR": str(data_dir), "FOOTNOTE_EMBEDDER": "hashing-16"}


def lines(finished: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in finished.stdout.splitlines()]


@contextlib.contextmanager
def serving(data_dir: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command("serve", "--port", 0), env=environment(data_dir), stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while connection.find(data_dir) is None:
            assert process.poll() is None, "the service ended"
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.05)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def test_documents_go_in_and_are_found_with_no_service_running(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data_dir = tmp_path / "data"

    sent = footnote(data_dir, "ingest", folder, "--json")
    again = footnote(data_dir, "ingest", folder, "--json")
    found = footnote(data_dir, "search", "When are invoices paid?", "--json")

    *outcomes, last = lines(sent)
    assert {each["external_id"]: each["state"] for each in outcomes} == {
        "invoices.md": "completed",
        "deep/cats.txt": "completed",
        "lines.jsonl/1": "completed",
        "lines.jsonl/2": "completed",
        "nothing.txt": "failed",
    }, sent.stderr
    assert [each["error"]["code"] for each in last["summary"]["failures"]] == ["empty_file"]
    assert (sent.returncode, again.returncode, found.returncode) == (1, 1, 0)
    assert lines(again)[-1]["summary"]["unchanged"] == 4
    assert lines(found)[0]["hits"][0]["external_id"] == "invoices.md"
    assert connection.read_holder(data_dir) is None


def test_every_command_speaks_to_the_service_that_runs(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir):
        sent = footnote(data_dir, "ingest", folder, "-c", "own", "--include", "*.md", "--include", "*.jsonl", "--json")
        listed = footnote(data_dir, "documents", "list", "-c", "own", "--json")
        text = footnote(data_dir, "documents", "text", "invoices.md", "-c", "own", "--start", 9, "--end", 17)
        removed = footnote(data_dir, "documents", "delete", "invoices.md", "-c", "own", "--json")
        missing = footnote(data_dir, "documents", "show", "invoices.md", "-c", "own")
        key = footnote(data_dir, "keys", "create", "bob")
        denied = footnote(data_dir, "ingest", folder, "--key", key.stdout.strip())
        jobs = footnote(data_dir, "jobs", "list", "--state", "completed", "--json")

    assert sent.returncode == 0, sent.stderr
    assert {each["external_id"] for each in lines(listed)} == {"invoices.md", "lines.jsonl/1", "lines.jsonl/2"}
    assert text.stdout == "Invoices\n"
    assert lines(removed)[0]["vectors"] == 1
    assert (missing.returncode, denied.returncode) == (1, 1)
    assert "[document_not_found]" in missing.stderr
    assert "[forbidden]" in denied.stderr
    assert {each["kind"] for each in lines(jobs)} == {"ingest", "batch", "purge"}


def test_a_conversation_is_held_from_the_command_line(tmp_path: pathlib.Path) -> None:
    data_dir, note = tmp_path / "data", tmp_path / "harbour.txt"
    note.write_text("The harbour of Marlow was built in 1850. The harbour master of Marlow is Ada Brown.")

    def said(*arguments: object, code: int = 0) -> Result:
        shown = CliRunner().invoke(application.app, [*map(str, arguments), "--data-dir", str(data_dir)])
        assert shown.exit_code == code, (shown.stdout, shown.stderr)
        return shown

    with serving(data_dir):
        said("ingest", note)
        first = said("ask", "When was the harbour of Marlow built?", "--conversation", "new")
        begun = first.stderr.splitlines()[0].rpartition(" ")[2]
        second = said("ask", "Who is its harbour master?", "--conversation", begun, "--json")
        listed = said("conversations", "list", "--json")
        shown = said("conversations", "show", begun)
        whole = json.loads(said("conversations", "show", begun, "--json").stdout)
        renamed = said("conversations", "rename", begun, "Harbours", "--json")
        exported = said("conversations", "export", begun)
        said("conversations", "export", begun, "--output", tmp_path / "turns.jsonl")
        other = said("ask", "Who?", "--conversation", "not-an-id", code=1)
        used = said("usage", "--by", "key,day", "--from", "2026-01-01", "--to", "2026-01-31")
        report = json.loads(said("usage", "--json").stdout)
        wrong = said("usage", "--by", "hour", code=1)
        removed = said("conversations", "delete", begun, "0199c0de-0000-7000-8000-000000000000", "--json", code=1)
        gone = said("conversations", "show", begun, code=1)

    assert json.loads(second.stdout)["standalone_question"] == "Who is Marlow's harbour master?"
    assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == [begun]
    assert "\n> Who is its harbour master?\n  (read as: Who is Marlow's harbour master?)\n" in shown.stdout
    assert [turn["question"][:3] for turn in whole["turns"]] == ["Whe", "Who"]
    assert json.loads(renamed.stdout)["title"] == "Harbours"
    turns = [json.loads(line) for line in exported.stdout.splitlines()]
    assert turns == [json.loads(line) for line in (tmp_path / "turns.jsonl").read_text().splitlines()]
    assert turns == whole["turns"]
    assert "conversation_id must be an id" in other.stderr
    assert used.stdout.splitlines()[0].split()[:4] == ["DAY", "KEY_ID", "CALLS", "FAILURES"]
    assert used.stdout.splitlines()[1].split()[:2] == ["total", "0"]
    assert set(report) == {"from", "to", "total", "data"}
    assert "must be some of day, model, key, workspace" in wrong.stderr
    assert json.loads(removed.stdout)["answers"] == 2
    assert "[conversation_not_found]" in removed.stderr
    assert "[conversation_not_found]" in gone.stderr


def test_with_no_service_running_no_job_is_shown_as_running(tmp_path: pathlib.Path) -> None:
    data_dir, corpus = tmp_path / "data", tmp_path / "corpus.jsonl"
    corpus.write_text("".join(f'{{"text": "Entry {number}. {"word " * 300}"}}\n' for number in range(3000)))
    assert footnote(data_dir, "ingest", corpus, "--no-wait").returncode == 0

    listed = footnote(data_dir, "jobs", "list", "--json")
    begun = next(each["id"] for each in lines(listed) if each["state"] == "interrupted")
    shown = footnote(data_dir, "jobs", "show", begun)

    assert {each["state"] for each in lines(listed)} <= {"interrupted", "queued", "completed"}
    assert "what has not ended goes on when one starts" in listed.stderr
    assert "interrupted" in shown.stdout
    assert "running" not in shown.stdout


def test_a_rotated_admin_key_keeps_the_folder_open_to_its_owner(tmp_path: pathlib.Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir):
        before = (data_dir / "admin.key").read_text()
        [admin] = lines(footnote(data_dir, "keys", "list", "--json"))

        made = footnote(data_dir, "keys", "rotate", admin["id"])
        after = footnote(data_dir, "keys", "list")

    assert made.stdout == (data_dir / "admin.key").read_text() != before
    assert (data_dir / "admin.key").stat().st_mode & 0o777 == 0o600
    assert after.returncode == 0, after.stderr


def test_an_ingestion_that_was_stopped_goes_on_when_it_is_run_again(tmp_path: pathlib.Path) -> None:
    data_dir, notes = tmp_path / "data", tmp_path / "notes"
    notes.mkdir()
    for number in range(120):
        (notes / f"n{number:03}.txt").write_text(f"Note {number} is about the number {number}.")
    slowly = environment(data_dir) | {"FOOTNOTE_EMBEDDER": "hashing-16+300ms"}  # so that the first is not the last
    with subprocess.Popen(
        command("ingest", notes, "--json"), env=slowly, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()  # one document is in
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=60)

    again = footnote(data_dir, "ingest", notes, "--json")

    assert first.returncode == 130, said
    assert b"the same command again goes on" in said
    assert b"Traceback" not in said
    assert again.returncode == 0, again.stderr
    summary = lines(again)[-1]["summary"]
    assert summary["completed"] + summary["unchanged"] == 120


def test_a_collection_is_carried_to_another_folder(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    one, other, archive = tmp_path / "one", tmp_path / "other", tmp_path / "notes.tar"
    assert footnote(one, "ingest", folder / "deep", folder / "lines.jsonl", "--collection", "notes").returncode == 0

    written = footnote(one, "export", "notes", archive, "--json")
    refused = footnote(one, "export", "notes", archive)
    taken = footnote(other, "import", archive, "--json")
    renamed = footnote(other, "import", archive, "--collection", "again")

    (found,) = lines(written)
    assert (found["file"], found["bytes"], found["documents"]) == (str(archive), archive.stat().st_size, 3)
    assert (refused.returncode, "[target_exists]" in refused.stderr) == (1, True)
    (imported,) = lines(taken)
    assert (imported["collection"], imported["added"], imported["as_they_are"]) == ("notes", 3, True)
    assert (renamed.returncode, "again" in renamed.stdout) == (0, True)
    assert {each["external_id"] for each in lines(footnote(other, "documents", "list", "-c", "notes", "--json"))} == {
        each["external_id"] for each in lines(footnote(one, "documents", "list", "-c", "notes", "--json"))
    }
    archive.write_bytes(archive.read_bytes()[:-600])
    cut = footnote(other, "import", archive, "--collection", "third")
    assert (cut.returncode, "[bad_archive]" in cut.stderr) == (1, True)
    missing = footnote(other, "import", tmp_path / "nothing.tar")
    assert (missing.returncode, "[no_such_path]" in missing.stderr) == (1, True)
