"""`footnote policy` and `footnote templates`, up to what they send."""

from __future__ import annotations

import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from ingestion.cli import application

Sent = tuple[str, str, Any]
POLICY = {"tone": "plain", "models": None, "refused_topics": ["pay"]}
VERSION = {"number": 3, "policy": POLICY, "note": "", "created_at": None, "key_id": None, "warnings": ["no such model"]}
TEMPLATE = {"name": "short", "number": 1, "system": "{{ rules }}\x1b[2J", "user": "a\nb", "note": ""}
PREVIEW = {"policy": POLICY, "label": None, "messages": [{"role": "system", "text": "line\nline\x1b[2J"}]}


class Service(http.server.ThreadingHTTPServer):
    """Answers whatever is asked with what such a path gives, and keeps what came."""

    daemon_threads = True

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        super().__init__(("127.0.0.1", 0), Asked)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Asked(http.server.BaseHTTPRequestHandler):
    server: Service

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        self.server.sent.append((self.command, path, json.loads(body) if body else None))
        found: Any = PREVIEW if path.endswith("preview") else TEMPLATE if "/templates/" in path else VERSION
        if path.endswith("/versions") or path == "/v1/templates":
            found = {"data": [found], "has_more": False, "next": None}
        reply = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_PUT = do_POST = answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def run(service: Service, *arguments: object) -> Any:
    said = [*map(str, arguments), "--url", service.url, "--key", "fn_x"]
    return CliRunner().invoke(application.app, said)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", '{"tone": "plain", "refused_topics": ["pay"]}'),
        ("p.toml", 'tone = "plain"\nrefused_topics = ["pay"]'),
    ],
)
def test_a_policy_is_set_from_json_or_toml(service: Service, tmp_path: pathlib.Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    done = run(service, "policy", "set", tmp_path / name, "-c", "a b", "--note", "why", "--if-number", 0)
    assert done.exit_code == 0, done.output
    body = {"tone": "plain", "refused_topics": ["pay"], "note": "why", "if_number": 0}
    assert service.sent == [("PUT", "/v1/collections/a%20b/policy", body)]
    assert "no such model" in done.stderr
    assert "plain" in done.stdout


@pytest.mark.parametrize(
    ("name", "content"), [("p.json", "{"), ("p.json", "[]"), ("p.toml", "= 1"), ("p.json", "\udcff"), ("none", None)]
)
def test_a_file_that_holds_no_policy_sends_nothing(
    service: Service, tmp_path: pathlib.Path, name: str, content: str | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    done = run(service, "policy", "set", tmp_path / name)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert service.sent == []


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["policy", "show"], ("GET", "/v1/policy", None)),
        (["policy", "show", "-c", "x"], ("GET", "/v1/collections/x/policy", None)),
        (["policy", "versions"], ("GET", "/v1/policy/versions", None)),
        (["policy", "rollback", 2], ("POST", "/v1/policy/rollback", {"number": 2})),
        (
            ["policy", "preview", "--question", "q", "--ask", "x", "--ask", "y"],
            ("POST", "/v1/policy/preview", {"question": "q", "collections": ["x", "y"]}),
        ),
        (["templates", "list"], ("GET", "/v1/templates", None)),
        (["templates", "show", "short"], ("GET", "/v1/templates/short", None)),
        (["templates", "versions", "short"], ("GET", "/v1/templates/short/versions", None)),
        (
            ["templates", "rollback", "short", 0, "--if-number", 3],
            ("POST", "/v1/templates/short/rollback", {"number": 0, "if_number": 3}),
        ),
    ],
)
def test_each_command_asks_for_its_path(service: Service, arguments: list[object], sent: Sent) -> None:
    for more in ([], ["--json"]):
        done = run(service, *arguments, *more)
        assert done.exit_code == 0, done.output
        assert "\x1b" not in done.stdout
        assert done.stdout.strip()
    assert service.sent == [sent, sent]


def test_a_template_is_set_and_tried_from_its_file(service: Service, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text('system = "{{ rules }}"\nuser = """\n{{ sources }}\n{{ question }}"""\n')
    assert run(service, "templates", "set", "short", path).exit_code == 0
    shown = run(service, "policy", "preview", "--template", path)
    template = {"system": "{{ rules }}", "user": "{{ sources }}\n{{ question }}"}
    assert [each[2] for each in service.sent] == [template, {"template": template}]
    assert "--- system\nline\nline\ufffd[2J" in shown.stdout
