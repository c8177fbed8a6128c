from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesics.data.splits import folds, split_by_group
from kinesics.errors import UserError

SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}


def _counts(split: np.ndarray, labels: np.ndarray) -> dict[str, list[int]]:
    return {name: [int(((split == name) & (labels == c)).sum()) for c in np.unique(labels)] for name in SHARES}


def test_each_class_is_split_in_proportion_to_within_one_sample() -> None:
    labels = np.repeat([0, 1, 2, 3], [1000, 333, 20, 1])
    np.random.default_rng(0).shuffle(labels)
    split = split_by_group(None, labels, SHARES, seed=3)
    for name, counts in _counts(split, labels).items():
        for count, size in zip(counts, [1000, 333, 20, 1], strict=True):
            assert abs(count - SHARES[name] * size) <= 1
    assert _counts(split, labels)["train"][3] == 1  # a class of one sample is trained on


def test_the_seed_decides_and_the_order_of_samples_does_not_bias() -> None:
    labels = np.arange(400) % 4
    split = split_by_group(None, labels, SHARES, seed=1)
    assert (split == split_by_group(None, labels, SHARES, seed=1)).all()
    assert (split != split_by_group(None, labels, SHARES, seed=2)).any()
    # Positions of the test samples are spread over the whole: the mean of 80 of 0..399 has a deviation of 11.5.
    assert abs(np.flatnonzero(split == "test").mean() - 199.5) < 50


def test_a_group_is_never_divided_and_classes_stay_near_their_shares() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 150, 3000)
    habit = rng.integers(0, 5, 150)  # each subject shows one class more than the others
    labels = np.where(rng.random(3000) < 0.5, habit[groups], rng.integers(0, 5, 3000))
    names = np.array([f"subject {number}" for number in groups], dtype=object)
    split = split_by_group(names, labels, SHARES, seed=0)
    assert all(len(set(split[names == name])) == 1 for name in set(names))
    for name, counts in _counts(split, labels).items():
        size = np.bincount(labels)
        np.testing.assert_allclose(counts / size, SHARES[name], atol=0.04)


def test_samples_without_a_group_are_on_their_own() -> None:
    groups = np.array([""] * 90 + ["a"] * 10, dtype=object)
    split = split_by_group(groups, None, {"train": 0.5, "valid": 0.5}, seed=0)
    assert (split == "train").sum() == 50
    assert len(set(split[90:])) == 1
    again = [split_by_group(groups, None, {"train": 0.5, "valid": 0.5}, seed) for seed in range(12)]
    beside = np.array([names[:90] == names[90] for names in again])  # with group a, by seed and sample
    assert not beside.all(axis=0).any()


def test_every_split_gets_a_group_even_of_few_and_large_ones() -> None:
    groups = np.repeat(["a", "b", "c"], [100, 90, 80])
    split = split_by_group(groups, None, {"train": 0.8, "valid": 0.1, "test": 0.1}, seed=0)
    assert set(split) == {"train", "valid", "test"}
    with pytest.raises(UserError, match=r"3 splits of 2 group\(s\)"):
        split_by_group(groups[:150], None, {"train": 0.8, "valid": 0.1, "test": 0.1}, seed=0)


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "valid": -0.5}, {"train": 0.9, "valid": 0.2}])
def test_shares_must_sum_to_one(shares: dict[str, float]) -> None:
    with pytest.raises(UserError, match="sum to 1"):
        split_by_group(None, np.zeros(10), shares, seed=0)


def test_a_share_of_zero_gets_nothing() -> None:
    assert set(split_by_group(None, np.zeros(5), {"train": 1, "valid": 0}, seed=0)) == {"train"}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 8), st.lists(st.integers(0, 4), min_size=8, max_size=60), st.integers(0, 99))
def test_folds_are_even_in_all_and_in_each_class(k: int, labels: list[int], seed: int) -> None:
    array = np.array(labels)
    fold = folds(len(array), k, array, None, seed)
    assert fold.dtype == np.int64
    for members in [array == array, *(array == c for c in set(labels))]:
        counts = np.bincount(fold[members], minlength=k)
        assert np.ptp(counts) <= 1


def test_folds_keep_groups_whole() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 1000).astype(str)
    labels = rng.integers(0, 3, 1000)
    fold = folds(1000, 5, labels, groups, seed=0)
    assert all(len(set(fold[groups == name])) == 1 for name in set(groups))
    for label in range(3):
        counts = np.bincount(fold[labels == label], minlength=5)
        np.testing.assert_allclose(counts, counts.mean(), rtol=0.15)


def test_folds_out_of_range_are_user_errors() -> None:
    for n, k in ((10, 1), (10, 11), (0, 2)):
        with pytest.raises(UserError, match=f"can't make {k} folds of {n} samples"):
            folds(n, k, np.zeros(n), None, 0)
    with pytest.raises(UserError, match="group"):
        folds(10, 3, None, np.array(["a"] * 5 + ["b"] * 5), 0)
    with pytest.raises(ValueError, match="expected 10"):
        folds(10, 3, np.zeros(9), None, 0)
