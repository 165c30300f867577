"""The parts of the command line that need no service."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import json
import pathlib
import subprocess
import sys
import threading

import pytest
from typer.testing import CliRunner

from app.domain.errors import FolderInUseError
from ingestion.cli import application, client, connection, terminal
from ingestion.cli.batches import Defaults, Mapping_, is_batch, parts
from ingestion.cli.errors import LocalError
from ingestion.cli.outcomes import Outcome, Report, State
from ingestion.cli.sources import Selection, Source, found, require_distinct

EVIL = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp.exe\nb"


def test_nothing_that_a_terminal_acts_on_is_shown() -> None:
    assert terminal.visible(EVIL) == "a\ufffd[31mred\ufffd]0;title\ufffd\ufffd2J\ufffdgnp.exe b"
    assert terminal.visible("two\n\tlines\r", multiline=True) == "two\n\tlines\ufffd"


def test_json_lines_are_safe_on_a_screen_and_mean_the_same() -> None:
    line = terminal.json_line({"text": EVIL, "名": "é"})

    assert json.loads(line) == {"text": EVIL, "名": "é"}
    assert "名" in line
    assert all(char.isprintable() for char in line)


def test_columns_are_aligned_by_what_is_seen() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        terminal.columns(["id", "title"], [["1", "名前"], ["22", None], ["3", "x\x1b"]])

    assert out.getvalue() == "ID  TITLE\n1   名前\n22\n3   x\ufffd\n"


def test_failures_are_shown_without_control_sequences() -> None:
    report = Report(as_json=False)
    report.add(Outcome(external_id=EVIL, path=EVIL, state=State.FAILED, code="bad\x1b", message=EVIL))

    with contextlib.redirect_stdout(io.StringIO()) as out:
        report.close(1.0)

    assert "\x1b" not in out.getvalue()
    assert "\x9b" not in out.getvalue()


def test_help_imports_neither_the_service_nor_a_client() -> None:
    heavy = ("httpx", "pydantic_settings", "fastapi", "sqlalchemy", "openvino", "numpy", "rich")
    program = (
        f"import sys; from ingestion.cli import application; print([name for name in {heavy!r} if name in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout

    assert out.strip() == "[]"


def test_a_wrong_command_exits_with_2() -> None:
    result = CliRunner().invoke(application.app, ["ingest", "x", "--map", "nonsense"])

    assert result.exit_code == 2
    assert "--map nonsense" in result.stderr


def test_a_command_that_reads_makes_no_data_folder(tmp_path: pathlib.Path) -> None:
    result = CliRunner().invoke(application.app, ["search", "x", "--data-dir", str(tmp_path / "none")])

    assert result.exit_code == 1
    assert "[no_data_folder]" in result.stderr
    assert not (tmp_path / "none").exists()


def test_the_folders_own_key_is_not_sent_elsewhere(tmp_path: pathlib.Path) -> None:
    (tmp_path / "admin.key").write_text("fn_secret\n")

    result = CliRunner().invoke(
        application.app, ["search", "x", "--data-dir", str(tmp_path), "--url", "http://example.invalid"]
    )

    assert result.exit_code == 1
    assert "[no_key]" in result.stderr


@pytest.mark.parametrize(
    "said", [b"", b"no json", b"[]", b'{"pid": "x", "url": 3}', b'{"pid": 99999999, "url": "http://127.0.0.1:1"}']
)
def test_a_service_file_that_leads_nowhere_is_no_service(tmp_path: pathlib.Path, said: bytes) -> None:
    (tmp_path / "service.json").write_bytes(said)

    assert connection.find(tmp_path) is None


def test_a_holder_that_does_not_answer_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_HOLDER_SECONDS", 0.3)
    (tmp_path / "service.json").write_text('{"pid": 1, "url": "http://127.0.0.1:1"}')

    with pytest.raises(FolderInUseError) as raised:
        connection._joined(tmp_path, FolderInUseError("in use"))

    assert "process 1 holds it and does not answer at http://127.0.0.1:1" in raised.value.message


def test_a_folder_is_walked_in_order_without_hidden_files_pipes_and_loops(tmp_path: pathlib.Path) -> None:
    for name in ("b.txt", "a/z.md", "a/.git/config", ".hidden/x.txt", "a/skip/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "linked.txt").symlink_to(tmp_path / "b.txt")

    names = [each.external_id for each in found(tmp_path, Selection(exclude=("skip",)))]

    assert names == ["a/z.md", "b.txt", "linked.txt"]
    only = [each.external_id for each in found(tmp_path, Selection(include=("*.md",)))]
    assert only == ["a/z.md"]


def test_a_name_that_is_not_utf_8_can_be_sent(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "caf\udce9.txt"
    try:
        path.write_text("x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")

    assert [each.external_id for each in found(tmp_path, Selection())] == ["caf%E9.txt"]


def test_no_such_path_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(LocalError, match="no such file"):
        list(found(tmp_path / "none", Selection()))


def test_the_same_file_named_twice_is_no_conflict(tmp_path: pathlib.Path) -> None:
    source = Source(path=tmp_path / "a", external_id="a", size_bytes=1)

    require_distinct([source, source])
    with pytest.raises(LocalError):
        require_distinct([source, Source(path=tmp_path / "b", external_id="a", size_bytes=1)])


def test_a_key_with_dots_and_a_path_of_keys_can_both_be_mapped() -> None:
    mapping = Mapping_.parse(["text=a.b", "metadata.n=c.d", "title=none"])

    assert mapping.document({"a": {"b": "deep"}, "c.d": 3, "title": "not this"}) == {
        "text": "deep",
        "metadata": {"n": 3},
    }


def test_a_damaged_archive_gives_what_can_be_read_and_then_says_so(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "one"}\n' * 50_000)[:-20])
    reader = parts(path, "cut", Mapping_(), Defaults(metadata={}, readers=()))

    assert len(next(reader).lines) == 1000
    with pytest.raises(LocalError, match="to its end"):
        list(reader)


def test_compressed_lines_without_a_text_ask_for_a_mapping(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"body": "one"}\n'))

    with pytest.raises(LocalError, match="--map text=body"):
        is_batch(path, Mapping_(), named=True)
    assert is_batch(path, Mapping_.parse(["text=body"]), named=True)


@pytest.mark.parametrize(
    ("lines", "in_a_folder"),
    [
        (
            '{"text": "a"}\n\n{"text": "b", "title": "B", "metadata": {"n": 1}, "readers": ["*"], "external_id": 7}',
            True,
        ),
        ('{"text": "a", "title": null}', True),
        ('\ufeff{"text": "a"}', True),
        ('{"text": "a", "created_at": "2026-01-31"}', False),
        ('{"text": "a", "metadata": {"author": {"name": "b"}}}', False),
        ('{"text": "a", "metadata": "b"}', False),
        ('{"text": "a", "readers": ["b"]}', False),
        ('{"text": "a", "title": ["b"]}', False),
        ('{"text": "a"}\n' * 99 + '{"text": "a", "lang": "en"}', False),
        ('{"text": "a"}\n["b"]', False),
    ],
)
def test_in_a_folder_only_lines_that_are_documents_exactly_are_a_batch(
    tmp_path: pathlib.Path, lines: str, *, in_a_folder: bool
) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(lines)

    assert is_batch(path, Mapping_(), named=False) is in_a_folder
    assert is_batch(path, Mapping_(), named=True)
    assert is_batch(path, Mapping_.parse(["text=text"]), named=False)


def test_a_data_folder_is_never_walked(tmp_path: pathlib.Path) -> None:
    (tmp_path / "note.txt").write_text("heron")
    data = tmp_path / "data"
    (data / "files").mkdir(parents=True)
    for name in ("folder.lock", "format.json", "admin.key"):
        (data / name).write_text("secret")
    (data / "files" / "original").write_text("heron")
    (tmp_path / "link").symlink_to(data, target_is_directory=True)

    named = [each.external_id for each in found(tmp_path, Selection())]

    assert named == ["note.txt"]
    for path in (data, data / "files", data / "admin.key", tmp_path / "link" / "files"):
        with pytest.raises(LocalError) as raised:
            list(found(path, Selection()))
        assert raised.value.code == "data_folder"


def test_a_request_keeps_the_query_of_its_path() -> None:
    asked: list[str] = []

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b'event: report\ndata: {"left": 0}\n\n')

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as the library has it
            """Not onto the terminal."""

    with http.server.HTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        service = client.Service(f"http://127.0.0.1:{server.server_port}", key="key", local=True)
        with contextlib.closing(service):
            assert list(service.events("/v1/doctor?repair=true&deep=false", {})) == [("report", {"left": 0})]
        server.shutdown()
    assert asked == ["/v1/doctor?repair=true&deep=false"]
