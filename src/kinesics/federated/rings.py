"""Rings of least length, which are the rings of least cycle time: the mean delay of a ring is its length over N.

Lengths are (N, N) and taken along the order given. With one neighbour each way a link's delay is the sender's
computation and a part that is the same in both directions, and every silo sends once, so a ring is as fast backwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

EXACT_UP_TO = 12
"""Silos up to which `best_ring` is exact; the table of `held_karp` has N 2^N entries."""


def ring_length(length: Float, order: list[int]) -> float:
    """Sum of the links of a closed tour.

    Args:
        length: (N, N).
        order: the silos, each once.
    """
    places = np.array(order)
    return float(length[places, np.roll(places, -1)].sum())


def best_ring(length: Float, kicks: int = 30, seed: int = 0) -> tuple[list[int], bool]:
    """The shortest tour up to `EXACT_UP_TO` silos, beyond it the best that iterated local search finds.

    Args:
        length: (N, N) symmetric.
        kicks: double-bridge kicks, each followed by 2-opt and Or-opt; worse tours are taken back.
        seed: of the kicks.

    Returns:
        the order, and whether it is proven to be the best.
    """
    n = len(length)
    if n <= EXACT_UP_TO:
        return held_karp(length), True
    rng = np.random.default_rng(seed)
    best = improve(length, nearest_neighbour(length))
    for _ in range(kicks):
        a, b, c = np.sort(rng.choice(np.arange(1, n), size=3, replace=False))
        kicked = improve(length, best[:a] + best[b:c] + best[a:b] + best[c:])
        if ring_length(length, kicked) < ring_length(length, best) - 1e-9:
            best = kicked
    return best, False


def held_karp(length: Float) -> list[int]:
    """The shortest tour by dynamic programming over subsets (M. Held and R. M. Karp, 1962), in N^2 2^N steps.

    Args:
        length: (N, N); need not be symmetric.
    """
    n = len(length)
    if n < 3:
        return list(range(n))
    m = n - 1  # the tour starts and ends at the last silo; subsets are of the others
    cost = np.full((1 << m, m), np.inf)
    before = np.full((1 << m, m), -1)
    for k in range(m):
        cost[1 << k, k] = length[m, k]
    for subset in range(1, 1 << m):
        for k in range(m):
            if not subset >> k & 1 or subset == 1 << k:
                continue
            arriving = cost[subset ^ (1 << k)] + length[:m, k]
            before[subset, k] = int(arriving.argmin())
            cost[subset, k] = arriving[before[subset, k]]
    subset = (1 << m) - 1
    last = int((cost[subset] + length[:m, m]).argmin())
    order = [m]
    while last >= 0:
        order.append(last)
        subset, last = subset ^ (1 << last), int(before[subset, last])
    return order[::-1]


def nearest_neighbour(length: Float) -> list[int]:
    """A tour that always goes on to the nearest silo not yet visited; the shortest of those from every start."""
    tours = []
    for start in range(len(length)):
        order, left = [start], set(range(len(length))) - {start}
        while left:
            order.append(min(left, key=lambda silo: (length[order[-1], silo], silo)))
            left.remove(order[-1])
        tours.append(order)
    return min(tours, key=lambda order: ring_length(length, order))


def improve(length: Float, order: list[int]) -> list[int]:
    """The local optimum under 2-opt (reverse a stretch) and Or-opt (move up to three silos, either way round).

    Args:
        length: (N, N) symmetric.
        order: the tour to start from.
    """
    while True:
        better = _two_opt(length, order) or _or_opt(length, order)
        if better is None:
            return order
        order = better


def _two_opt(length: Float, order: list[int]) -> list[int] | None:
    """The tour after the best reversal, None if none shortens it."""
    here = np.array(order)
    after = np.roll(here, -1)
    link = length[here, after]
    # reversing places i+1 .. j replaces the links after i and after j
    gain = link[:, None] + link[None, :] - length[here[:, None], here] - length[after[:, None], after]
    gain = np.triu(gain, 2)
    i, j = divmod(int(gain.argmax()), len(order))
    if gain[i, j] <= 1e-9:
        return None
    return order[: i + 1] + order[i + 1 : j + 1][::-1] + order[j + 1 :]


def _or_opt(length: Float, order: list[int]) -> list[int] | None:
    """The tour after the best move of one to three neighbours, None if none shortens it."""
    n = len(order)
    best, moved = 1e-9, None
    for size in range(1, min(3, n - 3) + 1):
        for start in range(n):
            turned = order[start:] + order[:start]
            segment, rest = turned[:size], np.array(turned[size:])
            saved = length[rest[-1], segment[0]] + length[segment[-1], rest[0]] - length[rest[-1], rest[0]]
            left, right = rest[:-1], rest[1:]
            for piece in (segment, segment[::-1]):
                added = length[left, piece[0]] + length[piece[-1], right] - length[left, right]
                place = int(added.argmin())
                if saved - added[place] > best:
                    best = float(saved - added[place])
                    moved = [*rest[: place + 1].tolist(), *piece, *rest[place + 1 :].tolist()]
    return moved
