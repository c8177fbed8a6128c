"""The six measures against plain Python loops, a hand-worked pair and their bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from kinesics.metrics import distribution as m


def by_loops(d: list[float], q: list[float]) -> dict[str, float]:
    pairs = list(zip(d, q, strict=True))
    return {
        "kl": sum(a * (math.log(a) - math.log(max(b, 1e-12))) for a, b in pairs if a > 0),
        "chebyshev": max(abs(a - b) for a, b in pairs),
        "clark": math.sqrt(sum((a - b) ** 2 / (a + b) ** 2 for a, b in pairs if a + b > 0)),
        "canberra": sum(abs(a - b) / (a + b) for a, b in pairs if a + b > 0),
        "cosine": sum(a * b for a, b in pairs) / math.hypot(*d) / math.hypot(*q),
        "intersection": sum(min(a, b) for a, b in pairs),
    }


def draw(seed: int, n: int, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Distributions with many exact zeros, like votes."""
    rng = np.random.default_rng(seed)
    votes = rng.multinomial(5, rng.dirichlet(np.full(c, 0.5)), size=n)
    return votes / 5, rng.dirichlet(np.full(c, 0.3), size=n)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 8))
def test_agrees_with_loops(seed: int, n: int, c: int) -> None:
    true, predicted = draw(seed, n, c)
    expected = [by_loops(d, q) for d, q in zip(true.tolist(), predicted.tolist(), strict=True)]
    for name, measure in m.MEASURES.items():
        values = measure(true, predicted)
        np.testing.assert_allclose(values, [row[name] for row in expected], rtol=1e-9, atol=1e-12)
    means = m.distribution_measures(true, predicted)
    for name in m.MEASURES:
        assert means[name] == pytest.approx(np.mean([row[name] for row in expected]), abs=1e-12, rel=1e-9)


def test_agrees_with_scipy_where_nothing_is_zero() -> None:
    rng = np.random.default_rng(3)
    d, q = rng.dirichlet(np.ones(7), 5), rng.dirichlet(np.ones(7), 5)
    np.testing.assert_allclose(m.kl_divergence(d, q), stats.entropy(d, q, axis=1), rtol=1e-10)
    pairs = list(zip(d, q, strict=True))
    np.testing.assert_allclose(m.canberra(d, q), [distance.canberra(a, b) for a, b in pairs])
    np.testing.assert_allclose(m.chebyshev(d, q), [distance.chebyshev(a, b) for a, b in pairs])
    np.testing.assert_allclose(m.cosine(d, q), [1 - distance.cosine(a, b) for a, b in pairs])


def test_hand_worked_pair() -> None:
    d, q = [[0.5, 0.5, 0.0]], [[0.25, 0.5, 0.25]]
    assert m.kl_divergence(d, q)[0] == pytest.approx(0.5 * math.log(2))
    assert m.chebyshev(d, q)[0] == pytest.approx(0.25)
    assert m.clark(d, q)[0] == pytest.approx(math.sqrt(1 / 9 + 1))
    assert m.canberra(d, q)[0] == pytest.approx(1 / 3 + 1)
    assert m.cosine(d, q)[0] == pytest.approx(0.375 / math.sqrt(0.5 * 0.375))
    assert m.intersection(d, q)[0] == pytest.approx(0.75)


def test_zero_over_zero_adds_nothing() -> None:
    with_empty_class = [[0.4, 0.6, 0.0]], [[0.7, 0.3, 0.0]]
    without = [[0.4, 0.6]], [[0.7, 0.3]]
    for measure in m.MEASURES.values():
        np.testing.assert_allclose(measure(*with_empty_class), measure(*without))


def test_a_vanished_class_costs_the_log_of_epsilon() -> None:
    assert m.kl_divergence([[1.0, 0.0]], [[0.0, 1.0]])[0] == pytest.approx(12 * math.log(10))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_ranges_identity_symmetry_and_class_order(seed: int, c: int) -> None:
    true, predicted = draw(seed, 6, c)
    highest = {"kl": 12 * math.log(10), "chebyshev": 1, "clark": math.sqrt(c), "canberra": c, "cosine": 1}
    best = {"cosine": 1.0, "intersection": 1.0}
    order = np.random.default_rng(seed).permutation(c)
    for name, measure in m.MEASURES.items():
        value = measure(true, predicted)
        assert (value >= -1e-10).all() and (value <= highest.get(name, 1) + 1e-10).all(), name
        np.testing.assert_allclose(measure(true, true), best.get(name, 0.0), atol=1e-10)
        np.testing.assert_allclose(measure(true[:, order], predicted[:, order]), value, rtol=1e-9, atol=1e-12)
        if name != "kl":
            np.testing.assert_allclose(measure(predicted, true), value, atol=1e-12)
    np.testing.assert_allclose(
        m.intersection(true, predicted), 1 - np.abs(true - predicted).sum(axis=1) / 2, atol=1e-12
    )


def test_single_precision_rows_are_accepted_and_their_rounding_undone() -> None:
    true, predicted = draw(5, 200, 7)
    single = m.kl_divergence(true.astype(np.float32), predicted.astype(np.float32))
    np.testing.assert_allclose(single, m.kl_divergence(true, predicted), atol=1e-5)


def test_no_samples_give_nan_means() -> None:
    means = m.distribution_measures(np.zeros((0, 3)), np.zeros((0, 3)))
    assert set(means) == set(m.MEASURES) and all(math.isnan(value) for value in means.values())


@pytest.mark.parametrize(
    ("true", "predicted", "words"),
    [
        ([[0.5, 0.5]], [[0.2, 0.3, 0.5]], r"one shape \(N, C\), got \(1, 2\) and \(1, 3\)"),
        ([[5.0, 5.0]], [[0.5, 0.5]], "true: expected rows that sum to 1, got sum 10"),
        ([[0.5, 0.5]], [[np.nan, 0.5]], "predicted: expected finite"),
        ([0.5, 0.5], [0.5, 0.5], r"true: expected shape \(N, C\)"),
    ],
)
def test_wrong_input_says_what_was_expected_and_got(true: list, predicted: list, words: str) -> None:
    for measure in (*m.MEASURES.values(), m.distribution_measures):
        with pytest.raises(ValueError, match=words):
            measure(true, predicted)
