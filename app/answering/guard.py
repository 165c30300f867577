"""Whether a question may be asked, and how it is read.

Length, emptiness, control characters, language; topics that the policy refuses, personal data, orders to a model.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from app.answering.search import check_query
from app.domain.answers import Notice
from app.domain.policies import DEFAULTS, PersonalData, Policy
from app.text import instructions, personal, shown, topics, words

_MOST_FOREIGN = 0.5  # share of letters outside Latin script from which on a question counts as in another language
_LEAST_WORDS = 4  # fewer words do not tell a language
# Words that are common in a language and not in English.
_COMMON_ELSEWHERE = (
    "der das ist und nicht wie wer welche welcher wann wieviel für von les est une des quel quelle pourquoi qui dans "
    "avec pour el los las una qué quién cuándo dónde cuál por para como não quem qual onde quando dove perché che chi "
    "della het een wat wie waarom hoeveel voor"
)
_FOREIGN = frozenset(words.folded(_COMMON_ELSEWHERE).split())


# Where a sentence of a question may hold an order and a question side by side.
_CLAUSE = re.compile(r"[.!?;:,\n]+|\b(?:and|then|but)\b", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A question that is well formed."""

    text: str
    for_model: str  # as a model may see it: personal data masked where the policy says so
    refusal: Notice | None  # why it is not asked
    notices: tuple[Notice, ...]


def check(question: str, *, max_chars: int, policy: Policy = DEFAULTS) -> Checked:
    """The question without what nobody sees.

    Args:
        question: as it was typed.
        max_chars: FOOTNOTE_MAX_QUERY_CHARS.
        policy: in force for it.

    Raises:
        BadQueryError: empty, or over `max_chars`.
    """
    check_query(question, max_chars=max_chars)  # as it came: what is not seen counts too
    text = check_query(shown.plain(question), max_chars=max_chars)
    refused = refusal(text, policy)
    if refused is not None:
        return Checked(text=text, for_model=personal.masked(text), refusal=refused, notices=())
    masked = for_model(text, policy)
    noticed = ((_LANGUAGE, _foreign(text)), (_INSTRUCTIONS, _ordered(text)), (_MASKED, masked != text))
    return Checked(
        text=text, for_model=masked, refusal=None, notices=tuple(notice for notice, holds in noticed if holds)
    )


def for_model(text: str, policy: Policy) -> str:
    """The text as a model may see it: personal data masked where the policy says so."""
    return personal.masked(text) if policy.personal_data is PersonalData.MASK else text


def refusal(text: str, policy: Policy) -> Notice | None:
    """Why a question is not asked; for the one that was made to stand alone too, which may say more than what was typed."""
    if not _says_something(text):
        return Notice(code="not_a_question", message="the question holds no word and no number")
    if topic := topics.first_of(policy.refused_topics, text):
        return Notice(code="refused_topic", message=f"questions about {topic!r} are not answered here")
    if policy.personal_data is PersonalData.REFUSE and (found := personal.found(text)):
        kinds = ", ".join(dict.fromkeys(each.kind.value for each in found))
        return Notice(code="personal_data", message=f"the question holds personal data ({kinds}): ask without it")
    if _ordered(text) and not any(_says_something(part) and not _ordered(part) for part in _CLAUSE.split(text)):
        return Notice(code="instructions", message="the question only gives orders to a model, and asks nothing")
    return None


def _ordered(text: str) -> bool:
    return bool(instructions.found(text))


def _says_something(text: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in text)


_INSTRUCTIONS = Notice(
    code="instructions",
    message="the question holds what reads as orders to a model: it is passed on as a question, and they are not followed",
)
_MASKED = Notice(code="personal_data_masked", message="personal data of the question is not shown to a model")
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
