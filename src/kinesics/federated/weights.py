"""The fastest mixing weights of an overlay, by cutting planes.

Both problems are convex: the largest eigenvalue modulus of a symmetric matrix, and the spectral norm of any, are the
greatest of infinitely many functions that are linear in the weights, one for each (pair of) unit vector(s). A linear
programme over the vectors met so far gives weights and a lower bound; the worst vectors of these weights join; until
bound and value meet (J. E. Kelley, "The cutting-plane method for solving convex programs", 1960).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from kinesics.federated.topology import Bool, Float

GAP = 1e-4
"""Value less lower bound at which the search ends."""

STEPS = 60
_CUTS = 8
"""Vectors that join after a step."""


def fdla(adjacency: Bool) -> Float:
    """(N, N) symmetric, doubly stochastic, non-negative weights of (nearly) least second eigenvalue modulus.

    Xiao and Boyd's fastest distributed linear averaging, with the text's non-negative weights.

    Args:
        adjacency: (N, N) symmetric, connected.
    """
    n = len(adjacency)
    ends = np.argwhere(np.triu(adjacency))
    touching = np.zeros((n, len(ends)))
    touching[ends[:, 0], range(len(ends))] = touching[ends[:, 1], range(len(ends))] = 1

    def matrix(weights: Float) -> Float:
        filled = np.zeros((n, n))
        filled[ends[:, 0], ends[:, 1]] = filled[ends[:, 1], ends[:, 0]] = weights
        return np.asarray(filled + np.diag(1 - filled.sum(axis=1)))

    def worst(weights: Float) -> tuple[float, Float, Float]:
        values, vectors = np.linalg.eigh(matrix(weights) - 1 / n)
        chosen = np.argsort(-np.abs(values))[:_CUTS]
        spread = (vectors[ends[:, 0]][:, chosen] - vectors[ends[:, 1]][:, chosen]).T ** 2  # (cuts, links)
        inner = 1 - vectors[:, chosen].sum(axis=0) ** 2 / n  # v'(I - 11'/N)v
        sign = np.sign(values[chosen])
        return float(np.abs(values).max()), -sign[:, None] * spread, sign * inner

    degree = adjacency.sum(axis=1)
    start = 1.0 / (1 + np.maximum(degree[ends[:, 0]], degree[ends[:, 1]]))
    return np.asarray(np.clip(matrix(_least(start, worst, touching, np.ones(n), None, None)), 0, None))


def least_norm(adjacency: Bool, largest: int = 200) -> Float | None:
    """(N, N) doubly stochastic weights of (nearly) least spectral norm after the average is taken off.

    The norm bounds how much disagreement every single round leaves.

    Args:
        adjacency: (N, N) True where i sends to j.
        largest: links beyond which it would take long; then None.
    """
    n = len(adjacency)
    if adjacency.sum() > largest:
        return None
    places = np.argwhere(adjacency.T | np.eye(n, dtype=bool))
    count = len(places)
    rows = np.zeros((2 * n, count))
    rows[places[:, 0], range(count)] = rows[n + places[:, 1], range(count)] = 1

    def matrix(weights: Float) -> Float:
        filled = np.zeros((n, n))
        filled[places[:, 0], places[:, 1]] = weights
        return filled

    def worst(weights: Float) -> tuple[float, Float, Float]:
        left, values, right = np.linalg.svd(matrix(weights) - 1 / n)
        u, v = left[:, :_CUTS].T, right[:_CUTS]
        return float(values[0]), u[:, places[:, 0]] * v[:, places[:, 1]], -u.sum(axis=1) * v.sum(axis=1) / n

    weights = _least(None, worst, None, None, rows, np.ones(2 * n))
    # the solver meets the sums to 1e-7 or so; scaling takes them to rounding
    found = np.clip(matrix(weights), 0, None)
    for _ in range(1000):
        found /= found.sum(axis=1, keepdims=True)
        if np.abs(found.sum(axis=0) - 1).max() < 1e-12:
            break
        found /= found.sum(axis=0)
    return found if np.abs(found.sum(axis=0) - 1).max() < 1e-9 else None


def _least(
    start: Float | None,
    worst: Callable[[Float], tuple[float, Float, Float]],
    upper: Float | None,
    upper_is: Float | None,
    equal: Float | None,
    equal_is: Float | None,
) -> Float:
    """Non-negative weights that minimise the greatest of linear functions.

    Args:
        start: (W,) weights to begin with; None lets the constraints choose.
        worst: weights -> the value there, (C, W) slopes and (C,) offsets of functions that are greatest there.
        upper: (K, W) with upper @ weights <= upper_is.
        upper_is: (K,).
        equal: (K, W) with equal @ weights = equal_is.
        equal_is: (K,).

    Returns:
        (W,) the best weights met.
    """
    fixed = upper if upper is not None else equal
    assert fixed is not None
    count = fixed.shape[1]
    if start is None:
        start = np.asarray(linprog(np.zeros(count), A_eq=equal, b_eq=equal_is, method="highs").x)
    best, weights = start, start
    least, slopes, offsets = worst(start)
    goal = np.r_[np.zeros(count), 1.0]
    for _ in range(STEPS):
        cuts = np.c_[slopes, -np.ones(len(slopes))]
        bounds_on = csr_matrix(cuts if upper is None else np.r_[cuts, np.c_[upper, np.zeros(len(upper))]])
        limits = -offsets if upper_is is None else np.r_[-offsets, upper_is]
        sums = None if equal is None else csr_matrix(np.c_[equal, np.zeros(len(equal))])
        # the level: weights between the best met and those of the bound keep the method from jumping about
        found = linprog(goal, A_ub=bounds_on, b_ub=limits, A_eq=sums, b_eq=equal_is, bounds=(0, 1), method="highs")
        if not found.success or least - found.fun < GAP:
            break
        weights = (best + found.x[:count]) / 2
        for trial in (weights, found.x[:count]):
            value, new_slopes, new_offsets = worst(trial)
            slopes, offsets = np.r_[slopes, new_slopes], np.r_[offsets, new_offsets]
            if value < least:
                best, least = trial, value
    return best
