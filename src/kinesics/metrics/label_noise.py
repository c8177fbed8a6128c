"""How labels of this data set go wrong, and what that says of one label.

The samples of which a model is surest that they show class j, its anchors, nearly all show it, whatever their labels
say: how these labels are spread estimates P(given i | true j) (the anchor points of G. Patrini et al., "Making Deep
Neural Networks Robust to Label Noise", CVPR 2017, many a class instead of one). With q(j | x), what is believed of a
picture before its label is looked at, Bayes' rule gives

    P(true j | x, given i)  ~  q(j | x) P(given i | true j).

What models answer that have learned from the given labels is P(given i | x), though, and not yet q: `unmixed` takes the
mistakes out of it again.

All samples that are believed to be j, as in the confident joint of Northcutt et al. (2021), would put more of the
model's own mistakes down to the labels; EXPERIMENTS.md has both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logsumexp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def anchor_counts(probability: Floats, label: Ints, share: float = 0.5, least: int = 20) -> Floats:
    """(C, C) counts, row = given label, column = the class that they are anchors of.

    Anchors of j are those of the samples believed to be j (no other class is more probable; of equals the first counts)
    whose p(j) is highest: `share` of them, but at least `least` where there are so many. Of a class that no sample is
    believed to be there are none.

    Args:
        probability: (N, C) rows summing to 1, made without the samples' own labels.
        label: (N,) in [0, C).
        share: in (0, 1].
        least: at least 1.
    """
    c = probability.shape[1]
    believed = probability.argmax(axis=1)
    counts = np.zeros((c, c))
    for j in range(c):
        own = np.flatnonzero(believed == j)
        surest = own[np.argsort(-probability[own, j], kind="stable")]
        anchors = surest[: max(least, math.ceil(share * len(own)))]
        counts[:, j] = np.bincount(label[anchors], minlength=c)
    return counts


def label_given_truth(counts: Floats, prior: float = 1.0) -> Floats:
    """(C, C) P(given i | true j): the columns of the counts with `prior` times C more of an average class, as shares.

    An average class is labelled right as often as all anchors together, and wrong labels name the others as often as
    all anchors' labels do. So a pair that was never seen is rare, not impossible (unless all anchors are labelled
    right), and a class without anchors, often one of few samples, is taken for an average one. Trainings start by this
    one; `pattern_of_mistakes` tells patterns from chance, too.

    Args:
        counts: (C, C), row = given, column = believed, as of `anchor_counts`; not all 0.
        prior: above 0.
    """
    c, total = len(counts), counts.sum()
    right, named = np.trace(counts) / total, counts.sum(axis=1) / total
    average = np.tile(named[:, None], (1, c)) + 1e-9
    np.fill_diagonal(average, 0.0)
    average *= (1 - right) / average.sum(axis=0, keepdims=True)
    np.fill_diagonal(average, right)
    smooth = counts + prior * c * average
    return np.asarray(smooth / smooth.sum(axis=0, keepdims=True), dtype=np.float64)


def pattern_of_mistakes(counts: Floats, error: float = 0.04) -> Floats:
    """(C, C) P(given i | true j) as anchors show it, drawn towards mistakes that are alike in all classes.

    Where labels go wrong alike, every class has the same share of wrong labels, and these name the others as the wrong
    labels of all other classes do. Each class has one wrong label of an alike pattern added to how many are wrong, and
    C to what they name: a pair that was never seen is rare, not impossible. Anchors differ from an alike pattern also
    for how few they are (binomial variance) and for mistakes of the model that chose them, by which the column of a
    class is `error` off (root of the sum of squares). The pattern is drawn towards the alike one by what these two
    explain of all that it differs by, over all classes weighted by their anchors: the empirical Bayes estimate of
    W. James and C. Stein (1961; B. Efron and C. Morris 1973). So random flips come out as random, and labels of people
    keep a pattern of their own.

    Args:
        counts: (C, C), row = given, column = believed, as of `anchor_counts`; C of 2 or more.
        error: 0 or more.

    Returns:
        Shares above 0, columns summing to 1.
    """
    c, n, total = len(counts), counts.sum(axis=0), counts.sum()
    off = counts - np.diag(np.diag(counts))
    wrong = off.sum(axis=0)
    rate = (wrong.sum() + 1) / (total + 2)
    named = np.tile(((off.sum(axis=1) + 1) / (total - n + 1 / rate))[:, None], (1, c))
    np.fill_diagonal(named, 0.0)
    named /= named.sum(axis=0, keepdims=True)
    alike = _pattern(np.full(c, rate), named)
    own = _pattern((wrong + 1) / (n + 1 / rate), (off + c * named) / (wrong + c))
    moved = np.tile((wrong / (wrong + c))[None, :], (c, 1))  # how far counts move a share from the alike one
    np.fill_diagonal(moved, n / (n + 1 / rate))
    chance = (moved**2 * alike * (1 - alike)).sum() + total * error**2
    differ = float(n @ ((own - alike) ** 2).sum(axis=0))
    drawn = min(1.0, float(chance) / differ) if differ > 0 else 1.0
    return (1 - drawn) * own + drawn * alike


def _pattern(wrong: Floats, named: Floats) -> Floats:
    """(C, C) of the share of each class's labels that is wrong (C,), and of what these name (C, C), diagonal 0."""
    return np.asarray(named * wrong + np.diag(1 - wrong), dtype=np.float64)


def unmixed(probability: Floats, given_by_true: Floats, steps: int = 2) -> Floats:
    """(N, C) q(true j | x) out of answers P(given i | x) = sum_j P(given i | true j) q(true j | x), rows summing to 1.

    Each step multiplies q(j) by sum_i P(i | x) P(given i | true j) / sum_k P(given i | true k) q(k), which is
    expectation-maximisation for the proportions of a mixture (W. H. Richardson 1972, L. B. Lucy 1974). It begins at the
    answers themselves. Many steps come to the exact solution where there is one and to all or nothing elsewhere; few
    steps are what keeps errors of answers and pattern from growing.

    Args:
        probability: (N, C) rows summing to 1.
        given_by_true: (C, C) P(given i | true j), columns summing to 1.
        steps: 0 or more.
    """
    belief = np.asarray(probability, dtype=np.float64)
    for _ in range(steps):
        mixed = np.maximum(belief @ given_by_true.T, 1e-12)
        belief = belief * ((probability / mixed) @ given_by_true)
        belief = belief / belief.sum(axis=1, keepdims=True)
    return belief


def truth_and_noise(probability: Floats, label: Ints, rounds: int = 3) -> tuple[Floats, Floats]:
    """(N, C) q(true j | x) and (C, C) P(given i | true j), each found by means of the other.

    Anchors by the answers give a first pattern of mistakes; answers that are `unmixed` by it have better anchors.

    Args:
        probability: (N, C) rows summing to 1, by models that have learned from given labels.
        label: (N,) in [0, C).
        rounds: 1 or more.
    """
    belief = probability
    for _ in range(rounds):
        given_by_true = pattern_of_mistakes(anchor_counts(belief, label))
        belief = unmixed(probability, given_by_true)
    return belief, given_by_true


def log_odds_wrong(belief: Floats, label: Ints, given_by_true: Floats, discount: float = 1.0) -> Floats:
    """(N,) log of P(the label i is wrong) over P(it is right), to the last digit also where either is all but certain:

        ((1 - q(i)) / q(i))^discount  sum_{j != i} r(j) P(given i | true j) / P(given i | true i)

    r(j) = q(j) / (1 - q(i)), the belief's shares of the other classes. The discount takes the two apart: how sure the
    belief is that the label is wrong counts for less, what it says of the other classes decides in full how such a
    mistake comes about. Where mistakes are alike in all classes, the order is that of 1 - q(i), whatever the discount.

    Args:
        belief: (N, C) q(j | x), rows summing to 1.
        label: (N,) given labels.
        given_by_true: (C, C) P(given i | true j).
        discount: in (0, 1]; below 1 what is believed counts for less: models that learned from the same wrong labels
            are surer than they ought to be, and not independent of the label they are to judge.
    """
    rows = np.arange(len(label))
    believed = np.log(np.maximum(belief, 1e-12))
    joint = believed + np.log(np.maximum(given_by_true[label], 1e-12))
    plain, bayes = believed[rows, label].copy(), joint[rows, label].copy()
    believed[rows, label] = joint[rows, label] = -np.inf
    plain, bayes = logsumexp(believed, axis=1) - plain, logsumexp(joint, axis=1) - bayes
    return np.asarray(bayes - (1 - discount) * plain, dtype=np.float64)


def posterior(belief: Floats, label: Ints, given_by_true: Floats, discount: float = 1.0) -> Floats:
    """(N, C) P(true j | x, given label i) by Bayes' rule, rows summing to 1; with a discount the odds that the label is
    wrong are those of `log_odds_wrong`, and what else is true has the shares of Bayes' rule.

    Args:
        belief, label, given_by_true, discount: as there.
    """
    rows = np.arange(len(label))
    others = np.maximum(belief, 1e-12) * np.maximum(given_by_true[label], 1e-12)
    others[rows, label] = 0.0
    odds = log_odds_wrong(belief, label, given_by_true, discount)
    truth = others * (expit(odds) / others.sum(axis=1))[:, None]
    truth[rows, label] = expit(-odds)
    return np.asarray(truth, dtype=np.float64)


def expected_wrong(truth: Floats, given_by_true: Floats) -> float:
    """How many labels are wrong: the samples that show a class, times the share that is labelled otherwise, summed.

    Args:
        truth: (N, C) P(true j | x, given label), as of `posterior`.
        given_by_true: (C, C) P(given i | true j).
    """
    return float(truth.sum(axis=0) @ (1 - np.diag(given_by_true)))


def nearest_mixture(label: Ints, other: Floats, truth: Floats) -> float:
    """The weight w in [0, 1] that brings (1 - w) one_hot(label) + w other nearest to the truth, in least squares over
    all samples; 0 where labels and others say the same.

    Args:
        label: (N,) in [0, C).
        other: (N, C) distributions.
        truth: (N, C) distributions, such as those of `posterior`.
    """
    one_hot = np.eye(truth.shape[1])[label]
    away = one_hot - other
    total = float((away**2).sum())
    return min(max(float(((one_hot - truth) * away).sum()) / total, 0.0), 1.0) if total else 0.0


def with_total(log_odds: Floats, total: float) -> Floats:
    """(N,) doubts of the same odds times one number for all, so that they sum to `total`; their order stays.

    Args:
        log_odds: (N,) finite.
        total: in [0, N]; kept N / 10^6 away from both.
    """
    n = len(log_odds)
    wanted = min(max(total, n * 1e-6), n * (1 - 1e-6))
    least, most = -60 - float(log_odds.max()), 60 - float(log_odds.min())
    by = brentq(lambda shift: float(expit(log_odds + shift).sum()) - wanted, least, most, xtol=1e-10)
    return np.asarray(expit(log_odds + by), dtype=np.float64)
