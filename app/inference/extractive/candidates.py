"""The sentences of the evidence, and the few of them that are worth embedding."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence

from app.domain.answers import Passage
from app.inference.extractive import units
from app.text import words
from app.text.words import Words

POOL = (
    20  # sentences that are embedded; on SQuAD the pool of 20 holds an answer for 97.5 % of questions, of 32 for 98.3 %
)
_MOST_SENTENCES = 400  # of all passages; a passage of 256 word pieces has some 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with the weight of each of its words."""

    text: str
    words: Words
    content: tuple[str, ...]  # stems of its content words in order, of all its words where it has none
    weights: dict[str, float]  # by stem of `content`: inverse document frequency over the sentences of the evidence
    known: float  # share of the weight that occurs in the evidence at all, [0, 1]

    @property
    def total(self) -> float:
        """The weight of all content words; above 0."""
        return sum(self.weights.values()) or 1.0

    def covered(self, stems: frozenset[str] | set[str]) -> float:
        """The share of the weight that these stems hold, [0, 1]."""
        return sum(weight for stem, weight in self.weights.items() if stem in stems) / self.total


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of a passage with what surrounds it."""

    passage: Passage
    rank: int  # of its passage, from 0
    place: int  # in its passage, from 0
    start: int  # code points of the version's canonical text, inclusive
    end: int  # exclusive
    text: str
    words: Words
    before: frozenset[str]  # content of the sentence before it in its passage, empty for the first
    after: frozenset[str]
    around: frozenset[str]  # content of its passage
    titled: frozenset[str]  # content of title and headings


def split(passages: Sequence[Passage]) -> list[Sentence]:
    """Every sentence of the passages, in their order."""
    found: list[Sentence] = []
    for rank, passage in enumerate(passages):
        spans = [each for each in units.of(passage) if each.answers][: _MOST_SENTENCES - len(found)]
        said = [words.of(each.text) for each in spans]
        around = frozenset().union(*(each.content for each in said))
        titled = words.of(" ".join((passage.title.replace("_", " "), *passage.headings))).content
        for place, unit in enumerate(spans):
            found.append(
                Sentence(
                    passage=passage,
                    rank=rank,
                    place=place,
                    start=unit.start,
                    end=unit.end,
                    text=unit.text,
                    words=said[place],
                    before=said[place - 1].content if place else frozenset(),
                    after=said[place + 1].content if place + 1 < len(spans) else frozenset(),
                    around=around,
                    titled=titled,
                )
            )
    return found


def weigh(question: str, found: Sequence[Sentence]) -> Asked:
    """The question with its words weighed over these sentences: what all of them say tells none of them apart."""
    said = words.of(question)
    content = tuple(
        stem for word, stem in zip(said.plain, said.stems, strict=True) if word not in words.STOP_WORDS
    ) or (said.stems or ("",))
    holding = collections.Counter(stem for each in found for stem in set(content) & each.words.content)
    weights = {
        stem: math.log(1 + (len(found) - holding[stem] + 0.5) / (holding[stem] + 0.5))
        for stem in dict.fromkeys(content)
    }
    total = sum(weights.values()) or 1.0
    known = sum(weight for stem, weight in weights.items() if holding[stem]) / total
    return Asked(text=question, words=said, content=content, weights=weights, known=known)


def pool(asked: Asked, found: Sequence[Sentence]) -> list[Sentence]:
    """The sentences that are likeliest to answer, by words and by the search's score alone."""

    def worth(each: Sentence) -> float:
        return asked.covered(each.words.content) + 0.6 * each.passage.score + 0.2 * asked.covered(each.around)

    return sorted(found, key=worth, reverse=True)[:POOL]
