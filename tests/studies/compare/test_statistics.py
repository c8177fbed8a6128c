"""Paired tests against scipy, enumeration and values worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from kinesics.studies.compare.statistics import holm, mcnemar, paired_bootstrap, paired_t


def test_paired_t_is_scipys_and_that_of_the_formula() -> None:
    first, second = [0.62, 0.66, 0.61], [0.60, 0.61, 0.60]
    found = paired_t(first, second)
    assert found.p == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-12)
    assert (found.n, found.mean) == (3, pytest.approx(0.08 / 3))
    spread = math.sqrt(sum((d - 0.08 / 3) ** 2 for d in (0.02, 0.05, 0.01)) / 2)
    assert found.error == pytest.approx(spread / math.sqrt(3))


def test_paired_t_with_nothing_to_test() -> None:
    assert math.isnan(paired_t([0.5], [0.4]).p) and math.isnan(paired_t([0.5], [0.4]).error)
    assert paired_t([0.5, 0.6], [0.5, 0.6]).p == 1.0
    assert math.isnan(paired_t([0.75, 0.5], [0.5, 0.25]).p)  # the same difference twice says nothing of the spread


def test_mcnemar_by_enumeration() -> None:
    """Seven samples on which only one of the two is right, six of them for the first."""
    first = np.array([1] * 6 + [0] + [1] * 3 + [0] * 2, dtype=bool)
    second = np.array([0] * 6 + [1] + [1] * 3 + [0] * 2, dtype=bool)
    as_far = sum(abs(sum(toss) - 3.5) >= 2.5 for toss in itertools.product((0, 1), repeat=7))
    assert mcnemar(first, second) == pytest.approx(as_far / 2**7)
    assert mcnemar(first, first) == 1.0
    assert mcnemar(second, first) == pytest.approx(mcnemar(first, second))


def test_bootstrap_of_a_small_sample_against_all_resamples() -> None:
    """Four samples have 4^4 resamples, all equally likely."""
    first, second = np.array([[1.0, 1.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    means = np.array([np.mean(draw) for draw in itertools.product((first - second)[0], repeat=4)])
    low, high, p = paired_bootstrap(first, second, seed=1, draws=40000)
    assert p == pytest.approx(2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.01)
    assert (low, high) == tuple(np.quantile(means, [0.025, 0.975]))


def test_bootstrap_keeps_the_seeds_of_a_sample_together() -> None:
    """Seeds that repeat each other are no more evidence than one."""
    rng = np.random.default_rng(0)
    first, second = rng.random((1, 60)) < 0.7, rng.random((1, 60)) < 0.6
    once = paired_bootstrap(first, second)
    assert paired_bootstrap(np.repeat(first, 5, axis=0), np.repeat(second, 5, axis=0)) == pytest.approx(once)


def test_holm_by_hand() -> None:
    """Four tests: 4 x .01, 3 x .015 = .045, then 2 x .02 = .04 is raised to .045, and 1 x .5."""
    assert holm([0.02, 0.5, 0.01, 0.015]) == pytest.approx([0.045, 0.5, 0.04, 0.045])
    adjusted = holm([0.6, math.nan, 0.7])
    assert adjusted[0] == 1.0 and math.isnan(adjusted[1]) and adjusted[2] == 1.0


def test_bootstrap_of_roots_is_that_of_the_rmse() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 0.5, (3, 400)) ** 2, rng.normal(0, 0.6, (3, 400)) ** 2
    low, high, p = paired_bootstrap(first, second, seed=4, draws=4000, root=True)
    again = []
    for _ in range(4000):
        rows = rng.integers(400, size=400)
        again.append(np.mean([np.sqrt(first[s][rows].mean()) - np.sqrt(second[s][rows].mean()) for s in range(3)]))
    assert (low, high) == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.004)
    assert low < np.mean(np.sqrt(first.mean(1)) - np.sqrt(second.mean(1))) < high < 0 and p < 0.01
