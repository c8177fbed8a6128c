"""Is one method better than another? Paired tests over seeds and over test samples, and Holm's correction.

What each says. The paired t-test over seeds asks whether the difference would hold for other seeds (initial weights,
training subset, flips) on the same test samples; with three seeds it has two degrees of freedom, so only a difference
of more than 4.3 standard errors has p < 0.05. McNemar's test and the bootstrap ask whether the difference would hold
for other test samples from the same source, with the models as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

DRAWS = 4000
"""Resamples of a bootstrap."""


@dataclass(frozen=True)
class Paired:
    """A difference and what is known of it.

    Args:
        n: pairs.
        mean: of the differences.
        error: standard error of the mean (N - 1); NaN for one pair.
        p: two-sided; NaN where no test is possible.
    """

    n: int
    mean: float
    error: float
    p: float


def paired_t(first: ArrayLike, second: ArrayLike) -> Paired:
    """Student's paired t-test of `first` - `second`, two-sided.

    Args:
        first: (S,) one value a seed.
        second: (S,) of the same seeds.

    Returns:
        The mean difference; without spread (all differences equal) p is 1 for a difference of 0 and NaN otherwise.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n = len(difference)
    mean = float(difference.mean()) if n else float("nan")
    if n < 2:
        return Paired(n, mean, float("nan"), float("nan"))
    error = float(difference.std(ddof=1) / np.sqrt(n))
    if error <= 1e-15 * max(1.0, abs(mean)):
        return Paired(n, mean, error, 1.0 if mean == 0 else float("nan"))
    return Paired(n, mean, error, float(2 * stats.t.sf(abs(mean) / error, n - 1)))


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Exact two-sided p-value of McNemar's test (1947): is one method right where the other is wrong more often?

    Args:
        first: (N,) bool, whether the first method's answer is right.
        second: (N,) bool, the second's.
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    only_first, only_second = int((one & ~other).sum()), int((~one & other).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def paired_bootstrap(
    first: ArrayLike, second: ArrayLike, seed: int = 0, draws: int = DRAWS, root: bool = False
) -> tuple[float, float, float]:
    """Bootstrap over test samples of the difference of two methods: 95 % interval and two-sided p-value.

    A sample is drawn together with the answers of all seeds to it, which are not independent of each other.

    Args:
        first: (S, N) a value for each seed and sample, such as 1.0 where right.
        second: (S, N) of the same seeds and samples.
        seed: of the draws.
        draws: resamples B.
        root: compare the roots of each seed's mean (RMSE, of squared errors) in place of the means.

    Returns:
        lower and upper end, and p = 2 min(share of resampled differences <= 0, >= 0), at least 2 / (B + 1), at most 1.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if not root:  # the mean over seeds can be taken first
        one, other = one.mean(axis=0, keepdims=True), other.mean(axis=0, keepdims=True)
    n = one.shape[1]
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    block = max(1, 2_000_000 // max(one.size, 1))
    for start in range(0, draws, block):
        rows = rng.integers(n, size=(min(block, draws - start), n))
        parts = [values[:, rows].mean(axis=2) for values in (one, other)]
        found = np.sqrt(parts[0]) - np.sqrt(parts[1]) if root else parts[0] - parts[1]
        means[start : start + len(rows)] = found.mean(axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    below, above = (means <= 0).sum() + 1, (means >= 0).sum() + 1
    return float(low), float(high), float(min(1.0, 2 * min(below, above) / (draws + 1)))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): adjusted p-values in the given order; NaN stays, and doesn't count."""
    values = np.asarray(p, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    adjusted = np.full(len(values), np.nan)
    highest = 0.0
    for rank, place in enumerate(known[np.argsort(values[known], kind="stable")]):
        highest = max(highest, min(1.0, (len(known) - rank) * values[place]))
        adjusted[place] = highest
    return adjusted.tolist()
