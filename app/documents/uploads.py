"""What a caller hands in, before it is accepted, and the rules for its parts."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import unicodedata
from collections.abc import Mapping, Sequence

from app.domain.access import ADMINS, EVERYONE
from app.domain.errors import BadFilterError, BadMetadataError, BadNameError
from app.domain.filters import MAX_KEY_CHARS, MAX_STRING_CHARS, Scalar, kind_of

MAX_EXTERNAL_ID_CHARS = 512  # a long path below a folder
MAX_TITLE_CHARS = 512
MAX_METADATA_KEYS = 64
MAX_READERS = 256
MAX_READER_CHARS = 128
MAX_NAME_CHARS = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_READER = re.compile(r"(user|group):\S(.*\S)?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Uploaded bytes on local disk, beside the store, read once while they came in."""

    path: pathlib.Path
    sha256: str  # hexadecimal
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One document as handed in. None leaves what an existing document has."""

    external_id: str | None
    title: str | None  # None: as the document itself says, else its file name
    metadata: Mapping[str, Scalar] | None
    readers: Sequence[str] | None  # None on a new document: everyone in the workspace
    filename: str
    media_type: str | None  # as declared; the content has the last word


def check_name(name: str, *, of: str) -> str:
    """The name of a collection, workspace or key, as it may stand in a path.

    Raises:
        BadNameError: not 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise BadNameError(
            f"a {of}'s name has 1 to {MAX_NAME_CHARS} letters, digits, '.', '_' or '-' and begins with a letter or digit"
        )
    return name


def check_text(value: str, *, of: str, limit: int) -> str:
    """A free text of one line: NFC, trimmed, without control characters or lone surrogates.

    Raises:
        BadNameError: empty, too long, or with characters that are never printed.
    """
    text = unicodedata.normalize("NFC", value).strip()
    if not text or len(text) > limit:
        raise BadNameError(f"{of} has 1 to {limit} characters; this has {len(text)}")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise BadNameError(f"{of} holds a control character")
    return text


def check_external_id(value: str) -> str:
    """An external id: a path-like name of the caller's own.

    Raises:
        BadNameError: see `check_text`; or with a `..` part, an empty part, or a leading `/`.
    """
    text = check_text(value, of="an external id", limit=MAX_EXTERNAL_ID_CHARS)
    if any(part in ("", ".", "..") for part in text.replace("\\", "/").split("/")):
        raise BadNameError("an external id has no empty, '.' or '..' part and does not begin or end with '/'")
    return text


def check_filename(value: str) -> str:
    """A file name without any folder.

    Raises:
        BadNameError: with a folder, a NUL or another control character in it, or over 255 characters.
    """
    text = check_text(value, of="a file name", limit=255)
    if "/" in text or "\\" in text or text in (".", ".."):
        raise BadNameError("a file name names no folder; the path below a folder goes into external_id")
    return text


def check_readers(readers: Sequence[str]) -> tuple[str, ...]:
    """Who may read: `*`, or `user:NAME` and `group:NAME`; sorted, each once.

    Raises:
        BadMetadataError: another form, none at all, or too many.
    """
    if not readers or len(readers) > MAX_READERS:
        raise BadMetadataError(f"readers is a list of 1 to {MAX_READERS} entries")
    for reader in readers:
        well_formed = reader == EVERYONE or (len(reader) <= MAX_READER_CHARS and _READER.fullmatch(reader))
        if not well_formed or reader == ADMINS or any(unicodedata.category(char) in ("Cc", "Cs") for char in reader):
            raise BadMetadataError(f"a reader is '*', 'user:NAME' or 'group:NAME', not {reader!r:.80}")
    return (EVERYONE,) if EVERYONE in readers else tuple(sorted(set(readers)))


def check_metadata(metadata: Mapping[str, object]) -> dict[str, Scalar]:
    """Metadata as it is stored.

    Raises:
        BadMetadataError: not flat, or over a limit.
    """
    if len(metadata) > MAX_METADATA_KEYS:
        raise BadMetadataError(f"metadata has at most {MAX_METADATA_KEYS} keys; this has {len(metadata)}")
    checked: dict[str, Scalar] = {}
    for key, value in metadata.items():
        if not 1 <= len(key) <= MAX_KEY_CHARS or any(unicodedata.category(char) in ("Cc", "Cs") for char in key):
            raise BadMetadataError(f"a metadata key has 1 to {MAX_KEY_CHARS} printable characters")
        checked[key] = _scalar(key, value)
    return checked


def _scalar(key: str, value: object) -> Scalar:
    try:
        kind_of(value)
    except BadFilterError as error:
        raise BadMetadataError(f"metadata {key!r:.80}: {error.message}") from error
    if isinstance(value, str):
        if len(value) > MAX_STRING_CHARS or any(unicodedata.category(char) == "Cs" or char == "\x00" for char in value):
            raise BadMetadataError(f"metadata {key!r:.80} has at most {MAX_STRING_CHARS} characters and no NUL")
        return value
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # long ones come as floats
    if whole and not isinstance(value, bool) and isinstance(value, int | float) and abs(value) > 2**53:
        raise BadMetadataError(f"metadata {key!r:.80}: whole numbers go to 2**53; longer ones are strings")
    assert isinstance(value, int | float | bool)  # noqa: S101 - narrowed by kind_of for the type checker
    return value


def checked(upload: Upload) -> Upload:
    """The upload with every part in its stored form.

    Raises:
        BadNameError, BadMetadataError: a part is not well formed.
    """
    return Upload(
        external_id=None if upload.external_id is None else check_external_id(upload.external_id),
        title=None if upload.title is None else check_text(upload.title, of="a title", limit=MAX_TITLE_CHARS),
        metadata=None if upload.metadata is None else check_metadata(upload.metadata),
        readers=None if upload.readers is None else check_readers(upload.readers),
        filename=check_filename(upload.filename),
        media_type=upload.media_type,
    )
