"""Text for people: what is not seen, or makes a screen do something, left out."""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]"
)
_JOINERS = re.compile("(?<=[\x00-\u058f])[\u200c\u200d]")  # which join nothing after Latin, Greek or Cyrillic
# Soft hyphen, Arabic letter mark, Mongolian separator, zero-width space, directional marks, embeddings, overrides and
# isolates (UAX 9), word joiner and invisible operators, byte order mark, interlinear marks, tags.
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# Control characters that are no white space, surrogates, private use.
_UNKNOWN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)
_MARK = re.compile(r"\[(\d{1,3}(?:\s?[,;–-]\s?\d{1,3})*)\]")  # noqa: RUF001 - the dash itself


def plain(text: str) -> str:
    """The text in NFC without escape sequences, control characters and what no reader sees; white space stays."""
    if text.isascii() and text.isprintable():
        return text
    seen = _JOINERS.sub("", _UNSEEN.sub("", _ESCAPES.sub("", text)))
    return unicodedata.normalize("NFC", _UNKNOWN.sub("", seen))


def line(text: str) -> str:
    """The text as one line for an answer: `plain`, white space as single spaces, and no mark that looks like ours.

    A source's own `[1]` becomes `(1)`: beside our footnotes it would be taken for one.
    """
    return _MARK.sub(r"(\1)", " ".join(plain(text).split()))
