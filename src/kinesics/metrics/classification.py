"""How often the answer is right: accuracy, recall per class, and how well a score ranks.

All sums run in float64. A figure that has no definition (no sample, one class only) is NaN, never 0 or 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kinesics.metrics import checks
from kinesics.metrics.checks import Float, Int


def accuracy(probability: ArrayLike, label: ArrayLike) -> float:
    """Share of samples whose most probable class is the label; NaN for no samples.

    Args:
        probability: (N, C) rows summing to 1; the first class wins a tie.
        label: (N,) class numbers.
    """
    p = checks.probabilities(probability)
    y = checks.labels(label, len(p), p.shape[1])
    return float((p.argmax(axis=1) == y).mean()) if len(y) else float("nan")


def confusion_matrix(label: ArrayLike, predicted: ArrayLike, n_classes: int) -> Int:
    """Counts of (truth, prediction).

    Args:
        label: (N,) true class numbers.
        predicted: (N,) predicted class numbers.
        n_classes: number of classes C.

    Returns:
        (C, C) int64; row = truth, column = prediction.
    """
    y = checks.labels(label, None, n_classes)
    guess = checks.labels(predicted, len(y), n_classes, "predicted")
    counts = np.bincount(y * n_classes + guess, minlength=n_classes**2).astype(np.int64)
    return counts.reshape(n_classes, n_classes)


def per_class(confusion: ArrayLike) -> dict[str, Float]:
    """Recall, precision, F1 and number of samples of each class.

    Args:
        confusion: (C, C) counts, row = truth.

    Returns:
        (C,) float64 each: `recall` (NaN for a class without samples), `precision` (NaN for a class never
        predicted), `f1` = 2 TP / (2 TP + FP + FN) (NaN for a class that is neither), `support` (samples).
    """
    counts = _counts(confusion)
    hit, support, guessed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return {
        "recall": _ratio(hit, support),
        "precision": _ratio(hit, guessed),
        "f1": _ratio(2 * hit, support + guessed),
        "support": support,
    }


def uar(confusion: ArrayLike) -> float:
    """Unweighted average recall: the mean of the recalls of the classes present; NaN for no samples."""
    return _mean_of_defined(per_class(confusion)["recall"])


def war(confusion: ArrayLike) -> float:
    """Weighted average recall: recalls weighted by the classes' samples = accuracy; NaN for no samples."""
    counts = _counts(confusion)
    return float(_ratio(np.trace(counts), counts.sum()))


def macro_f1(confusion: ArrayLike) -> float:
    """Mean F1 of the classes that occur in the truth or in the predictions; NaN for no samples."""
    return _mean_of_defined(per_class(confusion)["f1"])


def auroc(score: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counting half.

    From mid-ranks (Mann and Whitney 1947): (sum of the positives' ranks - n+ (n+ + 1) / 2) / (n+ n-).

    Args:
        score: (N,) higher = more likely positive.
        positive: (N,) bool, or 0 and 1.

    Returns:
        in [0, 1]; NaN where all samples are of one kind.
    """
    s, is_positive = _scores(score, positive)
    n_positive = int(is_positive.sum())
    n_negative = len(s) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    _, group, size = np.unique(s, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(size) - (size - 1) / 2
    rank_sum = mid_rank[group][is_positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def average_precision(score: ArrayLike, positive: ArrayLike) -> float:
    """Area under the precision-recall steps: sum over thresholds of (recall gained) x precision there.

    Args:
        score: (N,) higher = more likely positive; equal scores are taken together.
        positive: (N,) bool, or 0 and 1.

    Returns:
        in (0, 1]; NaN without a positive.
    """
    s, is_positive = _scores(score, positive)
    if not is_positive.any():
        return float("nan")
    _, group = np.unique(-s, return_inverse=True)
    hits = np.bincount(group, weights=is_positive)
    precision = np.cumsum(hits) / np.cumsum(np.bincount(group))
    return float((hits * precision).sum() / is_positive.sum())


def _scores(score: ArrayLike, positive: ArrayLike) -> tuple[Float, np.ndarray]:
    s, flag = checks.vector_pair(score, positive, ("score", "positive"))
    if not np.isin(flag, (0.0, 1.0)).all():
        raise ValueError(f"positive: expected only 0 and 1, got {np.unique(flag)[:5].tolist()}")
    return s, flag == 1


def _counts(confusion: ArrayLike) -> Float:
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"confusion: expected shape (C, C), got {counts.shape}")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError(f"confusion: expected counts >= 0, got a minimum of {counts.min()}")
    return counts


def _ratio(top: ArrayLike, bottom: ArrayLike) -> Float:
    """top / bottom, NaN where bottom is 0."""
    denominator = np.asarray(bottom, dtype=np.float64)
    return np.asarray(top, dtype=np.float64) / np.where(denominator == 0, np.nan, denominator)


def _mean_of_defined(values: Float) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
