"""The fitted weights: which sentence answers, and how likely the answer is right.

`python -m benchmarks.fit_extractive` fits them and writes `weights.json`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json

import numpy as np
import numpy.typing as npt

from app.inference.extractive import doubts
from app.inference.extractive.candidates import Asked
from app.inference.extractive.doubts import Gaps
from app.inference.extractive.features import NAMES, WIDTH, Features

Scores = npt.NDArray[np.float64]  # shape (sentences,)

_LEADING = 11  # of the features: of words and vectors, those that are worth comparing over all candidates
_FILE = "weights.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Two linear models over the features."""

    rank: npt.NDArray[np.float64]  # shape (WIDTH,)
    confidence: npt.NDArray[np.float64]  # shape (SUMMARY_WIDTH,)
    bias: float
    threshold: float  # of confidence; below, there is no answer

    def scores(self, features: Features) -> Scores:
        """Of each candidate; the larger, the likelier it answers. Comparable within one question."""
        scores: Scores = features @ self.rank
        return scores

    def probability(self, summary: npt.NDArray[np.float64]) -> float:
        """That an answer is right, [0, 1]."""
        return float(1 / (1 + np.exp(-(summary @ self.confidence + self.bias))))


def summary(asked: Asked, features: Features, gaps: Gaps, scores: Scores) -> npt.NDArray[np.float64]:
    """What is known of all candidates together; shape (SUMMARY_WIDTH,)."""
    order = np.argsort(-scores, kind="stable")
    best, three = features[order[0]], features[order[:3]]
    share = shares(scores)
    largest = np.sort(share)[::-1]
    number = len(asked.weights)
    missing = 1 - float(best[0])
    return np.concatenate(
        [
            best,
            features[:, :_LEADING].max(axis=0),
            features[:, NAMES.index("soft_least") : len(NAMES)].min(axis=0),
            three.mean(axis=0)[: len(NAMES)],
            [
                largest[0],
                largest[:3].sum(),
                -float(share @ np.log(share + 1e-9)),
                scores.max(),
                scores.max() - scores.mean(),
                asked.known,
                np.log(1 + number),
                1 / (1 + number),
                (1 - missing) * number,
                missing * number,
                (1 - features[:, 0].max()) * number,
                (1 - asked.known) * number,
            ],
            gaps[order[0]],
            doubts.manner(asked),
        ]
    )


SUMMARY_WIDTH = (
    WIDTH + _LEADING + (len(NAMES) - NAMES.index("soft_least")) + len(NAMES) + 12 + doubts.GAPS + doubts.MANNERS
)


def shares(scores: Scores) -> Scores:
    """The scores as shares of 1."""
    raised = np.exp(scores - scores.max())
    divided: Scores = raised / raised.sum()
    return divided


@functools.cache
def load() -> Model:
    """The weights that come with the package."""
    kept = json.loads(importlib.resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return Model(
        rank=np.array([kept["rank"][name] for name in rank_names()]),
        confidence=np.array(kept["confidence"]),
        bias=kept["bias"],
        threshold=kept["threshold"],
    )


def rank_names() -> list[str]:
    """The names of all features in their order."""
    relative = WIDTH - len(NAMES)
    return [*NAMES, *(f"{name}_behind_best" for name in NAMES[:relative])]
