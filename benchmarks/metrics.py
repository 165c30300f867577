"""Figures of merit, free of any input or output."""

from __future__ import annotations

import itertools
import math
import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence

_SPACES = re.compile(r"\s+")


def ndcg(ranking: Sequence[str], relevance: Mapping[str, int], *, depth: int = 10) -> float:
    """Normalised discounted cumulative gain as trec_eval computes it: gain is the grade, discount log2(rank + 1).

    Args:
        ranking: ids, best first; a second mention of an id gains nothing.
        relevance: grade by id; absent is 0.
        depth: ranks that count.

    Returns:
        In [0, 1]; 0 where nothing is relevant.
    """
    ideal = _dcg(sorted(relevance.values(), reverse=True)[:depth])
    if not ideal:
        return 0.0
    return _dcg([relevance.get(each, 0) for each in _distinct(ranking)[:depth]]) / ideal


def recall(ranking: Sequence[str], relevance: Mapping[str, int], *, depth: int = 100) -> float:
    """The share of the relevant ids (grade above 0) among the first `depth`; 0 where nothing is relevant."""
    relevant = {each for each, grade in relevance.items() if grade > 0}
    if not relevant:
        return 0.0
    return len(relevant & set(_distinct(ranking)[:depth])) / len(relevant)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` per cent of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values, or `percent` is not in (0, 100].
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"percentile {percent} of {len(values)} values")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def latencies(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest, rounded to 0.01 ms; empty where nothing was measured."""
    if not milliseconds:
        return {}
    figures = {f"p{percent}": percentile(milliseconds, percent) for percent in (50, 95, 99)}
    return {name: round(value, 2) for name, value in {**figures, "max": max(milliseconds)}.items()}


def median(values: Sequence[float]) -> float | None:
    """The median; None of no values."""
    return statistics.median(values) if values else None


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round: a machine that slows down for a round slows both."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a value of `positive` is above one of `negative`, equals counting half; 0.5 where one is empty."""
    if not positive or not negative:
        return 0.5
    marked = sorted([(value, 1) for value in positive] + [(value, 0) for value in negative])
    above = 0.0
    for _, equals in itertools.groupby(enumerate(marked, 1), key=lambda ranked: ranked[1][0]):
        ranked = list(equals)
        middle = (ranked[0][0] + ranked[-1][0]) / 2
        above += middle * sum(mark for _, (_, mark) in ranked)
    return (above - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))


def reliability(stated: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> list[tuple[float, float, int]]:
    """For each bin of stated probabilities that holds any: their mean, the share that was right, their number."""
    found: dict[int, list[tuple[float, bool]]] = {}
    for probability, outcome in zip(stated, right, strict=True):
        found.setdefault(min(int(probability * bins), bins - 1), []).append((probability, outcome))
    return [
        (statistics.fmean(each for each, _ in rows), statistics.fmean(float(good) for _, good in rows), len(rows))
        for _, rows in sorted(found.items())
    ]


def calibration_error(stated: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Expected calibration error over bins of equal width (Naeini and others, AAAI 2015)."""
    total = len(stated) or 1
    return sum(abs(mean - share) * number for mean, share, number in reliability(stated, right, bins=bins)) / total


def normalised(text: str) -> str:
    """NFC with every run of white space as one space: how texts are compared that loaders may lay out anew."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def holds(passages: Sequence[str], text: str) -> bool:
    """Whether one of the passages contains the text, white space apart."""
    wanted = normalised(text)
    return any(wanted in normalised(passage) for passage in passages)


def _dcg(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _distinct(ranking: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(ranking))
