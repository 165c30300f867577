"""`footnote ingest` against a service that is 100 lines long."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typer.testing import CliRunner, Result

from ingestion.cli import application

KEY = "fn_test"


@dataclasses.dataclass
class FakeService:
    """Accepts documents, ends their jobs when it is asked for them, and misbehaves as it is told."""

    url: str = ""
    collections: set[str] = dataclasses.field(default_factory=set)
    documents: dict[str, bytes] = dataclasses.field(default_factory=dict)
    forms: list[dict[str, str]] = dataclasses.field(default_factory=list)
    lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    parts: int = 0
    jobs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    items: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    requests: list[str] = dataclasses.field(default_factory=list)
    priorities: list[str | None] = dataclasses.field(default_factory=list)  # of uploads
    events: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # of any job; one a request
    busy: int = 0  # so many uploads are answered 503 first
    refuse: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)  # external id -> status, code
    fail: dict[str, str] = dataclasses.field(default_factory=dict)  # external id or text -> code of its job's failure
    endless: bool = False  # jobs never end
    full: bool = False  # nothing can be made

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/documents/by-external-id/{name:path}", self.put, methods=["PUT"]),
                Route("/v1/documents/batch", self.batch, methods=["POST"]),
                Route("/v1/collections", self.new_collection, methods=["POST"]),
                Route("/v1/collections/{name}", self.collection),
                Route("/v1/jobs", self.page),
                Route("/v1/jobs/{job_id}", self.show),
                Route("/v1/jobs/{job_id}/items", self.show_items),
                Route("/v1/jobs/{job_id}/events", self.show_events),
                Route("/v1/search", self.search, methods=["POST"]),
                Route("/v1/backup", self.backup, methods=["POST"]),
                Route("/page/{name:path}", self.web_page),
            ],
            middleware=[Middleware(Guard, fake=self)],
        )

    async def new_collection(self, request: Request) -> Response:
        if self.full:
            return problem(507, "storage_full", "the disk is full")
        self.collections.add((await request.json())["name"])
        return JSONResponse({}, status_code=201)

    async def collection(self, request: Request) -> Response:
        known = request.path_params["name"] in self.collections
        return JSONResponse({}) if known else problem(404, "unknown_collection", "no such collection")

    async def show(self, request: Request) -> Response:
        return JSONResponse(self.ended(request.path_params["job_id"]))

    async def show_items(self, request: Request) -> Response:
        return JSONResponse({"data": self.items[request.path_params["job_id"]], "has_more": False, "next": None})

    async def show_events(self, _: Request) -> Response:
        body = f": alive\n\nevent: job\ndata: {json.dumps(self.events.pop(0))}\n\n:\n\n"
        return Response(body, media_type="text/event-stream")

    async def search(self, _: Request) -> Response:
        hit = {"document_id": "d", "external_id": "\x1b]0;x\x07.txt", "title": "T\x9b1m", "text": "pay\x1b[2J\nnow"}
        return JSONResponse({"hits": [hit | {"score": 0.5, "page": 3, "start": 10, "end": 20}]})

    async def backup(self, _: Request) -> Response:
        return Response(b"archive" * 1000, media_type="application/x-tar")

    async def web_page(self, request: Request) -> Response:
        target = request.url if request.path_params["name"] == "loop" else request.query_params.get("to")
        return RedirectResponse(target) if target else HTMLResponse("<p>a page</p>")

    async def put(self, request: Request) -> Response:
        external_id = request.path_params["name"]
        self.priorities.append(request.query_params.get("priority"))
        async with request.form() as form:
            upload = form["file"]
            assert not isinstance(upload, str)
            content = await upload.read()
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if self.busy > 0:
            self.busy -= 1
            return problem(503, "overloaded", "no place is free", headers={"Retry-After": "0"})
        if external_id in self.refuse:
            status, code = self.refuse[external_id]
            return problem(status, code, f"{code} it is")
        self.forms.append(fields)
        if self.documents.get(external_id) == content:
            return JSONResponse({"document_id": external_id, "version_id": "v", "job_id": None, "state": "live"})
        self.documents[external_id] = content
        job_id = self.job("ingest", self.fail.get(external_id))
        return JSONResponse(
            {"document_id": external_id, "version_id": "v", "job_id": job_id, "state": "pending"}, status_code=202
        )

    async def batch(self, request: Request) -> Response:
        self.parts += 1
        items, rejected, unchanged = [], [], 0
        for number, raw in enumerate((await request.body()).splitlines(), start=1):
            line = json.loads(raw)
            self.lines.append(line)
            if not line["text"].strip():
                rejected.append({"line": number, "code": "empty_file", "message": "no visible character"})
                continue
            if line["text"] == "there already":
                unchanged += 1
                continue
            code = self.fail.get(line["text"])
            error = {"code": code, "message": "it broke", "retryable": False} if code else None
            items.append(
                {"line": number, "document_id": "d", "state": "failed" if code else "completed", "error": error}
            )
        job_id = self.job("batch", None)
        self.items[job_id] = items
        counts = {"accepted": len(items), "unchanged": unchanged, "rejected_total": len(rejected)}
        body = {"job_id": job_id, "rejected": rejected, **counts}
        return JSONResponse(body, status_code=202)

    def job(self, kind: str, failure: str | None) -> str:
        job_id = str(uuid.uuid4())
        self.jobs[job_id] = {
            "id": job_id,
            "kind": kind,
            "state": "failed" if failure else "completed",
            "collection": "default",
            "progress": {"done": 1, "failed": 0, "total": 1, "unit": "documents"},
            "warnings": [],
            "error": {"code": failure, "message": "it broke", "retryable": False} if failure else None,
        }
        return job_id

    def ended(self, job_id: str) -> dict[str, Any]:
        return self.jobs[job_id] | ({"state": "running"} if self.endless else {})

    async def page(self, request: Request) -> Response:
        ids = list(reversed(self.jobs))
        after, limit = request.query_params.get("after"), int(request.query_params["limit"])
        first = ids.index(after) + 1 if after else 0
        chosen = ids[first : first + limit]
        more = first + limit < len(ids)
        data = [self.ended(each) for each in chosen]
        return JSONResponse({"data": data, "has_more": more, "next": chosen[-1] if more else None})


class Guard:
    """Writes requests down, and asks for the key where documents are."""

    def __init__(self, app: ASGIApp, fake: FakeService) -> None:
        self._app = app
        self._fake = fake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self._fake.requests.append(f"{request.method} {request.url.path}")
        known = request.headers.get("authorization") == f"Bearer {KEY}" or request.url.path.startswith("/page/")
        answer = self._app if known else problem(401, "unauthenticated", "this API key is unknown")
        await answer(scope, receive, send)


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"status": status, "code": code, "detail": detail}, status_code=status, headers=headers)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with running(FakeService()) as fake:
        yield fake


@contextlib.contextmanager
def running(fake: FakeService) -> Iterator[FakeService]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # so named, asyncio sets NODELAY
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(fake.app(), log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def run(fake: FakeService, *arguments: object, key: str = KEY, stdin: bytes | None = None) -> Result:
    said = [str(each) for each in arguments]
    return CliRunner().invoke(application.app, [*said, "--url", fake.url, "--key", key], input=stdin)


def outcomes(result: Result) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return lines[:-1], lines[-1]["summary"]


def a_folder(root: pathlib.Path, **files: str) -> pathlib.Path:
    folder = root / "notes"
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".txt").write_text(text)
    return folder


def test_a_folder_goes_in_under_the_paths_below_it_and_a_second_run_changes_nothing(
    service: FakeService, tmp_path: pathlib.Path
) -> None:
    folder = a_folder(tmp_path, a="one", deep__b="two")
    (folder / ".hidden.txt").write_text("never")

    first = run(service, "ingest", folder, "--json")
    second = run(service, "ingest", folder, "--json")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert service.documents == {"a.txt": b"one", "deep/b.txt": b"two"}
    assert service.collections == {"default"}
    lines, summary = outcomes(first)
    assert {(each["external_id"], each["state"]) for each in lines} == {
        ("a.txt", "completed"),
        ("deep/b.txt", "completed"),
    }
    assert (summary["documents"], summary["completed"], summary["failures"]) == (2, 2, [])
    assert outcomes(second)[1]["unchanged"] == 2


def test_hundreds_of_jobs_are_followed_by_pages_of_the_list(service: FakeService, tmp_path: pathlib.Path) -> None:
    folder = a_folder(tmp_path, **{f"n{number:04}": str(number) for number in range(450)})

    result = run(service, "ingest", folder, "--json")

    assert result.exit_code == 0, result.output
    assert outcomes(result)[1]["completed"] == 450
    looks = [each for each in service.requests if each.startswith("GET /v1/jobs")]
    assert len(looks) < 100


def test_refused_and_failed_documents_are_listed_with_their_codes_and_the_others_go_in(
    service: FakeService, tmp_path: pathlib.Path
) -> None:
    service.refuse = {"song.txt": (415, "unsupported_format")}
    service.fail = {"bad.txt": "unreadable_document"}
    folder = a_folder(tmp_path, song="x", bad="y", good="z")

    result = run(service, "ingest", folder)

    assert result.exit_code == 1
    assert "1 completed" in result.stdout
    assert "2 failed" in result.stdout
    assert "song.txt: unsupported_format it is [unsupported_format]" in result.stdout
    assert "bad.txt: it broke [unreadable_document]" in result.stdout


def test_a_busy_service_is_asked_again_with_the_whole_file(service: FakeService, tmp_path: pathlib.Path) -> None:
    service.busy = 2
    folder = a_folder(tmp_path, a="one")

    result = run(service, "ingest", folder, "--json")

    assert result.exit_code == 0, result.output
    assert service.documents == {"a.txt": b"one"}
    assert sum(each.startswith("PUT") for each in service.requests) == 3


def test_a_wrong_key_ends_the_command_at_once(service: FakeService, tmp_path: pathlib.Path) -> None:
    folder = a_folder(tmp_path, **{f"n{number}": "x" for number in range(50)})

    result = run(service, "ingest", folder, key="fn_wrong")

    assert result.exit_code == 1
    assert "this API key is unknown [unauthenticated]" in result.stderr
    assert len(service.requests) == 1


def test_what_is_refused_before_anything_went_in_does_not_look_like_nothing_to_do(
    service: FakeService, tmp_path: pathlib.Path
) -> None:
    service.full = True

    result = run(service, "ingest", a_folder(tmp_path, a="one"))

    assert result.exit_code == 1
    assert "the disk is full [storage_full]" in result.stderr
    assert "nothing to do" not in result.stdout
    assert "0 documents in" in result.stdout
    assert "none was finished" in result.stdout


def test_an_address_of_no_service_is_said_in_one_sentence() -> None:
    result = run(FakeService(url="gopher://127.0.0.1"), "search", "anything")

    assert result.exit_code == 1
    assert "is no URL of a service" in result.stderr
    assert "Traceback" not in result.output


def test_json_lines_are_mapped_and_every_bad_line_is_named(service: FakeService, tmp_path: pathlib.Path) -> None:
    service.fail = {"breaks": "unreadable_document"}
    lines = [
        '{"_id": 7, "body": "first", "year": 1999, "title": "One"}',
        "not json",
        "",
        '{"_id": "8", "body": "breaks"}',
        '{"_id": "9"}',
        '{"body": " "}',
    ]
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    mapping = ["--map", "external_id=_id", "--map", "text=body", "--map", "metadata.year=year"]

    result = run(service, "ingest", path, *mapping, "--metadata", "source=test", "--json")

    assert result.exit_code == 1
    found, summary = outcomes(result)
    assert service.lines[0] == {
        "text": "first",
        "title": "One",
        "external_id": "7",
        "metadata": {"source": "test", "year": 1999},
    }
    assert {(each["line"], each["state"], each.get("error", {}).get("code")) for each in found} == {
        (1, "completed", None),
        (2, "failed", "invalid_json"),
        (4, "failed", "unreadable_document"),
        (5, "failed", "no_text"),
        (6, "failed", "empty_file"),
    }
    assert next(each for each in found if each["line"] == 6)["external_id"] == "corpus.jsonl.gz/6"
    assert (summary["completed"], summary["failed"], len(summary["failures"])) == (1, 4, 4)


def test_lines_go_out_in_parts(service: FakeService, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"text": "text {number}"}}\n' for number in range(2500)))

    result = run(service, "ingest", path, "--json")

    assert result.exit_code == 0, result.output
    assert service.parts == 3
    assert outcomes(result)[1]["completed"] == 2500


def test_json_lines_without_a_text_are_one_document(service: FakeService, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "records.ndjson"
    path.write_text('{"sku": 1}\n')

    result = run(service, "ingest", path)

    assert result.exit_code == 0, result.output
    assert list(service.documents) == ["records.ndjson"]


def test_another_programs_lines_in_a_folder_are_one_document_and_named_they_are_a_batch(
    service: FakeService, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    path = folder / "tweets.ndjson"
    path.write_text('{"text": "one", "metadata": {"author": {"name": "ann"}}}\n')

    whole = run(service, "ingest", folder, "--json")
    named = run(service, "ingest", path, "--no-wait", "--json")

    assert (whole.exit_code, named.exit_code) == (0, 0), whole.output
    assert list(service.documents) == ["tweets.ndjson"]
    assert [each["external_id"] for each in outcomes(named)[0]] == ["tweets.ndjson/1"]


def test_what_the_command_line_says_goes_with_the_document(service: FakeService, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")

    result = run(
        service, "ingest", path, "--title", "A", "--external-id", "x/y z?#é.txt", "--readers", "user:ann",
        "--metadata", "year=2024", "--metadata", "kind=note", "--metadata", 'code="7"', "--collection", "own",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert list(service.documents) == ["x/y z?#é.txt"]
    [form] = service.forms
    assert form["title"] == "A"
    assert json.loads(form["readers"]) == ["user:ann"]
    assert json.loads(form["metadata"]) == {"year": 2024, "kind": "note", "code": "7"}
    assert service.collections == {"own"}


def test_standard_input_is_named_by_its_content(service: FakeService) -> None:
    first = run(service, "ingest", "-", stdin=b"piped")
    second = run(service, "ingest", "-", "--json", stdin=b"piped")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    [name] = service.documents
    assert name.startswith("stdin/")
    assert outcomes(second)[1]["unchanged"] == 1


def test_an_address_is_fetched_and_named_without_its_scheme(service: FakeService) -> None:
    result = run(service, "ingest", f"{service.url}/page/a//manual.html?x=1")

    assert result.exit_code == 0, result.output
    assert service.documents == {f"{service.url.removeprefix('http://')}/page/a/manual.html?x=1": b"<p>a page</p>"}


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ftp://127.0.0.1/a", "only http and https addresses are fetched [download_failed]"),
        ("{url}/page/a?to=file:///etc/hostname", "only http and https addresses are fetched [download_failed]"),
        ("{url}/page/loop", "Exceeded maximum allowed redirects. [download_failed]"),
        ("{url}/nothing", "answered 401 [download_failed]"),
    ],
)
def test_an_address_that_can_not_be_fetched_is_an_error(service: FakeService, address: str, sentence: str) -> None:
    result = run(service, "ingest", address.format(url=service.url))

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert service.documents == {}


def test_a_download_ends_at_the_limit(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_MAX_UPLOAD_BYTES", "5")

    result = run(service, "ingest", f"{service.url}/page/a")

    assert result.exit_code == 1
    assert "has more than 5 bytes, the limit: FOOTNOTE_MAX_UPLOAD_BYTES [too_large]" in result.stderr


def test_two_files_of_one_name_are_refused_before_anything_is_sent(
    service: FakeService, tmp_path: pathlib.Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.txt").write_text(folder)

    result = run(service, "ingest", tmp_path / "a", tmp_path / "b")

    assert result.exit_code == 1
    assert "[external_id_twice]" in result.stderr
    assert service.requests == []


def test_without_waiting_documents_are_reported_as_accepted(service: FakeService, tmp_path: pathlib.Path) -> None:
    service.endless = True
    folder = a_folder(tmp_path, a="one")
    (folder / "b.jsonl").write_text('{"text": "two"}\n')

    result = run(service, "ingest", folder, "--no-wait", "--json")

    assert result.exit_code == 0, result.output
    assert {each["state"] for each in outcomes(result)[0]} == {"accepted"}


@pytest.mark.parametrize("wait", ["--wait", "--no-wait"])
def test_lines_that_are_there_already_are_reported_as_unchanged(
    service: FakeService, tmp_path: pathlib.Path, wait: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "there already"}\n{"text": "new"}\n{"text": "there already"}\n')

    result = run(service, "ingest", path, wait, "--json")

    assert result.exit_code == 0, result.output
    state = {"--wait": "completed", "--no-wait": "accepted"}[wait]
    assert [each["state"] for each in outcomes(result)[0]] == ["unchanged", state, "unchanged"]
    assert outcomes(result)[1]["unchanged"] == 2


def test_one_document_is_one_document(service: FakeService, tmp_path: pathlib.Path) -> None:
    result = run(service, "ingest", a_folder(tmp_path, a="one"))

    assert "1 document in" in result.stdout


@pytest.mark.slow
def test_ctrl_c_says_what_is_under_way(service: FakeService, tmp_path: pathlib.Path) -> None:
    service.endless = True
    folder = a_folder(tmp_path, a="one", b="two")
    command = [sys.executable, "-m", "ingestion.cli", "ingest", str(folder), "--url", service.url, "--key", KEY]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any("GET /v1/jobs" in each for each in service.requests) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "not sent: 0 of 2 files; under way: 2 documents; the same command again goes on" in said
    assert "Traceback" not in said


def test_a_file_that_may_not_be_read_fails_alone(service: FakeService, tmp_path: pathlib.Path) -> None:
    folder = a_folder(tmp_path, a="one")
    (folder / "broken.txt").symlink_to(tmp_path / "nowhere")

    result = run(service, "ingest", folder)

    assert result.exit_code == 1
    assert "broken.txt can't be read: no such file or directory [unreadable_file]" in result.stdout
    assert list(service.documents) == ["a.txt"]


def test_a_hit_reaches_the_screen_without_its_control_sequences(service: FakeService) -> None:
    plain = run(service, "search", "pay")
    full = run(service, "search", "pay", "--full")

    assert "\ufffd]0;x\ufffd.txt, page 3, characters 10-20" in plain.stdout
    for shown in (plain.stdout, full.stdout):
        assert "\x1b" not in shown
        assert "\x9b" not in shown


def test_a_backup_is_one_file_and_overwrites_none(service: FakeService, tmp_path: pathlib.Path) -> None:
    first = run(service, "backup", tmp_path / "all.tar", "--json")
    second = run(service, "backup", tmp_path / "all.tar")

    assert json.loads(first.stdout) == {"file": str(tmp_path / "all.tar"), "bytes": 7000}
    assert (tmp_path / "all.tar").read_bytes() == b"archive" * 1000
    assert (second.exit_code, "[target_exists]" in second.stderr) == (1, True)
    assert [each.name for each in tmp_path.iterdir()] == ["all.tar"]


def test_more_than_a_few_files_are_sent_as_bulk(service: FakeService, tmp_path: pathlib.Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text(f"note {number}")
    few = [str(tmp_path / f"{number}.txt") for number in range(3)]

    assert run(service, "ingest", *few).exit_code == 0
    assert service.priorities == [None] * 3
    assert run(service, "ingest", str(tmp_path)).exit_code == 0
    assert service.priorities[3:] == ["bulk"] * 4


def test_a_job_is_watched_until_it_has_ended_though_the_service_stops_in_between(service: FakeService) -> None:
    def job(state: str, **parts: Any) -> dict[str, Any]:
        progress = {"done": parts.pop("done", 0), "failed": 0, "total": 9, "unit": "chunks"}
        return {"id": "j", "state": state, "stage": "index", "progress": progress, "error": None, **parts}

    service.events = [
        job("queued", queue_position=2, estimated_start_seconds=40),
        job("running", done=3),
        job("failed", done=3, error={"code": "worker_lost", "message": "it is not\x1b[2J tried again"}),
    ]
    watched = run(service, "jobs", "watch", "j")
    assert watched.exit_code == 1
    assert watched.stdout.splitlines() == [
        "queued, 2 documents before it, begins in about 40 s",
        "running, index, 3 of 9 chunks",
        "failed, 3 of 9 chunks, worker_lost: it is not\ufffd[2J tried again",
    ]

    service.events = [job("completed", done=9)]
    watched = run(service, "jobs", "watch", "j", "--json")
    assert watched.exit_code == 0
    assert json.loads(watched.stdout)["state"] == "completed"
