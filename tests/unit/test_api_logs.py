"""Logs of a process, in one of its own: they are set up for all of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_PROGRAM = """
import logging, sys, structlog
from app.api.logs import configure
from app.settings import Settings
configure(Settings(log_format=sys.argv[1]))
log = structlog.get_logger("footnote")
def fail(document_text):
    raise LookupError("gone")
log.debug("hidden")
log.info("shown", request_id="r1")
try:
    fail("a confidential sentence")
except LookupError:
    log.exception("failed")
logging.getLogger("some.library").warning("from a library")
logging.getLogger("some.library").info("chatter")
"""


def _logged(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, form], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return done.stderr


def test_json_logs_are_one_object_a_line() -> None:
    lines = [json.loads(line) for line in _logged("json").splitlines()]
    assert [line["event"] for line in lines] == ["shown", "failed", "from a library"]
    assert lines[0]["request_id"] == "r1"
    assert lines[0]["level"] == "info"
    assert "LookupError: gone" in lines[1]["exception"]
    assert lines[2]["logger"] == "some.library"


@pytest.mark.parametrize("form", ["json", "text", "auto"])
def test_a_traceback_shows_no_variables(form: str) -> None:
    logged = _logged(form)
    assert "LookupError: gone" in logged
    assert "document_text" not in logged.replace("def fail(document_text)", "")
    assert "confidential" not in logged.replace('fail("a confidential sentence")', "")
