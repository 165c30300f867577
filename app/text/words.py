"""Words of a text as they are compared: in lower case, by their English stem, with those that say nothing left out."""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
import unicodedata

import snowballstemmer

_WORD = re.compile(r"\w+(?:[.,]\d+)*|[$%€£¥]")
_FISCAL_YEAR = re.compile(r"\bFY ?(19|20)?(\d\d)(?!\d)")
_LONGEST = 64  # code points of a word that is stemmed; a longer one is no word of a language

# Words of English that occur in any sentence, and those that a question is asked with.
_STOP_WORDS = (
    "a about after all also am an and any are as at be because been before being between both but by call called can "
    "could did do does doing during each few for from further had has have having he her here hers him his how i if in "
    "into is it its itself just kind many me more most much my name named no nor not now of off on once only or other "
    "our out over own s same she should so some such t than that the their them then there these they this those "
    "through to too type under until up used very was we were what when where which while who whom whose why will with "
    "would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

# Scripts that write no spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han with its extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003134f]+"
)

_stemmer = snowballstemmer.stemmer("english")
_stemming = threading.Lock()  # the stemmer keeps the word at hand in itself


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """A text's words in order."""

    plain: tuple[str, ...]  # in lower case, accents folded
    stems: tuple[str, ...]  # of each
    content: frozenset[str]  # stems of those that are no stop words


def of(text: str) -> Words:
    """The words of a text; a run of a script without spaces gives its overlapping pairs of characters."""
    plain = tuple(found.group().lower() for found in _WORD.finditer(folded(spaced(_years(text)))))
    stems = tuple(stem(word) for word in plain)
    content = frozenset(each for word, each in zip(plain, stems, strict=True) if word not in STOP_WORDS)
    return Words(plain, stems, content)


@functools.lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The stem of an English word in lower case; words of other languages keep most of their letters."""
    if len(word) > _LONGEST or not word.isascii():
        return word
    with _stemming:
        stemmed: str = _stemmer.stemWord(word)
    return stemmed


def folded(text: str) -> str:
    """The text without accents."""
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def spaced(text: str) -> str:
    """The text with each run of a script without spaces as its overlapping pairs; every other text as it is."""
    return text if text.isascii() else _UNSPACED.sub(lambda run: f" {_pairs(run[0])} ", text)


def _years(text: str) -> str:
    """The text with fiscal years as years: FY2017, FY 2017, FY17 and FY2017Q1 speak of 2017."""
    return _FISCAL_YEAR.sub(lambda found: f"{found[1] or 20}{found[2]} ", text) if "FY" in text else text


def _pairs(run: str) -> str:
    return run if len(run) == 1 else " ".join(run[at : at + 2] for at in range(len(run) - 1))
