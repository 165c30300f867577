"""What a sentence says in pieces that can be compared exactly: words, numbers, dates, names, denials."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import re
from collections.abc import Mapping, Sequence

from app.text import polarity, quantities, words
from app.text.quantities import Date, Quantity

_WORD = re.compile(r"\w+(?:['’]\w+)*")  # noqa: RUF001 - the mark itself
_POSSESSIVE = ("'s", "’s")  # noqa: RUF001 - the mark itself
_STRETCH = 4  # words to either side that stand near a fact
_LONGEST_WORD = 64  # code points; a longer one is cut
_BEHIND = 1 << 40  # a number stands before the word of its place
_LEAST_NAME = 2  # letters of a name that is looked for
_NAME_JOINT = re.compile(r"[\s.&'’-]{1,3}")  # noqa: RUF001 - the mark itself
_ENDINGS = (
    "tion",
    "sion",
    "ment",
    "ness",
    "ism",
    "ing",
    "ance",
    "ence",
    "ship",
    "hood",
)  # of words that name nothing by themselves
_OPENING = (
    "a an the in on at by for from of with without and but or nor so then also who whom whose what which when where why "
    "how is are was were be been do does did has have had can could will would shall should may might must there it he "
    "she they this that these those its his her their our my your we i you one two three four five six seven eight nine "
    "ten some many most several all each every both no not during after before since under over between among until "
    "while if as about according to besides however although though because despite within throughout into through "
    "today later early other another such only once first second third finally additionally moreover furthermore "
    "yes okay sure historically originally currently recently eventually initially overall similarly hence "
    "thus therefore instead yet still even unlike like upon along around against across near per"
)
OPENERS = frozenset(_OPENING.split())

_ADDRESS = re.compile(
    r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"
    r"|(?:https?://)?(?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24}\b(?:[/?#][^\s<>()\[\]\"'`]*)?",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"^https?://|^www\.")
_ENDINGS_OF_HOSTS = frozenset({"com", "org", "net", "edu", "gov", "io", "eu", "uk", "de", "fr"})
_CODE = re.compile(r"[^\W_]+(?:[-‐‑–_/.:][^\W_]+)*")  # noqa: RUF001 - the marks themselves
_PIECE = re.compile(r"[^\W_]+")
_DIGITS_OF_CODE = 3  # at least, or as many pieces; `B-52` and `Q3` are names
_PIECES_OF_CODE = 8  # at most, as a source may part it
_LONGEST_ADDRESS = 200  # code points that are cut into shorter forms
_MOST_EXACT = 32  # of a claim
_NO_CODE = frozenset({"fy", "ad", "bc", "us", "am", "pm"})  # written before or behind a year or a number


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A word with a capital, one of those that make up a name."""

    stem: str
    plain: str
    whole: str  # the name that it is part of, as written
    at: int  # place among the words
    opens: bool  # begins the sentence, so that its capital says little


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """A sentence or a few neighbouring ones. Places are those of `plain`; numbers and dates stand between two places."""

    plain: tuple[str, ...]  # in lower case, accents folded, without numbers and dates
    stems: tuple[str, ...]
    content: frozenset[str]  # stems that are no stop words
    order: tuple[int, ...]  # places of these words
    quantities: tuple[tuple[int, Quantity, str], ...]  # place, number, how it is written
    dates: tuple[tuple[int, Date, str], ...]
    names: tuple[Name, ...]
    denials: tuple[tuple[int, tuple[str, ...]], ...]  # place, stems of what is denied
    chain: tuple[
        str, ...
    ]  # what is said in order: stems, `#` and a number, `@` and a date, `~` and the stems of a name

    def near(self, at: int) -> frozenset[str]:
        """The content that stands around a place."""
        low = max(0, at - _STRETCH)
        stems, plain = self.stems[low : at + _STRETCH + 1], self.plain[low : at + _STRETCH + 1]
        return frozenset(
            stem for here, (word, stem) in enumerate(zip(plain, stems, strict=True), low) if here != at and word not in words.STOP_WORDS
        )  # fmt: skip


@functools.lru_cache(maxsize=500)
def of(text: str) -> Facts:
    """The facts of a text. Linear in its length."""
    numbers, dates = quantities.of(text)
    every: list[Quantity | Date] = [*numbers, *dates]
    found = _words(_masked(text, [(each.start, each.end) for each in every]))
    plain = tuple(word for word, _, _ in found)
    stems = tuple(map(words.stem, plain))
    starts = [start for _, start, _ in found]
    denials = polarity.denials(plain)
    silent = words.STOP_WORDS.union(plain[at] for at in denials)
    order = tuple(at for at, word in enumerate(plain) if word not in silent)
    named = tuple(_names(text, found, stems))
    placed = [(bisect.bisect(starts, one.start), one) for one in every]
    return Facts(
        plain=plain,
        stems=stems,
        content=frozenset(stems[at] for at in order),
        order=order,
        quantities=tuple((bisect.bisect(starts, one.start), one, text[one.start : one.end]) for one in numbers),
        dates=tuple((bisect.bisect(starts, one.start), one, text[one.start : one.end]) for one in dates),
        names=named,
        denials=tuple((at, polarity.denied(at, plain, stems)) for at in denials),
        chain=_chain(stems, order, named, placed),
    )


def exact(text: str) -> dict[str, str]:
    """The addresses and codes of a claim, which a source has letter by letter or not at all; each as compared and as written."""
    addresses = [found for found in _ADDRESS.finditer(text) if _is_address(found.group())]
    made = {_address(found.group()): found.group().rstrip(".,;:!?") for found in addresses}
    for found in _CODE.finditer(_masked(text, [found.span() for found in addresses])):
        if _is_code(found.group()):
            made["".join(_pieces(found.group()))] = found.group()
    return dict(itertools.islice(made.items(), _MOST_EXACT))


@functools.lru_cache(maxsize=100)
def exact_held(text: str) -> frozenset[str]:
    """All that `exact` may find in claims that a source supports: shorter forms of its addresses, words that it parts."""
    made: set[str] = set()
    for found in _ADDRESS.finditer(text):
        address = _address(found.group())
        host = re.split("[/?#]", address.rpartition("@")[2], maxsplit=1)[0]
        made |= {address, host, *(address[: cut.start()] for cut in re.finditer("[/?#]", address[:_LONGEST_ADDRESS]))}
        made |= {host[dot.end() :] for dot in re.finditer(r"\.", host)}
    pieces = _pieces(text)
    for at in range(len(pieces)):
        runs = itertools.accumulate(pieces[at : at + _PIECES_OF_CODE])
        made.update(run for run in runs if not run.isalpha())
    return frozenset(made)


def _address(written: str) -> str:
    return _SCHEME.sub("", _SCHEME.sub("", written.casefold())).rstrip(".,;:!?/")


def _is_address(written: str) -> bool:
    """Whether it is more than two words without a space between them."""
    host, _, path = _address(written).partition("/")
    known = written.casefold().startswith(("http", "www.")) or "@" in written
    return known or bool(path) or host.rpartition(".")[2] in _ENDINGS_OF_HOSTS


def _is_code(written: str) -> bool:
    """Whether letters and digits are mixed as in no word, name, year or measure."""
    letters = "".join(filter(str.isalpha, written))
    digits = sum(map(str.isdecimal, written))
    if not letters.isascii() or not letters or not digits:
        return False
    pieces = _PIECE.findall(written)
    measure = letters.lower() in _NO_CODE or quantities.is_measure(letters.lower())
    if letters.isupper():
        return (digits >= _DIGITS_OF_CODE and not measure) or len(pieces) >= _DIGITS_OF_CODE
    if digits < _DIGITS_OF_CODE or measure:
        return False
    mixed = any(map(_is_mixed, pieces))
    return (mixed or len(pieces) >= _DIGITS_OF_CODE) and all(
        len(piece) == 1 or piece.isdecimal() or _is_mixed(piece) for piece in pieces
    )


def _is_mixed(piece: str) -> bool:
    """Whether letters and digits alternate: `a1b2`, not `1990s`."""
    return sum(one.isdecimal() != other.isdecimal() for one, other in itertools.pairwise(piece)) > 1


def _pieces(text: str) -> list[str]:
    return [piece.casefold() for piece in _PIECE.findall(text)]


def joined(parts: Sequence[Facts]) -> Facts:
    """Neighbouring sentences as one."""
    if len(parts) == 1:
        return parts[0]
    shifts = [0]
    for part in parts[:-1]:
        shifts.append(shifts[-1] + len(part.plain))
    pairs = list(zip(shifts, parts, strict=True))
    return Facts(
        plain=tuple(word for part in parts for word in part.plain),
        stems=tuple(stem for part in parts for stem in part.stems),
        content=frozenset().union(*(part.content for part in parts)),
        order=tuple(shift + at for shift, part in pairs for at in part.order),
        quantities=tuple((shift + at, one, text) for shift, part in pairs for at, one, text in part.quantities),
        dates=tuple((shift + at, one, text) for shift, part in pairs for at, one, text in part.dates),
        names=tuple(dataclasses.replace(name, at=shift + name.at) for shift, part in pairs for name in part.names),
        denials=tuple((shift + at, denied) for shift, part in pairs for at, denied in part.denials),
        chain=tuple(link for part in parts for link in part.chain),
    )


def link(one: Quantity | Date) -> str:
    """A number or a date as a link of a chain."""
    if isinstance(one, Quantity):
        return f"#{quantities.written(one.values[0])}"
    return f"@{one.year}/{one.month}/{one.day}"


def _chain(
    stems: Sequence[str], order: Sequence[int], named: Sequence[Name], placed: Sequence[tuple[int, Quantity | Date]]
) -> tuple[str, ...]:
    links: list[tuple[int, int, str]] = []
    for at, one in placed:
        links.append((at, one.start, link(one)))
    inside = {name.at: name for name in named}
    run: list[str] = []
    for at in sorted({*order, *inside}):
        if at in inside:
            run.append(stems[at])
            after = inside.get(at + 1)
            if after is None or after.whole is not inside[at].whole:
                links.append((at, _BEHIND, "~" + " ".join(run)))
                run = []
        else:
            links.append((at, _BEHIND, stems[at]))
    return tuple(link for _, _, link in sorted(links, key=lambda each: each[:2]))


def _masked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with spaces for what stands in these spans."""
    pieces: list[str] = []
    behind = 0
    for start, end in sorted(spans):
        if start >= behind:
            pieces += (text[behind:start], " " * (end - start))
            behind = end
    return "".join((*pieces, text[behind:]))


def _words(text: str) -> list[tuple[str, int, bool]]:
    """Each word as it is compared, where it starts, and whether it has a capital; pairs of a script without spaces."""
    found: list[tuple[str, int, bool]] = []
    for match in _WORD.finditer(text):
        written = match.group()[:_LONGEST_WORD] if match.group().isascii() else match.group()
        plain = words.folded(written).lower()
        for ending in _POSSESSIVE:
            plain = plain.removesuffix(ending)
        if written.isascii():
            found.append((plain, match.start(), written[0].isupper()))
            continue
        found += ((part, match.start(), written[0].isupper()) for part in words.spaced(plain).split() or [plain])
    return found


def _names(text: str, found: Sequence[tuple[str, int, bool]], stems: Sequence[str]) -> list[Name]:
    run: list[int] = []
    named: list[Name] = []

    def close() -> None:
        if run:
            last = run[-1]
            end = found[last][1] + len(found[last][0])
            whole = text[found[run[0]][1] : end]
            named.extend(
                Name(stem=stems[at], plain=found[at][0], whole=whole, at=at, opens=_opens(text, found[at][1]))
                for at in run
            )
            run.clear()

    behind = 0
    for at, (plain, start, capital) in enumerate(found):
        if run and not _NAME_JOINT.fullmatch(text[behind:start]):
            close()
        behind = start + len(plain)
        if capital and plain not in OPENERS and len(plain) >= _LEAST_NAME:
            run.append(at)
        else:
            close()
    close()
    return named


def _opens(text: str, start: int) -> bool:
    before = text[max(0, start - 4) : start].rstrip()
    return not before or before[-1] in '.?!:"“(-*•'


@dataclasses.dataclass(frozen=True, slots=True)
class Corpus:
    """What all given passages say together, so that a word's weight and a name's whereabouts are known."""

    sentences: int
    holding: Mapping[str, int]  # sentences that hold a stem
    names: frozenset[str]  # stems with a capital inside of a sentence
    lower: frozenset[str]  # stems that come in lower case too


def is_name(name: Name, corpus: Corpus) -> bool:
    """Whether a word with a capital names something; at the beginning of a sentence its capital alone does not tell."""
    if not name.opens or " " in name.whole:
        return True
    if name.stem in corpus.names:
        return True
    return name.stem not in corpus.lower and not name.plain.endswith(_ENDINGS)
