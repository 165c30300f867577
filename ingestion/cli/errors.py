"""What can go wrong between a command and a service.

FootnoteError
├── RefusedError        the service answered with a problem
├── UnreachableError    no answer came
├── UnknownKeyError     no key is at hand
├── LocalError          a file or a folder of this machine
└── StoppedError        given up because the person stopped the command
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.errors import FootnoteError


class RefusedError(FootnoteError):
    """The service answered with a problem; code and message are its own."""

    code = "refused"

    def __init__(self, message: str, *, code: str, status: int, rejected: Sequence[Mapping[str, Any]] = ()) -> None:
        """Take what the problem said, the HTTP status that it came with, and the lines that it names."""
        super().__init__(message, code=code)
        self.status = status
        self.rejected = rejected  # of a batch of which nothing went in: {line, code, message}

    @property
    def concerns_all(self) -> bool:
        """Whether the next document would be refused for the same reason: key, role, workspace, collection."""
        return self.status in (401, 403) or self.code == "unknown_collection"


class UnreachableError(FootnoteError):
    """No answer, after bounded retries."""

    code = "unreachable"


class UnknownKeyError(FootnoteError):
    """No key was given and none is to be found."""

    code = "no_key"


class LocalError(FootnoteError):
    """Something on this machine can't be read or written."""

    code = "unreadable_file"


class StoppedError(FootnoteError):
    """The person stopped the command while this was under way."""

    code = "stopped"
