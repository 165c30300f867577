"""The error vocabulary of the whole product.

FootnoteError                       code, message for a person, retryable
├── InvalidInputError               the caller's request is wrong: 400/413/415/422
│   ├── EmptyFileError  TooLargeError  UnsupportedFormatError  BadNameError
│   ├── BadFilterError  BadCursorError  BadQueryError  BadMetadataError
├── UnauthenticatedError            no key, a wrong key, a revoked key: 401
├── ForbiddenError                  the role does not allow it: 403
├── NotFoundError                   absent, or not for this caller: 404, always the same answer
├── ConflictError                   taken, busy or changed under the caller: 409
├── DocumentError                   this one document can't be read, for good; fails its item alone
├── FingerprintMismatchError        the collection was built with another embedder: 409
├── ConfigurationError              refuses to start; says what is missing
│   ├── FolderInUseError  FolderNewerError
│   └── BadCatalogueError           the file of models is not usable: 422 where it is read anew
├── LeaseLostError                  another worker holds the item now; stop writing
├── ModelRefusedError               a model's provider will not take this request or this key, however often: 502
├── OutputInvalidError              a model's output does not meet the schema, after repairs: 502
└── TransientError                  may go away by itself: the only kind that is retried; 503
    ├── PartDownError               a part of the installation does not answer; no fault of what was asked of it
    ├── OverloadedError             a full pool; carries retry_after_seconds
    │   ├── QueueFullError          a workspace has as much queued as it may: 429
    │   ├── RateLimitedError        a key makes more requests than it may: 429
    │   └── ModelBusyError          a model has as many calls as it may, or its provider says so
    ├── StorageFullError            no room left on a disk
    ├── DeadlineExceededError       a step ran longer than it may
    │   └── ModelTimeoutError       a model says nothing for too long
    └── ModelDownError              a model's server can't be reached, fails, or breaks off
"""

from __future__ import annotations


class FootnoteError(Exception):
    """Base of everything that this product raises on purpose."""

    code = "error"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        """Take the sentence that a person reads; `code` narrows the class's own code."""
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    @property
    def explained(self) -> str:
        """The sentence as logs and this machine's terminal show it; clients are shown `message`."""
        return self.message


class InvalidInputError(FootnoteError):
    """The request can't be carried out as it is."""

    code = "invalid_request"


class EmptyFileError(InvalidInputError):
    """A file of 0 bytes, or a text without one visible character."""

    code = "empty_file"


class TooLargeError(InvalidInputError):
    """Larger than a limit; the message names the size, the limit and the setting."""

    code = "too_large"


class UnsupportedFormatError(InvalidInputError):
    """No loader reads this format; the message lists those that are read."""

    code = "unsupported_format"


class BadNameError(InvalidInputError):
    """A file name, external id, collection or workspace name that is not allowed."""

    code = "bad_name"


class BadFilterError(InvalidInputError):
    """A metadata filter that is not well formed."""

    code = "bad_filter"


class BadCursorError(InvalidInputError):
    """`after` is not a cursor that this list gave."""

    code = "bad_cursor"


class BadQueryError(InvalidInputError):
    """A query that is empty or over the limit."""

    code = "bad_query"


class BadMetadataError(InvalidInputError):
    """Metadata that is not a flat object of strings, numbers and booleans within the limits."""

    code = "bad_metadata"


class UnauthenticatedError(FootnoteError):
    """No key, an unknown key, or one that was revoked or has expired."""

    code = "unauthenticated"


class ForbiddenError(FootnoteError):
    """The caller's role does not allow this."""

    code = "forbidden"


class NotFoundError(FootnoteError):
    """It does not exist, or the caller may not know that it does."""

    code = "not_found"


class ConflictError(FootnoteError):
    """The state of the thing does not allow this now."""

    code = "conflict"


class DocumentError(FootnoteError):
    """One document can't be ingested, whatever is tried again; its item fails with this code."""

    code = "unreadable_document"


class FingerprintMismatchError(FootnoteError):
    """The collection was built with another embedder; the message names the command that re-embeds."""

    code = "fingerprint_mismatch"


class ConfigurationError(FootnoteError):
    """The settings or the machine do not allow a start."""

    code = "configuration"


class FolderInUseError(ConfigurationError):
    """Another process holds the data folder; the message names its pid and URL."""

    code = "folder_in_use"


class FolderNewerError(ConfigurationError):
    """The data folder was written by a newer version of Footnote."""

    code = "folder_newer"


class BadCatalogueError(ConfigurationError):
    """The file of models is not usable; the message names file, table and key. What was in force stays so."""

    code = "bad_catalogue"


class LeaseLostError(FootnoteError):
    """The item's lease token has moved on: whoever raised this must write nothing more."""

    code = "lease_lost"


class ModelRefusedError(FootnoteError):
    """The provider refuses the request or the key; the same call would be refused again.

    Codes: `model_unauthorized` (401, 403), `model_not_found` (404), `context_too_long`, `model_refused` (any other 4xx).
    """

    code = "model_refused"


class OutputInvalidError(FootnoteError):
    """The model's output does not meet `response_schema`; the message names the first place where it does not."""

    code = "output_invalid"


class TransientError(FootnoteError):
    """May pass by itself; the only kind that is retried."""

    code = "unavailable"
    retryable = True


class PartDownError(TransientError):
    """The database, the index or the file store does not answer, whatever it is asked."""

    @property
    def explained(self) -> str:
        """With the first line of what caused it: an address, a refused port."""
        cause: BaseException = self
        while cause.__cause__ is not None:
            cause = cause.__cause__
        said = "" if cause is self else str(cause).strip().partition("\n")[0]
        return f"{self.message} ({said})" if said else self.message


class OverloadedError(TransientError):
    """No place is free; come back after `retry_after_seconds`."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        """Take the sentence and the seconds that the caller should wait."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(OverloadedError):
    """A workspace has as many documents waiting as it may have; the message names the limit and the setting."""

    code = "queue_full"


class RateLimitedError(OverloadedError):
    """A key has made as many requests as it may; the message names the limit and the setting."""

    code = "rate_limited"


class StorageFullError(TransientError):
    """The disk has no room, or less than FOOTNOTE_MIN_FREE_BYTES."""

    code = "storage_full"


class DeadlineExceededError(TransientError):
    """A step ran longer than its deadline."""

    code = "deadline_exceeded"


class ModelTimeoutError(DeadlineExceededError):
    """A model did not begin, go on, or end in the time that it has."""

    code = "model_timeout"


class ModelDownError(TransientError):
    """A model's server can't be reached, answers 5xx, says what is no answer, or breaks off in the middle."""

    code = "model_down"


class ModelBusyError(OverloadedError):
    """As many calls as the catalogue or the provider allows are under way; carries retry_after_seconds."""

    code = "model_busy"
