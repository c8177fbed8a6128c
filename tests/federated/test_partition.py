"""Dealing samples to silos."""

from __future__ import annotations

import numpy as np
import pytest

from kinesics.data.samples import Samples
from kinesics.errors import UserError
from kinesics.federated.partition import split_by_column, split_dirichlet


def samples(n, classes=5, **extra):
    label = np.arange(n) % classes
    names = np.array([f"{i}.png" for i in range(n)])
    images = np.zeros((n, 2, 2, 1), dtype=np.uint8)
    return Samples(images, np.arange(n), {"label": label}, names, ("a", "b", "c", "d", "e"), extra)


def test_by_column():
    owner = np.array(["lyon", "oslo", "lyon", "oslo", "oslo"], dtype=object)
    found = split_by_column(samples(5, silo=owner))
    assert {name: rows.tolist() for name, rows in found.items()} == {"lyon": [0, 2], "oslo": [1, 3, 4]}


def test_numbered_silos_come_in_the_order_of_their_numbers():
    owner = np.array(["10", "2", "b", "10", "2", "b", "0", "0"], dtype=object)
    assert list(split_by_column(samples(8, silo=owner))) == ["0", "2", "10", "b"]


@pytest.mark.parametrize(("owner", "said"), [
    (["lyon", "oslo", "lyon", None, "oslo"], "3.png"),
    (["lyon", "oslo", "lyon", " ", "oslo"], "3.png"),
    (["lyon", "lyon", "lyon", float("nan"), "oslo"], "3.png"),
    (["lyon"] * 5, "one silo only"),
    (["lyon"] * 4 + ["oslo"], "oslo"),
])  # fmt: skip
def test_columns_that_will_not_do(owner, said):
    with pytest.raises(UserError, match=said):
        split_by_column(samples(5, silo=np.array(owner, dtype=object)))


def test_no_such_column_names_the_others():
    with pytest.raises(UserError, match="clinic"):
        split_by_column(samples(5, clinic=np.array(["a"] * 5)))


@pytest.mark.parametrize("alpha", [0.05, 1.0, 100.0])
def test_dirichlet_deals_every_sample_once_and_the_same_by_seed(alpha):
    data = samples(400)
    found = split_dirichlet(data, 7, alpha, seed=3)
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(400))
    assert min(map(len, found.values())) >= 2
    again = split_dirichlet(data, 7, alpha, seed=3)
    assert all((found[name] == again[name]).all() for name in found)
    other = split_dirichlet(data, 7, alpha, seed=4)
    assert any(len(found[name]) != len(other[name]) or (found[name] != other[name]).any() for name in found)


def test_small_alpha_skews_classes_and_large_alpha_does_not():
    data = samples(2000)

    def skew(alpha):
        parts = split_dirichlet(data, 5, alpha, seed=0).values()
        return np.mean([np.bincount(data.columns["label"][rows], minlength=5).max() / len(rows) for rows in parts])

    assert skew(0.1) > 0.5 > 0.25 > skew(1000.0) >= 0.2


def test_targets_are_dealt_by_decile():
    n = 1000
    target = np.linspace(-1, 1, n).astype(np.float32)
    data = Samples(np.zeros((n, 2, 2, 1), np.uint8), np.arange(n), {"target": target}, np.arange(n).astype(str), ())
    parts = split_dirichlet(data, 4, 0.1, seed=1).values()
    assert np.std([target[rows].mean() for rows in parts]) > 0.1


@pytest.mark.parametrize(("n", "alpha", "said"), [
    (1, 1.0, "silos.n must be at least 2"), (3, 0.0, "silos.alpha"), (3, float("nan"), "silos.alpha"),
    (30, 1.0, "30 silos"),
])  # fmt: skip
def test_parameters_out_of_range(n, alpha, said):
    with pytest.raises(UserError, match=said):
        split_dirichlet(samples(20), n, alpha, 0)
