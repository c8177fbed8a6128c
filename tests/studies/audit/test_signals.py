"""Signals against definitions written out sample by sample."""

from __future__ import annotations

import numpy as np

from kinesics.studies.audit import signals


def test_disbelief_and_margin_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    label = np.array([0, 1])
    assert np.allclose(signals.disbelief(p, label), [0.3, 0.7])
    assert np.allclose(signals.margin(p, label), [(1 + 0.2 - 0.7) / 2, (1 + 0.6 - 0.3) / 2])


def test_margin_at_its_ends() -> None:
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.array_equal(signals.margin(p, np.array([0, 0])), [0.0, 1.0])


def test_nearest_is_what_sorting_every_cosine_gives() -> None:
    rng = np.random.default_rng(1)
    feature = rng.normal(size=(1100, 6))  # more than one block
    group = np.array([str(i // 3) if i % 2 else "" for i in range(1100)], dtype=object)
    index, cosine = signals.nearest(feature, 7, group)
    unit = feature / np.linalg.norm(feature, axis=1, keepdims=True)
    for i in rng.choice(1100, 40, replace=False):
        allowed = [j for j in range(1100) if j != i and not (group[i] and group[i] == group[j])]
        expected = sorted(allowed, key=lambda j: -unit[i] @ unit[j])[:7]
        assert index[i].tolist() == expected
        assert np.allclose(cosine[i], [unit[i] @ unit[j] for j in expected], atol=1e-5)


def test_nearest_fills_up_where_all_others_are_of_the_same_group() -> None:
    feature = np.eye(4) + 0.1
    group = np.array(["a", "a", "a", "b"], dtype=object)
    index, cosine = signals.nearest(feature, 9, group)
    assert index.shape == (4, 3)
    assert index[0].tolist() == [3, -1, -1] and cosine[0, 1] == 0
    assert sorted(index[3].tolist()) == [0, 1, 2]


def test_what_neighbours_say() -> None:
    index = np.array([[1, 2], [2, -1], [-1, -1]])
    label = np.array([0, 1, 2])
    third = [1 / 3] * 3
    assert np.allclose(signals.neighbours_labels(index, label, 3), [[0, 0.5, 0.5], [0, 0, 1], third])
    p = np.array([[1, 0, 0], [0.2, 0.8, 0], [0, 0.4, 0.6]])
    assert np.allclose(signals.mean_answer(index, p), [[0.1, 0.6, 0.3], [0, 0.4, 0.6], third])
