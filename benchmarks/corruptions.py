"""A true sentence made untrue: another number, date, name or unit, a denial put in or taken out."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from app.text import names, quantities, words

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTH = re.compile(r"\b(?:" + "|".join(_MONTHS) + r")\b")
_WRITTEN = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fifteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
]
_ORDINAL = ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"]
_UNIT_GROUPS = (
    "kilometres/miles kilometers/miles km/miles miles/kilometers km2/sq_mi metres/feet feet/metres meters/feet m/ft ft/m "
    "inches/centimetres years/months months/weeks weeks/months days/weeks hours/days minutes/hours seconds/minutes "
    "decades/centuries centuries/decades percent/million %/million acres/hectares tons/pounds kg/tons kilograms/pounds "
    "million/billion billion/million thousand/million dollars/euros pounds/dollars $/€ £/$ kW/MW MW/kW watts/kilowatts "
    "hectares/acres tonnes/pounds degrees/percent"
)
_UNITS = dict(pair.replace("_", " ").split("/") for pair in _UNIT_GROUPS.split())
_UNIT = re.compile(r"(?<=\d)([\s-]?)(km2|km|m|ft|kg|kW|MW|%)(?![\w])|(?<=\d)([\s-])([a-z]{4,11})\b|([$£])(?=\d)")
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|may|might|must|did|does)\b(?! not|n't)"
)
_DENIED = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|may|might|must|did|does|do) not\b|\bnever |\bnot |\bno (?!longer)"
)
_NAME_TYPE = re.compile(
    r"\b(?:University|River|War|Church|King|Prime|Park|Bowl|Museum|College|Court|Treaty|Empire|Act)\b"
)


def numbers(sentence: str, chance: random.Random) -> str | None:
    """With one number changed."""
    found = [one for one in quantities.of(sentence)[0] if not one.weak]
    chance.shuffle(found)
    for one in found:
        written = sentence[one.start : one.end]
        changed = _number(written, chance)
        if changed and changed != written:
            return sentence[: one.start] + changed + sentence[one.end :]
    return None


def dates(sentence: str, chance: random.Random) -> str | None:
    """With a year, a month or a day changed."""
    found = quantities.of(sentence)[1]
    chance.shuffle(found)
    for one in found:
        written = sentence[one.start : one.end]
        ways = [_year(written, chance), _month(written, chance), _day(written, chance)]
        made = [way for way in ways if way and way != written]
        if made:
            return sentence[: one.start] + chance.choice(made) + sentence[one.end :]
    return None


def names_(sentence: str, others: Sequence[str], chance: random.Random) -> str | None:
    """With a name exchanged for another of the article that looks alike: as many words, the same kind."""
    mine = [name for name in names.names(sentence) if len(name) > 2]
    chance.shuffle(mine)
    for name in mine:
        alike = [
            other
            for other in others
            if other not in sentence and name not in other
            and len(other.split()) == len(name.split()) and _kind(other) == _kind(name)
            and not set(map(words.stem, other.lower().split())) & set(words.of(sentence).stems)
        ]  # fmt: skip
        if alike:
            at = sentence.rindex(name)
            return sentence[:at] + chance.choice(alike) + sentence[at + len(name) :]
    return None


def units(sentence: str, chance: random.Random) -> str | None:
    """With the unit of a number changed."""
    found = [one for one in _UNIT.finditer(sentence) if (one[2] or one[4] or one[5]) in _UNITS]
    if not found:
        return None
    one = chance.choice(found)
    written = one[2] or one[4] or one[5]
    return sentence[: one.start()] + (one[1] or one[3] or "") + _UNITS[written] + sentence[one.end() :]


def negation(sentence: str, chance: random.Random) -> str | None:
    """With a denial put in or taken out, or a word turned into its opposite."""
    ways: list[Callable[[], str | None]] = [lambda: _denied(sentence), lambda: _opposite(sentence, chance)]
    if denied := _DENIED.search(sentence):
        return (
            sentence[: denied.start()]
            + (f"{denied[1]} " if denied[1] else "").strip()
            + (" " if denied[1] and sentence[denied.end() : denied.end() + 1] != " " else "")
            + sentence[denied.end() :]
        )
    chance.shuffle(ways)
    return next((made for way in ways if (made := way())), None)


def _number(written: str, chance: random.Random) -> str | None:
    digits = re.search(r"\d+", written)
    if digits:
        old = int(digits.group())
        new = chance.choice([old + chance.randint(1, 9), old * 2 + 1, max(1, old - chance.randint(1, 9)), old * 10])
        return (
            written[: digits.start()]
            + str(new).zfill(len(digits.group()) if digits.group()[0] == "0" else 0)
            + written[digits.end() :]
        )
    word = written.split(maxsplit=1)[0].split("-", maxsplit=1)[0]
    for listed in (_WRITTEN, _ORDINAL):
        if word.lower() in listed:
            new_word = chance.choice([each for each in listed if each != word.lower()])
            return written.replace(word, new_word.capitalize() if word[0].isupper() else new_word, 1)
    return None


def _year(written: str, chance: random.Random) -> str | None:
    found = re.search(r"\b\d{4}|\b\d{1,3}(?= (?:BC|AD|CE))", written)
    if not found:
        return None
    step = chance.choice([1, -1, 2, -3, 7, 10, -10, 23, 100, -41])
    return written[: found.start()] + str(max(1, int(found.group()) + step)) + written[found.end() :]


def _month(written: str, chance: random.Random) -> str | None:
    found = _MONTH.search(written)
    if not found:
        return None
    return written.replace(found.group(), chance.choice([each for each in _MONTHS if each != found.group()]), 1)


def _day(written: str, chance: random.Random) -> str | None:
    found = re.search(r"\b\d{1,2}\b(?! BC)", written)
    if not found or not _MONTH.search(written):
        return None
    return (
        written[: found.start()]
        + str(chance.choice([day for day in range(1, 29) if day != int(found.group())]))
        + written[found.end() :]
    )


def _kind(name: str) -> str:
    found = _NAME_TYPE.search(name)
    return found.group() if found else ("acronym" if name.isupper() else "")


def _denied(sentence: str) -> str | None:
    found = _AUXILIARY.search(sentence)
    return f"{sentence[: found.end()]} not{sentence[found.end() :]}" if found else None


def _opposite(sentence: str, chance: random.Random) -> str | None:
    found = [one for one in re.finditer(r"[a-z]+", sentence) if one.group() in OPPOSITES]
    if not found:
        return None
    one = chance.choice(found)
    return sentence[: one.start()] + OPPOSITES[one.group()] + sentence[one.end() :]


_OPPOSITES_LISTED = (
    "increased/decreased decreased/increased before/after after/before more/less less/more most/least first/last last/first "
    "largest/smallest smallest/largest highest/lowest lowest/highest higher/lower lower/higher won/lost lost/won "
    "northern/southern southern/northern eastern/western western/eastern north/south south/north east/west west/east "
    "early/late late/early began/ended ended/began accepted/rejected rejected/accepted supported/opposed opposed/supported "
    "all/some always/never never/always without/with many/few few/many public/private private/public positive/negative "
    "increase/decrease decrease/increase rich/poor upper/lower longest/shortest oldest/youngest allowed/forbidden "
    "successful/unsuccessful possible/impossible included/excluded gained/lost strong/weak"
)
OPPOSITES = dict(pair.split("/") for pair in _OPPOSITES_LISTED.split())
