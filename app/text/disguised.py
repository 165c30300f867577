"""Readings of a text whose orders are disguised: digits for letters, words in pieces, backwards, or encoded.

Each disguise is looked for by what it leaves behind, which plain text does not have; only then is the text read again.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator

_LETTERS = str.maketrans("013457@$!", "oieastasi", " \n\t-_.,;:\"'/()[]{}*+=?&%#^~`<>|\\")
_VERBS = ("ignore", "disregard", "forget", "override", "bypass")
_VOIDING = re.compile(
    r"(?:ignore|disregard|forget|override|bypass)(?:all|any|every|thing|the|of|your|these|those|what|that|you|were|was|is){0,8}"
    r"(?:previous|prior|above|earlier|preceding|system|before|told|instructions?|prompts?|rules)"
)
_BACKWARDS = ("erongi", "dragersid", "tegrof", "suoiverp", "snoitcurtsni", "rewsna", "yletcaxe", "tpmorp", "ylper")
_ROT13 = ("vtaber", "qvfertneq", "vafgehpgvbaf", "cerivbhf", "cebzcg")
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,}={0,2}")
_LEAST_RUN = 24
_URLSAFE = str.maketrans("-_", "+/")
_OBEY = re.compile(
    r"\bdecod\w+[^.!?]{0,40}\b(?:obey|follow|execute|do (?:what|as)|say|answer|reply|output|print|comply)"
)
_NEAR = 120  # characters around an encoded run in which it may be said what to do with it
_MOST_RUNS = 50
_MOST_CHARS = 4_000  # of a run: an order is shorter, a picture need not be decoded
_LEAST_READABLE = 0.9  # of the characters of what is decoded


def in_pieces(plain: str) -> bool:
    """Whether an order to forget is written with digits for letters or with its words cut up."""
    compact = plain.translate(_LETTERS)
    more = any(compact.count(verb) > plain.count(verb) for verb in _VERBS if verb in compact)
    return more and bool(_VOIDING.search(compact))


def turned(plain: str) -> Iterator[str]:
    """The text from its end to its beginning, each of its words so, and 13 letters on: where that is how it is written."""
    if any(stem in plain for stem in _BACKWARDS):
        yield f" {plain[::-1]} "
        yield f" {' '.join(word[::-1] for word in plain.split())} "
    if any(stem in plain for stem in _ROT13):
        yield codecs.encode(plain, "rot13")


def encoded(text: str) -> Iterator[tuple[str, bool]]:
    """Readable text that is in base64, and whether it is said beside it that it is to be decoded and followed."""
    if max(map(len, text.split()), default=0) < _LEAST_RUN:
        return  # a fifth of the time that the pattern takes
    for number, run in enumerate(_ENCODED.finditer(text)):
        if number >= _MOST_RUNS:
            return
        if decoded := _decoded(run.group()):
            beside = text[max(0, run.start() - _NEAR) : run.end() + _NEAR].lower()
            yield decoded, bool(_OBEY.search(beside))


def _decoded(run: str) -> str:
    """What a run of base64 says; the empty string where that is no text."""
    run = run.rstrip("=")[:_MOST_CHARS].translate(_URLSAFE)
    run = run[: len(run) - (len(run) % 4 == 1)]
    try:
        said = base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    readable = sum(char.isalpha() or char in " ,.'" for char in said)
    return said if " " in said and readable >= _LEAST_READABLE * len(said) else ""
