"""The fastest mixing weights of a two-way overlay, by cutting planes.

The problem is convex: the largest eigenvalue modulus of a symmetric matrix is the greatest of infinitely many functions
that are linear in the weights, one for each unit vector. A linear programme over the vectors met so far gives weights
and a lower bound; the worst vectors of these weights join; until bound and value meet (J. E. Kelley, "The
cutting-plane method for solving convex programs", 1960).
"""

from __future__ import annotations

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
    best = 1.0 / (1 + np.maximum(degree[ends[:, 0]], degree[ends[:, 1]]))
    least, slopes, offsets = worst(best)
    goal = np.r_[np.zeros(len(ends)), 1.0]
    sums = np.c_[touching, np.zeros(n)]  # what a silo gives away is at most 1
    for _ in range(STEPS):
        cuts = csr_matrix(np.r_[np.c_[slopes, -np.ones(len(slopes))], sums])
        found = linprog(goal, A_ub=cuts, b_ub=np.r_[-offsets, np.ones(n)], bounds=(0, 1), method="highs")
        if not found.success or least - found.fun < GAP:
            break
        bound = found.x[:-1]
        for trial in ((best + bound) / 2, bound):  # the middle keeps the method from jumping about
            value, new_slopes, new_offsets = worst(trial)
            slopes, offsets = np.r_[slopes, new_slopes], np.r_[offsets, new_offsets]
            if value < least:
                best, least = trial, value
    return np.asarray(np.clip(matrix(best), 0, None))
