"""Agreement of predicted and true numbers (valence, arousal, steering angles)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kinesics.metrics import checks
from kinesics.metrics.checks import Float


def ccc(predicted: ArrayLike, true: ArrayLike) -> float:
    """Concordance correlation coefficient: 2 cov / (var_p + var_t + (mean_p - mean_t)^2).

    L. I. Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45 (1989)
    255-268; variances and covariance divide by N, as there.

    Args:
        predicted: (N,) finite.
        true: (N,) finite.

    Returns:
        in [-1, 1]; NaN for no samples, and where all values of both are one and the same number.
    """
    p, t = _samples(predicted, true)
    if len(p) == 0 or (np.ptp(p) == 0 and np.ptp(t) == 0 and p[0] == t[0]):
        return float("nan")
    if np.ptp(p) == 0 or np.ptp(t) == 0:
        return 0.0
    covariance = ((p - p.mean()) * (t - t.mean())).mean()
    return float(2 * covariance / (p.var() + t.var() + (p.mean() - t.mean()) ** 2))


def pearson(predicted: ArrayLike, true: ArrayLike) -> float:
    """Pearson's correlation in [-1, 1]; NaN where either side is constant or has no samples."""
    p, t = _samples(predicted, true)
    if len(p) == 0 or np.ptp(p) == 0 or np.ptp(t) == 0:
        return float("nan")
    p, t = p - p.mean(), t - t.mean()
    return float(np.clip((p / np.linalg.norm(p)) @ (t / np.linalg.norm(t)), -1.0, 1.0))


def rmse(predicted: ArrayLike, true: ArrayLike) -> float:
    """Root mean squared error, in the unit of the values; NaN for no samples."""
    p, t = _samples(predicted, true)
    return float(np.sqrt(((p - t) ** 2).mean())) if len(p) else float("nan")


def mae(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean absolute error, in the unit of the values; NaN for no samples."""
    p, t = _samples(predicted, true)
    return float(np.abs(p - t).mean()) if len(p) else float("nan")


def _samples(predicted: ArrayLike, true: ArrayLike) -> tuple[Float, Float]:
    return checks.vector_pair(predicted, true, ("predicted", "true"))
