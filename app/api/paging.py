"""Pages of lists: `limit`, `after`, and what they give."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from app.domain.errors import BadCursorError

T = TypeVar("T")

MAX_LIMIT = 200
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ORDINAL = re.compile(r"[0-9]{1,9}")

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="rows of one page")]
After = Annotated[str | None, Query(description="`next` of the page before")]


def after_id(cursor: str | None) -> uuid.UUID | None:
    """The id that a cursor stands for, or BadCursorError."""
    if cursor is None:
        return None
    if not _UUID.fullmatch(cursor):
        raise BadCursorError("`after` is not a cursor that this list gave")
    return uuid.UUID(cursor)


def after_ordinal(cursor: str | None) -> int | None:
    """The place that a cursor stands for, or BadCursorError."""
    if cursor is None:
        return None
    if not _ORDINAL.fullmatch(cursor):
        raise BadCursorError("`after` is not a cursor that this list gave")
    return int(cursor)


def page(rows: Sequence[T], limit: int, *, shown: Callable[[T], Any], cursor: Callable[[T], str]) -> dict[str, Any]:
    """A page of at most `limit` of these rows; one row more than that says that there is a next page."""
    kept = rows[:limit]
    more = len(rows) > limit
    return {
        "data": [shown(row) for row in kept],
        "has_more": more,
        "next": cursor(kept[-1]) if more else None,
    }
