"""How long a round takes: the maximum cycle mean of the delays.

Silo j starts its round k + 1 when the messages of round k have come from all silos that send to it. In this max-plus
linear system the time of a round tends to the largest mean delay over the cycles of the overlay (F. Baccelli, G. Cohen,
G. J. Olsder, J.-P. Quadrat, "Synchronization and Linearity", 1992, theorem 3.23), whatever the start.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

NO_LINK = -np.inf
"""Delay of a link that is not there."""


def maximum_cycle_mean(delay: Float) -> float:
    """Largest mean weight of a cycle, exactly (R. M. Karp, "A characterization of the minimum cycle mean in a
    digraph", Discrete Mathematics 23, 1978; here for the maximum, and with walks that start anywhere).

    Args:
        delay: (N, N) weight of the link i -> j, `NO_LINK` where there is none; a diagonal entry is a cycle of one.

    Returns:
        in the unit of `delay`; `NO_LINK` without any cycle.
    """
    return float(maximum_cycle_means(delay[None])[0])


def maximum_cycle_means(delay: Float) -> Float:
    """The same for several digraphs of one size at once.

    Args:
        delay: (K, N, N).

    Returns:
        (K,).
    """
    count, n = delay.shape[:2]
    walk = np.zeros((n + 1, count, n))
    into = np.ascontiguousarray(delay.transpose(0, 2, 1))
    for k in range(n):
        walk[k + 1] = (into + walk[k][:, None, :]).max(axis=2)
    steps = np.arange(n, 0, -1)[:, None, None]
    alive = walk[n] > NO_LINK
    last = np.where(alive, walk[n], 0.0)
    means = ((last - walk[:n]) / steps).min(axis=0)
    return np.asarray(np.where(alive, means, NO_LINK).max(axis=1))


def potentials(delay: Float, cycle_mean: float) -> Float:
    """(N,) start times p within a round, with p_i + d(i, j) - cycle_mean <= p_j on every link: a periodic schedule.

    Args:
        delay: (N, N) as above.
        cycle_mean: at least the maximum cycle mean, else no schedule exists.
    """
    reduced = delay - cycle_mean
    p = np.zeros(len(delay))
    for _ in range(len(delay)):
        later = np.maximum(p, (p[:, None] + reduced).max(axis=0))
        if np.array_equal(later, p):
            break
        p = later
    return p


def critical_cycle(delay: Float) -> list[int]:
    """A cycle whose mean is the maximum: silos in the order of the messages; empty without any cycle."""
    mean = maximum_cycle_mean(delay)
    if mean == NO_LINK:
        return []
    p = potentials(delay, mean)
    slack = p[None, :] - (p[:, None] + delay - mean)
    tight = slack <= 1e-9 * max(1.0, abs(mean)) * len(delay)
    # only links between silos that can be left and reached over tight links lie on a cycle
    alive: NDArray[np.bool_] = np.ones(len(delay), dtype=bool)
    while True:
        inner = tight & alive[:, None] & alive[None, :]
        still = np.asarray(inner.any(axis=0) & inner.any(axis=1))
        if np.array_equal(still, alive):
            break
        alive = still
    path = [int(np.flatnonzero(alive)[0])]
    while True:
        following = int(np.flatnonzero(inner[path[-1]])[0])
        if following in path:
            return path[path.index(following) :]
        path.append(following)


def strongly_connected(adjacency: NDArray[np.bool_]) -> bool:
    """Whether every silo's news reach every other.

    Args:
        adjacency: (N, N) True where i sends to j.
    """
    n = len(adjacency)
    reach = (adjacency | np.eye(n, dtype=bool)).astype(float)
    for _ in range(max(n - 1, 1).bit_length()):
        reach = np.minimum(reach @ reach, 1)
    return bool(reach.all())
