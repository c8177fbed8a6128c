"""Agreement measures against plain loops, scipy and hand-worked numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from kinesics.metrics import regression as m


def ccc_by_loops(p: list[float], t: list[float]) -> float:
    n = len(p)
    mean_p, mean_t = math.fsum(p) / n, math.fsum(t) / n
    var_p = math.fsum((a - mean_p) ** 2 for a in p) / n
    var_t = math.fsum((b - mean_t) ** 2 for b in t) / n
    covariance = math.fsum((a - mean_p) * (b - mean_t) for a, b in zip(p, t, strict=True)) / n
    return 2 * covariance / (var_p + var_t + (mean_p - mean_t) ** 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(-2, 2), st.floats(0.1, 3))
def test_agrees_with_loops_scipy_and_scikit_learn(seed: int, n: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=n)
    predicted = scale * true + shift + rng.normal(size=n)
    assert m.ccc(predicted, true) == pytest.approx(ccc_by_loops(predicted.tolist(), true.tolist()), abs=1e-12)
    assert m.pearson(predicted, true) == pytest.approx(stats.pearsonr(predicted, true).statistic, abs=1e-10)
    assert m.rmse(predicted, true) == pytest.approx(sk.root_mean_squared_error(true, predicted))
    assert m.mae(predicted, true) == pytest.approx(sk.mean_absolute_error(true, predicted))
    assert abs(m.ccc(predicted, true)) <= abs(m.pearson(predicted, true)) + 1e-12
    assert m.ccc(true, predicted) == pytest.approx(m.ccc(predicted, true), abs=1e-12)
    assert m.pearson(5 * predicted - 3, true) == pytest.approx(m.pearson(predicted, true), abs=1e-9)


def test_hand_worked() -> None:
    predicted, true = [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]
    assert m.ccc(predicted, true) == pytest.approx(2 * (2 / 3) / (2 / 3 + 2 / 3 + 1))
    assert m.pearson(predicted, true) == pytest.approx(1.0)
    assert m.rmse([0.0, 0.0], [3.0, 4.0]) == pytest.approx(math.sqrt(12.5))
    assert m.mae([0.0, 0.0], [3.0, -4.0]) == 3.5
    assert m.ccc(true, true) == pytest.approx(1.0) and m.ccc([1.0, -1.0], [-1.0, 1.0]) == pytest.approx(-1.0)


def test_undefined_figures_are_nan_and_a_constant_guess_agrees_with_nothing() -> None:
    assert math.isnan(m.ccc([0.1, 0.1, 0.1], [0.1, 0.1, 0.1]))
    assert m.ccc([0.1, 0.1, 0.1], [0.1, 0.2, 0.3]) == 0.0
    assert m.ccc([0.1, 0.1, 0.1], [0.7, 0.7, 0.7]) == 0.0
    assert math.isnan(m.pearson([0.1, 0.1, 0.1], [0.1, 0.2, 0.3]))
    for measure in (m.ccc, m.pearson, m.rmse, m.mae):
        assert math.isnan(measure([], []))


@pytest.mark.parametrize(
    ("predicted", "true", "words"),
    [
        ([1.0, 2.0], [1.0], "one length, got 2 and 1"),
        ([[1.0]], [1.0], r"predicted: expected shape \(N,\), got \(1, 1\)"),
        ([1.0, 2.0], [1.0, np.nan], "true: expected finite values, got nan at position 1"),
    ],
)
def test_wrong_input_says_what_was_expected_and_got(predicted: list, true: list, words: str) -> None:
    for measure in (m.ccc, m.pearson, m.rmse, m.mae):
        with pytest.raises(ValueError, match=words):
            measure(predicted, true)
