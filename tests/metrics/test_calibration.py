"""Calibration against plain loops, hand-worked bins, a fine grid and data drawn with a known temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from kinesics.metrics import calibration as m
from kinesics.metrics.classification import accuracy


def softmax(z: np.ndarray) -> np.ndarray:
    weight = np.exp(z - z.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def draw_labels(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    return (p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1)


def ece_by_loops(p: np.ndarray, y: np.ndarray, bins: int) -> float:
    total = 0.0
    for b in range(bins):
        inside = [i for i in range(len(y)) if b / bins < p[i].max() <= (b + 1) / bins]
        if inside:
            right = sum(int(p[i].argmax() == y[i]) for i in inside) / len(inside)
            total += len(inside) / len(y) * abs(right - sum(p[i].max() for i in inside) / len(inside))
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 7), st.integers(1, 20))
def test_ece_agrees_with_loops_and_ignores_the_order_of_samples(seed: int, n: int, c: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.full(c, 0.5), n), rng.integers(c, size=n)
    value = m.expected_calibration_error(p, y, bins)
    assert value == pytest.approx(ece_by_loops(p, y, bins), abs=1e-12)
    assert 0 <= value <= 1
    order = rng.permutation(n)
    for error in (m.expected_calibration_error, m.adaptive_ece):
        assert error(p[order], y[order], bins) == pytest.approx(error(p, y, bins), abs=1e-12)
    assert m.adaptive_ece(p, y, 1) == pytest.approx(m.expected_calibration_error(p, y, 1), abs=1e-12)
    assert m.adaptive_ece(p, y, 1) == pytest.approx(abs(accuracy(p, y) - p.max(axis=1).mean()), abs=1e-12)


HAND_P = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.5, 0.5]]
HAND_Y = [0, 1, 1, 0]


def test_hand_worked_bins() -> None:
    """Five bins: .5 and .6 lie in (.4, .6] (both right), .8 in (.6, .8] (wrong), .9 in (.8, 1] (right)."""
    table = m.reliability_table(HAND_P, HAND_Y, bins=5)
    np.testing.assert_array_equal(table["count"], [0, 0, 2, 1, 1])
    np.testing.assert_allclose(table["confidence"], [np.nan, np.nan, 0.55, 0.8, 0.9])
    np.testing.assert_allclose(table["accuracy"], [np.nan, np.nan, 1, 0, 1])
    np.testing.assert_allclose(table["lower"], [0, 0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(table["upper"], [0.2, 0.4, 0.6, 0.8, 1])
    assert m.expected_calibration_error(HAND_P, HAND_Y, 5) == pytest.approx(0.5 * 0.45 + 0.25 * 0.8 + 0.25 * 0.1)


def test_adaptive_bins_hold_equally_many_samples_and_keep_ties_together() -> None:
    """Two bins: {.5, .6} both right, {.8, .9} wrong and right; then four equal confidences make one bin."""
    assert m.adaptive_ece(HAND_P, HAND_Y, 2) == pytest.approx(0.5 * (1 - 0.55) + 0.5 * (0.85 - 0.5))
    assert m.adaptive_ece([[0.7, 0.3]] * 4, [0, 0, 0, 1], 4) == pytest.approx(0.05)


def test_adaptive_bins_by_sorting_where_nothing_ties() -> None:
    rng = np.random.default_rng(2)
    p, y = rng.dirichlet(np.ones(4), 60), rng.integers(4, size=60)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    order = np.argsort(confidence)
    gaps = [abs(confidence[part].mean() - correct[part].mean()) for part in np.split(order, 6)]
    assert m.adaptive_ece(p, y, 6) == pytest.approx(np.mean(gaps))


def test_labels_drawn_from_the_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(7, 0.4), 40_000)
    y = draw_labels(rng, p)
    assert m.expected_calibration_error(p, y) < 0.01 and m.adaptive_ece(p, y) < 0.01
    assert m.expected_calibration_error(m.apply_temperature(p, 0.5), y) > 0.05


def test_nll_and_brier_against_scikit_learn_and_loops() -> None:
    rng = np.random.default_rng(4)
    p, y = rng.dirichlet(np.ones(5), 80), rng.integers(5, size=80)
    assert m.negative_log_likelihood(p, y) == pytest.approx(sk.log_loss(y, p, labels=range(5)), rel=1e-9)
    by_hand = np.mean([sum((p[i, c] - (c == y[i])) ** 2 for c in range(5)) for i in range(80)])
    assert m.brier(p, y) == pytest.approx(by_hand)
    assert m.brier([[0.8, 0.2]], [1]) == pytest.approx(0.64 + 0.64)
    t = rng.dirichlet(np.ones(5), 80)
    expected = np.mean([-sum(t[i, c] * math.log(p[i, c]) for c in range(5)) for i in range(80)])
    assert m.negative_log_likelihood(p, t) == pytest.approx(expected)
    assert m.negative_log_likelihood([[1.0, 0.0]], [1]) == pytest.approx(12 * math.log(10))


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 1.8, 6.0])
def test_fit_recovers_the_temperature_that_made_the_targets(temperature: float) -> None:
    """Targets are softmax(z / T) themselves, so the optimum is T exactly."""
    z = np.random.default_rng(1).normal(scale=3, size=(300, 7))
    assert m.fit_temperature(z, softmax(z / temperature)) == pytest.approx(temperature, rel=1e-8)
    log_p = np.log(softmax(z))
    assert m.fit_temperature(log_p, softmax(z / temperature)) == pytest.approx(temperature, rel=1e-8)


def test_fit_recovers_a_known_temperature_from_drawn_labels() -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(scale=4, size=(60_000, 7))
    assert m.fit_temperature(z, draw_labels(rng, softmax(z / 2.5))) == pytest.approx(2.5, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 7), st.floats(0.01, 200), st.booleans())
def test_fit_beats_a_fine_grid(seed: int, n: int, c: int, scale: float, hard: bool) -> None:
    """No temperature of 2,000 in [0.05, 20] has a smaller loss, whatever the scale of the logits."""
    rng = np.random.default_rng(seed)
    z = np.maximum(rng.normal(scale=scale, size=(n, c)), -40)
    z = np.minimum(z - z.max(axis=1, keepdims=True), 0).clip(-100)
    target = rng.integers(c, size=n) if hard else rng.dirichlet(np.ones(c), n)
    t = np.eye(c)[target] if hard else target

    def loss(temperature: float) -> float:
        scaled = z / temperature
        return float((np.log(np.exp(scaled).sum(axis=1)) - (t * scaled).sum(axis=1)).mean())

    best = m.fit_temperature(z, target)
    assert 0.05 <= best <= 20
    grid = min(loss(temperature) for temperature in np.geomspace(0.05, 20, 2000))
    assert loss(best) <= grid + 1e-10 * max(1.0, abs(grid))


def test_fit_at_the_ends_of_the_range() -> None:
    right = np.array([[3.0, 0, 0], [0, 2.0, 0]])
    assert m.fit_temperature(right, [0, 1]) == 0.05
    assert m.fit_temperature(right, [1, 0]) == 20.0
    assert m.fit_temperature(np.zeros((4, 3)), [0, 1, 2, 0]) == 1.0


def test_fit_and_apply_see_the_same_zeros() -> None:
    """An underflowed float32 softmax: the fit on its log, applied, beats a grid of applications."""
    rng = np.random.default_rng(9)
    z = rng.normal(scale=90, size=(200, 7)).astype(np.float32)
    p = softmax(z)
    assert (p == 0).any()
    y = rng.integers(7, size=200)
    with np.errstate(divide="ignore"):
        best = m.fit_temperature(np.log(p), y)
    assert 1 < best <= 20
    losses = [m.negative_log_likelihood(m.apply_temperature(p, t), y) for t in np.geomspace(0.05, 20, 200)]
    assert m.negative_log_likelihood(m.apply_temperature(p, best), y) <= min(losses) + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.floats(0.05, 20))
def test_applied_temperature_is_the_softmax_of_scaled_logits(seed: int, c: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=2, size=(10, c))
    p = softmax(z)
    scaled = m.apply_temperature(p, temperature)
    np.testing.assert_allclose(scaled, softmax(z / temperature), atol=1e-10)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    np.testing.assert_array_equal(scaled.argmax(axis=1), p.argmax(axis=1))
    if temperature > 0.5:  # sharper rows lose their small entries to the floor
        np.testing.assert_allclose(m.apply_temperature(scaled, 1 / temperature), p, atol=1e-10)


def test_temperature_one_changes_nothing_and_zeros_stay_finite() -> None:
    p = np.array([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0]])
    np.testing.assert_allclose(m.apply_temperature(p, 1.0), p, atol=1e-15)
    hot = m.apply_temperature(p, 20.0)
    assert np.isfinite(hot).all() and (hot > 0).all() and hot[1, 2] < hot[1, 0] < hot[1, 1]
    np.testing.assert_allclose(m.apply_temperature(p, 0.05)[0], [1, 0, 0])


def test_no_samples() -> None:
    empty = np.zeros((0, 3))
    for value in (m.expected_calibration_error(empty, []), m.adaptive_ece(empty, []), m.brier(empty, [])):
        assert math.isnan(value)
    assert math.isnan(m.negative_log_likelihood(empty, []))
    assert m.reliability_table(empty, [])["count"].sum() == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: m.expected_calibration_error([[0.5, 0.5]], [0], bins=0), "bins: expected .* >= 1, got 0"),
        (lambda: m.adaptive_ece([[0.5, 0.5]], [0], bins=-1), "bins: expected a number >= 1"),
        (lambda: m.reliability_table([[0.5, 0.6]], [0]), "sum to 1, got sum 1.1"),
        (lambda: m.brier([[0.5, 0.5]], [2]), "classes 0..1, got 2"),
        (lambda: m.negative_log_likelihood([[0.5, 0.5]], [[1.0, 0, 0]]), r"\(1, 2\) or \(1,\), got \(1, 3\)"),
        (lambda: m.fit_temperature(np.zeros((0, 3)), []), r"at least one sample, got shape \(0, 3\)"),
        (lambda: m.fit_temperature([[np.nan, 0.0]], [0]), "finite largest value, got .* in row 0"),
        (
            lambda: m.fit_temperature([[0.0, 0.0], [-np.inf, -np.inf]], [0, 0]),
            "finite largest value, got .* in row 1",
        ),
        (lambda: m.fit_temperature([0.0, 1.0], [0]), r"shape \(N, C\), got \(2,\)"),
        (lambda: m.apply_temperature([[0.5, 0.5]], 0.0), "temperature: expected a number > 0, got 0.0"),
        (lambda: m.apply_temperature([[0.5, 0.5]], math.nan), "temperature: expected a number > 0, got nan"),
    ],
)
def test_wrong_input_says_what_was_expected_and_got(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
