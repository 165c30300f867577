"""The fitted weights: how likely it is that a window says what a claim says.

`python -m benchmarks.validation --write` fits them and writes `weights.json`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json

import numpy as np
import numpy.typing as npt

from app.inference.support.align import NAMES, Numbers, Rows

_FILE = "weights.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A linear model over the features."""

    weights: npt.NDArray[np.float64]  # shape (WIDTH,)
    bias: float
    threshold: float  # of the score; below, a sentence counts as unsupported

    def scores(self, rows: Rows) -> Numbers:
        """Of each row, in [0, 1]."""
        sums = rows @ self.weights + self.bias
        scores: Numbers = 1 / (1 + np.exp(-np.clip(sums, -50, 50)))
        return scores


@functools.cache
def load() -> Model:
    """The weights that come with the package."""
    kept = json.loads(importlib.resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return Model(
        weights=np.array([kept["weights"][name] for name in NAMES]), bias=kept["bias"], threshold=kept["threshold"]
    )
