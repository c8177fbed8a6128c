"""Overlays found by searching: the least cycle time under a degree limit, and the soonest consensus.

A one-way overlay can be faster than any ring: its cycle time is the mean of its slowest cycle, and a far silo may be
reached over a cycle that many near links keep short on average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinesics.federated.cycle_time import strongly_connected
from kinesics.federated.mixing import disagreement, push_sum_matrix, rounds_to_consensus, sinkhorn
from kinesics.federated.overlay import best_ring_order, complete, ring
from kinesics.federated.topology import Bool, Connectivity

CHAINS = 16
"""Annealings side by side; one step of all costs little more than of one."""

_HEAT = (0.005, 0.04)
"""First temperatures of the coolest and the hottest chain, as shares of the ring's cycle time."""

_COOLED = 0.02
"""Share of its first temperature that a chain ends with."""

_SAME = 1e-9
"""Cycle times closer than this share are equal."""


def least_cycle(network: Connectivity, max_degree: int | None = None, seed: int = 0, steps: int = 0) -> Bool:
    """A strongly connected overlay of little cycle time, by annealing from the best ring; never slower than it.

    Several chains at different temperatures run side by side, and now and then the worst take up where the best is. A
    move adds a link, drops one, or lets one end elsewhere; new links prefer near silos. Links that cost no time are
    added at the end, since they speed up mixing.

    Args:
        network: what links cost.
        max_degree: the most silos one may send to, and hear.
        seed: of the moves.
        steps: moves of each chain; 0 for 600 a silo.

    Returns:
        (N, N) True where i sends to j.
    """
    n = len(network)
    limit = n - 1 if max_degree is None else min(max_degree, n - 1)
    best = ring(best_ring_order(network, seed)[0])
    least = network.cycle_ms(best)
    if n < 3 or limit < 2:
        return best
    rng = np.random.default_rng(seed)
    steps = steps or 600 * n
    now, cost = np.repeat(best[None], CHAINS, axis=0), np.full(CHAINS, least)
    hot = least * np.geomspace(*_HEAT, CHAINS)
    near = np.array(_near(network))
    for step in range(steps):
        trial = _all_moved(now, near, rng)
        tried = network.cycle_ms_of_many(trial)
        heat = hot * _COOLED ** (step / steps)
        taken = tried <= cost - heat * np.log(rng.random(CHAINS) + 1e-300)
        taken &= (trial.sum(axis=1) <= limit).all(axis=1) & (trial.sum(axis=2) <= limit).all(axis=1)
        for chain in np.flatnonzero(taken):
            if not strongly_connected(trial[chain]):
                continue
            now[chain], cost[chain] = trial[chain], tried[chain]
            if cost[chain] < least * (1 - _SAME):
                best, least = now[chain].copy(), float(cost[chain])
        if step % max(steps // 12, 1) == 0:
            worst = np.argsort(cost)[-CHAINS // 4 :]
            now[worst], cost[worst] = best, least
    return densify(network, best, network.cycle_ms(best), limit)


def densify(network: Connectivity, adjacency: Bool, budget_ms: float, max_degree: int | None = None) -> Bool:
    """Add links, the quickest first, as long as a round takes no longer than a budget.

    Args:
        network: what links cost.
        adjacency: (N, N) to start from.
        budget_ms: the longest cycle time.
        max_degree: the most silos one may send to, and hear.
    """
    n = len(network)
    limit = n - 1 if max_degree is None else max_degree
    found, delay = adjacency.copy(), network.single()
    for place in np.argsort(delay, axis=None, kind="stable"):
        i, j = divmod(int(place), n)
        if i == j or found[i, j] or found[i].sum() >= limit or found[:, j].sum() >= limit:
            continue
        found[i, j] = True
        if network.cycle_ms(found) > budget_ms * (1 + _SAME):
            found[i, j] = False
    return found


def trade_off(
    network: Connectivity, start: Bool, max_degree: int | None = None, budgets: Sequence[float] | None = None
) -> list[Bool]:
    """Overlays from few links and quick rounds to many links and slow ones.

    Args:
        network: what links cost.
        start: (N, N) the quickest overlay; each of the others is it and all links that a longer round has room for.
        max_degree: the most silos one may send to, and hear.
        budgets: cycle times in ms; by default twelve between that of `start` and that of the complete overlay.
    """
    least = network.cycle_ms(start)
    most = max(network.cycle_ms(complete(len(network))), least * 1.0001)
    found: list[Bool] = []
    for budget in budgets if budgets is not None else np.geomspace(least, most, 12):
        denser = densify(network, start, float(budget), max_degree)
        if not any(np.array_equal(denser, other) for other in found):
            found.append(denser)
    return found


def soonest_consensus(
    network: Connectivity,
    candidates: Sequence[Bool],
    max_degree: int | None = None,
    seed: int = 0,
    steps: int = 0,
) -> Bool:
    """An overlay of little modelled time to 1 % consensus: cycle time times rounds.

    The best of the candidates, of the complete overlay and of generalised de Bruijn overlays (few links, few rounds)
    with their silos placed for cycle time; then improved link by link.

    Args:
        network: what links cost.
        candidates: (N, N) strongly connected overlays, such as those of `trade_off`.
        max_degree: the most silos one may send to, and hear.
        seed: of placing and improving.
        steps: links to try; 0 for 8 a silo.
    """
    n = len(network)
    limit = n - 1 if max_degree is None else min(max_degree, n - 1)
    rng = np.random.default_rng(seed)
    pool = [*candidates, complete(n)]
    pool += [_placed(network, de_bruijn(n, degree), rng) for degree in range(2, min(limit, n - 2) + 1)]
    pool = [one for one in pool if _degree(one) <= limit and strongly_connected(one)]
    costs = [consensus_ms(network, one) for one in pool]
    now, cost = pool[int(np.argmin(costs))], min(costs)
    near = _near(network)
    for _ in range((steps or 8 * n) if n > 2 else 0):
        trial = _moved(now, near, limit, rng)
        if trial is None or network.cycle_ms(trial) >= cost or not strongly_connected(trial):
            continue  # a single round would already take too long
        tried = consensus_ms(network, trial)
        if tried < cost:
            now, cost = trial, tried
    return now


def consensus_ms(network: Connectivity, adjacency: Bool) -> float:
    """Modelled time to 1 % consensus with Sinkhorn's weights, the last round counted in part.

    Args:
        network: what links cost.
        adjacency: (N, N) strongly connected.
    """
    matrix = sinkhorn(adjacency, steps=1000)
    pushing = matrix is None
    if matrix is None:
        matrix = push_sum_matrix(adjacency)
    rounds = rounds_to_consensus(matrix, push_sum=pushing)
    if rounds == 1:
        return network.cycle_ms(adjacency)
    power = np.linalg.matrix_power(matrix, rounds - 1)
    before, after = disagreement(power, pushing), disagreement(power @ matrix, pushing)
    share = math.log(before / 0.01) / math.log(before / max(after, 1e-12)) if before > after else 1.0
    return network.cycle_ms(adjacency) * (rounds - 1 + min(share, 1.0))


def de_bruijn(n: int, degree: int) -> Bool:
    """(N, N) each silo i sends to the silos -(degree i + r) mod N, r = 1 .. degree; without self-links.

    News of any silo reach all others within log N / log degree rounds, rounded up (M. Imase and M. Itoh, "Design to
    minimize diameter on building-block network", 1981).
    """
    adjacency = np.zeros((n, n), dtype=bool)
    for i in range(n):
        for r in range(1, degree + 1):
            adjacency[i, -(degree * i + r) % n] = True
    np.fill_diagonal(adjacency, False)
    return adjacency


def _placed(network: Connectivity, pattern: Bool, rng: np.random.Generator) -> Bool:
    """A pattern of links with the silos swapped among its places for little cycle time."""
    n = len(network)
    order = rng.permutation(n)
    cost = network.cycle_ms(pattern[np.ix_(order, order)])
    for _ in range(3 * n):
        swapped = order.copy()
        a, b = rng.choice(n, 2, replace=False)
        swapped[[a, b]] = order[[b, a]]
        tried = network.cycle_ms(pattern[np.ix_(swapped, swapped)])
        if tried < cost:
            order, cost = swapped, tried
    return np.asarray(pattern[np.ix_(order, order)])


def _near(network: Connectivity) -> list[list[int]]:
    """For each silo the others, nearest first."""
    delay = network.single() - network.compute[:, None]
    return [[int(j) for j in np.argsort(delay[i], kind="stable") if j != i] for i in range(len(network))]


def _moved(adjacency: Bool, near: list[list[int]], limit: int, rng: np.random.Generator) -> Bool | None:
    """The overlay after one random move, None if the move is not possible."""
    n = len(adjacency)
    kind, trial = rng.random(), adjacency.copy()
    if kind < 0.7:
        links = np.argwhere(adjacency)
        i, j = links[rng.integers(len(links))]
        trial[i, j] = False
        if kind < 0.2:
            return trial
        if kind < 0.45:  # another receiver
            i, j = i, near[i][_rank(rng, n)]
        else:  # another sender
            i, j = near[j][_rank(rng, n)], j
    else:
        i = int(rng.integers(n))
        j = near[i][_rank(rng, n)]
    if trial[i, j]:
        return None
    trial[i, j] = True
    return trial if trial[i].sum() <= limit and trial[:, j].sum() <= limit else None


def _all_moved(overlays: Bool, near: NDArray[np.int64], rng: np.random.Generator) -> Bool:
    """Each of (K, N, N) overlays after one random move; one may come back as it was."""
    count, n = overlays.shape[:2]
    trial, chain = overlays.copy(), np.arange(count)
    kind = rng.random(count)
    link = (rng.random(overlays.shape) * overlays).reshape(count, -1).argmax(axis=1)
    i, j = link // n, link % n
    dropping = kind < 0.7
    trial[chain[dropping], i[dropping], j[dropping]] = False
    # the new link: from the sender of the dropped one, to its receiver, or anywhere
    fixed = np.where(kind < 0.45, i, np.where(dropping, j, rng.integers(n, size=count)))
    other = near[fixed, np.minimum(rng.exponential(n / 4, size=count).astype(int), n - 2)]
    incoming = dropping & (kind >= 0.45)
    sender, receiver = np.where(incoming, other, fixed), np.where(incoming, fixed, other)
    adding = kind >= 0.2
    trial[chain[adding], sender[adding], receiver[adding]] = True
    return trial


def _rank(rng: np.random.Generator, n: int) -> int:
    """A place in a list of N - 1, small ones more likely."""
    return min(int(rng.exponential(n / 4)), n - 2)


def _degree(adjacency: Bool) -> int:
    return int(max(adjacency.sum(axis=0).max(), adjacency.sum(axis=1).max()))
