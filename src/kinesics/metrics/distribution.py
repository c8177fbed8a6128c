"""How far a predicted distribution is from the true one: the six measures of label distribution learning.

X. Geng, "Label Distribution Learning", IEEE TKDE 28(7), 2016, table 1. With d the true and q the predicted
distribution over C classes:

    Chebyshev     max_c |d_c - q_c|                              [0, 1]          lower is better
    Clark         sqrt(sum_c (d_c - q_c)^2 / (d_c + q_c)^2)      [0, sqrt(C)]    lower
    Canberra      sum_c |d_c - q_c| / (d_c + q_c)                [0, C]          lower
    KL            sum_c d_c ln(d_c / q_c)                        [0, inf)        lower
    cosine        <d, q> / (|d| |q|)                             [0, 1]          higher
    intersection  sum_c min(d_c, q_c)                            [0, 1]          higher

Conventions: a class with d_c = q_c = 0 adds 0 to Clark and Canberra (0/0 := 0); d_c = 0 adds 0 to KL
(0 ln 0 := 0); q_c is not taken below `EPSILON` in KL, so a vanished class costs at most ln(1e12) = 27.6 nats.
Each function takes `true` and `predicted` of shape (N, C), rows summing to 1, and gives (N,) float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from kinesics.metrics import checks
from kinesics.metrics.checks import Float

EPSILON = 1e-12
"""The floor of a predicted probability under a logarithm."""


def kl_divergence(true: ArrayLike, predicted: ArrayLike) -> Float:
    """Kullback-Leibler divergence KL(true || predicted) in nats, (N,)."""
    d, q = _pair(true, predicted)
    log_d = np.log(np.where(d > 0, d, 1.0))
    return (d * (log_d - np.log(np.maximum(q, EPSILON)))).sum(axis=1)


def chebyshev(true: ArrayLike, predicted: ArrayLike) -> Float:
    """Largest difference of a class, (N,) in [0, 1]."""
    d, q = _pair(true, predicted)
    return np.abs(d - q).max(axis=1)


def clark(true: ArrayLike, predicted: ArrayLike) -> Float:
    """Root of the summed squared relative differences, (N,) in [0, sqrt(C)]."""
    return np.sqrt((_relative_difference(true, predicted) ** 2).sum(axis=1))


def canberra(true: ArrayLike, predicted: ArrayLike) -> Float:
    """Sum of the relative differences, (N,) in [0, C]."""
    return _relative_difference(true, predicted).sum(axis=1)


def cosine(true: ArrayLike, predicted: ArrayLike) -> Float:
    """Cosine of the angle between the two, (N,) in [0, 1]."""
    d, q = _pair(true, predicted)
    return np.minimum((d * q).sum(axis=1) / (np.linalg.norm(d, axis=1) * np.linalg.norm(q, axis=1)), 1.0)


def intersection(true: ArrayLike, predicted: ArrayLike) -> Float:
    """Mass that the two have in common, (N,) in [0, 1]; 1 - half the L1 distance."""
    d, q = _pair(true, predicted)
    return np.minimum(d, q).sum(axis=1)


MEASURES: dict[str, Callable[[ArrayLike, ArrayLike], Float]] = {
    "kl": kl_divergence,
    "chebyshev": chebyshev,
    "clark": clark,
    "canberra": canberra,
    "cosine": cosine,
    "intersection": intersection,
}
"""Name in tables -> function."""


def distribution_measures(true: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Mean over the samples of each of the six `MEASURES`; NaN for no samples.

    Args:
        true: (N, C) rows summing to 1.
        predicted: (N, C) rows summing to 1.
    """
    d, q = _pair(true, predicted)
    if len(d) == 0:
        return dict.fromkeys(MEASURES, float("nan"))
    return {name: float(measure(d, q).mean()) for name, measure in MEASURES.items()}


def _pair(true: ArrayLike, predicted: ArrayLike) -> tuple[Float, Float]:
    d, q = checks.probabilities(true, "true"), checks.probabilities(predicted, "predicted")
    if d.shape != q.shape:
        raise ValueError(f"expected true and predicted of one shape (N, C), got {d.shape} and {q.shape}")
    return d, q


def _relative_difference(true: ArrayLike, predicted: ArrayLike) -> Float:
    d, q = _pair(true, predicted)
    total = d + q
    return np.abs(d - q) / np.where(total == 0, 1.0, total)
