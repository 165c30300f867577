"""What `footnote ask` prints, and how it reads a stream."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from ingestion.cli import application, ask, client
from ingestion.cli.errors import RefusedError

Json = dict[str, Any]


def citation(n: int, quote: str, **parts: Any) -> Json:
    return {
        "n": n,
        "document_id": "0199",
        "external_id": "a/b.txt",
        "title": "Title",
        "page": None,
        "start": 3,
        "end": 9,
        "quote": quote,
        **parts,
    }


def answer(*said: str, status: str = "answered", **parts: Any) -> Json:
    return {
        "status": status,
        "sentences": [{"text": text, "citations": [n]} for n, text in enumerate(said, 1)],
        "citations": [citation(n, text) for n, text in enumerate(said, 1)],
        "confidence": 0.874,
        "warnings": [],
        **parts,
    }


def printed(capsys: pytest.CaptureFixture[str], told: Json, *, coloured: bool = False, raised: bool = True) -> str:
    page = ask._Page(coloured=coloured, raised=raised)
    for sentence in told["sentences"]:
        page.sentence(sentence)
    page.end(told)
    return capsys.readouterr().out


def test_sentences_carry_marks_and_the_footnotes_stand_below(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, answer("One.", "Two.")).splitlines() == [
        "One.¹ Two.²",
        "",
        "¹ Title, a/b.txt, characters 3-9",
        "  “One.”",
        "² Title, a/b.txt, characters 3-9",
        "  “Two.”",
        "confidence 87 %",
    ]


def test_where_there_are_no_raised_digits_marks_are_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, answer("One."), raised=False).startswith(
        'One.[^1]\n\n[^1] Title, a/b.txt, characters 3-9\n  "One."'
    )


def test_rows_of_a_table_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, answer("a | b", "1 | 2")).startswith("a | b¹\n1 | 2²\n\n")


def test_pages_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    told = answer("One.") | {"citations": [citation(1, "One.", page=7, external_id=None)]}
    assert "¹ Title, 0199, page 7, characters 3-9" in printed(capsys, told)


@pytest.mark.parametrize("coloured", [True, False])
def test_no_escape_of_a_document_reaches_the_terminal(
    capsys: pytest.CaptureFixture[str],
    *,
    coloured: bool,
) -> None:
    evil = "\x1b[31mred\x07 \u202eback\x9b2J over¹ [1]\r\nnext"
    told = answer(evil) | {
        "citations": [citation(1, evil, title=evil, external_id=evil)],
        "warnings": [{"code": "x", "message": evil}],
        "candidates": [{"score": 1.0, "text": evil}],
        "timings_ms": {},
    }
    shown = printed(capsys, told, coloured=coloured)
    ours = shown.replace("\x1b[36m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert not set("\x1b\x07\u202e\x9b\r") & set(ours)
    assert "over^1 [1]" in ours  # a mark of the source's own does not look like ours
    assert coloured == (ours != shown)


def test_what_is_not_said_is_told_with_what_comes_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    hit = {"document_id": "0199", "external_id": "x", "title": "x", "page": 2, "start": 0, "end": 5, "text": "t" * 300}
    lines = printed(capsys, answer(status="no_answer", nearest=[hit] * 5)).splitlines()
    assert lines[0] == "Not in the documents, as far as can be told (confidence of the best guess: 87 %)."
    assert lines[1:4] == ["Nearest to it:", "- x, page 2, characters 0-5", f"  {'t' * 200}…"]
    assert len(lines) == 8


def test_a_refusal_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(status="refused", warnings=[{"code": "not_a_question", "message": "no word"}])
    page = ask._Page(coloured=False, raised=True)
    page.end(told)
    seen = capsys.readouterr()
    assert seen.out == "There is nothing to answer.\n"
    assert seen.err == "note: no word\n"


def test_how_a_question_was_read_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    page = ask._Page(coloured=False, raised=True)
    page.end(answer("One.", standalone_question="Who is\x1b[2J Marlow's harbour master?"))
    assert capsys.readouterr().err == "read as: Who is\ufffd[2J Marlow's harbour master?\n"


def blocks(*pieces: str) -> Iterator[bytes]:
    return iter([piece.encode() for piece in pieces])


def test_events_are_read_however_they_are_cut() -> None:
    text = 'event: sentence\ndata: {"text":"a\u2028b\x85c"}\n\nevent: answer\ndata: {"n":1}\n\n'
    whole = list(client._events(blocks(text)))
    assert whole == [("sentence", {"text": "a\u2028b\x85c"}), ("answer", {"n": 1})]
    raw = text.encode()
    assert list(client._events(raw[at : at + 1] for at in range(len(raw)))) == whole


def test_an_error_in_a_stream_is_raised() -> None:
    told = json.dumps({"detail": "too slow", "code": "deadline_exceeded", "status": 503})
    with pytest.raises(RefusedError, match="too slow") as raised:
        list(client._events(blocks(f"event: error\ndata: {told}\n\n")))
    assert (raised.value.code, raised.value.status) == ("deadline_exceeded", 503)


def test_what_was_not_said_to_ask_is_not_sent() -> None:
    asked: list[dict[str, Any]] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as the library has it
            """Not onto the terminal."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = ["--json", "--key", "k", "--url", f"http://127.0.0.1:{server.server_port}"]
        for more in ([], ["--model", "strong", "--max-cost", "0", "--conversation", "c", "--explain"]):
            done = CliRunner().invoke(application.app, ["ask", "Who?", *more, *there])
            assert done.exit_code == 0, done.stderr
        server.shutdown()

    plain = {"question": "Who?", "max_sources": 10}
    more_said = {"model": "strong", "max_cost_usd": 0.0, "conversation_id": "c", "explain": True}
    assert asked == [plain, plain | more_said]
