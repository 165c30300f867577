"""Sentences that say what a paragraph says, made from a question and its answer, or from the sentence that holds it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

_BASES = (
    "abandon accept accuse achieve acquire act add admit adopt affect agree allow announce appear apply argue arise arrive "
    "ask attack attempt attend base be bear beat become begin believe belong bring build burn buy call carry cause "
    "celebrate change charge choose claim close collect come complete compose conclude conduct confirm connect conquer "
    "consider consist construct contain continue contribute control convert convince cost count cover create cross "
    "cut damage date deal decide declare decline decrease defeat defend define deliver demand demonstrate deny depend "
    "describe design destroy determine develop devise die differ direct discover discuss dismiss display divide draw "
    "drive drop earn eat elect eliminate employ enable encourage end enjoy enter establish estimate exist expand expect "
    "experience explain express extend face fail fall feature feel fight file find finish fire flee fly focus follow "
    "force form found function fund gain gather generate get give go govern graduate grant grow happen have hear help "
    "hire hold host hurt identify impose improve include increase indicate influence inform inherit inspire intend "
    "introduce invade invent invest invite involve issue join keep kill know lack land last launch lay lead learn leave "
    "let lie like limit link list live locate lose love maintain make manage mark marry match mean measure meet mention "
    "move name need note observe obtain occupy occur offer open operate oppose order organize originate own pass pay "
    "perform permit place plan play point possess prefer prepare present prevent produce prohibit promise promote "
    "propose prove provide publish purchase pursue push put raise reach read receive recognize recommend record reduce "
    "refer refuse reign reject release rely remain remove rename replace report represent require resign rest result "
    "retain return reveal rise rule run say see seek seem sell send separate serve settle share shift show sign sit "
    "speak spend split spread stand start state stay stop study submit succeed suffer suggest support suppress surrender "
    "take talk teach tell think threaten trade train transfer travel treat try turn understand unite use view visit vote "
    "want warn wear win wish withdraw work worship write"
)
_BASE = frozenset(_BASES.split())
_PAST_LISTED = (
    "be/was bear/bore beat/beat become/became begin/began bring/brought build/built buy/bought choose/chose come/came "
    "cost/cost cut/cut deal/dealt draw/drew drive/drove eat/ate fall/fell feel/felt fight/fought find/found flee/fled "
    "fly/flew get/got give/gave go/went grow/grew have/had hear/heard hold/held hurt/hurt keep/kept know/knew lay/laid "
    "lead/led leave/left let/let lie/lay lose/lost make/made mean/meant meet/met pay/paid put/put read/read rise/rose "
    "run/ran say/said see/saw seek/sought sell/sold send/sent show/showed sit/sat speak/spoke spend/spent split/split "
    "spread/spread stand/stood take/took teach/taught tell/told think/thought understand/understood wear/wore win/won "
    "withdraw/withdrew write/wrote arise/arose admit/admitted commit/committed permit/permitted stop/stopped plan/planned "
    "drop/dropped refer/referred prefer/preferred occur/occurred transfer/transferred submit/submitted"
)
_PAST = dict(pair.split("/") for pair in _PAST_LISTED.split())
_PARTICIPLE_LISTED = (
    "born borne begun built bought brought chosen cut done drawn driven fought found given grown held kept known laid led "
    "left lost made meant met paid put read run said seen sent set shown sold spoken spent split spread taken taught "
    "thought told understood won worn written become come gone hidden hit struck stolen sung sunk thrown torn"
)
_PARTICIPLES = frozenset(_PARTICIPLE_LISTED.split())
_PREPOSITIONS = frozenset(
    [
        "in",
        "on",
        "at",
        "by",
        "for",
        "from",
        "of",
        "with",
        "to",
        "into",
        "during",
        "under",
        "over",
        "after",
        "before",
        "about",
        "through",
        "since",
        "until",
    ]
)
_QUESTION = re.compile(
    r"(?:(?P<lead>[A-Za-z]+) )?(?P<asked>what|which|who|whom|when|where|how many|how much)\b(?P<rest>.*)", re.IGNORECASE
)
_DO = re.compile(r"(?P<noun>.*?)\b(?P<aux>did|does|do) (?P<subject>.+)")
_BE = re.compile(r"(?P<noun>.*?)\b(?P<aux>is|was|are|were) (?P<subject>.+)")
_FRONTED = re.compile(r"(?P<front>(?:In|On|At|By|During|After|Before|From|Since) [^,]{3,60}), (?P<rest>[^,].{20,})\.")
_CLAUSE = re.compile(r",? (?:which|who|whose|where|while|although|but|because) ")
_BRACKETS = re.compile(r" \([^()]*\)| ?\[[^\[\]]*\]")
_PRONOUN = re.compile(r"(?:He|She|It|They)\b")
_THOUSANDS = re.compile(r"\b(\d{1,3}),(\d{3})\b")
_LEAD_INS = (
    "According to the text, {}", "As the source says, {}", "The sources state that {}", "{}", "It is stated that {}",
    "The passage notes that {}",
)  # fmt: skip
_SYNONYMS_LISTED = (
    "began/started built/constructed created/made used/employed large/big important/significant near/close_to "
    "also/additionally many/numerous about/approximately because/since help/assist helped/assisted bought/purchased "
    "buy/purchase began/commenced ended/concluded often/frequently located/situated however/though led/headed "
    "received/obtained showed/demonstrated shows/demonstrates shown/demonstrated said/stated people/persons main/principal "
    "mainly/primarily got/obtained needed/required requires/needs whole/entire kept/retained chose/selected gave/provided "
    "got/received allowed/permitted whilst/while became/turned_into known/recognized famous/well-known several/a_number_of "
    "established/founded founded/established area/region rapidly/quickly over/more_than"
)
_SYNONYMS = dict(pair.replace("_", " ").split("/") for pair in _SYNONYMS_LISTED.split())
_WORD = re.compile(r"[A-Za-z]+")
_DIGITS = re.compile(r"(?<![\w.,:/$£€–-])([2-9]|1[0-2])\b(?![,.%:/–-]?\w)")  # noqa: RUF001 - the mark itself
_WRITTEN = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def declared(question: str, answer: str) -> str | None:
    """The question as a statement with its answer; None where no rule fits."""
    text = question.strip().rstrip("?").strip()
    found = _QUESTION.match(text)
    if found is None or len(answer) > 120:
        return _inline(text, answer)
    lead, asked, rest = found["lead"] or "", found["asked"].lower(), found["rest"].strip()
    if lead and lead.lower() not in _PREPOSITIONS:
        return _inline(text, answer)
    place = _placed(lead, asked, answer)
    if doing := _DO.fullmatch(rest):
        return _did(asked, doing, answer, place)
    if asked in ("who", "what", "which") and not lead and (being := _BE.fullmatch(rest)) and not being["noun"].strip():
        return _was(being, answer)
    if (being := _BE.fullmatch(rest)) and (lead or asked in ("when", "where")):
        return _was_done(being, place)
    return _doer(asked, rest, answer) if rest and not lead else None


def rewordings(sentence: str, title: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Kinds and texts of what a model may make of a source's sentence."""
    ways: dict[str, Callable[[], str | None]] = {
        "reordered": lambda: _reordered(sentence),
        "reduced": lambda: _reduced(sentence),
        "bracketless": lambda: _without_brackets(sentence),
        "named": lambda: _named(sentence, title),
        "reworded": lambda: _reworded(sentence, chance),
        "led in": lambda: chance.choice(_LEAD_INS).format(_lowered(sentence)),
        "numerals": lambda: _numerals(sentence),
    }
    for kind, make in ways.items():
        made = make()
        if made and made != sentence:
            yield kind, made[0].upper() + made[1:]


def both(one: str, other: str) -> str:
    """Two facts as one sentence."""
    return f"{one.rstrip('.')}, and {_lowered(other)}"


def _placed(lead: str, asked: str, answer: str) -> str:
    low = answer.lower()
    begins = low.split(" ", 1)[0] in _PREPOSITIONS if low else False
    if lead:
        return answer if begins else f"{lead.lower()} {answer}"
    if asked in ("when", "where") and not begins:
        return f"in {answer}"
    return answer


def _did(asked: str, doing: re.Match[str], answer: str, place: str) -> str | None:
    parts = doing["subject"].split()
    at = next((here for here, word in enumerate(parts) if here and word.lower() in _BASE), None)
    if at is None:
        return None
    subject, verb, rest = " ".join(parts[:at]), parts[at].lower(), " ".join(parts[at + 1 :])
    said = _inflected(verb, doing["aux"].lower(), subject)
    if asked in ("when", "where") or place != answer:
        return _sentence(f"{subject} {said} {rest} {place}")
    noun = doing["noun"].strip() if asked == "how many" and doing["noun"].strip().lower() not in answer.lower() else ""
    if rest.split(" ")[-1] in _PREPOSITIONS or not rest:
        return _sentence(f"{subject} {said} {rest} {answer} {noun}")
    return _sentence(f"{subject} {said} {answer} {noun} {rest}")


def _was(being: re.Match[str], answer: str) -> str:
    """`What is X?`: X is the answer; `Who was killed by X?`: the answer was killed by X."""
    subject = being["subject"]
    first = subject.split()[0].lower()
    if first in _PARTICIPLES or first.endswith("ed") or first in ("not", "the first", "responsible"):
        return _sentence(f"{answer} {being['aux']} {subject}")
    last = subject.split()[-1].lower()
    if last in ("called", "named") or last in _PREPOSITIONS:
        return _sentence(f"{' '.join(subject.split()[:-1])} {being['aux']} {last} {answer}")
    return _sentence(f"{subject} {being['aux']} {answer}")


def _was_done(being: re.Match[str], place: str) -> str | None:
    parts = being["subject"].split()
    at = next((here for here, word in enumerate(parts) if here and (word in _PARTICIPLES or word.endswith("ed"))), None)
    if at is None:
        return None
    return _sentence(f"{' '.join(parts[:at])} {being['aux']} {' '.join(parts[at:])} {place}")


def _doer(asked: str, rest: str, answer: str) -> str | None:
    """`Who built the tower?`: the answer built the tower."""
    if asked not in ("who", "what", "which", "how many"):
        return None
    verb = rest if asked == "who" else _after_noun(rest)
    tail = _noun(rest) if asked == "how many" and _noun(rest).lower() not in answer.lower() else ""
    return _sentence(f"{answer} {tail} {verb}") if verb else None


def _inline(text: str, answer: str) -> str | None:
    """`Tesla moved to what city`: what is asked for in the middle."""
    found = re.search(r"\b(?:what|which|who|whom|how many)\b(?: [a-z]+)?$", text)
    return _sentence(f"{text[: found.start()]}{answer}") if found and found.start() > 15 else None


def _after_noun(rest: str) -> str:
    """The verb and what follows, of `company built the tower`."""
    parts = rest.split()
    for at, word in enumerate(parts[1:4], 1):
        if (
            word.endswith("ed")
            or word in _PAST.values()
            or word in ("is", "was", "are", "were", "has", "had", "have", "can")
        ):
            return " ".join(parts[at:])
    return ""


def _noun(rest: str) -> str:
    verb = _after_noun(rest)
    return rest[: len(rest) - len(verb)].strip() if verb else ""


def _inflected(verb: str, aux: str, subject: str) -> str:
    if aux == "did":
        if verb in _PAST:
            return "were" if verb == "be" and subject.endswith("s") else _PAST[verb]
        return (
            verb + ("d" if verb.endswith("e") else "ed")
            if not verb.endswith("y") or verb[-2] in "aeo"
            else verb[:-1] + "ied"
        )
    if aux == "does":
        return {"have": "has", "be": "is"}.get(verb, verb + ("es" if verb.endswith(("s", "sh", "ch", "o")) else "s"))
    return verb


def _sentence(text: str) -> str:
    said = " ".join(text.split()).rstrip(" .,")
    return said[0].upper() + said[1:] + "."


def _lowered(sentence: str) -> str:
    first = sentence.split(" ", 1)[0]
    common = first in (
        "The",
        "A",
        "An",
        "In",
        "On",
        "At",
        "It",
        "He",
        "She",
        "They",
        "This",
        "These",
        "By",
        "After",
        "During",
    )
    return sentence[0].lower() + sentence[1:] if common else sentence


def _reordered(sentence: str) -> str | None:
    found = _FRONTED.fullmatch(sentence)
    if found is None or found["rest"][0].isdigit() or found["rest"].startswith(("a ", "an ")):
        return None  # `On August 15, 1971, ...`, `to X, a town`
    return f"{found['rest'][0].upper()}{found['rest'][1:]} {_lowered(found['front'])}."


def _reduced(sentence: str) -> str | None:
    found = _CLAUSE.search(sentence)
    if found is None or found.start() < 40 or "," in sentence[: found.start()][-25:]:
        return None
    return sentence[: found.start()].rstrip(" ,") + "."


def _without_brackets(sentence: str) -> str | None:
    made = _BRACKETS.sub("", sentence)
    return made if made != sentence and len(made) > 30 else None


def _named(sentence: str, title: str) -> str | None:
    found = _PRONOUN.match(sentence)
    if not found or title not in ("Nikola Tesla", "Genghis Khan", "Doctor Who", "Imperialism", "Warsaw"):
        return None
    he = found.group() in ("He", "She")
    return (
        title + sentence[found.end() :]
        if he == (title in ("Nikola Tesla", "Genghis Khan")) and found.group() != "They"
        else None
    )


def _reworded(sentence: str, chance: random.Random) -> str | None:
    def other(found: re.Match[str]) -> str:
        said = _SYNONYMS.get(found.group())
        return said if said and chance.random() < 0.8 else found.group()

    made = _WORD.sub(other, sentence)
    return made if made != sentence else None


def _numerals(sentence: str) -> str | None:
    made = _THOUSANDS.sub(r"\1\2", sentence).replace(" percent", "%").replace(" per cent", "%")
    made = _DIGITS.sub(lambda found: _WRITTEN[int(found.group())], made) if made == sentence else made
    return made if made != sentence else None
