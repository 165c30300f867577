"""JSON responses, written here: nothing is validated on its way out, so that a reply costs what its bytes cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

# What a page that is careless with a reply could take for mark-up or for the end of a line of a script.
_ALIVE = tuple((char, f"\\u{ord(char):04x}") for char in "<>&\u2028\u2029")


def dumps(value: Any) -> str:
    """A value as compact JSON on one line, with no mark-up alive in it: `<`, `>` and `&` are written as escapes."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char, escape in _ALIVE:  # most replies hold none of them
        if char in written:
            written = written.replace(char, escape)
    return written


def text(body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of ready JSON."""
    content = body.encode("utf-8", "replace")
    return Response(content, status_code=status, headers=headers, media_type="application/json")


def of(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of a value."""
    return text(dumps(value), status=status, headers=headers)
