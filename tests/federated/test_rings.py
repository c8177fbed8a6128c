"""Rings against all orders there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kinesics.federated import rings
from kinesics.federated.rings import best_ring, held_karp, improve, nearest_neighbour, ring_length


def symmetric(seed: int, n: int) -> np.ndarray:
    place = np.random.default_rng(seed).uniform(0, 100, (n, 2))
    return np.linalg.norm(place[:, None] - place, axis=-1)


def shortest(length: np.ndarray) -> float:
    rest = range(1, len(length))
    return min(ring_length(length, [0, *order]) for order in itertools.permutations(rest))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_the_exact_ring_is_the_best_of_all(n: int) -> None:
    for seed in range(4):
        length = symmetric(seed, n)
        order = held_karp(length)
        assert sorted(order) == list(range(n))
        assert ring_length(length, order) == pytest.approx(shortest(length))
    lopsided = np.random.default_rng(n).uniform(1, 9, (n, n))
    assert ring_length(lopsided, held_karp(lopsided)) == pytest.approx(shortest(lopsided))


@pytest.mark.parametrize("seed", range(6))
def test_local_search_finds_it_too(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    length = symmetric(seed, 7)
    order, exact = best_ring(length)
    assert exact
    monkeypatch.setattr(rings, "EXACT_UP_TO", 0)
    searched, exact = best_ring(length)
    assert not exact and sorted(searched) == list(range(7))
    assert ring_length(length, searched) == pytest.approx(ring_length(length, order))


def test_no_reversal_and_no_move_of_three_shortens_what_local_search_leaves() -> None:
    length = symmetric(0, 14)
    order = improve(length, nearest_neighbour(length))
    least = ring_length(length, order)
    for i, j in itertools.combinations(range(15), 2):
        assert ring_length(length, order[:i] + order[i:j][::-1] + order[j:]) >= least - 1e-9
    for size in (1, 2, 3):
        for start in range(14):
            turned = order[start:] + order[:start]
            for place in range(size, 15):
                for step in (1, -1):
                    moved = turned[size:place] + turned[:size][::step] + turned[place:]
                    assert ring_length(length, moved) >= least - 1e-9
