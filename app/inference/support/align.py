"""How a claim and a window of a passage compare, as numbers; and what of the claim the window does not have."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.inference.support import facts
from app.inference.support.facts import Corpus, Facts, Name
from app.text import polarity, quantities, words
from app.text.quantities import Date, Quantity

Row = npt.NDArray[np.float64]  # shape (WIDTH,)
Rows = npt.NDArray[np.float64]  # shape (n, WIDTH)
Numbers = npt.NDArray[np.float64]  # shape (n,)

NAMES = (
    "cosine",  # of claim and window, the mean of its sentences' vectors
    "cosine_best",  # of the claim and the window's nearest sentence
    "overlap",  # share of the weight of the claim's words that the window holds
    "overlap_plain",  # unweighed
    "overlap_soft",  # with words that begin alike
    "overlap_passage",  # with the whole passage and its title
    "overlap_all",  # with all passages
    "held",  # share of the window's words that the claim holds
    "pairs",  # share of neighbouring words of the claim that are neighbours in the window
    "order",  # share of the claim's words that stand in the window's order
    "missing",  # number of words without a match
    "missing_known",  # of these, those that other passages have
    "length",  # logarithm of the number of words
    "short",
    "window",  # sentences behind the first
    "whole",  # every word held
    "nearly_whole",  # all but one or two
    "cosine_high",
    "overlap_cosine",
    "names_missing",  # from the window
    "names_missing_passage",
    "names_missing_all",
    "names_elsewhere",  # missing from the passage, but other passages have them
    "names_replaced",  # the window has another at the same place
    "names_rival",  # the window has a name that the claim has not, and the claim one that the passage has not
    "numbers_missing",
    "numbers_missing_passage",
    "numbers_replaced",
    "numbers_rival",
    "numbers_held",
    "numbers_misplaced",  # held, but among other words
    "numbers_weak",  # `one`
    "units_differ",
    "dates_missing",
    "dates_missing_passage",
    "dates_replaced",
    "dates_rival",
    "dates_partial",
    "dates_held",
    "dates_misplaced",
    "denied",  # what the window says
    "undenied",  # what the window denies
    "denial_new",  # of what the window does not say
    "denial_lost",
    "opposite",
    "opposite_near",
    "quantifier",
    "names_behind",  # the window has them only behind what is said of them
    "name_absent",  # any that no passage has
    "number_absent",  # any that the passage does not have
    "date_absent",
    "clash",  # anything that contradicts
    "clash_overlap",  # the same, where the words agree
    "names_missing_overlap",
    "number_exchanged",  # between the same words the window has another
    "date_exchanged",
    "name_exchanged",
    "word_exchanged",
    "denial_put_in",  # between the same words
    "denial_taken_out",
    "opposite_exchanged",
    "exchanged_overlap",
)
WIDTH = len(NAMES)
AGAINST = frozenset(NAMES[NAMES.index("names_missing") :]) - {
    "numbers_held",
    "dates_held",
}  # each speaks against the claim

_COSINES = [NAMES.index(name) for name in ("cosine", "cosine_best", "cosine_high", "overlap_cosine")]
_OVERLAP = NAMES.index("overlap")
_HIGH = 0.8  # cosine

_ALIKE = 4  # letters that two words of one root begin with
_ALIKE_SHARE = 0.6  # of the longer one's letters
_SHORT = 4  # content words
_ENDINGS_LISTED = "n s an ian y ia e ish ese a i ic er al land m ism ist ns ans ians o us es ine ite is ium ean ii"
_NAME_ENDINGS = frozenset({"", *_ENDINGS_LISTED.split()})
_PEOPLES_LISTED = (
    "french/france dutch/netherlands dutch/holland spanish/spain english/england scottish/scotland welsh/wales irish/ireland "
    "greek/greece polish/poland turkish/turkey danish/denmark swedish/sweden swiss/switzerland german/germany "
    "british/britain american/america american/states norwegian/norway finnish/finland czech/bohemia"
)
_PEOPLES = frozenset(frozenset(map(words.stem, pair.split("/"))) for pair in _PEOPLES_LISTED.split())
_COUNTRIES: dict[str, frozenset[str]] = {
    stem: frozenset().union(*(pair for pair in _PEOPLES if stem in pair)) - {stem} for pair in _PEOPLES for stem in pair
}
_ABSENT = {
    "name_absent": "names_missing_all",
    "number_absent": "numbers_missing_passage",
    "date_absent": "dates_missing_passage",
}
_MOST_RIVALS = 16  # of a window that are looked at
_MOST_OF_A_KIND = 3.0  # at which a count of what is missing ends
_NUMERIC = ("number", "date")
_INITIALS = range(2, 7)  # letters of an acronym
NEGATION = "negation"

Key = tuple[int, str, str]  # which way, and two links of a chain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claim as it is compared."""

    facts: Facts
    names: tuple[Name, ...]  # those that name something
    weights: Mapping[str, float]  # of each content stem
    stems: frozenset[str]

    @property
    def total(self) -> float:
        """The weight of all content words; above 0."""
        return sum(self.weights.values()) or 1.0

    def held_by(self, window: Window) -> float:
        """Share of the weight of its content words that a window holds."""
        return sum(self.weights[stem] for stem in self.facts.content & window.held.stems) / self.total


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a stretch of text holds, without its order."""

    stems: frozenset[str]
    initials: frozenset[str]  # of its names of two words and more, and its acronyms
    values: frozenset[float]  # of numbers and years
    dates: tuple[Date, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One to three neighbouring sentences of a passage."""

    facts: Facts
    held: Held
    beginnings: Mapping[str, tuple[str, ...]]  # content words by their first letters
    surroundings: Mapping[Key, Sequence[str]]  # what stands between which links of its chain
    parts: tuple[Facts, ...]  # of each sentence
    passage: Held  # with its title and headings
    titles: frozenset[str]  # stems of these


@dataclasses.dataclass(slots=True)
class _Gaps:
    """What was found missing, by kind."""

    counts: dict[str, float] = dataclasses.field(default_factory=lambda: collections.defaultdict(float))
    said: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, number: float = 1.0) -> None:
        self.counts[name] += number


def claimed(said: Facts, corpus: Corpus) -> Claimed:
    """The claim with its words weighed over the passages: what all sentences say tells none of them apart."""
    number = corpus.sentences
    weights = {
        stem: math.log(1 + (number - corpus.holding.get(stem, 0) + 0.5) / (corpus.holding.get(stem, 0) + 0.5))
        for stem in said.content
    }
    named = tuple(name for name in said.names if facts.is_name(name, corpus))
    return Claimed(facts=said, names=named, weights=weights, stems=frozenset(said.stems))


def held(parts: Sequence[Facts]) -> Held:
    """What some sentences hold together."""
    years = {float(each.year) for part in parts for _, each, _ in part.dates if each.year is not None}
    return Held(
        stems=frozenset().union(*(part.stems for part in parts)),
        initials=frozenset().union(*(_initials(part) for part in parts)),
        values=frozenset(
            years.union(value for part in parts for _, each, _ in part.quantities for value in each.values)
        ),
        dates=tuple(each for part in parts for _, each, _ in part.dates),
    )


def merged(several: Sequence[Held]) -> Held:
    """What several stretches hold together."""
    return Held(
        stems=frozenset().union(*(each.stems for each in several)),
        initials=frozenset().union(*(each.initials for each in several)),
        values=frozenset().union(*(each.values for each in several)),
        dates=tuple(date for each in several for date in each.dates),
    )


def window(parts: Sequence[Facts], held_: Sequence[Held], passage: Held, titles: frozenset[str]) -> Window:
    """Neighbouring sentences as they are compared."""
    said = facts.joined(parts)
    return Window(
        facts=said,
        held=held_[0] if len(held_) == 1 else merged(held_),
        beginnings=_beginnings(said),
        surroundings=_surroundings(said.chain),
        parts=tuple(parts),
        passage=passage,
        titles=titles,
    )


def _beginnings(said: Facts) -> dict[str, tuple[str, ...]]:
    """The content words of a window by their first letters."""
    found: dict[str, list[str]] = {}
    for stem in said.content:
        found.setdefault(stem[:_ALIKE], []).append(stem)
    return {first: tuple(several) for first, several in found.items()}


def row(claim: Claimed, window: Window, everything: Held) -> tuple[Row, tuple[str, ...]]:
    """The features of a claim and a window but for their nearness, see `near`, and what contradicts.

    Args:
        claim: the claim.
        window: the window.
        everything: what all passages hold.
    """
    gaps = _Gaps()
    _names(claim, window, everything, gaps)
    _numbers(claim, window, gaps)
    _dates(claim, window, gaps)
    _denials(claim, window, gaps)
    _opposites(claim, window, gaps)
    _exchanged(claim, window, gaps)
    made = {name: min(number, _MOST_OF_A_KIND) for name, number in gaps.counts.items()}
    made |= _words(claim, window, everything)
    clash = float(
        any(
            gaps.counts[name]
            for name in (
                "names_replaced", "names_elsewhere", "numbers_replaced", "units_differ", "dates_replaced", "denied",
                "undenied", "denial_new", "opposite_near",
            )
        )
    )  # fmt: skip
    made["clash"] = clash
    for absent, counted in _ABSENT.items():
        made[absent] = float(gaps.counts[counted] > 0)
    made["clash_overlap"] = clash * made["overlap"]
    made["names_missing_overlap"] = made.get("names_missing", 0.0) * made["overlap"]
    exchanged = sum(made.get(f"{kind}_exchanged", 0.0) for kind in ("number", "date", "name", "opposite"))
    made["exchanged_overlap"] = min(exchanged, 1.0) * made["overlap"]
    return np.array([made.get(name, 0.0) for name in NAMES]), tuple(dict.fromkeys(gaps.said))


def near(rows: Rows, *, cosine: Numbers, best: Numbers) -> Rows:
    """The features with the nearness of meaning.

    Args:
        rows: of `row`.
        cosine: of each claim and its window.
        best: of each claim and the nearest sentence of its window.
    """
    nearest = np.maximum(cosine, best)
    made = rows.copy()
    made[:, _COSINES] = np.stack(
        (cosine, best, np.maximum(0.0, nearest - _HIGH) * 5, made[:, _OVERLAP] * nearest), axis=1
    )
    return made


def _words(claim: Claimed, window: Window, everything: Held) -> dict[str, float]:
    content = claim.facts.content
    here = content & window.held.stems
    missing = content - here
    alike = {stem for stem in missing if _alike(stem, window)}
    weight = claim.weights
    overlap = sum(weight[stem] for stem in here) / claim.total if content else 1.0
    number = len(content) or 1
    there = missing - alike
    return {
        "overlap": overlap,
        "overlap_plain": len(here) / number if content else 1.0,
        "overlap_soft": overlap + 0.7 * sum(weight[stem] for stem in alike) / claim.total,
        "overlap_passage": sum(weight[stem] for stem in content & window.passage.stems) / claim.total
        if content
        else 1.0,
        "overlap_all": sum(weight[stem] for stem in content & everything.stems) / claim.total if content else 1.0,
        "held": len(here) / (len(window.facts.content) or 1),
        **_order(claim, window),
        "missing": min(len(there), 8) / 8,
        "missing_known": min(len(there & everything.stems), 4) / 4,
        "length": math.log(1 + number),
        "short": float(number < _SHORT),
        "window": float(len(window.parts) - 1),
        "whole": float(not there),
        "nearly_whole": float(0 < len(there) < 3),  # noqa: PLR2004 - one or two
    }


def _order(claim: Claimed, window: Window) -> dict[str, float]:
    mine = [claim.facts.stems[at] for at in claim.facts.order]
    theirs = [window.facts.stems[at] for at in window.facts.order]
    pairs = set(itertools.pairwise(mine))
    shared = len(pairs & set(itertools.pairwise(theirs)))
    places: dict[str, int] = {}
    for at, stem in enumerate(theirs):
        places.setdefault(stem, at)
    met = [places[stem] for stem in mine if stem in places]
    rising = sum(one <= other for one, other in itertools.pairwise(met))
    return {
        "pairs": shared / len(pairs) if pairs else 1.0,
        "order": rising / (len(met) - 1) if len(met) > 1 else 1.0,
    }


def _alike(stem: str, window: Window) -> bool:
    return any(_one_root(stem, other) for other in window.beginnings.get(stem[:_ALIKE], ()))


@functools.lru_cache(maxsize=20_000)
def _one_root(one: str, other: str) -> bool:
    shared = _shared(one, other)
    return shared >= _ALIKE and shared >= _ALIKE_SHARE * max(len(one), len(other))


def _shared(one: str, other: str) -> int:
    return next((at for at, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), min(len(one), len(other)))  # fmt: skip


# Names


def _names(claim: Claimed, window: Window, everything: Held, gaps: _Gaps) -> None:
    rivals = [name for name in window.facts.names if name.stem not in claim.stems and not name.opens][:_MOST_RIVALS]
    around = [window.facts.near(rival.at) for rival in rivals]
    for name in {name.stem: name for name in claim.names}.values():
        if _has_name(name, window.held, window):
            gaps.add("names_behind", _behind(name, claim, window))
            continue
        gaps.add("names_missing")
        near = claim.facts.near(name.at)
        replaced = any(len(near & each) > 1 for each in around)
        if _has_name(name, window.passage, None):
            gaps.add("names_replaced", 0.5 * replaced)
            continue
        gaps.said.append(name.whole)
        gaps.add("names_missing_passage")
        gaps.add("names_replaced", replaced)
        gaps.add("names_rival", bool(rivals))
        gaps.add("names_elsewhere" if _has_name(name, everything, None) else "names_missing_all")


def _behind(name: Name, claim: Claimed, window: Window) -> bool:
    """Whether the sentence that says most of the claim has not the name, and none of the passage's before it either."""
    if len(window.parts) == 1 or name.stem not in window.held.stems:
        return False
    shared = [len(claim.facts.content & part.content) for part in window.parts]
    best = shared.index(max(shared))
    return not any(name.stem in part.stems for part in window.parts[: best + 1]) and name.stem not in window.titles


def _has_name(name: Name, held_: Held, window: Window | None) -> bool:
    if name.stem in held_.stems or name.plain in held_.initials:
        return True
    if _COUNTRIES.get(name.stem, frozenset()) & held_.stems:
        return True
    parts = name.whole.split()
    if len(parts) in _INITIALS and "".join(part[0] for part in parts).lower() in held_.stems:
        return True
    if window is not None:
        return any(_one_people(name.stem, other) for other in window.beginnings.get(name.stem[:_ALIKE], ()))
    return False


@functools.lru_cache(maxsize=20_000)
def _one_people(one: str, other: str) -> bool:
    """Whether two words with one root are name and adjective: `german` and `germani`, not `Westinghose`."""
    shared = _shared(one, other)
    return shared >= _ALIKE and one[shared:] in _NAME_ENDINGS and other[shared:] in _NAME_ENDINGS


def _initials(said: Facts) -> frozenset[str]:
    wholes = {name.whole for name in said.names}
    return frozenset(
        "".join(part[0] for part in parts if part[0].isupper()).lower()
        for parts in (whole.split() for whole in wholes)
        if len(parts) in _INITIALS
    )


# Numbers and dates


def _numbers(claim: Claimed, window: Window, gaps: _Gaps) -> None:
    if not claim.facts.quantities:
        return
    mine = {value for _, one, _ in claim.facts.quantities for value in one.values}
    theirs: dict[float, list[tuple[int, Quantity]]] = {}
    for place, one, _ in window.facts.quantities:
        for value in one.values:
            theirs.setdefault(value, []).append((place, one))
    rivals = [at for at, one, _ in window.facts.quantities if mine.isdisjoint(one.values)][:_MOST_RIVALS]
    around = [window.facts.near(place) for place in rivals]
    for at, said, written in claim.facts.quantities:
        near = claim.facts.near(at)
        equal = [pair for value in said.values for pair in theirs.get(value, ())][:_MOST_RIVALS]
        equal = equal or _rounded(said, window)
        agreed = [place for place, one in equal if not quantities.units_differ(said, one)]
        if _turned(said, [one for _, one in equal], window):
            gaps.add("number_exchanged")
            gaps.said.append(written)
        if agreed or (not equal and _year_of(said, window)):
            gaps.add("numbers_held", 0.5)
            gaps.add("numbers_misplaced", _misplaced(near, agreed, window))
            continue
        if equal:
            gaps.add("units_differ")
            gaps.said.append(written)
            continue
        if said.weak:
            gaps.add("numbers_weak")
            continue
        gaps.add("numbers_missing")
        gaps.add("numbers_missing_passage", window.passage.values.isdisjoint(said.values))
        gaps.add("numbers_rival", bool(rivals))
        gaps.add("numbers_replaced", any(near & each for each in around))
        gaps.said.append(written)


def _turned(said: Quantity, equal: Sequence[Quantity], window: Window) -> bool:
    """Whether the window has its pair of numbers in the other order only."""
    if said.pair is None or any(one.pair == said.pair for one in equal):
        return False
    return any(quantities.turned(said, one) for _, one, _ in window.facts.quantities[: 4 * _MOST_RIVALS])


def _rounded(said: Quantity, window: Window) -> list[tuple[int, Quantity]]:
    pairs = [(place, one) for place, one, _ in window.facts.quantities if said.hedged or one.hedged]
    return [(place, one) for place, one in pairs[:_MOST_RIVALS] if quantities.same(said, one)]


def _misplaced(near: frozenset[str], places: Sequence[int], window: Window) -> bool:
    """Whether a fact that is held stands among other words there."""
    return bool(near and places) and not any(near & window.facts.near(place) for place in places[:_MOST_RIVALS])


def _year_of(said: Quantity, window: Window) -> bool:
    return not said.unit and any(
        each.year_alone and float(each.year or 0) in said.values for _, each, _ in window.facts.dates
    )


def _dates(claim: Claimed, window: Window, gaps: _Gaps) -> None:
    if not claim.facts.dates:
        return
    theirs = window.facts.dates[: 4 * _MOST_RIVALS]
    mine = [one for _, one, _ in claim.facts.dates[: 4 * _MOST_RIVALS]]
    rivals = [at for at, one, _ in theirs if not any(quantities.fits(said, one) for said in mine)][:_MOST_RIVALS]
    around = [window.facts.near(place) for place in rivals]
    values = {value for _, one, _ in window.facts.quantities for value in one.values}
    for at, said, written in claim.facts.dates:
        near = claim.facts.near(at)
        fitting = [(place, one) for place, one, _ in theirs if quantities.fits(said, one)]
        whole = [place for place, one in fitting if quantities.says_all(said, one)]
        if whole or (said.year_alone and float(said.year or 0) in values):
            gaps.add("dates_held", 0.5)
            gaps.add("dates_misplaced", _misplaced(near, whole, window))
            continue
        if fitting and _said_together(said, [one for _, one in fitting]):
            gaps.add("dates_partial")
            continue
        passage = window.passage.dates[: 4 * _MOST_RIVALS]
        elsewhere = any(quantities.fits(said, one) and quantities.says_all(said, one) for one in passage)
        gaps.add("dates_missing")
        gaps.add("dates_missing_passage", not elsewhere)
        gaps.add("dates_rival", bool(rivals))
        gaps.add("dates_replaced", any(near & each for each in around))
        gaps.said.append(written)


def _said_together(said: Date, several: Sequence[Date]) -> bool:
    """Whether each part is said by one of several dates that fit."""
    years, months, days = ({getattr(each, part) for each in several} for part in ("year", "month", "day"))
    return all(
        part is None or part in known for part, known in ((said.year, years), (said.month, months), (said.day, days))
    )


# Denials and opposites


def _denials(claim: Claimed, window: Window, gaps: _Gaps) -> None:
    theirs = {stem for _, scope in window.facts.denials for stem in scope[:2]}
    mine = {stem for _, scope in claim.facts.denials for stem in scope[:2]}
    for _, scope in claim.facts.denials:
        if theirs.intersection(scope[:2]) or (not scope and window.facts.denials):
            continue
        if any(polarity.opposites(stem) & window.held.stems for stem in scope[:1]):
            continue
        known = any(stem in window.held.stems for stem in scope[:1])
        gaps.add("denied" if known else "denial_new")
        gaps.said.append(NEGATION)
    for at, scope in window.facts.denials:
        if not scope or mine.intersection(scope[:2]) or polarity.opposites(scope[0]) & claim.stems:
            continue
        shared = len(window.facts.near(at) & claim.stems)
        if scope[0] in claim.stems and shared >= min(2, len(claim.facts.content) - 1):
            gaps.add("undenied")
            gaps.said.append(NEGATION)
        elif scope[0] in claim.stems or shared > 1:
            gaps.add("denial_lost")


def _opposites(claim: Claimed, window: Window, gaps: _Gaps) -> None:
    kinds = {polarity.quantifier(stem) for stem in window.held.stems}
    missing = {stem: at for at, stem in enumerate(claim.facts.stems) if stem not in window.held.stems}
    for stem, at in missing.items():
        others = polarity.opposites(stem).union(polarity.negatives(stem)) & window.held.stems - claim.stems
        if others:
            near = claim.facts.near(at)
            places = [place for place, other in enumerate(window.facts.stems) if other in others]
            met = any(near & window.facts.near(place) for place in places[:_MOST_RIVALS])
            gaps.add("opposite")
            gaps.add("opposite_near", met)
            gaps.said += [claim.facts.plain[at]] if met else []
        kind = polarity.quantifier(stem)
        gaps.add("quantifier", bool(kind) and kind not in kinds)


# What stands between the same words


def _exchanged(claim: Claimed, window: Window, gaps: _Gaps) -> None:
    mine = claim.facts.chain
    known = window.surroundings
    for at, link in enumerate(mine):
        met = [other for key in _keys(mine, at) for other in known.get(key, ())]
        if not met or any(_agree(link, other) for other in met):
            continue
        kind = _kind(link)
        alike = any(_kind(other) in (kind, *_NUMERIC) if kind in _NUMERIC else _kind(other) == kind for other in met)
        gaps.add(f"{kind}_exchanged" if alike else "word_exchanged")
        if alike and kind != "word":
            gaps.said.append(_written(link, claim.facts))
    _denials_between(claim.facts, window.facts, gaps)
    _opposites_between(claim.facts, window.facts, gaps)


def _keys(chain: Sequence[str], at: int) -> list[Key]:
    """What stands around a place: to both sides, before, behind."""
    keys = [(0, at - 1, at + 1), (1, at - 2, at - 1), (2, at + 1, at + 2)]
    return [(way, chain[low], chain[high]) for way, low, high in keys if low >= 0 and high < len(chain)]


def _surroundings(chain: Sequence[str]) -> dict[Key, list[str]]:
    known: dict[Key, list[str]] = {}
    for at, link in enumerate(chain):
        for key in _keys(chain, at):
            several = known.setdefault(key, [])
            if len(several) < _MOST_RIVALS:
                several.append(link)
    return known


def _kind(link: str) -> str:
    return {"#": "number", "@": "date", "~": "name"}.get(link[0], "word")


def _written(link: str, said: Facts) -> str:
    """A number, date or name of a chain as the claim writes it."""
    if link[0] == "~":
        first = link[1:].split(" ", 1)[0]
        return next((name.whole for name in said.names if name.stem == first), link[1:])
    made = [(facts.link(one), text) for _, one, text in said.quantities]
    made += [(facts.link(day), text) for _, day, text in said.dates]
    return next((text for each, text in made if each == link), link[1:])


def _agree(one: str, other: str) -> bool:
    if one == other:
        return True
    if one[0] == other[0] == "@":
        pairs = zip(one[1:].split("/"), other[1:].split("/"), strict=True)
        return all("None" in pair or pair[0] == pair[1] for pair in pairs)
    if {one[0], other[0]} == {"#", "@"}:
        return one[1:].split("/", maxsplit=1)[0] == other[1:].split("/", maxsplit=1)[0]
    if one[0] in "#@" or other[0] in "#@":
        return False
    return not set(one.lstrip("~").split()).isdisjoint(other.lstrip("~").split())


def _denials_between(claim: Facts, window: Facts, gaps: _Gaps) -> None:
    """Denials between two words that stand side by side on the other side."""
    for name, one, other in (("denial_put_in", claim, window), ("denial_taken_out", window, claim)):
        if not one.denials:
            continue
        pairs = set(itertools.pairwise(other.stems))
        known = {_around(other, at) for at, _ in other.denials}
        new = [around for at, _ in one.denials if (around := _around(one, at)) in pairs and around not in known]
        gaps.add(name, len(new))
        if new and NEGATION not in gaps.said:
            gaps.said.append(NEGATION)


def _around(said: Facts, at: int) -> tuple[str, str]:
    """The words before and behind a denial; of `wasn't` the one before is `was`."""
    word = said.plain[at]
    joined = word.endswith(("n't", "n’t"))  # noqa: RUF001 - the mark itself
    before = word[:-3] if joined else (said.stems[at - 1] if at else "")
    return before, said.stems[at + 1] if at + 1 < len(said.stems) else ""


def _opposites_between(claim: Facts, window: Facts, gaps: _Gaps) -> None:
    """Words that stand beside the same word as their opposite in the window, and not as they stand there."""
    wanted = {
        stem for mine in set(claim.stems) for stem in (mine, *polarity.opposites(mine)) if polarity.opposites(stem)
    }
    places: dict[str, list[tuple[str, str]]] = {}
    for at, stem in enumerate(window.stems):
        if stem in wanted and len(several := places.setdefault(stem, [])) < _MOST_RIVALS:
            several.append(_beside(window.stems, at))
    for at, stem in enumerate(claim.stems):
        others = polarity.opposites(stem)
        if not others:
            continue
        mine = _beside(claim.stems, at)
        if any(_meet(mine, each) for each in places.get(stem, ())):
            continue
        if any(_meet(mine, each) for other in others for each in places.get(other, ())):
            gaps.add("opposite_exchanged")
            if claim.plain[at] not in gaps.said:
                gaps.said.append(claim.plain[at])


def _beside(stems: Sequence[str], at: int) -> tuple[str, str]:
    return stems[at - 1] if at else "", stems[at + 1] if at + 1 < len(stems) else ""


def _meet(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return bool((one[0] and one[0] == other[0]) or (one[1] and one[1] == other[1]))
