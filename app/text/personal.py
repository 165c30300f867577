"""Personal data in a text, by its form alone: what has a checksum is checked, what has none needs its usual signs.

Names and addresses of streets are not looked for: by form alone they can't be told from other words.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import re
from collections.abc import Callable, Iterator


class Kind(enum.StrEnum):
    """What it is, as people are told."""

    EMAIL = "e-mail"
    PHONE = "phone number"
    IBAN = "IBAN"
    CARD = "card number"
    IP = "IP address"
    SSN = "social security number"
    PASSPORT = "passport number"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Characters [start, end) of a text."""

    kind: Kind
    start: int
    end: int


def found(text: str) -> list[Found]:
    """What stands in the text, in order, nothing twice; takes linear time."""
    by_place = sorted(
        (each for finder in _FINDERS for each in finder(text)), key=lambda each: (each.start, each.start - each.end)
    )
    kept: list[Found] = []
    for each in by_place:
        if not kept or each.start >= kept[-1].end:
            kept.append(each)
    return kept


def masked(text: str) -> str:
    """The text with the name of its kind in place of each: `[e-mail]`."""
    pieces: list[str] = []
    end = 0
    for each in found(text):
        pieces += [text[end : each.start], f"[{each.kind.value}]"]
        end = each.end
    return "".join([*pieces, text[end:]])


# Bounded throughout, and begun only where no character of the same kind stands before: linear time.
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}+[@\uff20](?:[^\W_][\w-]{0,62}\.){1,6}[^\W\d_]{2,24}(?![\w-])")
_US_PHONE = r"(?:\([2-9]\d\d\)[ \u00a0]?|[2-9]\d\d[-.])[2-9]\d\d[-.]\d{4}"
_GROUPS = r"\(?\d{1,4}\)?(?:[ \u00a0./-]{1,2}\(?\d{1,8}\)?){1,6}"
_PHONE = re.compile(
    rf"(?<![\w.,/$€£#+-])(?:(?P<abroad>\+[1-9]\d{{0,2}}[ \u00a0.-]?(?:\(0\))?(?:{_GROUPS}|\d{{6,12}}))|(?P<us>(?:1[-. ])?{_US_PHONE}))"
    r"(?![\w%]|[.,/-]\d)"
)
_SAID = re.compile(
    r"\b(?:tel|telephone|phone|mobile|cellphone|fax|call|dial|whatsapp|reach (?:me|us) (?:at|on))\b\.?"
    r"(?: (?:no|nr|number)\b\.?)?(?: (?:is|at|on))?[ :\u00a0]{0,3}"
    rf"(?P<number>\+?(?:{_GROUPS}|\d{{7,15}}))(?![\w%]|[.,/-]\d)",
    re.IGNORECASE,
)
_DATES = re.compile(r"(?:19|20)\d\d\D(?:\d\d\D\d\d|(?:19|20)\d\d)\Z")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ \u00a0-]?[A-Za-z0-9])")
_CARD = re.compile(
    r"(?<![\w.,$€£-])(?:\d{13,19}|\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|3\d{3}[ -]\d{6}[ -]\d{4,5})(?![\w%]|[.,-]\d)"
)
_IPV4 = re.compile(r"(?<![\w.,/§-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![\w:])")
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_PASSPORT = re.compile(
    r"\bpassport\b(?: (?:no|nr|number|id)\b\.?)?(?: is)?[ :#]{0,3}(?P<number>(?=[A-Z0-9]*\d{6})[A-Z0-9]{6,10})\b",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\b(?:v|version|EC|section|sect?|clause|chapter|item|rule|release|§)\.? ?\Z", re.IGNORECASE)

# Characters of an IBAN by country: SWIFT's IBAN registry, release 99.
_IBAN_CHARS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 "
    "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 "
    "LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 "
    "ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBAN_LENGTH = {each[:2]: int(each[2:]) for each in _IBAN_CHARS.split()}
# Lengths of card numbers by how they begin: ISO/IEC 7812 issuers that have Luhn's check digit.
_ISSUERS = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"3(?:0[0-5]|[689])"), (14,)),
    (re.compile(r"6(?:011|4[4-9]|5)|62|35"), (16, 17, 18, 19)),
)
_PHONE_DIGITS = range(8, 16)  # ITU-T E.164 allows 15
_SAID_DIGITS = range(7, 16)  # a local number too, where the text says that it is one
_US_DIGITS = 11
_IPV4_PLAIN = 10  # where every part is smaller it is more often a numbered section


def _plain(kind: Kind, pattern: re.Pattern[str]) -> Callable[[str], Iterator[Found]]:
    def finder(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            group = "number" if "number" in pattern.groupindex else 0
            yield Found(kind=kind, start=match.start(group), end=match.end(group))

    return finder


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE.finditer(text):
        digits = _digits(match[0])
        if match["us"] is None and not _may_be_abroad(digits):
            continue
        yield Found(kind=Kind.PHONE, start=match.start(), end=match.end())
    for match in _SAID.finditer(text):
        if len(_digits(match["number"])) in _SAID_DIGITS and not _DATES.match(match["number"]):
            yield Found(kind=Kind.PHONE, start=match.start("number"), end=match.end("number"))


def _may_be_abroad(digits: str) -> bool:
    return len(digits) == _US_DIGITS if digits.startswith("1") else len(digits) in _PHONE_DIGITS


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTH.get(match[0][:2].upper())
        if length is None:
            continue
        end = _end_of(text, match.start(), length)
        if end is not None and _mod_97(text[match.start() : end]):
            yield Found(kind=Kind.IBAN, start=match.start(), end=end)


def _end_of(text: str, start: int, length: int) -> int | None:
    """Where so many letters and digits end, single spaces and hyphens between them not counted; None where they do not."""
    at, taken = start, 0
    while taken < length and at < len(text):
        if text[at].isascii() and text[at].isalnum():
            taken += 1
        elif text[at] not in " \u00a0-" or not text[at - 1].isalnum():
            return None
        at += 1
    ends = at >= len(text) or not text[at].isalnum()
    return at if taken == length and ends else None


def _mod_97(iban: str) -> bool:
    kept = "".join(char for char in iban.upper() if char.isalnum())
    return int("".join(str(int(char, 36)) for char in kept[4:] + kept[:4])) % 97 == 1


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        digits = _digits(match[0])
        known = any(begins.match(digits) and len(digits) in lengths for begins, lengths in _ISSUERS)
        if known and _luhn(digits):
            yield Found(kind=Kind.CARD, start=match.start(), end=match.end())


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0  # noqa: PLR2004 - a decimal digit


def _addresses(text: str) -> Iterator[Found]:
    for match in _IPV4.finditer(text):
        parts = [int(part) for part in match[0].split(".")]
        before = text[max(0, match.start() - 12) : match.start()]
        if max(parts) in range(_IPV4_PLAIN, 256) and not _NUMBERED.search(before):
            yield Found(kind=Kind.IP, start=match.start(), end=match.end())
    for match in _IPV6.finditer(text):
        if sum(bool(part) for part in match[0].split(":")) > 2 and _is_ipv6(match[0]):  # noqa: PLR2004 - a time has 3
            yield Found(kind=Kind.IP, start=match.start(), end=match.end())


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


_FINDERS: tuple[Callable[[str], Iterator[Found]], ...] = (
    _plain(Kind.EMAIL, _EMAIL),
    _cards,
    _ibans,
    _plain(Kind.SSN, _SSN),
    _phones,
    _addresses,
    _plain(Kind.PASSPORT, _PASSPORT),
)
