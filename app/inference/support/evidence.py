"""The passages as a claim is compared with them: their sentences, and the windows that are worth a closer look."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import threading
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Generic, TypeVar

from app.domain.answers import Passage
from app.inference.extractive import units
from app.inference.extractive.units import Kind
from app.inference.support import align, facts
from app.inference.support.align import Claimed, Held, Window
from app.inference.support.facts import Corpus, Facts

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

_MOST_SENTENCES = 200  # of one passage
_KEPT_PASSAGES = 1_000  # some 20 kB each
_KEPT_SETS = 50
_KEPT_WINDOWS = 2_000
_NEAREST = 5  # sentences around which windows are laid
_WINDOWS = 4  # that are compared in full; eight tell no more (benchmarks.validation)
_LEAST_OF_BEST = 0.6  # of the best window's share; one that says less is no excuse for what the best one contradicts
_PER_SENTENCE = 0.05  # share of the claim's words that a further sentence must add
_FACT = 0.1  # what a shared number or date is worth, as a share of the claim's words


@dataclasses.dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, row or item of a passage."""

    start: int  # code points of the passage's text
    end: int
    text: str
    facts: Facts
    held: Held


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """A passage that was taken apart."""

    sentences: tuple[Sentence, ...]
    held: Held  # of all of them, title and headings
    titles: frozenset[str]  # stems of title and headings
    key: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """All passages that are given."""

    passages: tuple[Passage, ...]
    read: tuple[Read, ...]
    corpus: Corpus
    held: Held


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """Where a window stands: sentences [first, last] of a passage."""

    place: int  # of the passage
    first: int
    last: int


class Reader:
    """Takes passages apart and keeps those that it saw last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._passages: _Kept[bytes, Read] = _Kept(_KEPT_PASSAGES)
        self._windows: _Kept[tuple[bytes, int, int], Window] = _Kept(_KEPT_WINDOWS)
        self._sets: _Kept[tuple[bytes, ...], tuple[Corpus, Held]] = _Kept(_KEPT_SETS)

    def read(self, passage: Passage) -> Read:
        """The passage taken apart."""
        key = _key(passage)
        return self._passages.get(key, lambda: _read(passage, key))

    def evidence(self, passages: Sequence[Passage]) -> Evidence:
        """The passages taken apart, and what they say together."""
        read = tuple(map(self.read, passages))
        keys = tuple(each.key for each in read)
        corpus, held = self._sets.get(keys, lambda: (_corpus(read), align.merged([each.held for each in read])))
        return Evidence(tuple(passages), read, corpus, held)

    def window(self, evidence: Evidence, spot: Spot) -> Window:
        """The window that stands there."""
        read = evidence.read[spot.place]

        def make() -> Window:
            parts = read.sentences[spot.first : spot.last + 1]
            return align.window([part.facts for part in parts], [part.held for part in parts], read.held, read.titles)

        return self._windows.get((read.key, spot.first, spot.last), make)


def spots(claim: Claimed, evidence: Evidence, places: Collection[int]) -> list[Spot]:
    """The windows of some passages that share most with a claim, by words and numbers alone; best first."""
    sentences = [(place, at) for place in sorted(places) for at in range(len(evidence.read[place].sentences))]
    values = _values(claim.facts)
    worth = {(place, at): _worth(claim, values, [evidence.read[place].sentences[at]]) for place, at in sentences}
    nearest = sorted(sentences, key=lambda each: -worth[each])[:_NEAREST]
    found: dict[Spot, float] = {}
    for place, at in nearest:
        every = evidence.read[place].sentences
        for first, last in ((at, at), (at - 1, at), (at, at + 1), (at - 1, at + 1)):
            if first < 0 or last >= len(every) or (spot := Spot(place, first, last)) in found:
                continue
            found[spot] = _worth(claim, values, every[first : last + 1]) - _PER_SENTENCE * (last - first)
    least = _LEAST_OF_BEST * max(found.values(), default=0.0)
    return sorted((spot for spot in found if found[spot] >= least), key=lambda spot: -found[spot])[:_WINDOWS]


def _worth(claim: Claimed, values: frozenset[float], parts: Sequence[Sentence]) -> float:
    shared = {stem for part in parts for stem in claim.facts.content & part.held.stems}
    numbers = sum(len(values & part.held.values) for part in parts)
    return sum(claim.weights[stem] for stem in shared) / claim.total + _FACT * min(numbers, 3)


def _values(said: Facts) -> frozenset[float]:
    years = {float(each.year) for _, each, _ in said.dates if each.year is not None}
    return frozenset(years.union(value for _, each, _ in said.quantities for value in each.values))


def _read(passage: Passage, key: bytes) -> Read:
    sentences: list[Sentence] = []
    for unit in units.of(passage)[:_MOST_SENTENCES]:
        if unit.kind is Kind.RULE:
            continue
        said = facts.of(unit.text)
        start, end = unit.start - passage.start, unit.end - passage.start
        sentences.append(Sentence(start, end, unit.text, said, align.held([said])))
    titles = align.held([facts.of(". ".join((passage.title.replace("_", " "), *passage.headings)))])
    held = align.merged([*(each.held for each in sentences), titles])
    return Read(sentences=tuple(sentences), held=held, titles=titles.stems, key=key)


def _corpus(read: Sequence[Read]) -> Corpus:
    every = [sentence.facts for each in read for sentence in each.sentences]
    named = {(at, name.at) for at, said in enumerate(every) for name in said.names}
    return Corpus(
        sentences=len(every),
        holding=collections.Counter(stem for said in every for stem in said.content),
        names=frozenset(name.stem for said in every for name in said.names if not name.opens),
        lower=frozenset(
            stem for at, said in enumerate(every) for place, stem in enumerate(said.stems) if (at, place) not in named
        ),
    )


def _key(passage: Passage) -> bytes:
    seen = hashlib.blake2b(digest_size=16)
    for part in (passage.text, passage.title, *passage.headings):
        seen.update(part.encode("utf-8", "surrogatepass"))
        seen.update(b"\0")
    return seen.digest()


class _Kept(Generic[_Key, _Value]):
    """Values by key, the last used ones kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: collections.OrderedDict[_Key, _Value] = collections.OrderedDict()

    def get(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        """The value of a key, made where it is not known; two threads may make it at once."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        made = make()
        with self._lock:
            self._values[key] = made
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return made
