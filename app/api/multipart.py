"""Multipart forms with one file, straight to disk: memory holds a buffer, whatever the size of the file."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
import urllib.parse
from typing import Any

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.api import bodies
from app.api.problems import MalformedBodyError
from app.documents.uploads import Staged
from app.domain import disk
from app.domain.errors import BadNameError, EmptyFileError, InvalidInputError, TooLargeError

FIELDS = frozenset({"collection", "external_id", "title", "metadata", "readers"})
_REPEATED = "readers"
_FORM_BYTES = 1024 * 1024  # of all fields together, and of what a multipart body holds besides its file
_BUFFER_BYTES = 1024 * 1024  # of the file, before it goes to disk
_FILENAME = re.compile(rb';\s*filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_BARE_FILENAME = re.compile(rb";\s*filename=([^\s;\"]+)", re.IGNORECASE)
_EXTENDED_FILENAME = re.compile(rb";\s*filename\*=utf-8''([^\s;]+)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a form held."""

    staged: Staged
    filename: str  # as it was sent; the use case checks it
    media_type: str | None
    fields: dict[str, list[str]]

    def one(self, name: str) -> str | None:
        """A field's value; None where it is absent."""
        values = self.fields.get(name)
        return values[0] if values else None


class _Reader:
    """Takes the parser's callbacks apart; the parser is synchronous, so what is to be written waits in `pending`."""

    def __init__(self, *, file_limit: int) -> None:
        self.fields: dict[str, list[str]] = {}
        self.filename: str | None = None
        self.media_type: str | None = None
        self.pending = bytearray()
        self.file_bytes = 0
        self.ended = False
        self._file_limit = file_limit
        self._field_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._field: str | None = None  # None while the part is the file
        self._content = bytearray()

    def callbacks(self) -> dict[str, Any]:
        """By name, as the parser wants them."""
        return {
            "on_part_begin": self._part_begin,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._headers = {}
        self._content = bytearray()

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        name = _text(options.get(b"name", b""), of="a field's name")
        filename = _filename(disposition)
        if name == "file":
            self._begin_file(filename)
            return
        if name not in FIELDS:
            raise InvalidInputError(
                f"unknown form field {name!r:.80}: a form has `file` and any of {', '.join(sorted(FIELDS))}"
            )
        if name in self.fields and name != _REPEATED:
            raise InvalidInputError(f"the form field {name!r} is there twice")
        self._field = name

    def _begin_file(self, filename: bytes | None) -> None:
        if self.filename is not None:
            raise InvalidInputError("one file a request: the form holds two")
        if filename is None:
            raise BadNameError("the form's `file` has no file name")
        if b"\x00" in filename:
            raise BadNameError("a file name holds no NUL")
        self.filename = _text(filename, of="a file name")
        declared = self._headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        self.media_type = declared or None
        self._field = None

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self.file_bytes += end - start
            if self.file_bytes > self._file_limit:
                raise TooLargeError(
                    f"the file has more than {self._file_limit} bytes, the limit: FOOTNOTE_MAX_UPLOAD_BYTES"
                )
            self.pending += data[start:end]
            return
        self._field_bytes += end - start
        if self._field_bytes > _FORM_BYTES:
            raise TooLargeError(f"the form's fields have more than {_FORM_BYTES} bytes")
        self._content += data[start:end]

    def _part_end(self) -> None:
        if self._field is not None:
            self.fields.setdefault(self._field, []).append(_text(bytes(self._content), of=f"`{self._field}`"))

    def _end(self) -> None:
        self.ended = True


async def receive(request: Request, path: pathlib.Path, *, limit: int) -> Form:
    """Stream a form's file to `path`, which the caller removes, also when this raises.

    Args:
        request: multipart/form-data.
        path: where nothing is yet.
        limit: of the file, bytes.

    Raises:
        TooLargeError: as soon as that is known.
        MalformedBodyError: not a well-formed form.
        InvalidInputError: no file, two files, a field that is unknown or there twice.
        EmptyFileError: 0 bytes.
        StorageFullError: no room for it.
    """
    declared = bodies.declared_bytes(request)
    if declared is not None and declared > limit + _FORM_BYTES:
        raise TooLargeError(f"the upload has {declared} bytes, the limit is {limit}: FOOTNOTE_MAX_UPLOAD_BYTES")
    reader = _Reader(file_limit=limit)
    parser = _parser(request, reader)
    digest = hashlib.sha256()
    with disk.our_errors(), await anyio.to_thread.run_sync(path.open, "xb") as file:

        def flush() -> None:
            digest.update(reader.pending)
            file.write(reader.pending)
            reader.pending.clear()

        async for piece in bodies.stream(request):
            try:
                parser.write(piece)
            except FormParserError as error:
                raise MalformedBodyError(f"the form is not well formed: {error}", code="invalid_form") from error
            if len(reader.pending) >= _BUFFER_BYTES:
                await anyio.to_thread.run_sync(flush)
        await anyio.to_thread.run_sync(flush)
    return _form(reader, path, digest.hexdigest())


def _parser(request: Request, reader: _Reader) -> MultipartParser:
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise MalformedBodyError("a multipart form names its boundary", code="invalid_form")
    try:
        return MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]  # a TypedDict of callables
    except FormParserError as error:
        raise MalformedBodyError(f"the form is not well formed: {error}", code="invalid_form") from error


def _form(reader: _Reader, path: pathlib.Path, sha256: str) -> Form:
    if not reader.ended:
        raise MalformedBodyError("the form ends in the middle", code="invalid_form")
    if reader.filename is None:
        raise InvalidInputError("the form has no `file`", code="file_missing")
    if not reader.file_bytes:
        raise EmptyFileError("the file has 0 bytes")
    staged = Staged(path=path, sha256=sha256, size_bytes=reader.file_bytes)
    return Form(staged=staged, filename=reader.filename, media_type=reader.media_type, fields=reader.fields)


def _filename(disposition: bytes) -> bytes | None:
    """The file name as it was sent: the library's own parser would drop a Windows folder before it could be refused."""
    if found := _FILENAME.search(disposition):
        return re.sub(rb"\\([\"\\])", rb"\1", found[1])
    if found := _EXTENDED_FILENAME.search(disposition):
        return urllib.parse.unquote_to_bytes(found[1])
    found = _BARE_FILENAME.search(disposition)
    return found[1] if found else None


def _text(value: bytes, *, of: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"{of} is not UTF-8", code="invalid_form") from error
