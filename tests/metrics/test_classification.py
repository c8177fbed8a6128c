"""Counting metrics against hand-worked examples, plain loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from kinesics.metrics import classification as m

RNG = np.random.default_rng(7)
HAND = np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]])
"""Class 0: 3 of 4 right; class 1: 2 of 4; class 2 has no sample but is predicted twice."""


def test_hand_worked_confusion() -> None:
    truth = [0, 0, 0, 0, 1, 1, 1, 1]
    guess = [0, 0, 0, 1, 1, 1, 2, 2]
    np.testing.assert_array_equal(m.confusion_matrix(truth, guess, 3), HAND)
    table = m.per_class(HAND)
    np.testing.assert_allclose(table["recall"], [0.75, 0.5, np.nan])
    np.testing.assert_allclose(table["precision"], [1.0, 2 / 3, 0.0])
    np.testing.assert_allclose(table["f1"], [6 / 7, 4 / 7, 0.0])
    np.testing.assert_array_equal(table["support"], [4, 4, 0])
    assert m.uar(HAND) == pytest.approx((0.75 + 0.5) / 2)
    assert m.war(HAND) == pytest.approx(5 / 8)
    assert m.macro_f1(HAND) == pytest.approx((6 / 7 + 4 / 7 + 0) / 3)


def test_a_class_never_seen_nor_predicted_is_undefined_and_left_out() -> None:
    table = m.per_class([[2, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert math.isnan(table["recall"][2]) and math.isnan(table["precision"][2]) and math.isnan(table["f1"][2])
    assert m.macro_f1([[2, 0, 0], [0, 1, 0], [0, 0, 0]]) == 1.0


def test_a_class_never_predicted_has_no_precision_but_an_f1_of_zero() -> None:
    table = m.per_class([[4, 0], [2, 0]])
    assert math.isnan(table["precision"][1]) and table["recall"][1] == 0 and table["f1"][1] == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 6))
def test_confusion_metrics_agree_with_scikit_learn(seed: int, n: int, c: int) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = rng.integers(c, size=n), rng.integers(c, size=n)
    confusion = m.confusion_matrix(truth, guess, c)
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(truth, guess, labels=range(c)))
    present = np.unique(truth)
    assert m.uar(confusion) == pytest.approx(
        sk.recall_score(truth, guess, labels=present, average="macro", zero_division=0)
    )
    assert m.macro_f1(confusion) == pytest.approx(sk.f1_score(truth, guess, average="macro", zero_division=0))
    assert m.war(confusion) == pytest.approx(np.mean(truth == guess))


def test_accuracy_is_war_of_the_argmax_and_ties_go_to_the_first_class() -> None:
    p = RNG.dirichlet(np.ones(4), 50)
    y = RNG.integers(4, size=50)
    assert m.accuracy(p, y) == m.war(m.confusion_matrix(y, p.argmax(axis=1), 4))
    assert m.accuracy([[0.5, 0.5]], [0]) == 1.0 and m.accuracy([[0.5, 0.5]], [1]) == 0.0


def auroc_by_pairs(score: np.ndarray, positive: np.ndarray) -> float:
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in score[positive == 1] for b in score[positive == 0]]
    return sum(wins) / len(wins)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 50), st.integers(1, 8))
def test_ranking_metrics_agree_with_pairs_and_scikit_learn(seed: int, n: int, levels: int) -> None:
    """Few levels make many ties."""
    rng = np.random.default_rng(seed)
    score = rng.integers(levels, size=n) / levels
    positive = rng.integers(2, size=n)
    positive[:2] = 0, 1
    area = m.auroc(score, positive)
    assert area == pytest.approx(auroc_by_pairs(score, positive), abs=1e-12)
    assert area == pytest.approx(sk.roc_auc_score(positive, score), abs=1e-12)
    assert m.average_precision(score, positive) == pytest.approx(sk.average_precision_score(positive, score))
    assert m.auroc(np.exp(3 * score), positive == 1) == area
    assert m.auroc(-score, positive) == pytest.approx(1 - area, abs=1e-12)


def test_hand_worked_ranking() -> None:
    score, positive = [0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0]
    assert m.auroc(score, positive) == 0.75
    assert m.average_precision(score, positive) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_undefined_figures_are_nan() -> None:
    assert math.isnan(m.auroc([1.0, 2.0], [1, 1])) and math.isnan(m.auroc([1.0, 2.0], [0, 0]))
    assert math.isnan(m.average_precision([1.0, 2.0], [0, 0]))
    empty = np.zeros((3, 3))
    assert math.isnan(m.uar(empty)) and math.isnan(m.war(empty)) and math.isnan(m.macro_f1(empty))
    assert math.isnan(m.accuracy(np.zeros((0, 3)), []))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: m.accuracy([0.5, 0.5], [0]), r"shape \(N, C\), got \(2,\)"),
        (lambda: m.accuracy([[0.5, 0.4]], [0]), "sum to 1, got sum 0.9 in row 0"),
        (lambda: m.accuracy([[0.5, 0.5], [np.nan, 1]], [0, 0]), "finite values, got .* in row 1"),
        (lambda: m.accuracy([[1.5, -0.5]], [0]), "values >= 0"),
        (lambda: m.accuracy([[0.5, 0.5]], [0, 1]), r"label: expected shape \(1,\), got \(2,\)"),
        (lambda: m.accuracy([[0.5, 0.5]], [0.0]), "whole numbers, got dtype float64"),
        (lambda: m.confusion_matrix([0, -1], [0, 0], 2), "classes 0..1, got -1 at position 1"),
        (lambda: m.confusion_matrix([0, 1], [0, 2], 2), "predicted: expected classes 0..1, got 2"),
        (lambda: m.uar([[1, 2, 3]]), r"shape \(C, C\), got \(1, 3\)"),
        (lambda: m.war([[1, -2], [0, 0]]), "counts >= 0, got a minimum of -2"),
        (lambda: m.auroc([0.1, 0.2], [0, 2]), "only 0 and 1"),
        (lambda: m.auroc([0.1, 0.2], [0, 1, 1]), "one length, got 2 and 3"),
        (lambda: m.average_precision([np.inf, 0.2], [0, 1]), "score: expected finite values, got inf at"),
    ],
)
def test_wrong_input_says_what_was_expected_and_got(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
