"""Names and noun phrases of English sentences, by their letters alone: what questions and answers speak of."""

from __future__ import annotations

import regex

from app.text import words

_NAME = regex.compile(
    r"\p{Lu}[\w'\u2019.&-]*"  # a capital
    r"(?:\s+(?:(?:of|for)\s+(?:the\s+)?|(?:de|von|van|del|la|al|and|the)\s+)?(?:\p{Lu}[\w'\u2019.&-]*|\d+\b))*"
)
_YEAR = regex.compile(r"\b(?:1\d{3}|20\d{2})s?\b")
_WORD = regex.compile(r"[^\W_][\w'\u2019-]*")
_PART = regex.compile(
    r"\p{Lu}[\w'\u2019&-]*(?:\s+and\s+\p{Lu}[\w'\u2019-]*\s+\p{Lu}[\w'\u2019-]*)?"  # a name with `and` has one word before it, two after
    r"(?:\s+(?:of\s+(?:the\s+)?)?(?:\p{Lu}[\w'\u2019&-]*|\d+\b))*"
)
_JOINT = regex.compile(r"\s*(?:,|and|or|versus|vs\.?|,\s*and|,\s*or)\s+(?:the\s+)?")
# What begins a sentence with a capital and is no name.
_OPENING = (
    "a an the in on at by for from of with and but or so then also who whom whose what which when where why how is are "
    "was were be been do does did has have had can could will would shall should may might must there it he she they "
    "this that these those its his her their our my your name give list tell show describe explain say find compare "
    "during after before since under over between among until while if as about according to besides yes no not "
    "i we you please ok okay thanks"
)
_OPENERS = frozenset(_OPENING.split())
# Names of peoples, languages and beliefs, which mostly stand before what is spoken of.
_PEOPLE = (
    "african american arab arabic asian australian austrian brazilian british buddhist byzantine canadian catholic chinese "
    "christian czech danish dutch egyptian english european french german greek hebrew hungarian indian irish islamic "
    "italian japanese jewish korean latin mexican mongol mongolian muslim norman norwegian ottoman persian polish "
    "portuguese protestant roman russian scottish spanish swedish swiss syrian turkish ukrainian vietnamese welsh western"
)
_PEOPLES = frozenset(_PEOPLE.split())
# Words of questions that name nothing by themselves.
_VAGUE = (
    "year date time day name kind type sort many much people person place long old far often number amount size way "
    "happen happened mean means called become became make made take took give gave use used first last part thing "
    "things reason main different same get got go went come came say said tell know known"
)
_ASKING = frozenset(_VAGUE.split())


def names(text: str) -> list[str]:
    """Names in the order of their first mention, each once: runs of words with capitals, without what opens a sentence."""
    found: list[str] = []
    for match in _NAME.finditer(text):
        name = _stripped(match.group(), opens=_opens(text, match.start()))
        if name and not _YEAR.fullmatch(name) and name not in found:
            found.append(name)
    return found


def topics(text: str) -> list[str]:
    """Names that something can be about: none of peoples and languages alone, none that only opens a sentence."""
    return [
        name
        for name in names(text)
        if name.lower() not in _PEOPLES and (" " in name or not _opens(text, text.rindex(name)))
    ]


def years(text: str) -> list[str]:
    """Years and decades from 1000 to 2099, in order."""
    return [found.group() for found in _YEAR.finditer(text)]


def phrases(text: str) -> list[str]:
    """Runs of words that say something and stand side by side, in order: the noun phrases of a text without capitals."""
    found: list[str] = []
    run: list[str] = []
    for word in [*_WORD.findall(text), ""]:
        low = word.lower()
        if word and low not in words.STOP_WORDS and low not in _ASKING and low not in _OPENERS:
            run.append(word)
        elif run:
            found.append(" ".join(run))
            run = []
    return found


def listed(text: str) -> list[str]:
    """The names of the longest enumeration in a text: `A, B and the C`, `A or B`. `French and Indian War` is one name."""
    best: list[str] = []
    run: list[str] = []
    end = 0
    for match in _PART.finditer(text):
        name = _stripped(match.group(), opens=_opens(text, match.start()))
        if not name or _YEAR.fullmatch(name):
            continue
        if run and _JOINT.fullmatch(text[end : match.start()]):
            run.append(name)
        else:
            best, run = max(best, run, key=len), [name]
        end = match.end()
    best = max(best, run, key=len)
    return best if len(best) > 1 else []


def _opens(text: str, start: int) -> bool:
    before = text[:start].rstrip()
    return not before or before[-1] in '.?!:"“(-'


def _stripped(name: str, *, opens: bool) -> str:
    parts = name.split()
    while parts and (parts[0].lower().rstrip("'\u2019s") in _OPENERS or (opens and parts[0].lower() in _OPENERS)):
        parts = parts[1:]
    while parts and parts[-1].lower() in _OPENERS:
        parts = parts[:-1]
    return str(regex.sub(r"['\u2019]s?$", "", " ".join(parts).rstrip(".,&-'\u2019")))
