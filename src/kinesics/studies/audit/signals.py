"""What speaks against a label, each a number in [0, 1] where higher means more likely wrong. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinesics.progress import track

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK, _SIMILARITIES = 1024, 2**25
"""Samples, and pairs, whose similarities are in memory at once: about 20 bytes a pair."""


def disbelief(probability: Floats, label: Ints) -> Floats:
    """(N,) 1 - p(label): what a distribution leaves to the other classes; self-confidence turned over.

    Args:
        probability: (N, C) rows summing to 1.
        label: (N,) in [0, C).
    """
    return np.asarray(1.0 - probability[np.arange(len(label)), label], dtype=np.float64)


def margin(probability: Floats, label: Ints) -> Floats:
    """(N,) (1 + max over the other classes of p - p(label)) / 2: the normalised margin turned over.

    Args:
        probability: (N, C) rows summing to 1, C of 2 or more.
        label: (N,) in [0, C).
    """
    rows = np.arange(len(label))
    others = np.array(probability, dtype=np.float64)
    others[rows, label] = -np.inf
    return (1.0 + others.max(axis=1) - probability[rows, label]) / 2.0


def nearest(feature: Floats, k: int, group: NDArray[np.object_] | None = None) -> tuple[Ints, Floats]:
    """The K most similar other samples of each sample by the cosine of their features, exact.

    Samples of one group (a subject, a video) are no neighbours of each other: they share their labels' mistakes.

    Args:
        feature: (N, D).
        k: neighbours wanted.
        group: (N,) names; a blank one is a group of its own. None: no groups.

    Returns:
        (N, K) int64 positions, most similar first, and (N, K) cosines in [-1, 1]. K is at most N - 1; where a sample
        has fewer others outside its group, position -1 and cosine 0 fill up.
    """
    n = len(feature)
    k = min(k, n - 1)
    length = np.linalg.norm(feature, axis=1, keepdims=True)
    unit = (feature / np.maximum(length, 1e-12)).astype(np.float32)
    code = _group_codes(n, group)
    index, cosine = np.full((n, k), -1, dtype=np.int64), np.zeros((n, k))
    block = max(1, min(_BLOCK, _SIMILARITIES // n))
    for start in track(range(0, n, block), "neighbours"):
        rows = np.arange(start, min(start + block, n))
        similarity = unit[rows] @ unit.T
        similarity[code[rows][:, None] == code[None, :]] = -np.inf
        best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        value = np.take_along_axis(similarity, best, axis=1)
        order = np.lexsort((best, -value), axis=1)
        best, value = np.take_along_axis(best, order, axis=1), np.take_along_axis(value, order, axis=1)
        known = np.isfinite(value)
        index[rows], cosine[rows] = np.where(known, best, -1), np.where(known, value, 0.0)
    return index, cosine


def neighbours_labels(index: Ints, label: Ints, n_classes: int) -> Floats:
    """(N, C) shares of the neighbours' given labels; rows of 1 / C where there is no neighbour.

    Args:
        index: (N, K) positions, -1 for none.
        label: (N,) in [0, C).
        n_classes: C.
    """
    counts = np.zeros((len(index), n_classes))
    row, place = np.nonzero(index >= 0)
    np.add.at(counts, (row, label[index[row, place]]), 1.0)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1.0), 1.0 / n_classes)


def mean_answer(index: Ints, probability: Floats) -> Floats:
    """(N, C) mean of the distributions given to the neighbours; rows of 1 / C where there is no neighbour.

    Args:
        index: (N, K) positions, -1 for none.
        probability: (N, C) rows summing to 1.
    """
    total, count = np.zeros((len(index), probability.shape[1])), (index >= 0).sum(axis=1, keepdims=True)
    for column in index.T:  # one neighbour of all samples at a time: K times less memory
        total += np.where(column[:, None] >= 0, probability[column], 0.0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), 1.0 / probability.shape[1]), dtype=np.float64)


def _group_codes(n: int, group: NDArray[np.object_] | None) -> Ints:
    """(N,) numbers, equal for samples that are no neighbours of each other."""
    if group is None:
        return np.arange(n, dtype=np.int64)
    names = [str(name).strip() for name in group]
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(name, n + i) if name else i for i, name in enumerate(names)], dtype=np.int64)
