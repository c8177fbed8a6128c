"""The cycle time against a list of all cycles, and against a federation that is simply played through."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kinesics.federated.cycle_time import (
    NO_LINK,
    critical_cycle,
    maximum_cycle_mean,
    potentials,
    strongly_connected,
)


def every_cycle(delay: np.ndarray) -> dict[tuple[int, ...], float]:
    """Mean of each simple cycle, found by trying all orders of all subsets."""
    n, found = len(delay), {}
    for size in range(1, n + 1):
        for subset in itertools.combinations(range(n), size):
            for rest in itertools.permutations(subset[1:]):
                cycle = (subset[0], *rest)
                total = sum(delay[a, b] for a, b in zip(cycle, (*rest, subset[0]), strict=True))
                if total > NO_LINK:
                    found[cycle] = total / size
    return found


def some_digraph(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    return np.where(rng.random((n, n)) < rng.uniform(0.2, 0.9), rng.uniform(1, 50, (n, n)), NO_LINK)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_largest_of_all_cycle_means(seed: int) -> None:
    delay = some_digraph(seed)
    cycles = every_cycle(delay)
    expected = max(cycles.values(), default=NO_LINK)
    assert maximum_cycle_mean(delay) == pytest.approx(expected, rel=1e-12)
    critical = critical_cycle(delay)
    if cycles:
        places = critical.index(min(critical))
        assert cycles[(*critical[places:], *critical[:places])] == pytest.approx(expected, rel=1e-9)
    else:
        assert critical == []


@pytest.mark.parametrize("seed", range(10))
def test_rounds_of_a_played_federation_take_that_long(seed: int) -> None:
    """A silo starts its next round when all messages are there: start_j = max over i of start_i + delay."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 8))
    delay = np.where(rng.random((n, n)) < 0.4, rng.uniform(1, 50, (n, n)), NO_LINK)
    order = rng.permutation(n)
    delay[order, np.roll(order, -1)] = rng.uniform(1, 50, n)  # strongly connected
    start = rng.uniform(0, 100, n)
    for _ in range(4000):
        start = (start[:, None] + delay).max(axis=0)
    earlier = start
    for _ in range(840):  # a multiple of every cycle's length up to 8
        start = (start[:, None] + delay).max(axis=0)
    np.testing.assert_allclose((start - earlier) / 840, maximum_cycle_mean(delay), rtol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_potentials_are_a_schedule(seed: int) -> None:
    delay = some_digraph(seed)
    mean = maximum_cycle_mean(delay)
    if mean > NO_LINK:
        p = potentials(delay, mean)
        assert (p[:, None] + delay - mean <= p[None, :] + 1e-9).all()


def test_strongly_connected_by_hand() -> None:
    ring = np.roll(np.eye(5, dtype=bool), 1, axis=1)
    assert strongly_connected(ring)
    path = ring.copy()
    path[4, 0] = False
    assert not strongly_connected(path)
    assert strongly_connected(path | path.T)
    assert not strongly_connected(np.zeros((2, 2), dtype=bool))
