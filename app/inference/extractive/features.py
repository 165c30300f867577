"""What is known of a sentence as an answer to a question, as numbers."""

from __future__ import annotations

import enum
import itertools
import math
import re
import uuid
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.domain.vectors import Matrix, Vector
from app.inference.extractive.candidates import Asked, Sentence
from app.text import words

Features = npt.NDArray[np.float64]  # shape (sentences, WIDTH)
Nearest = npt.NDArray[np.float64]  # shape (words of the question,), cosines

_YEAR = re.compile(r"\b(?:1\d{3}|20\d{2})\b")
_CAPITAL = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w’'-]+")  # noqa: RUF001 - the mark itself
_POINTER = re.compile(r"\s*(?:he|she|it|they|this|these|those|his|her|its|their|such)\b", re.IGNORECASE)
_REASON = re.compile(r"because|due to|reason|caus|so that|result|in order", re.IGNORECASE)


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MONTHS = _listed("january february march april may june july august september october november december")
_NUMERALS = _listed(
    "one two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty forty fifty hundred "
    "thousand million billion trillion half third quarter dozen first second fourth fifth"
)
_NEGATIONS = _listed("not no never none without neither nor cannot except excluding exclude excluded fail failed refuse "
                     "refused lack lacked unable")  # fmt: skip
_OPPOSITES = _listed(
    "highest/lowest high/low higher/lower north/south northern/southern east/west eastern/western before/after more/less "
    "most/least first/last increase/decrease increased/decreased largest/smallest large/small larger/smaller early/late "
    "earliest/latest oldest/youngest best/worst begin/end began/ended start/stop win/lose won/lost male/female men/women "
    "positive/negative agree/disagree above/below maximum/minimum rich/poor public/private strong/weak long/short "
    "longest/shortest support/oppose supported/opposed inside/outside upper/lower internal/external import/export "
    "buy/sell war/peace success/failure old/new good/bad light/dark left/right"
)


def _opposites() -> dict[str, str]:
    pairs = [pair.split("/") for pair in sorted(_OPPOSITES)]
    return {one: other for left, right in pairs for one, other in ((left, right), (right, left))}


_OPPOSITE = _opposites()


class Wanted(enum.StrEnum):
    """The kind of answer that a question asks for, where its words tell."""

    NUMBER = "number"
    TIME = "time"
    PERSON = "person"
    PLACE = "place"
    REASON = "reason"
    YES_NO = "yes_no"
    DEFINITION = "definition"
    OTHER = "other"


_WANTED = (
    (
        Wanted.NUMBER,
        (
            r"\bhow (?:many|much|long|old|far|tall|large|big|fast|high|deep|often)\b|percentage"
            r"|what (?:percent|number|amount|population|temperature|age|rank)"
        ),
    ),
    (
        Wanted.TIME,
        r"\bwhen\b|(?:what|which) (?:year|date|day|month|decade|century)|in what year|what time",
    ),
    (Wanted.PERSON, r"\bwho\b|\bwhose\b|\bwhom\b|what (?:person|man|woman|king|author|scientist|physicist)"),
    (
        Wanted.PLACE,
        r"\bwhere\b|what (?:city|country|state|place|location|region|county|river|area)|which (?:city|country|state|region)",
    ),
    (Wanted.REASON, r"\bwhy\b|what (?:caused|causes|led)|for what reason"),
    (Wanted.YES_NO, r"^\s*(?:is|are|was|were|do|does|did|can|could|has|have)\b"),
    (Wanted.DEFINITION, r"what (?:is|are|was|were) "),
)
_PATTERNS = tuple((wanted, re.compile(pattern)) for wanted, pattern in _WANTED)

# Each is in [0, 1] or close to it. The first ones are also taken relative to the best candidate.
NAMES = (
    "overlap",  # share of the weight of the question's words that the sentence holds
    "cosine",  # of question and sentence
    "soft",  # as overlap, a word counting by its nearest word in the sentence
    "words_held",  # share of the question's words, unweighed
    "overlap_before",  # with the sentence before
    "overlap_after",
    "overlap_passage",
    "overlap_title",
    "passage_score",
    "passage_cosine",
    "passage_rank",  # 1 / (1 + rank)
    "passage_first",
    "bigrams",
    "content_bigrams",
    "proximity",  # distinct words held, over the stretch that holds them
    "length",  # logarithm of the number of words
    "short",
    "new_words",
    "opens",  # first of its passage
    "points_back",  # begins with a pronoun
    "asks",
    "number_new",  # wanted, and there is one that the question does not hold
    "number_missing",
    "year_new",
    "time_new",
    "time_missing",
    "name_new",
    "names_new",
    "place_new",
    "name_missing",
    "reason",
    "defines",
    "percent",
    "money",
    "first_held",  # where the first of the question's words stands
    "overlap_cosine",
    "soft_least",  # the question's word that is worst met
    "soft_passage",
    "soft_passage_least",
    "special_missing",  # names and numbers of the question that the sentence does not meet
    "special_missing_passage",
    "opposite",
    "negated",  # one of both is, the other is not
    "missing_weight",
)
_RELATIVE = 3  # of the first names: less the largest over the candidates
WIDTH = len(NAMES) + _RELATIVE


def wanted(question: str) -> Wanted:
    """The kind of answer that a question asks for."""
    low = question.lower()
    return next((kind for kind, pattern in _PATTERNS if pattern.search(low)), Wanted.OTHER)


def vocabulary(asked: Asked, pool: Sequence[Sentence]) -> list[str]:
    """The words whose vectors `Nearness` wants: those of the question and of the sentences."""
    every = [word for word in asked.words.plain if word not in words.STOP_WORDS]
    for each in pool:
        every += (word for word in each.words.plain if word not in words.STOP_WORDS)
    return list(dict.fromkeys(every))


class Nearness:
    """How near the question's words are to those of the sentences of a pool."""

    def __init__(self, asked: Asked, pool: Sequence[Sentence], vectors: Mapping[str, Vector]) -> None:
        kept = [word for word in dict.fromkeys(asked.words.plain) if word in vectors]
        self.weights = np.array([asked.weights.get(words.stem(word), 1.0) for word in kept])
        names = {found.lower() for found in _CAPITAL.findall(asked.text)}
        self.special = np.array([word in names or any(char.isdigit() for char in word) for word in kept], dtype=bool)
        mine = np.array([vectors[word] for word in kept])
        self._met = [_nearest(mine, [vectors[word] for word in each.words.plain if word in vectors]) for each in pool]
        self._places = {id(each): place for place, each in enumerate(pool)}
        self._passages: dict[uuid.UUID, Nearest] = {}
        for each, met in zip(pool, self._met, strict=True):
            known = self._passages.get(each.passage.chunk_id)
            self._passages[each.passage.chunk_id] = met if known is None else np.maximum(known, met)

    def to(self, each: Sentence) -> Nearest:
        """For each of the question's words the cosine of the nearest in a sentence of the pool, 0 where there is none."""
        return self._met[self._places[id(each)]]

    def to_passage(self, each: Sentence) -> Nearest:
        """The same of all sentences of the pool that stand in its passage."""
        return self._passages[each.passage.chunk_id]


def _nearest(mine: npt.NDArray[np.float32], theirs: Sequence[Vector]) -> Nearest:
    if not theirs or not len(mine):
        return np.zeros(len(mine))
    nearest: Nearest = (mine @ np.array(theirs).T).max(axis=1).astype(np.float64)
    return nearest


def matrix(asked: Asked, pool: Sequence[Sentence], question: Vector, vectors: Matrix, near: Nearness) -> Features:
    """Features of each sentence of the pool.

    Args:
        asked: the question.
        pool: at least one sentence.
        question: its vector.
        vectors: of the sentences.
        near: of the words.
    """
    kind = wanted(asked.text)
    cosines = vectors @ question
    rows = np.array([_row(asked, kind, each, float(cosine), near) for each, cosine in zip(pool, cosines, strict=True)])
    leading = rows[:, :_RELATIVE]
    return np.hstack([rows, leading - leading.max(axis=0)])


def _row(asked: Asked, kind: Wanted, each: Sentence, cosine: float, near: Nearness) -> list[float]:
    said = each.words
    overlap = asked.covered(said.content)
    met = near.to(each)
    return [
        overlap,
        cosine,
        _mean(met, near.weights),
        len(said.content & set(asked.content)) / len(set(asked.content)),
        asked.covered(said.content | each.before),
        asked.covered(said.content | each.after),
        asked.covered(each.around),
        asked.covered(said.content | each.titled),
        each.passage.score,
        each.passage.cosine,
        1 / (1 + each.rank),
        float(each.rank == 0),
        *_order(asked, each),
        math.log(1 + len(said.plain)),
        float(len(said.plain) < 6),  # noqa: PLR2004 - a heading, a caption
        min(len(said.content - set(asked.content)), 20) / 20,
        float(each.place == 0),
        float(_POINTER.match(each.text) is not None),
        float(each.text.rstrip().endswith("?")),
        *_kinds(asked, kind, each),
        float(kind is Wanted.REASON and _REASON.search(each.text) is not None),
        float(kind is Wanted.DEFINITION) * overlap,
        float("percent" in asked.text.lower() and ("%" in each.text or "percent" in each.text.lower())),
        float(_about_money(asked.text) and any(mark in each.text for mark in "$€£¥")),
        _first_held(asked, each),
        overlap * cosine,
        float(met.min()) if len(met) else 0.0,
        *_passage(each, near),
        *_against(asked, each, near, met),
    ]


def _mean(met: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    total = float(weights.sum())
    return float(met @ weights) / total if total else 0.0


def _order(asked: Asked, each: Sentence) -> tuple[float, float, float]:
    """Word pairs that both hold, and how close together the question's words stand."""
    said = each.words
    pairs = set(itertools.pairwise(asked.words.stems))
    shared = pairs & set(itertools.pairwise(said.stems))
    content = [stem for word, stem in zip(said.plain, said.stems, strict=True) if word not in words.STOP_WORDS]
    close = set(itertools.pairwise(asked.content)) & set(itertools.pairwise(content))
    places = [place for place, stem in enumerate(said.stems) if stem in asked.weights]
    stretch = places[-1] - places[0] + 1 if places else 1
    held = len(said.content & set(asked.content))
    return min(len(shared), 6) / 6, min(len(close), 4) / 4, held / stretch


def _kinds(asked: Asked, kind: Wanted, each: Sentence) -> tuple[float, ...]:
    """Whether the sentence holds something new of the kind that is asked for."""
    known = set(asked.words.plain)
    new = [word for word in each.words.plain if word not in known]
    numbers = any(any(char.isdigit() for char in word) for word in new)
    numerals = any(word in _NUMERALS for word in new)
    years = any(found not in known for found in _YEAR.findall(each.text))
    moments = numbers or any(word in _MONTHS for word in new)
    names = len({found.lower() for found in _CAPITAL.findall(each.text)} - known)
    return tuple(
        float(holds)
        for holds in (
            kind is Wanted.NUMBER and (numbers or numerals),
            kind is Wanted.NUMBER and not (numbers or numerals),
            kind is Wanted.TIME and years,
            kind is Wanted.TIME and moments,
            kind is Wanted.TIME and not (moments or years),
            kind is Wanted.PERSON and names > 0,
            kind is Wanted.PERSON and names > 1,
            kind is Wanted.PLACE and names > 0,
            kind in (Wanted.PLACE, Wanted.PERSON) and not names,
        )
    )


def _about_money(question: str) -> bool:
    low = question.lower()
    return any(word in low for word in ("how much", "cost", "price", "money", "worth"))


def _first_held(asked: Asked, each: Sentence) -> float:
    places = (place for place, stem in enumerate(each.words.stems) if stem in asked.weights)
    return next(places, 0) / max(1, len(each.words.stems))


_MET = 0.8  # cosine from which on two words are taken to mean the same; "built" and "constructed" have 0.83


def _passage(each: Sentence, near: Nearness) -> tuple[float, float]:
    met = near.to_passage(each)
    return _mean(met, near.weights), float(met.min()) if len(met) else 0.0


def _against(asked: Asked, each: Sentence, near: Nearness, met: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """What speaks against the sentence: names and numbers it does not hold, opposites, a negation on one side."""
    said = set(each.words.plain)
    opposite = any(word not in said and _OPPOSITE.get(word) in said for word in asked.words.plain if word in _OPPOSITE)
    return (
        float((near.special & (met < _MET)).sum()),
        float((near.special & (near.to_passage(each) < _MET)).sum()),
        float(opposite),
        float(negated(asked.words.plain) != negated(each.words.plain)),
        float((1 - met) @ near.weights),
    )


def negated(plain: Sequence[str]) -> bool:
    """Whether a sentence of these words denies something."""
    return any(word in _NEGATIONS for word in plain)
