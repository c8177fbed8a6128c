"""Whether a probability means what it says, and the temperature that mends it.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017 (arXiv
1706.04599): expected calibration error (eq. 3) and temperature scaling (section 4.2). Confidence is the
largest probability of a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kinesics.metrics import checks
from kinesics.metrics.checks import Float, Int
from kinesics.metrics.distribution import EPSILON

TEMPERATURES = (0.05, 20.0)
"""The range in which `fit_temperature` searches."""

LOG_FLOOR = float(np.log(1.4e-45))
"""The lowest log-probability relative to the row's largest; stands in for log 0. A float32 softmax gives 0
where the true value lies below 1.4e-45, the smallest positive float32; a temperature above 1 brings such a
class back, as it does with every other small one. Fitting and applying use the same floor, so they see the
same probabilities."""


def reliability_table(probability: ArrayLike, label: ArrayLike, bins: int = 15) -> dict[str, Float]:
    """Accuracy and mean confidence in bins of equal width.

    Args:
        probability: (N, C) rows summing to 1.
        label: (N,) class numbers.
        bins: number of bins B; bin b holds confidences in (b / B, (b + 1) / B].

    Returns:
        (B,) float64 each: `lower` and `upper` edge, `count`, `confidence` (mean) and `accuracy`, both NaN in
        an empty bin.
    """
    _check_bins(bins)
    confidence, correct = _confidence(probability, label)
    edges = np.linspace(0, 1, bins + 1)
    position = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count, mean_confidence, mean_correct = _bin_means(position, confidence, correct, bins)
    return {
        "lower": edges[:-1],
        "upper": edges[1:],
        "count": count,
        "confidence": mean_confidence,
        "accuracy": mean_correct,
    }


def expected_calibration_error(probability: ArrayLike, label: ArrayLike, bins: int = 15) -> float:
    """ECE (Guo et al., eq. 3): the mean over samples of |accuracy - confidence| of their bin of equal width.

    Args:
        probability: (N, C) rows summing to 1.
        label: (N,) class numbers.
        bins: number of bins.

    Returns:
        in [0, 1]; NaN for no samples.
    """
    table = reliability_table(probability, label, bins)
    return _weighted_gap(table["count"], table["confidence"], table["accuracy"])


def adaptive_ece(probability: ArrayLike, label: ArrayLike, bins: int = 15) -> float:
    """ECE over bins that hold (nearly) equally many samples, cut at quantiles of the confidence.

    K. Nguyen and B. O'Connor, "Posterior calibration and exploratory analysis for natural language processing
    models", EMNLP 2015. Equal confidences share a bin, so the order of the samples doesn't matter.

    Args:
        probability: (N, C) rows summing to 1.
        label: (N,) class numbers.
        bins: number of bins.

    Returns:
        in [0, 1]; NaN for no samples.
    """
    _check_bins(bins)
    confidence, correct = _confidence(probability, label)
    if len(confidence) == 0:
        return float("nan")
    ordered = np.sort(confidence)
    last_of_bin = ordered[np.ceil(np.arange(1, bins) * len(ordered) / bins).astype(np.int64) - 1]
    position = np.searchsorted(last_of_bin, confidence, side="left")
    return _weighted_gap(*_bin_means(position, confidence, correct, bins))


def negative_log_likelihood(probability: ArrayLike, target: ArrayLike) -> float:
    """Mean -log p(label) in nats, or the cross-entropy -sum_c t_c log p_c to target distributions.

    Args:
        probability: (N, C) rows summing to 1; not taken below `EPSILON` = 1e-12 under the logarithm.
        target: (N,) class numbers or (N, C) distributions.

    Returns:
        >= 0; NaN for no samples.
    """
    p = checks.probabilities(probability)
    t = _targets(target, *p.shape)
    return float(-(t * np.log(np.maximum(p, EPSILON))).sum(axis=1).mean()) if len(p) else float("nan")


def brier(probability: ArrayLike, label: ArrayLike) -> float:
    """Mean squared distance sum_c (p_c - [c = label])^2 (G. W. Brier 1950, the form over all classes).

    Args:
        probability: (N, C) rows summing to 1.
        label: (N,) class numbers.

    Returns:
        in [0, 2], lower is better; NaN for no samples.
    """
    p = checks.probabilities(probability)
    y = checks.labels(label, len(p), p.shape[1])
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean()) if len(p) else float("nan")


def fit_temperature(log_probability: ArrayLike, target: ArrayLike) -> float:
    """The temperature T for which softmax(log p / T) has the smallest cross-entropy to the targets.

    In beta = 1/T the mean cross-entropy F(beta) = mean(logsumexp(beta z) - beta <t, z>) is convex, with
    F' = mean(E_q[z] - <t, z>) and F'' = mean(Var_q[z]) under q = softmax(beta z). The root of F' is found by
    Newton steps kept inside a shrinking bracket. Where the loss falls all the way to an end of
    `TEMPERATURES`, that end is the answer.

    Args:
        log_probability: (N, C) log-probabilities, or logits: a constant added to a row changes nothing.
            -inf is allowed; nothing counts as lower than `LOG_FLOOR` under the row's largest.
        target: (N,) class numbers or (N, C) distributions.

    Returns:
        T in [0.05, 20]; 1.0 where no temperature changes anything (all rows uniform).

    Raises:
        ValueError: no samples, NaN or +inf, a row of -inf only, targets of another shape.
    """
    z = _centred(np.asarray(log_probability, dtype=np.float64))
    if len(z) == 0:
        raise ValueError(f"log_probability: expected at least one sample, got shape {z.shape}")
    target_mean = (_targets(target, *z.shape) * z).sum(axis=1).mean()

    def slopes(beta: float) -> tuple[float, float]:
        q = _softmax(beta * z)
        mean = (q * z).sum(axis=1)
        return float(mean.mean() - target_mean), float(((q * z**2).sum(axis=1) - mean**2).mean())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    slope_low, slope_high = slopes(low)[0], slopes(high)[0]
    if slope_low == slope_high:
        return 1.0
    if slope_low >= 0:
        return TEMPERATURES[1]
    if slope_high <= 0:
        return TEMPERATURES[0]
    beta = 1.0
    for _ in range(100):
        slope, curvature = slopes(beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = beta - slope / curvature if curvature > 0 else np.inf
        # A Newton step that leaves the bracket gives way to bisection in log T, T's natural scale.
        following = step if low <= step <= high else float(np.sqrt(low * high))
        if abs(following - beta) <= 1e-12 * beta:
            break
        beta = following
    return 1 / beta


def apply_temperature(probability: ArrayLike, temperature: float) -> Float:
    """softmax(log p / T): T > 1 flattens the rows, T < 1 sharpens them, the ranking of a row stays.

    Args:
        probability: (N, C) rows summing to 1; zeros are handled as `LOG_FLOOR` says.
        temperature: T > 0.

    Returns:
        (N, C) float64, rows summing to 1.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: expected a number > 0, got {temperature}")
    p = checks.probabilities(probability)
    with np.errstate(divide="ignore"):
        return _softmax(_centred(np.log(p)) / temperature)


def _centred(log_probability: Float) -> Float:
    """Rows shifted so that the largest is 0 and none lies under `LOG_FLOOR`."""
    if log_probability.ndim != 2 or log_probability.shape[1] < 1:
        raise ValueError(f"log_probability: expected shape (N, C), got {log_probability.shape}")
    largest = log_probability.max(axis=1, keepdims=True)
    if not np.isfinite(largest).all():
        row = int(np.flatnonzero(~np.isfinite(largest[:, 0]))[0])
        got = log_probability[row].tolist()
        raise ValueError(f"log_probability: expected rows with a finite largest value, got {got} in row {row}")
    return np.maximum(log_probability - largest, LOG_FLOOR)


def _softmax(z: Float) -> Float:
    weight = np.exp(z - z.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def _targets(target: ArrayLike, n: int, n_classes: int) -> Float:
    """(N, C) distributions, from class numbers or as they are."""
    array = np.asarray(target)
    if array.ndim == 2:
        if array.shape != (n, n_classes):
            raise ValueError(f"target: expected shape {(n, n_classes)} or ({n},), got {array.shape}")
        return checks.probabilities(array, "target")
    return np.eye(n_classes)[checks.labels(array, n, n_classes, "target")]


def _confidence(probability: ArrayLike, label: ArrayLike) -> tuple[Float, Int]:
    """Largest probability of each row, and 1 where its class is the label."""
    p = checks.probabilities(probability)
    y = checks.labels(label, len(p), p.shape[1])
    return p.max(axis=1), (p.argmax(axis=1) == y).astype(np.int64)


def _bin_means(position: Int, confidence: Float, correct: Int, bins: int) -> tuple[Float, Float, Float]:
    count = np.bincount(position, minlength=bins).astype(np.float64)
    some = np.where(count == 0, np.nan, count)
    return (
        count,
        np.bincount(position, weights=confidence, minlength=bins) / some,
        np.bincount(position, weights=correct, minlength=bins) / some,
    )


def _weighted_gap(count: Float, confidence: Float, correct: Float) -> float:
    filled = count > 0
    if not filled.any():
        return float("nan")
    return float((count * np.abs(correct - confidence))[filled].sum() / count.sum())


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ValueError(f"bins: expected a number >= 1, got {bins}")
