"""A logistic regression, fitted by Newton's method."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def fit(rows: Array, right: Array, weights: Array, *, penalty: float) -> tuple[Array, float]:
    """Weights and bias of a logistic regression; `right` in [0, 1]."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    scaled = np.hstack([(rows - mean) / scale, np.ones((len(rows), 1))])
    penalties = np.full(scaled.shape[1], penalty)
    penalties[-1] = 0.0
    found = np.zeros(scaled.shape[1])
    for _ in range(30):  # Newton's method; the objective is convex
        stated = 1 / (1 + np.exp(-scaled @ found))
        slope = scaled.T @ (weights * (stated - right)) / weights.sum() + 2 * penalties * found
        curve = (scaled * (weights * stated * (1 - stated))[:, None]).T @ scaled / weights.sum()
        step = np.linalg.solve(curve + np.diag(2 * penalties + 1e-9), slope)
        found -= step
        if np.abs(step).max() < 1e-8:
            break
    confidence = found[:-1] / scale
    return confidence, float(found[-1] - confidence @ mean)
