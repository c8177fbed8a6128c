"""Mixing matrices: stochastic, on the links only, with the average as their fixed point."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from kinesics.errors import UserError
from kinesics.federated.mixing import (
    asymptotic_rounds,
    by_size,
    disagreement,
    metropolis,
    mix,
    push_sum,
    push_sum_matrix,
    rounds_to_consensus,
    second_eigenvalue,
    sinkhorn,
)
from kinesics.federated.overlay import complete, ring, star
from kinesics.federated.weights import fdla


def overlays(directed: bool) -> list[np.ndarray]:
    """Random strongly connected overlays of five to eight silos."""
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(5, 9))
        one = ring([int(i) for i in rng.permutation(n)]) | (rng.random((n, n)) < 0.15)
        np.fill_diagonal(one, False)
        found.append(one if directed else one | one.T)
    return found


def check(matrix: np.ndarray, adjacency: np.ndarray) -> None:
    assert (matrix >= 0).all()
    assert not matrix[~(adjacency.T | np.eye(len(adjacency), dtype=bool))].any(), "a weight without a link"
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_weights_are_doubly_stochastic_and_agree_on_the_average(directed: bool, number: int) -> None:
    adjacency = overlays(directed)[number]
    mixing = mix(adjacency)
    assert not mixing.push_sum
    assert mixing.name == "FDLA" if not directed else mixing.name.startswith("doubly stochastic")
    check(mixing.matrix, adjacency)
    n = len(adjacency)
    same = np.full(n, 3.5)
    np.testing.assert_allclose(mixing.matrix @ same, same)
    values = np.random.default_rng(1).normal(size=(n, 4))
    now = values.copy()
    for _ in range(mixing.rounds()):
        now = mixing.matrix @ now
    spread = np.linalg.norm(values - values.mean(axis=0), axis=0)
    assert (np.linalg.norm(now - values.mean(axis=0), axis=0) <= 0.01 * spread * (1 + 1e-9)).all()


@pytest.mark.parametrize("number", range(5))
def test_the_ratio_of_push_sum_tends_to_the_average(number: int) -> None:
    adjacency = overlays(directed=True)[number]
    mixing = mix(adjacency, central=False)
    assert mixing.push_sum and mixing.name == "push-sum"
    np.testing.assert_allclose(mixing.matrix.sum(axis=0), 1)
    values = np.random.default_rng(2).normal(size=(len(adjacency), 2, 3))
    mean = np.broadcast_to(values.mean(axis=0), values.shape)
    np.testing.assert_allclose(push_sum(mixing.matrix, values, 500), mean, atol=1e-10)
    left = np.linalg.norm(push_sum(mixing.matrix, values, mixing.rounds()) - mean)
    assert left <= 0.01 * np.linalg.norm(values - mean) * (1 + 1e-9)
    plain = np.linalg.matrix_power(mixing.matrix, 500) @ values[:, 0, 0]
    if np.abs(mixing.matrix.sum(axis=1) - 1).max() > 1e-9:
        assert np.abs(plain - values[:, 0, 0].mean()).max() > 1e-3, "without the ratio it's another point"


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_weights_by_size_agree_on_the_mean_by_size(directed: bool, number: int) -> None:
    adjacency, rng = overlays(directed)[number], np.random.default_rng(number)
    n = len(adjacency)
    sizes = rng.integers(20, 2000, n).astype(float)
    plain = mix(adjacency).matrix
    matrix = by_size(plain, sizes)
    assert (matrix >= 0).all() and not matrix[plain == 0].any()
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(matrix @ sizes, sizes, rtol=1e-9)
    taken = matrix * sizes / (matrix @ sizes)[:, None]  # what a silo takes over of another
    np.testing.assert_allclose(taken.sum(axis=1), 1)
    np.testing.assert_allclose(np.linalg.matrix_power(taken, 1 << 20), np.tile(sizes / sizes.sum(), (n, 1)), atol=1e-9)
    values = rng.normal(size=(n, 3))
    mean = np.tile(sizes @ values / sizes.sum(), (n, 1))
    np.testing.assert_allclose(push_sum(matrix, values, 60_000, sizes), mean, atol=1e-9)
    if not directed:
        flow = sizes[:, None] * taken
        np.testing.assert_allclose(flow, flow.T, rtol=1e-6, atol=1e-9 * sizes.sum())


def test_sizes_that_change_nothing_and_an_overlay_that_agrees_at_once() -> None:
    for adjacency in (*overlays(directed=True), *overlays(directed=False)):
        matrix = mix(adjacency).matrix
        np.testing.assert_allclose(by_size(matrix, np.full(len(matrix), 7.0)), matrix, atol=1e-9)
    sizes = np.array([1.0, 2, 3, 10])
    np.testing.assert_allclose(by_size(mix(complete(4)).matrix, sizes), np.tile(sizes[:, None] / 16, 4), atol=1e-9)


def test_a_one_way_ring_mixes_half_and_half_as_released(shared: Path) -> None:
    stored = np.load(shared / "golden" / "mix_ring5.npz", allow_pickle=False)
    adjacency = ring([0, 4, 3, 2, 1])  # the release's silo i takes from i + 1
    matrix = mix(adjacency).matrix
    np.testing.assert_allclose(matrix, 0.5 * np.eye(5) + 0.5 * np.roll(np.eye(5), 1, axis=1), atol=1e-12)
    np.testing.assert_allclose(matrix @ stored["f64_params_in"], stored["f64_params_out"], atol=1e-12)


@pytest.mark.parametrize("n", [5, 8, 11])
def test_known_rates(n: int) -> None:
    """Eigenvalues of circulant matrices, by hand."""
    one_way = ring(list(range(n)))
    two_way = one_way | one_way.T
    angle = 2 * np.pi / n
    assert mix(one_way).rate == pytest.approx(np.cos(angle / 2))
    assert second_eigenvalue(metropolis(two_way)) == pytest.approx((1 + 2 * np.cos(angle)) / 3)
    low = 1 - np.cos(angle * (n // 2))
    weight = 2 / (2 * low + 2 * (1 - np.cos(angle)))  # equal moduli at both ends of the spectrum
    best = 1 - 2 * weight * (1 - np.cos(angle)) if weight <= 0.5 else None
    if best is not None:
        assert second_eigenvalue(fdla(two_way)) == pytest.approx(best, abs=2e-3)
    assert second_eigenvalue(fdla(star(n, 0))) == pytest.approx(1 - 1 / (n - 1), abs=2e-3)
    assert mix(complete(n)).rate == pytest.approx(0, abs=1e-9)
    assert mix(complete(n)).rounds() == 1


def test_fdla_beats_a_fine_grid_of_weights() -> None:
    """A path of four: by symmetry two weights, all tried."""
    path = np.zeros((4, 4), dtype=bool)
    for i in range(3):
        path[i, i + 1] = path[i + 1, i] = True
    least = 1.0
    for outer, inner in itertools.product(np.linspace(0, 1, 101), repeat=2):
        weights = np.zeros((4, 4))
        weights[0, 1] = weights[2, 3] = outer
        weights[1, 2] = inner
        weights += weights.T
        if outer + inner <= 1:
            least = min(least, second_eigenvalue(weights + np.diag(1 - weights.sum(axis=1))))
    assert second_eigenvalue(fdla(path)) <= least + 2e-4


def test_rounds_are_the_first_at_which_little_disagreement_is_left() -> None:
    for directed in (False, True):
        for adjacency in overlays(directed):
            for mixing in (mix(adjacency), mix(adjacency, central=False)):
                power, count = mixing.matrix, 1
                while disagreement(power, mixing.push_sum) > 0.01:
                    power, count = power @ mixing.matrix, count + 1
                assert mixing.rounds() == count


def test_asymptotic_rounds() -> None:
    assert asymptotic_rounds(0.1) == pytest.approx(2)
    assert asymptotic_rounds(0.0) == 1
    assert asymptotic_rounds(1.0) == np.inf


def test_what_does_not_mix_is_refused() -> None:
    with pytest.raises(UserError, match="not strongly connected"):
        mix(np.array([[False, True], [False, False]]))
    with pytest.raises(UserError, match="don't agree to 0.01"):
        rounds_to_consensus(np.eye(3))
    assert sinkhorn(np.array([[False, True], [False, False]]), steps=50) is None
    assert push_sum_matrix(ring([0, 1])).tolist() == [[0.5, 0.5], [0.5, 0.5]]
