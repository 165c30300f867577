"""Which formats are read, how a file's format is told, and which module reads it."""

from __future__ import annotations

import enum
import importlib
import json
import pathlib
import re
import struct
from typing import Protocol, cast

from app.domain.errors import DocumentError, EmptyFileError, InvalidInputError, UnsupportedFormatError
from app.domain.passages import Loaded
from ingestion.load import marking
from ingestion.load.assembly import Limits
from ingestion.load.encoding import SAMPLE_BYTES, decode, is_text

FINGERPRINT = "loaders-1"  # raise it whenever the text or the blocks of any format change


class Format(enum.StrEnum):
    """The formats that are read; the value is the usual extension."""

    TXT = "txt"
    MD = "md"
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    CSV = "csv"  # and tab-separated values
    EML = "eml"
    JSON = "json"  # and one record a line

    @property
    def media_type(self) -> str:
        """The media type that a document of this format is kept with."""
        return _MEDIA_TYPES[self]


class LoadFunction(Protocol):
    """What a format's module offers."""

    def __call__(self, path: pathlib.Path, *, limits: Limits) -> Loaded:
        """Read the file. Raises DocumentError where it can't be read."""
        ...


_OFFICE = "application/vnd.openxmlformats-officedocument"
_MEDIA_TYPES = {
    Format.TXT: "text/plain",
    Format.MD: "text/markdown",
    Format.HTML: "text/html",
    Format.PDF: "application/pdf",
    Format.DOCX: f"{_OFFICE}.wordprocessingml.document",
    Format.PPTX: f"{_OFFICE}.presentationml.presentation",
    Format.XLSX: f"{_OFFICE}.spreadsheetml.sheet",
    Format.CSV: "text/csv",
    Format.EML: "message/rfc822",
    Format.JSON: "application/json",
}
_MODULES = {
    Format.TXT: "plain_text",
    Format.MD: "markdown",
    Format.HTML: "html_page",
    Format.PDF: "pdf",
    Format.DOCX: "docx",
    Format.PPTX: "pptx",
    Format.XLSX: "xlsx",
    Format.CSV: "delimited",
    Format.EML: "mail",
    Format.JSON: "json_text",
}
_EXTENSIONS = {
    **{kind.value: kind for kind in Format},
    "text": Format.TXT, "log": Format.TXT, "markdown": Format.MD, "mdown": Format.MD, "htm": Format.HTML,
    "xhtml": Format.HTML, "docm": Format.DOCX, "dotx": Format.DOCX, "pptm": Format.PPTX, "ppsx": Format.PPTX,
    "xlsm": Format.XLSX, "xltx": Format.XLSX, "tsv": Format.CSV, "tab": Format.CSV, "ndjson": Format.JSON,
    "jsonl": Format.JSON,
}  # fmt: skip
_DECLARED = {
    **{media_type: kind for kind, media_type in _MEDIA_TYPES.items() if kind is not Format.TXT},
    "text/x-markdown": Format.MD, "application/xhtml+xml": Format.HTML, "text/tab-separated-values": Format.CSV,
    "application/csv": Format.CSV, "text/json": Format.JSON, "application/x-ndjson": Format.JSON,
    "application/jsonl": Format.JSON, "application/x-jsonlines": Format.JSON,
}  # fmt: skip
_MAGICS = (  # what is never read, by its first bytes: a name for the message
    (b"\x89PNG\r\n", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"), (b"MM\0*", "a TIFF image"), (b"RIFF", "audio, video or an image (RIFF)"),
    (b"OggS", "audio or video (Ogg)"), (b"ID3", "audio (MP3)"), (b"fLaC", "audio (FLAC)"),
    (b"\x1f\x8b", "compressed (gzip)"), (b"BZh", "compressed (bzip2)"), (b"\xfd7zXZ\0", "compressed (xz)"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)"), (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"), (b"Rar!", "a RAR archive"),
    (b"{\\rtf", "RTF"), (b"%!PS", "PostScript"), (b"SQLite format 3\0", "a SQLite database"),
    (b"\x7fELF", "a program"), (b"MZ\x90\0", "a program"), (b"wOFF", "a font"), (b"wOF2", "a font"),
)  # fmt: skip
_UNREAD_TEXT = {"xml": "XML", "xsl": "XML", "xslt": "XML", "svg": "an SVG image", "rtf": "RTF"}

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP_END = struct.Struct("<4s4H2LH")
_MAX_DIRECTORY_BYTES = 4 << 20
_OFFICE_ROOMS = ((b"word/", Format.DOCX), (b"ppt/", Format.PPTX), (b"xl/", Format.XLSX))
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<[a-z][a-z0-9]*[\s/>]", re.IGNORECASE)
_XML = re.compile(r"\s*<\?xml\b")
_MAIL_LINE = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60}):[ \t]?|[ \t]")
_MAIL_NAMES = {
    "from", "to", "subject", "date", "received", "message-id", "mime-version", "return-path", "delivered-to", "cc",
    "reply-to", "content-type",
}  # fmt: skip
_ENOUGH_MAIL_NAMES = 3


def sniff(path: pathlib.Path, *, filename: str, media_type: str | None = None) -> Format:
    """The format of a file: by its content, then its name, then what its sender declared.

    Reads 64 KiB at the beginning, and of a zip its directory, up to 4 MiB.

    Raises:
        EmptyFileError: the file has 0 bytes.
        UnsupportedFormatError: no loader reads it; the message lists what is read.
    """
    with path.open("rb") as stream:
        head = stream.read(SAMPLE_BYTES)
    if not head:
        raise EmptyFileError("the file is empty")
    named = _named(filename, media_type)
    if b"%PDF-" in head[:1024]:
        return Format.PDF
    if head.startswith(_ZIP):
        return _zip_format(path)
    if head.startswith(_OLE):
        return _ole_format(path, named)
    for magic, name in _MAGICS:
        if head.startswith(magic):
            raise unsupported(name)
    if head[4:8] == b"ftyp":
        raise unsupported("audio, video or an image (MP4 family)")
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        raise unsupported("a BMP image")
    if not is_text(head):
        raise unsupported("binary data")
    return _text_format(head, filename, named, whole=len(head) < SAMPLE_BYTES)


def load(path: pathlib.Path, *, filename: str, media_type: str | None, limits: Limits) -> Loaded:
    """Read a file of any supported format, with its marks.

    Raises:
        DocumentError: it can't be read; with the code `unsupported_format` or `empty_file` too.
    """
    try:
        kind = sniff(path, filename=filename, media_type=media_type)
    except InvalidInputError as error:
        raise DocumentError(error.message, code=error.code) from error
    module = importlib.import_module(f"ingestion.load.{_MODULES[kind]}")
    return marking.marked(cast("LoadFunction", module.load)(path, limits=limits))


def unsupported(what: str) -> UnsupportedFormatError:
    """The error of a file that is no format of ours."""
    formats = ", ".join(kind.value for kind in Format)
    return UnsupportedFormatError(f"the file is {what}, which is not read; these formats are: {formats}")


def _named(filename: str, media_type: str | None) -> Format | None:
    """The format that name or declared media type speak of; the name goes first."""
    declared = (media_type or "").partition(";")[0].strip().lower()
    return _EXTENSIONS.get(_extension(filename)) or _DECLARED.get(declared)


def _extension(filename: str) -> str:
    return pathlib.PurePosixPath(filename.replace("\\", "/").lower()).suffix.removeprefix(".")


def _zip_format(path: pathlib.Path) -> Format:
    names = _zip_names(path)
    for room, kind in _OFFICE_ROOMS:
        if any(name.startswith(room) for name in names):
            if kind is Format.XLSX and b"xl/workbook.bin" in names:
                raise unsupported("a binary workbook (xlsb)")
            return kind
    if b"mimetype" in names:
        raise unsupported("an OpenDocument file or an e-book (EPUB)")
    raise unsupported("a zip archive")


def _zip_names(path: pathlib.Path) -> list[bytes]:
    """The names in a zip's directory; those in its first bytes where the directory is damaged or huge."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 66_000))  # the end record and its comment of at most 65,535 bytes
        tail = stream.read()
        at = tail.rfind(b"PK\x05\x06")
        if 0 <= at <= len(tail) - _ZIP_END.size:
            *_, length, offset, _comment = _ZIP_END.unpack_from(tail, at)
            if length <= _MAX_DIRECTORY_BYTES and offset + length <= size:
                stream.seek(offset)
                return _names(stream.read(length), b"PK\x01\x02", length_at=28, name_at=46)
        stream.seek(0)
        return _names(stream.read(SAMPLE_BYTES), _ZIP, length_at=26, name_at=30)


def _names(raw: bytes, signature: bytes, *, length_at: int, name_at: int) -> list[bytes]:
    names: list[bytes] = []
    at = raw.find(signature)
    while at >= 0:
        length = int.from_bytes(raw[at + length_at : at + length_at + 2], "little")
        names.append(raw[at + name_at : at + name_at + length])
        at = raw.find(signature, at + name_at)
    return names


def _ole_format(path: pathlib.Path, named: Format | None) -> Format:
    """Old office files are not read; an encrypted new one is wrapped alike, and its own loader says so."""
    with path.open("rb") as stream:
        header = stream.read(512)
        sector_bytes = 1 << min(int.from_bytes(header[30:32], "little"), 16)
        stream.seek((int.from_bytes(header[48:52], "little") + 1) * sector_bytes)
        directory = stream.read(SAMPLE_BYTES)
    if "EncryptedPackage".encode("utf-16-le") in directory:
        return named if named in (Format.DOCX, Format.PPTX, Format.XLSX) else Format.DOCX
    raise unsupported("an old binary office file (doc, xls, ppt or msg)")


def _text_format(head: bytes, filename: str, named: Format | None, *, whole: bool) -> Format:
    text = decode(head).lstrip("\ufeff")
    start = text[:8192]
    if _HTML.match(start):
        return Format.HTML
    extension = _extension(filename)
    if named is not Format.TXT and _XML.match(start) and named is not Format.HTML:
        raise unsupported("XML")
    if named is None and extension in _UNREAD_TEXT:
        raise unsupported(_UNREAD_TEXT[extension])
    if named is Format.EML or (named in (None, Format.TXT) and _is_mail(start)):
        return Format.EML
    if named is Format.HTML:
        return Format.HTML if _TAG.search(start) else Format.TXT
    if named in (None, Format.TXT):
        return Format.JSON if _is_json(text, whole=whole) else Format.TXT
    return named


def _is_mail(start: str) -> bool:
    """Whether it begins with header lines, those of MIME or three well-known ones with `From`."""
    found: set[str] = set()
    for number, line in enumerate(start.splitlines()[:60]):
        if number == 0 and line.startswith("From "):
            continue  # how a mailbox marks the beginning of a mail
        match = _MAIL_LINE.match(line)
        if not match:
            break
        found.add((match.group(1) or "").lower())
    if {"mime-version", "content-type"} <= found:
        return True
    return "from" in found and len(found & _MAIL_NAMES) >= _ENOUGH_MAIL_NAMES


def _is_json(text: str, *, whole: bool) -> bool:
    """Whether this is JSON, or one JSON object a line; of a long text the beginning is judged."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    if whole:
        return _parses(text) or all(_parses(line) for line in text.splitlines() if line.strip())
    lines = text.splitlines()
    if len(lines) > 1 and _parses(lines[0]):
        return True
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos > len(text) * 0.9  # nothing is wrong but that it is cut off
    except RecursionError:
        return False
    return True


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
