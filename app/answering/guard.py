"""Whether a question may be asked, and how it is read: length, emptiness, control characters, language."""

from __future__ import annotations

import dataclasses
import unicodedata

from app.answering.search import check_query
from app.domain.answers import Notice
from app.text import shown, words

_MOST_FOREIGN = 0.5  # share of letters outside Latin script from which on a question counts as in another language
_LEAST_WORDS = 4  # fewer words do not tell a language
# Words that are common in a language and not in English.
_COMMON_ELSEWHERE = (
    "der das ist und nicht wie wer welche welcher wann wieviel für von les est une des quel quelle pourquoi qui dans "
    "avec pour el los las una qué quién cuándo dónde cuál por para como não quem qual onde quando dove perché che chi "
    "della het een wat wie waarom hoeveel voor"
)
_FOREIGN = frozenset(words.folded(_COMMON_ELSEWHERE).split())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A question that is well formed."""

    text: str
    refusal: Notice | None  # why it is not asked
    notices: tuple[Notice, ...]


def check(question: str, *, max_chars: int) -> Checked:
    """The question without what nobody sees.

    Raises:
        BadQueryError: empty, or over FOOTNOTE_MAX_QUERY_CHARS.
    """
    check_query(question, max_chars=max_chars)  # as it came: what is not seen counts too
    text = check_query(shown.plain(question), max_chars=max_chars)
    if not any(unicodedata.category(char)[0] in "LN" for char in text):
        message = "the question holds no word and no number"
        return Checked(text=text, refusal=Notice(code="not_a_question", message=message), notices=())
    return Checked(text=text, refusal=None, notices=(_LANGUAGE,) if _foreign(text) else ())


_LANGUAGE = Notice(
    code="language",
    message="the question seems not to be in English: evidence is found by its words, and fewer questions are answered",
)


def _foreign(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    outside = sum(not unicodedata.name(char, "").startswith("LATIN") for char in letters)
    if letters and outside / len(letters) > _MOST_FOREIGN:
        return True
    said = words.of(text).plain
    return len(said) >= _LEAST_WORDS and not words.STOP_WORDS & set(said) - _FOREIGN and bool(_FOREIGN & set(said))
