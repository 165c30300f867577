"""Pages of lists: `limit`, `after`, and what they give."""

from __future__ import annotations

import dataclasses
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


@dataclasses.dataclass(frozen=True, slots=True)
class Cursors:
    """The cursors of one list; those of another list are refused."""

    name: str  # of the list; begins each cursor

    def of(self, key: uuid.UUID | int) -> str:
        """The cursor of the page that begins after the row with this id or place."""
        return f"{self.name}-{key}"

    def after_id(self, cursor: str | None) -> uuid.UUID | None:
        """The id that a cursor stands for, or BadCursorError."""
        key = self._key(cursor, _UUID)
        return None if key is None else uuid.UUID(key)

    def after_ordinal(self, cursor: str | None) -> int | None:
        """The place that a cursor stands for, or BadCursorError."""
        key = self._key(cursor, _ORDINAL)
        return None if key is None else int(key)

    def _key(self, cursor: str | None, pattern: re.Pattern[str]) -> str | None:
        if cursor is None:
            return None
        key = cursor.removeprefix(f"{self.name}-")
        if key == cursor or not pattern.fullmatch(key):
            raise BadCursorError("`after` is not a cursor that this list gave")
        return key


def page(rows: Sequence[T], limit: int, *, shown: Callable[[T], Any], cursor: Callable[[T], str]) -> dict[str, Any]:
    """A page of at most `limit` of these rows; one row more than that says that there is a next page."""
    kept = rows[:limit]
    more = len(rows) > limit
    return {
        "data": [shown(row) for row in kept],
        "has_more": more,
        "next": cursor(kept[-1]) if more else None,
    }
