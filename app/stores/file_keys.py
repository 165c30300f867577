"""Keys of file stores."""

from __future__ import annotations

import re

from app.domain.errors import BadNameError

_KEY = re.compile(r"[a-z0-9_-]+(?:/[a-z0-9_-]+)*", re.ASCII)


def checked(key: str) -> str:
    """The key itself. Raises BadNameError where it is none."""
    if not _KEY.fullmatch(key):
        raise BadNameError(f"{key!r:.100} is not a key: lower-case letters, digits, - and _, parted by /")
    return key
