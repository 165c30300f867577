"""Implements the checker's port by alignment: the nearest window of the passages, and exact agreement of what it says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from app.domain.answers import Candidate, Claim, Passage, Support
from app.domain.ports import Embedder
from app.domain.vectors import Matrix, Vector
from app.inference.kept_vectors import KeptVectors
from app.inference.support import align, evidence, facts, model
from app.inference.support.align import Claimed, Numbers, Row, Rows
from app.inference.support.evidence import Evidence, Spot
from app.text import quantities

_LONGEST = 2_000  # code points of a claim, as of any sentence; of a longer one nothing is supported, since not all of it is read
_JOINT = re.compile(r"[;,]?\s(?:and|but|while|whereas)\s|;\s|,\s")
_AHEAD = 3  # sentences in one step of reading ahead, some 7 ms, for which a question waits
_MOST_AHEAD = 120  # sentences
_LEAST_PART = 3  # content words of each of two facts that a claim joins
_MOST_PARTINGS = 2  # that are tried
_MOST_JOINTS = 12  # that are looked at
_GAIN = 2  # words that the parts must share with a sentence each beyond what the whole shares with one
_STRONG_JOINT = 0.5  # content words that `, and` is worth against a comma
_SURE = 0.8  # score from which on what a claim cites is enough
_NEAR_WORDS = 0.25  # share of the claim's words
_NEAR_COSINE = 0.5
_CONTRADICTED = 0.12  # of its score is left to a claim that is refuted: below the threshold
_NEAR_THOUGH_NUMBERS_DIFFER = (
    0.9  # score from which on a number that no source has may be one that is written otherwise
)
_NEAR_THOUGH_DENIED = 0.5
_DENYING = frozenset({align.NEGATION, "if", "unless", "until", "since"})
_COUNTED = 12  # to which a text may count what its source lists
_AS_GOOD = 0.98  # share of the best score
_OVERLAP, _HELD = align.NAMES.index("overlap_soft"), align.NAMES.index("held")
_BETTER = 0.2  # by how much another passage must do better than a cited one that supports the claim


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A claim beside one window."""

    spot: Spot
    row: Row
    contradicted: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """The best window of a claim, and what that is worth."""

    score: float
    best: Weighed
    settled: bool  # whether no closer look would change it


_Look = Callable[[Sequence[str], Sequence[Collection[int]]], list[_Found | None]]


class AlignmentChecker:
    """Tells how far passages support what a model wrote. Safe to call from several threads."""

    def __init__(
        self, embedder: Embedder, *, fitted: model.Model | None = None, vectors: KeptVectors | None = None
    ) -> None:
        """Take the embedder for nearness of meaning.

        Args:
            embedder: of sentences.
            fitted: replaces the weights of the package.
            vectors: of this embedder, where others keep some too.
        """
        self._model = fitted or model.load()
        self._vectors = vectors or KeptVectors(embedder)
        self._reader = evidence.Reader()

    @property
    def threshold(self) -> float:
        """The support below which a sentence counts as unsupported, [0, 1]."""
        return self._model.threshold

    def warm(self, passages: Sequence[Passage], *, wholly: bool) -> Iterator[None]:
        """See `app.domain.ports.Checker`: takes the passages apart; wholly, with each sentence's vector too."""
        for passage in passages:
            self._reader.read(passage)
            yield
        if not wholly:
            return
        given = self._reader.evidence(passages)
        every = [
            (Spot(place, at, at), sentence.text)
            for place, read in enumerate(given.read)
            for at, sentence in enumerate(read.sentences)
        ][:_MOST_AHEAD]
        for at in range(0, len(every), _AHEAD):
            several = every[at : at + _AHEAD]
            self._vectors.of([text for _, text in several])
            for spot, _ in several:
                self._reader.window(given, spot)
            yield

    def check(self, claims: Sequence[Claim], passages: Sequence[Passage], *, least: float = 0.0) -> list[Support]:
        """For each claim, its support by the passages. See `app.domain.ports.Checker`."""
        given = self._reader.evidence(passages)
        return _Check(self, given, least).supports(claims)

    def measure(self, texts: Sequence[str], places: Sequence[Collection[int]], given: Evidence) -> list[list[Weighed]]:
        """For each text the windows of its passages that were compared, none where it says nothing."""
        compared = [self.compare(text, around, given) for text, around in zip(texts, places, strict=True)]
        return self.weigh(texts, compared, given)

    def compare(self, text: str, places: Collection[int], given: Evidence) -> list[Weighed]:
        """The windows that are worth a closer look, compared in all but their vectors; none where the text says nothing."""
        claim = align.claimed(facts.of(text), given.corpus)
        spots = evidence.spots(claim, given, places) if _says_something(claim) else []
        rows = [align.row(claim, self._reader.window(given, spot), given.held) for spot in spots]
        return [Weighed(spot=spot, row=row, contradicted=said) for spot, (row, said) in zip(spots, rows, strict=True)]

    def weigh(
        self, texts: Sequence[str], compared: Sequence[Sequence[Weighed]], given: Evidence
    ) -> list[list[Weighed]]:
        """The same with their vectors."""
        parts = {
            (each.spot.place, at): given.read[each.spot.place].sentences[at].text
            for several in compared for each in several for at in range(each.spot.first, each.spot.last + 1)
        }  # fmt: skip
        wanted = [text for text, several in zip(texts, compared, strict=True) if several]
        vectors = self._vectors.of([*wanted, *parts.values()]) if wanted else np.zeros((0, 1), dtype=np.float32)
        of_part = dict(zip(parts, vectors[len(wanted) :], strict=True))
        of_text = iter(vectors[: len(wanted)])
        return [_weighed(next(of_text), several, of_part) if several else [] for several in compared]

    def scores(self, rows: Rows) -> Numbers:
        """How likely each window says what the claim says, in [0, 1]."""
        return self._model.scores(rows)

    def read(self, passages: Sequence[Passage]) -> Evidence:
        """The passages as claims are compared with them."""
        return self._reader.evidence(passages)


class _Check:
    """Claims that are checked together against the same evidence."""

    def __init__(self, checker: AlignmentChecker, given: Evidence, least: float) -> None:
        self._checker = checker
        self._given = given
        self._every = range(len(given.passages))
        self._threshold = checker.threshold
        self._supported = max(_SURE, least)
        self._unsupported = min(least, self._threshold)
        self._compared: dict[tuple[str, tuple[int, ...]], tuple[list[Weighed], _Found | None]] = {}
        self._parts: dict[str, list[list[str]]] = {}

    def supports(self, claims: Sequence[Claim]) -> list[Support]:
        """Of each claim."""
        cited = [[place for place in dict.fromkeys(claim.cited) if place in self._every] for claim in claims]
        texts = [claim.text if len(claim.text) <= _LONGEST else "" for claim in claims]
        # Vectors cost more than all else: only of what words and facts leave in doubt.
        found = self._found(texts, cited, self._by_words)
        left = [at for at, several in enumerate(found) if not _surely(several)]
        again = self._found([texts[at] for at in left], [cited[at] for at in left], self._by_vectors)
        for at, several in zip(left, again, strict=True):
            found[at] = several
        return [
            self._support(several, places, self._absent(text))
            for text, several, places in zip(texts, found, cited, strict=True)
        ]

    def _found(self, texts: Sequence[str], cited: Sequence[Collection[int]], look: _Look) -> list[list[_Found]]:
        """What each text stands on: nothing, a window, or one of each of its parts."""
        first = look(texts, [places or self._every for places in cited])
        found = [[each] if each else [] for each in first]
        # Those that what they cite does not surely support may stand elsewhere, or on two places together.
        others = [
            at for at, each in enumerate(first) if cited[at] and len(cited[at]) < len(self._every) and not _sure(each)
        ]
        for at, other in zip(others, look([texts[at] for at in others], [self._every] * len(others)), strict=True):
            if other and (not found[at] or other.score > found[at][0].score + _BETTER * self._holds(found[at])):
                found[at] = [other]
        for at, several in enumerate(found):
            if several and not _sure(several[0]):
                found[at] = self._parted(texts[at], cited[at], several, look)
        return found

    def _by_words(self, texts: Sequence[str], places: Sequence[Collection[int]]) -> list[_Found | None]:
        """The best window of each text, by words and facts; settled where these make it sure either way."""
        return [self._look(text, around)[1] for text, around in zip(texts, places, strict=True)]

    def _by_vectors(self, texts: Sequence[str], places: Sequence[Collection[int]]) -> list[_Found | None]:
        """The best window of each text."""
        looked = [self._look(text, around) for text, around in zip(texts, places, strict=True)]
        found = [best for _, best in looked]
        # First those of the window that is the best by its words, and mostly the best at all.
        for most in (1, None):
            left = [at for at, best in enumerate(found) if best and not best.settled]
            weighed = self._checker.weigh(
                [texts[at] for at in left], [looked[at][0][:most] for at in left], self._given
            )
            for at, several in zip(left, weighed, strict=True):
                best = _best(several, self._checker.scores(np.array([each.row for each in several])))
                settled = len(several) == len(looked[at][0]) or (best.score >= _SURE and not best.best.contradicted)
                found[at] = dataclasses.replace(best, settled=settled)
        return found

    def _look(self, text: str, places: Collection[int]) -> tuple[list[Weighed], _Found | None]:
        """The windows of a text, those that are best by their words first, and the best of them."""
        key = (text, tuple(places))
        if key not in self._compared:
            self._compared[key] = self._compare(text, places)
        return self._compared[key]

    def _compare(self, text: str, places: Collection[int]) -> tuple[list[Weighed], _Found | None]:
        compared = self._checker.compare(text, places, self._given)
        if not compared:
            return [], None
        rows = np.array([each.row for each in compared])
        lowest, usual, highest = (
            self._checker.scores(align.near(rows, cosine=cosine, best=cosine)) for cosine in _cosines(rows)
        )
        best = _best(compared, usual)
        # What contradicts may be the same in another form: a vector tells.
        supported = lowest.max() >= self._supported and not best.best.contradicted
        settled = bool(supported or highest.max() < self._unsupported)
        ordered = [compared[at] for at in np.argsort(-usual, kind="stable")]
        return ordered, dataclasses.replace(best, settled=settled)

    def _holds(self, several: Sequence[_Found]) -> bool:
        return bool(several) and _least(several) >= self._threshold

    def _parted(self, text: str, cited: Collection[int], whole: list[_Found], look: _Look) -> list[_Found]:
        """What a claim stands on that may join two facts: the windows of its parts, where that tells more than the whole."""
        best = whole
        for parts in self._partings(text):
            for places in (cited, self._every):
                found = [each for each in look(parts, [places] * len(parts)) if each] if places else []
                if len(found) < len(parts):
                    continue
                if self._holds(found) and _least(found) > _least(best):
                    best = found
        return best

    def _partings(self, text: str) -> list[list[str]]:
        if text not in self._parts:
            self._parts[text] = _partings(text, self._given)
        return self._parts[text]

    def _absent(self, text: str) -> tuple[str, ...]:
        """The addresses and codes of a text that no passage has, as written."""
        said = facts.exact(text)
        if not said:
            return ()
        held = frozenset().union(
            *(facts.exact_held("\n".join((each.text, each.title, *each.headings))) for each in self._given.passages)
        )
        return tuple(written for form, written in said.items() if form not in held)

    def _support(self, several: Sequence[_Found], cited: Collection[int], absent: tuple[str, ...]) -> Support:
        ordered = sorted(filter(_near, several), key=lambda each: -each.score)
        sources = tuple(dict.fromkeys(_candidate(each, self._given) for each in ordered))
        contradicted = tuple(dict.fromkeys((*absent, *(said for each in several for said in each.best.contradicted))))
        score = min((each.score for each in several), default=0.0)
        return Support(
            score=score * _CONTRADICTED if absent or _refuted(score, contradicted) else score,
            sources=sources,
            corrected=any(each.best.spot.place not in cited for each in ordered),
            contradicted=contradicted,
        )


def _best(weighed: Sequence[Weighed], scores: Numbers) -> _Found:
    # Of windows that do about as well the shortest one is cited.
    good = [at for at in range(len(weighed)) if scores[at] >= scores.max() * _AS_GOOD]
    best = min(good, key=lambda at: (weighed[at].spot.last - weighed[at].spot.first, -scores[at]))
    return _Found(float(scores[best]), weighed[best], settled=True)


def _cosines(rows: Rows) -> tuple[Numbers, Numbers, Numbers]:
    """The least, usual and greatest cosine of a claim and a window, by the shares of their words that they have in common.

    As measured for 12,000 windows with the default embedder (benchmarks.validation): the usual one by least squares, the least
    one so that one in a hundred is below, the greatest one so that none is above. Where even the least or the greatest one
    makes it clear, no vector is needed.
    """
    claims, windows = np.minimum(rows[:, _OVERLAP], 1.0), rows[:, _HELD]
    least = 0.14 + 0.6 * np.sqrt(claims * windows)
    usual = 0.13 + 0.565 * claims + 0.845 * windows - 0.587 * claims * windows
    greatest = np.minimum(0.8 + 0.5 * claims, 1.0)
    return least, usual, greatest


def _weighed(vector: Vector, compared: Sequence[Weighed], of_part: dict[tuple[int, int], Vector]) -> list[Weighed]:
    cosines, bests = [], []
    for each in compared:
        spot = each.spot
        vectors: Matrix = np.array([of_part[spot.place, at] for at in range(spot.first, spot.last + 1)])
        whole = vectors.sum(axis=0)
        cosines.append(float(whole @ vector / (np.linalg.norm(whole) or 1.0)))
        bests.append(float((vectors @ vector).max()))
    rows = align.near(np.array([each.row for each in compared]), cosine=np.array(cosines), best=np.array(bests))
    return [dataclasses.replace(each, row=row) for each, row in zip(compared, rows, strict=True)]


def _says_something(claim: Claimed) -> bool:
    return bool(claim.facts.content or claim.facts.quantities or claim.facts.dates)


def _refuted(score: float, contradicted: Sequence[str]) -> bool:
    """Whether what no source has weighs more than how near the rest is."""
    numeric = any(map(_is_number, contradicted))
    return (numeric and score < _NEAR_THOUGH_NUMBERS_DIFFER) or (
        not _DENYING.isdisjoint(contradicted) and score < _NEAR_THOUGH_DENIED
    )


def _is_number(said: str) -> bool:
    """Whether it is a number that nobody counts to by the way: in digits, with a unit, or a great one."""
    return any(char.isdigit() for char in said) or any(
        each.unit or max(each.values) > _COUNTED for each in quantities.of(said)[0]
    )


def _near(found: _Found) -> bool:
    """Whether a window speaks of the same at all."""
    row = dict(zip(align.NAMES, found.best.row, strict=True))
    return bool(row["overlap_soft"] >= _NEAR_WORDS or row["cosine_best"] >= _NEAR_COSINE)


def _least(several: Sequence[_Found]) -> float:
    return min(each.score for each in several)


def _sure(found: _Found | None) -> bool:
    return found is not None and found.settled and found.score >= _SURE


def _surely(several: Sequence[_Found]) -> bool:
    return bool(several) and all(map(_sure, several))


def _partings(text: str, given: Evidence) -> list[list[str]]:
    """The claim parted in two where it may join two facts; where the parts share most with a sentence each comes first."""
    stems = [sentence.held.stems for read in given.read for sentence in read.sentences]
    whole = facts.of(text).content
    alone = max((len(whole & each) for each in stems), default=0)
    found: list[tuple[float, list[str]]] = []
    for joint, _ in zip(_JOINT.finditer(text), range(_MOST_JOINTS), strict=False):
        parts = [text[: joint.start()], text[joint.end() :]]
        said = [facts.of(part) for part in parts]
        if min(len(each.content) + len(each.quantities) + len(each.dates) for each in said) < _LEAST_PART:
            continue
        contents = [each.content for each in said]
        shared = sum(max((len(content & each) for each in stems), default=0) for content in contents)
        if shared < alone + _GAIN:
            continue  # one sentence has it all
        found.append((shared + _STRONG_JOINT * (joint.group().strip() != ","), parts))
    return [parts for _, parts in sorted(found, key=lambda each: -each[0])[:_MOST_PARTINGS]]


def _candidate(each: _Found, given: Evidence) -> Candidate:
    spot = each.best.spot
    passage, sentences = given.passages[spot.place], given.read[spot.place].sentences
    start, end = sentences[spot.first].start, sentences[spot.last].end
    return Candidate(
        passage=passage,
        start=passage.start + start,
        end=passage.start + end,
        text=passage.text[start:end],
        score=each.score,
    )
