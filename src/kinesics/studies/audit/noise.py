"""How labels of this data set go wrong, and what that says of one label.

The confident joint counts, for each pair (given i, believed j), the samples labelled i that are believed to be j: those
whose answer to j reaches the mean answer to j of the samples labelled j, the class's own threshold (C. Northcutt,
L. Jiang, I. Chuang, "Confident Learning", JAIR 70 (2021), section 3.1). Its columns, divided by their sums, estimate
P(given i | true j). With q(j | x), what is believed of a picture before its label is looked at, Bayes' rule gives

    P(true j | x, given i)  ~  q(j | x) P(given i | true j).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def thresholds(probability: Floats, label: Ints) -> Floats:
    """(C,) mean probability of each class over the samples that carry its label; 1 for a class that none carries.

    Args:
        probability: (N, C) rows summing to 1, made without the samples' own labels.
        label: (N,) in [0, C).
    """
    found = np.ones(probability.shape[1])
    for j in range(len(found)):
        if (label == j).any():
            found[j] = probability[label == j, j].mean()
    return found


def confident_joint(probability: Floats, label: Ints) -> Floats:
    """(C, C) counts, row = given label, column = the class that is believed instead (or as well).

    A sample counts for the most probable of the classes whose threshold its answer reaches, and for none if it reaches
    none.

    Args:
        probability: (N, C) as for `thresholds`.
        label: (N,).
    """
    c = probability.shape[1]
    reached = probability >= thresholds(probability, label)[None, :]
    believed = np.where(reached, probability, -1.0).argmax(axis=1)
    known = reached.any(axis=1)
    joint = np.zeros((c, c))
    np.add.at(joint, (label[known], believed[known]), 1.0)
    return joint


def label_given_truth(joint: Floats, prior: float = 1.0) -> Floats:
    """(C, C) P(given i | true j) from a confident joint: its columns with `prior` counts added, divided by their sums.

    Args:
        joint: (C, C), row = given, column = believed.
        prior: pseudo-counts of every cell, above 0: a pair that was never seen is rare, not impossible.
    """
    smooth = joint + prior
    return np.asarray(smooth / smooth.sum(axis=0, keepdims=True), dtype=np.float64)


def posterior(belief: Floats, label: Ints, given_by_true: Floats, discount: float = 1.0) -> Floats:
    """(N, C) P(true j | x, given label) by Bayes' rule, from q^discount P(given | true), rows summing to 1.

    Args:
        belief: (N, C) q(j | x), rows summing to 1.
        label: (N,) given labels.
        given_by_true: (C, C) P(given i | true j).
        discount: in (0, 1]; below 1 what is believed counts for less: models that learned from the same wrong labels
            are surer than they ought to be, and not independent of the label they are to judge.
    """
    joint = np.maximum(belief, 1e-12) ** discount * given_by_true[label]
    return np.asarray(joint / joint.sum(axis=1, keepdims=True), dtype=np.float64)
