"""Bytes to text, whatever the encoding; and whether bytes are text at all."""

from __future__ import annotations

import codecs
import re

SAMPLE_BYTES = 64 << 10

_BOMS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDER = {  # as browsers read these labels (WHATWG Encoding Standard): the superset that is really meant
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}
_CANDIDATES = [  # what is looked for where nothing else says; the common ones of each script
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "iso8859_2", "iso8859_5", "iso8859_7",
    "iso8859_8", "koi8_r", "cp866", "cp932", "euc_jp", "gb18030", "big5", "cp949", "tis_620", "mac_roman",
]  # fmt: skip
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]|\x1b\([JI]")
_MAX_CONTROLS = 0.01  # of the bytes; random bytes have about 0.1
_FEW = 10  # so many good multi-byte characters for every bad one, and it is damaged UTF-8
_LATIN = {"cp1250", "cp1254", "iso8859_2", "mac_roman"}  # told from cp1252 by little; on a tie cp1252 is likelier


def decode(raw: bytes, *, declared: str | None = None) -> str:
    """The text of the bytes; never fails. U+FFFD stands where bytes mean nothing.

    Args:
        raw: all of the bytes.
        declared: the charset that the document names itself; weighs less than a BOM and than valid UTF-8.
    """
    marked = _by_mark(raw)
    if marked is not None:
        return raw.decode(marked, "replace")
    if _ISO_2022_JP.search(raw[:SAMPLE_BYTES]):
        return raw.decode("iso2022_jp_ext", "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(_legacy(raw, declared), "replace")


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file (up to 64 KiB) are text in some encoding, and not binary data."""
    marked = _by_mark(head)
    if marked is not None:
        units = head[: len(head) // 4 * 4].decode(marked, "replace")
        return units.count("\ufffd") + units.count("\0") <= len(units) * _MAX_CONTROLS + 1
    return b"\0" not in head and len(_CONTROL.findall(head)) <= len(head) * _MAX_CONTROLS


def codec(label: str | None) -> str | None:
    """The codec that a charset label means in practice; None where there is none, or it is no encoding of text."""
    try:
        entry = codecs.lookup((label or "").strip(" \t\r\n\"';"))
        b"".decode(entry.name)
    except (LookupError, ValueError):
        return None
    return _WIDER.get(entry.name, entry.name)


def _by_mark(raw: bytes) -> str | None:
    """The encoding by BOM, or by where the zero bytes of UTF-16 and UTF-32 stand."""
    for mark, name in _BOMS:
        if raw.startswith(mark):
            return name
    sample = raw[: SAMPLE_BYTES // 4 * 4]
    if b"\0" not in sample or len(sample) < 4:  # noqa: PLR2004 - one character of UTF-32
        return None
    zeros = [sample[lane::4].count(0) for lane in range(4)]
    quarter = len(sample) // 4
    if min(zeros[2], zeros[3]) > quarter * 0.9 and zeros[0] < quarter * 0.1:
        return "utf-32-le"
    if min(zeros[0], zeros[1]) > quarter * 0.9 and zeros[3] < quarter * 0.1:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    if odd > even * 20:
        return "utf-16-le"
    return "utf-16-be" if even > odd * 20 else None


def _legacy(raw: bytes, declared: str | None) -> str:
    """The encoding of bytes that are not valid UTF-8."""
    sample = _sample(raw)
    bad = sample.decode("utf-8", "replace").count("\ufffd")
    good = len(re.findall(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}", sample))
    if good > _FEW * bad:
        return "utf-8"
    named = codec(declared)
    if named is not None and not named.startswith("utf"):
        return named
    return _guess(sample)


def _guess(sample: bytes) -> str:
    """The encoding by statistics; cp1252 where they do not tell."""
    import charset_normalizer  # noqa: PLC0415 - only where a file is in an old encoding

    matches = charset_normalizer.from_bytes(sample, cp_isolation=_CANDIDATES, chunk_size=2048)
    best = matches.best()
    if best is None:
        return "cp1252"
    if best.encoding in _LATIN:
        tied = (match for match in matches if match.chaos <= best.chaos)
        if any("cp1252" in match.could_be_from_charset for match in tied):
            return "cp1252"
    return codec(best.encoding) or "cp1252"


def _sample(raw: bytes) -> bytes:
    """Up to 64 KiB of the lines that hold something but ASCII, whole lines where they are short."""
    picked: list[bytes] = []
    size = 0
    for line in re.finditer(rb"[^\n]*[\x80-\xff][^\n]*\n?", raw[: 64 * SAMPLE_BYTES]):
        picked.append(line.group()[: SAMPLE_BYTES - size])
        size += len(picked[-1])
        if size >= SAMPLE_BYTES:
            break
    return b"".join(picked) or raw[:SAMPLE_BYTES]
