"""What a local disk raises, as errors of ours."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from app.domain.errors import ConfigurationError, FootnoteError, StorageFullError, TransientError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CLOSED_TO_US = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def is_full(error: Exception) -> bool:
    """Whether it says that there is no room left."""
    return isinstance(error, StorageFullError) or (isinstance(error, OSError) and error.errno in _FULL)


@contextlib.contextmanager
def our_errors(place: object = "a file") -> Iterator[None]:
    """Translate what is raised within; `place` is named where the system names no file.

    Raises:
        StorageFullError: no room.
        ConfigurationError: it may not be written to, code `read_only`.
        TransientError: any other trouble of the disk, code `files_unavailable`.
    """
    try:
        yield
    except FootnoteError:
        raise
    except OSError as error:
        raise _our_error(error, place) from error


def _our_error(error: OSError, place: object) -> FootnoteError:
    where = error.filename or place
    if is_full(error):
        return StorageFullError(f"no room left to write {where}: {error.strerror}")
    if error.errno in _CLOSED_TO_US:
        return ConfigurationError(f"{where} can't be written: {error.strerror}", code="read_only")
    return TransientError(f"{where}: {error.strerror or error}", code="files_unavailable")
