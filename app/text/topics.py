"""Whether a text speaks of a topic: by the stems of its words, however they are spelled, spaced or accented."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

from app.text import shown, words

_WIDER = 2  # words that a topic may be split into beyond its own: `pay roll` for `payroll`
_LONGEST = 12  # words of a phrase that is looked for
_WORD = re.compile(r"[^\W_]+")
_OWNER = re.compile("['\u2019]s\\b")
_LETTERS = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")  # s a l a r y, s.a.l.a.r.y
# Letters of Cyrillic and Greek that look like these, for words that mix scripts.
_ALIKE = str.maketrans("асеіјкмоорԛѕтухԝνορτυχκι", "aceijkmoopqstyxwvoptuxki")


def first_of(topics: Sequence[str], text: str) -> str | None:
    """The first of these words or phrases that the text holds in some form of it; None where it holds none."""
    if not topics:
        return None
    wanted = {topic: _keys_of(topic) for topic in topics}
    longest = min(_LONGEST, max((len(_words(topic)) for topic in topics), default=0) + _WIDER)
    said = set(_said(text, longest))
    return next((topic for topic, keys in wanted.items() if not keys.isdisjoint(said)), None)


def speaks(topic: str) -> bool:
    """Whether the topic holds a word that can be looked for."""
    return bool(_words(topic))


@functools.lru_cache(maxsize=2048)
def _keys_of(topic: str) -> frozenset[str]:
    return frozenset(_keys(_words(topic)))


def _said(text: str, longest: int) -> Iterator[str]:
    """The keys of every run of at most so many words, and of words that are spelled letter by letter."""
    spoken = _words(text)
    joined = _words(_LETTERS.sub(lambda run: "".join(char for char in run[0] if char.isalnum()), _folded(text)))
    for line in (spoken, joined) if joined != spoken else (spoken,):
        for start in range(len(line)):
            for end in range(start + 1, min(len(line), start + longest) + 1):
                yield from _keys(line[start:end])


def _keys(run: Sequence[str]) -> Iterator[str]:
    """What a run of words is compared by: as one word's stem, and as its words' stems."""
    if run:
        yield words.stem("".join(run))
        yield "".join(words.stem(word) for word in run)


def _words(text: str) -> tuple[str, ...]:
    return tuple(_one_script(word) for word in _WORD.findall(words.spaced(_folded(text))))


def _folded(text: str) -> str:
    return _OWNER.sub("", words.folded(unicodedata.normalize("NFKC", shown.plain(text))).casefold())


def _one_script(word: str) -> str:
    """The word in Latin letters, where it mixes them with others that look alike."""
    mixed = not word.isascii() and any(char.isascii() and char.isalpha() for char in word)
    return word.translate(_ALIKE) if mixed else word
