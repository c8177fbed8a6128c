from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesics.data.noise import flip_labels
from kinesics.errors import UserError


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 60), c=st.integers(2, 6), share=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_exactly_the_asked_share_changes_and_always_to_another_class(n, c, share, seed) -> None:  # type: ignore[no-untyped-def]
    labels = np.random.default_rng(seed).integers(0, c, n)
    before = labels.copy()
    noisy, flipped = flip_labels(labels, share, c, seed)
    assert (labels == before).all(), "the argument is left alone"
    assert flipped.sum() == round(share * n)
    assert ((noisy != labels) == flipped).all()
    assert noisy.dtype == np.int64
    assert n == 0 or (noisy.min() >= 0 and noisy.max() < c)


def test_symmetric_flips_go_to_every_other_class_alike() -> None:
    labels = np.repeat(np.arange(4), 6000)
    noisy, flipped = flip_labels(labels, 0.5, 4, seed=0)
    counts = np.zeros((4, 4))
    np.add.at(counts, (labels[flipped], noisy[flipped]), 1)
    assert (np.diag(counts) == 0).all()
    # about 3,000 flips a class, a third to each other class: within 5 standard deviations
    assert np.abs(counts[~np.eye(4, dtype=bool)] - 1000).max() < 5 * np.sqrt(3000 * 2 / 9) + 100


def test_class_dependent_flips_follow_the_transition() -> None:
    transition = np.array([[0.0, 1.0, 0.0], [0.25, 0.0, 0.75], [0.0, 1.0, 0.0]])
    labels = np.repeat(np.arange(3), 4000)
    noisy, flipped = flip_labels(labels, 0.4, 3, seed=1, transition=transition)
    assert flipped.sum() == 4800
    assert (noisy[flipped & (labels == 0)] == 1).all()
    assert (noisy[flipped & (labels == 2)] == 1).all()
    ones = noisy[flipped & (labels == 1)]
    assert abs((ones == 2).mean() - 0.75) < 5 * np.sqrt(0.1875 / len(ones))


def test_the_same_seed_gives_the_same_flips_and_a_larger_share_adds_to_them() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 500)
    few, few_at = flip_labels(labels, 0.2, 7, seed=3)
    again, _ = flip_labels(labels, 0.2, 7, seed=3)
    many, many_at = flip_labels(labels, 0.4, 7, seed=3)
    assert (few == again).all()
    assert many_at[few_at].all()
    assert (many[few_at] == few[few_at]).all()
    assert (flip_labels(labels, 0.2, 7, seed=4)[1] != few_at).any()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"share": 1.1}, "share"),
        ({"share": float("nan")}, "share"),
        ({"n_classes": 1}, "n_classes"),
        ({"labels": [0, 3]}, "0 to 2"),
        ({"labels": [-1, 2]}, "0 to 2"),
        ({"labels": [0.5, 1.0]}, "whole numbers"),
        ({"labels": [[0, 1]]}, "whole numbers"),
        ({"seed": -1}, "seed"),
        ({"transition": np.eye(2)[::-1]}, "shape"),
        ({"transition": np.full((3, 3), 1 / 3)}, "diagonal"),
        ({"transition": np.ones((3, 3)) - np.eye(3)}, "sum"),
        ({"transition": [[0, 2, -1], [1, 0, 0], [1, 0, 0]]}, "0 or more"),
        ({"transition": [[0, np.nan, 1], [1, 0, 0], [1, 0, 0]]}, "0 or more"),
    ],
)
def test_bad_arguments_are_answered(change, word: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=word):
        flip_labels(**{"labels": [0, 1, 2], "share": 0.5, "n_classes": 3, "seed": 0, **change})
