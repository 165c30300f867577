"""Mails: subject, from, to and date as written, then the body; attachments are named in warnings, not read."""

from __future__ import annotations

import email
import email.errors
import email.header
import email.message
import email.policy
import pathlib
import re
from collections.abc import Iterator
from typing import TypeAlias

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from app.text.canonical import canonical
from ingestion.load.assembly import Assembly, Limits, clean_title, too_long
from ingestion.load.encoding import codec, decode
from ingestion.load.html_page import add_page
from ingestion.load.plain_text import paragraphs
from ingestion.load.registry import Format

_SHOWN = ("Subject", "From", "To", "Cc", "Date")
_MAX_DEPTH = 50  # of parts inside parts
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_SIGNATURES = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")
_PGP = re.compile(r"\s*-----BEGIN PGP MESSAGE-----")

_Message: TypeAlias = "email.message.Message[str, str]"  # generic for the type checker alone


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a mail. Raises DocumentError: `encrypted`, `malformed`, `no_text`, `too_long`."""
    if path.stat().st_size > 8 * limits.max_text_chars + (64 << 20):  # attachments are part of the file
        raise too_long("characters", limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
    try:
        message = _parse(path.read_bytes())
        assembly = Assembly(limits)
        _add_message(assembly, message, depth=0)
    except RecursionError as error:
        raise DocumentError("the mail nests its parts too deeply to be read", code="malformed") from error
    return assembly.loaded(title=clean_title(_header(message, "Subject")), media_type=Format.EML.media_type)


def _parse(raw: bytes) -> _Message:
    """The mail; one that was saved as UTF-16 or UTF-32 is made UTF-8 first."""
    if b"\0" in raw[:4096]:
        raw = decode(raw).lstrip("\ufeff").encode("utf-8", "replace")
    return email.message_from_bytes(raw.lstrip(), policy=email.policy.compat32)


def _add_message(assembly: Assembly, message: _Message, *, depth: int) -> None:
    lines = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    body_blocks = assembly.count
    assembly.add(BlockKind.PARAGRAPH, "\n".join(lines))
    header_blocks = assembly.count
    _add_part(assembly, message, depth=depth)
    if depth == 0 and assembly.count == header_blocks and body_blocks != header_blocks:
        assembly.warn("body_without_text", "the mail's body holds no text")


def _add_part(assembly: Assembly, part: _Message, *, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise DocumentError(f"the mail nests its parts deeper than {_MAX_DEPTH}", code="malformed")
    kind = part.get_content_type()
    if kind == "multipart/encrypted" or _is_enveloped(part):
        raise DocumentError("the mail is encrypted", code="encrypted")
    if kind == "multipart/alternative":
        _add_alternative(assembly, part, depth=depth)
    elif kind == "message/rfc822" or (kind == "message/global" and part.is_multipart()):
        for inner in _parts(part):
            _add_message(assembly, inner, depth=depth + 1)
    elif part.is_multipart():
        for inner in _parts(part):
            _add_part(assembly, inner, depth=depth + 1)
    else:
        _add_leaf(assembly, part, kind)


def _add_alternative(assembly: Assembly, part: _Message, *, depth: int) -> None:
    """The plain form of a body where it says something, else the last form that does."""
    parts = list(_parts(part))
    plain = [inner for inner in parts if inner.get_content_type() == "text/plain" and _text(inner).strip()]
    for inner in plain[:1] or reversed(parts):
        before = assembly.count
        _add_part(assembly, inner, depth=depth + 1)
        if assembly.count > before:
            return


def _add_leaf(assembly: Assembly, part: _Message, kind: str) -> None:
    if kind in _SIGNATURES:
        return
    name = _decoded(part.get_filename() or "")
    if part.get_content_disposition() == "attachment" or not kind.startswith("text/") or kind == "text/calendar":
        assembly.warn("attachment_skipped", f"the attachment {name or 'without a name'} ({kind}) was not read")
    elif kind == "text/html":
        add_page(assembly, _text(part))
    else:
        text = canonical(_text(part))
        if _PGP.match(text):
            raise DocumentError("the mail is encrypted", code="encrypted")
        for block in paragraphs(text):
            assembly.add(BlockKind.PARAGRAPH, text[block.start : block.end])


def _is_enveloped(part: _Message) -> bool:
    """Whether this is S/MIME that can't be read without a key, or without opening its signature."""
    if part.get_content_type() not in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        return False
    return part.get_param("smime-type") != "certs-only"


def _parts(part: _Message) -> Iterator[_Message]:
    payload = part.get_payload()
    for inner in payload if isinstance(payload, list) else ():
        if isinstance(inner, email.message.Message):
            yield inner


def _text(part: _Message) -> str:
    """The text of a part; wrong charsets and broken encodings give what can be had."""
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    declared = codec(str(part.get_param("charset", "")))
    if declared in _WIDE or declared in ("utf-16", "utf-32", "utf-7"):
        return raw.decode(declared, "replace")
    return decode(raw, declared=declared)


def _header(message: _Message, name: str) -> str:
    return ", ".join(_decoded(str(value)) for value in message.get_all(name, []))


def _decoded(value: str) -> str:
    """A header's value in one line, its encoded words decoded; bytes that are no ASCII are guessed at."""
    raw = value.encode("utf-8", "surrogateescape")
    value = decode(raw) if any(byte > 127 for byte in raw) else value  # noqa: PLR2004 - ASCII ends there
    try:
        pieces = email.header.decode_header(value)
    except (email.errors.HeaderParseError, ValueError):
        return " ".join(value.split())
    said = [
        piece if isinstance(piece, str) else decode(piece, declared=charset or "utf-8") for piece, charset in pieces
    ]
    return " ".join("".join(said).split())
