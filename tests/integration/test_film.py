"""docs/film.md stays true: what it types is typed, what it prints is printed."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from ingestion.cli import connection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = pathlib.Path(__file__).parents[2]
_FILM = (ROOT / "docs" / "film.md").read_text(encoding="utf-8")
_START_SECONDS = 120.0


def scenes() -> list[tuple[str, str]]:
    """What is typed, and what is printed then."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", _FILM, re.DOTALL):
        for scene in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            typed, _, printed = scene.partition("\n")
            found.append((typed, printed))
    return found


def pattern(printed: str) -> re.Pattern[str]:
    """A line of `…` alone is any lines, within a line it is anything."""
    lines = []
    for line in printed.rstrip("\n").split("\n"):
        escaped = re.escape(line).replace("…", "[^\\n]*")
        lines.append("(?:[^\\n]*\\n)*?" if line == "…" else f"{escaped}\\n")
    return re.compile("".join(lines) + r"\n*\Z")


def matches(printed: str, found: str) -> bool:
    return pattern(printed).match(found.rstrip("\n") + "\n") is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("film") / "data"


def environment(folder: pathlib.Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
    return {**kept, "FOOTNOTE_DATA_DIR": str(folder), "PYTHONIOENCODING": "utf-8"}


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[str]:
    command = [sys.executable, "-m", "ingestion.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment(folder), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + _START_SECONDS
        while (holder := connection.find(folder)) is None:
            assert process.poll() is None, "the service ended"
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.05)
        try:
            yield holder.url
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def typed_at_the_prompt(typed: str, folder: pathlib.Path) -> str:
    words = shlex.split(typed)
    assert words[0] == "footnote"
    command = [sys.executable, "-m", "ingestion.cli", *words[1:]]
    ended = subprocess.run(
        command, env=environment(folder), cwd=ROOT, capture_output=True, timeout=110, check=False, encoding="utf-8"
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def sent_by_curl(typed: str, url: str, folder: pathlib.Path) -> str:
    words = shlex.split(typed.replace("$KEY", (folder / "admin.key").read_text().strip()))
    assert words[:2] == ["curl", "-s"]
    address = words[2].replace("http://127.0.0.1:8321", url)
    options = list(zip(words[3::2], words[4::2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
    (body,) = (value for name, value in options if name == "-d")
    reply = httpx.post(address, headers=headers, content=body, timeout=60, trust_env=False)
    assert reply.status_code == 200, reply.text
    if reply.headers["content-type"].startswith("text/event-stream"):
        return reply.text
    return json.dumps(reply.json(), indent=2, ensure_ascii=False)


def test_the_film_shows_what_happens(folder: pathlib.Path) -> None:
    shown = scenes()
    assert len(shown) > 7
    first, *others = shown
    typed_at_the_prompt(first[0], folder)
    with serving(folder) as url:
        for typed, printed in others:
            found = sent_by_curl(typed, url, folder) if typed.startswith("curl") else typed_at_the_prompt(typed, folder)
            assert matches(printed, found), f"$ {typed}\n{found}\nand not\n{printed}"


def test_a_film_that_lies_is_found_out() -> None:
    assert matches("a … c\n", "a b c\n")
    assert not matches("a … c\n", "a\nb c\n")
    assert matches("a\n…\nc\n", "a\n1\n2\nc")
    assert matches("a\n…\n", "a\n1\n2\n")
    assert not matches("a\n", "a\nb\n")
    assert not matches("a\n…\nc\n", "a\n1\nc2\n")
