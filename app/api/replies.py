"""JSON responses, written here: nothing is validated on its way out, so that a reply costs what its bytes cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


def dumps(value: Any) -> str:
    """A value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def text(body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of ready JSON."""
    content = body.encode("utf-8", "replace")
    return Response(content, status_code=status, headers=headers, media_type="application/json")


def of(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of a value."""
    return text(dumps(value), status=status, headers=headers)
