"""Implements the checker's port by alignment: the nearest window of the passages, and exact agreement of what it says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence

import numpy as np

from app.domain.answers import Candidate, Claim, Passage, Support
from app.domain.ports import Embedder
from app.domain.vectors import Matrix, Vector
from app.inference.kept_vectors import KeptVectors
from app.inference.support import align, evidence, facts, model
from app.inference.support.align import Claimed, Row
from app.inference.support.evidence import Evidence, Spot

_LONGEST = 2_000  # code points of a claim, as of any sentence; of a longer one nothing is supported, since not all of it is read
_JOINT = re.compile(r"[;,]?\s(?:and|but|while|whereas)\s|;\s|,\s")
_LEAST_PART = 3  # content words of each of two facts that a claim joins
_MOST_PARTINGS = 2  # that are tried
_MOST_JOINTS = 12  # that are looked at
_GAIN = 2  # words that the parts must share with a sentence each beyond what the whole shares with one
_STRONG_JOINT = 0.5  # content words that `, and` is worth against a comma
_SURE = 0.8  # score from which on what a claim cites is enough
_NEAR_WORDS = 0.25  # share of the claim's words
_NEAR_COSINE = 0.5
_WORDS_ALONE = 0.85  # share of the claim's weight that a window holds, from which on words may be enough
_LIKE = 0.5  # share of the window's words that the claim must hold for that
_LIKE_COSINE = 0.85  # that is taken for such a window in place of a measured one; over 0.95 mostly
_SURE_ALONE = 0.7  # score by that cosine, which is mostly too small, from which on it is enough
_CONTRADICTED = 0.12  # of its score is left to a claim that is refuted: below the threshold
_NEAR_THOUGH_NUMBERS_DIFFER = (
    0.9  # score from which on a number that no source has may be one that is written otherwise
)
_NEAR_THOUGH_DENIED = 0.5
_AS_GOOD = 0.98  # share of the best score
_HELD = align.NAMES.index("held")
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
    by_words: bool = False  # without vectors


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

    def warm(self, passages: Sequence[Passage]) -> None:
        """Take passages apart ahead of the first claim, while a model still writes. Vectors are made where words leave doubt."""
        self._reader.evidence(passages)

    def check(self, claims: Sequence[Claim], passages: Sequence[Passage]) -> list[Support]:
        """For each claim, its support by the passages. See `app.domain.ports.Checker`."""
        given = self._reader.evidence(passages)
        every = range(len(passages))
        cited = [[place for place in dict.fromkeys(claim.cited) if place in every] for claim in claims]
        texts = [claim.text if len(claim.text) <= _LONGEST else "" for claim in claims]
        first = self._best(texts, [places or every for places in cited], given)
        found = [[each] if each else [] for each in first]
        # Those that what they cite does not surely support may stand elsewhere, or on two places together.
        others = [at for at, each in enumerate(first) if cited[at] and len(cited[at]) < len(every) and not _sure(each)]
        for at, other in zip(
            others, self._best([texts[at] for at in others], [every] * len(others), given), strict=True
        ):
            if other and (not found[at] or other.score > found[at][0].score + _BETTER * self._holds(found[at])):
                found[at] = [other]
        for at, several in enumerate(found):
            if several and not _sure(several[0]):
                found[at] = self._parted(texts[at], cited[at], given, several)
        return [self._support(several, places, given) for several, places in zip(found, cited, strict=True)]

    def measure(self, texts: Sequence[str], places: Sequence[Collection[int]], given: Evidence) -> list[list[Weighed]]:
        """For each text the windows of its passages that were compared, none where it says nothing."""
        return self._measured(texts, *_laid(texts, places, given), given)

    def _measured(
        self, texts: Sequence[str], claims: Sequence[Claimed], spots: Sequence[list[Spot]], given: Evidence
    ) -> list[list[Weighed]]:
        parts = {
            (spot.place, at): given.read[spot.place].sentences[at].text
            for several in spots for spot in several for at in range(spot.first, spot.last + 1)
        }  # fmt: skip
        wanted = [text for text, several in zip(texts, spots, strict=True) if several]
        vectors = self._vectors.of([*wanted, *parts.values()]) if wanted else np.zeros((0, 1), dtype=np.float32)
        of_part = dict(zip(parts, vectors[len(wanted) :], strict=True))
        of_text = iter(vectors[: len(wanted)])
        return [
            self._weigh(claim, next(of_text), several, of_part, given) if several else []
            for claim, several in zip(claims, spots, strict=True)
        ]

    def read(self, passages: Sequence[Passage]) -> Evidence:
        """The passages as claims are compared with them."""
        return self._reader.evidence(passages)

    def _best(self, texts: Sequence[str], places: Sequence[Collection[int]], given: Evidence) -> list[_Found | None]:
        claims, spots = _laid(texts, places, given)
        found = [self._by_words(claim, several, given) for claim, several in zip(claims, spots, strict=True)]
        left = [at for at, each in enumerate(found) if each is None]
        measured = self._measured(
            [texts[at] for at in left], [claims[at] for at in left], [spots[at] for at in left], given
        )
        for at, weighed in zip(left, measured, strict=True):
            found[at] = self._chosen(weighed)
        return found

    def _by_words(self, claim: Claimed, spots: Sequence[Spot], given: Evidence) -> _Found | None:
        """The best window where words and facts alone make it sure: no vector of a near sentence could be so far off."""
        weighed: list[Weighed] = []
        for spot in spots:
            window = self._reader.window(given, spot)
            if claim.facts.content and claim.held_by(window) < _WORDS_ALONE:
                continue
            row, said = align.row(claim, window, given.held, cosine=_LIKE_COSINE, best=_LIKE_COSINE)
            if row[_HELD] >= _LIKE:
                weighed.append(Weighed(spot=spot, row=row, contradicted=said))
        found = self._chosen(weighed)
        return _Found(found.score, found.best, by_words=True) if found and found.score >= _SURE_ALONE else None

    def _chosen(self, weighed: Sequence[Weighed]) -> _Found | None:
        if not weighed:
            return None
        scores = self._model.scores([each.row for each in weighed])
        # Of windows that do about as well the shortest one is cited.
        good = [at for at in range(len(weighed)) if scores[at] >= scores.max() * _AS_GOOD]
        best = min(good, key=lambda at: (weighed[at].spot.last - weighed[at].spot.first, -scores[at]))
        return _Found(float(scores[best]), weighed[best])

    def _weigh(
        self,
        claim: Claimed,
        vector: Vector,
        spots: Sequence[Spot],
        of_part: dict[tuple[int, int], Vector],
        given: Evidence,
    ) -> list[Weighed]:
        found: list[Weighed] = []
        for spot in spots:
            vectors: Matrix = np.array([of_part[spot.place, at] for at in range(spot.first, spot.last + 1)])
            whole = vectors.sum(axis=0)
            cosine = float(whole @ vector / (np.linalg.norm(whole) or 1.0))
            window = self._reader.window(given, spot)
            row, said = align.row(claim, window, given.held, cosine=cosine, best=float((vectors @ vector).max()))
            found.append(Weighed(spot=spot, row=row, contradicted=said))
        return found

    def _holds(self, several: Sequence[_Found]) -> bool:
        return bool(several) and _least(several) >= self.threshold

    def _parted(self, text: str, cited: Collection[int], given: Evidence, whole: list[_Found]) -> list[_Found]:
        """What a claim stands on that may join two facts: the windows of its parts, where that tells more than the whole."""
        best = whole
        for parts in _partings(text, given):
            for places in (cited, range(len(given.passages))):
                found = [each for each in self._best(parts, [places] * len(parts), given) if each] if places else []
                if len(found) < len(parts):
                    continue
                if self._holds(found) and _least(found) > _least(best):
                    best = found
        return best

    def _support(self, several: Sequence[_Found], cited: Collection[int], given: Evidence) -> Support:
        ordered = sorted(filter(_near, several), key=lambda each: -each.score)
        sources = tuple(dict.fromkeys(_candidate(each, given) for each in ordered))
        contradicted = tuple(dict.fromkeys(said for each in several for said in each.best.contradicted))
        score = min((each.score for each in several), default=0.0)
        return Support(
            score=score * _CONTRADICTED if _refuted(score, contradicted) else score,
            sources=sources,
            corrected=any(each.best.spot.place not in cited for each in ordered),
            contradicted=contradicted,
        )


def _laid(
    texts: Sequence[str], places: Sequence[Collection[int]], given: Evidence
) -> tuple[list[Claimed], list[list[Spot]]]:
    """The claims of the texts, and for each the windows that are worth a closer look."""
    claims = [align.claimed(facts.of(text), given.corpus) for text in texts]
    spots = [
        evidence.spots(claim, given, around) if _says_something(claim) else []
        for claim, around in zip(claims, places, strict=True)
    ]
    return claims, spots


def _says_something(claim: Claimed) -> bool:
    return bool(claim.facts.content or claim.facts.quantities or claim.facts.dates)


def _refuted(score: float, contradicted: Sequence[str]) -> bool:
    """Whether what no source has weighs more than how near the rest is."""
    numeric = any(char.isdigit() for said in contradicted for char in said)
    return (numeric and score < _NEAR_THOUGH_NUMBERS_DIFFER) or (
        "negation" in contradicted and score < _NEAR_THOUGH_DENIED
    )


def _near(found: _Found) -> bool:
    """Whether a window speaks of the same at all."""
    row = dict(zip(align.NAMES, found.best.row, strict=True))
    return bool(row["overlap_soft"] >= _NEAR_WORDS or row["cosine_best"] >= _NEAR_COSINE)


def _least(several: Sequence[_Found]) -> float:
    return min(each.score for each in several)


def _sure(found: _Found | None) -> bool:
    return found is not None and found.score >= (_SURE_ALONE if found.by_words else _SURE)


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
