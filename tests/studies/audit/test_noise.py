"""The noise model: hand-computed values, and data whose noise is known."""

from __future__ import annotations

import numpy as np

from kinesics.studies.audit import noise


def test_confident_joint_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.55, 0.45]])
    label = np.array([0, 0, 0, 1, 1, 1])
    # class 0: (0.9 + 0.7 + 0.2) / 3 = 0.6; class 1: (0.6 + 0.9 + 0.45) / 3 = 0.65
    assert np.allclose(noise.thresholds(p, label), [0.6, 0.65])
    # the third is believed to be 1 instead, the fourth and the last reach no threshold
    assert noise.confident_joint(p, label).tolist() == [[2, 1], [0, 1]]


def test_a_class_that_no_label_names_is_believed_only_when_certain() -> None:
    p = np.array([[0.5, 0.5, 0.0], [0.4, 0.6, 0.0]])
    assert noise.thresholds(p, np.array([0, 1]))[2] == 1


def test_posterior_is_bayes_rule() -> None:
    belief = np.array([[0.5, 0.3, 0.2]])
    given = np.array([[0.8, 0.1, 0.0], [0.1, 0.6, 0.5], [0.1, 0.3, 0.5]])
    found = noise.posterior(belief, np.array([1]), given)[0]
    parts = np.array([0.5 * 0.1, 0.3 * 0.6, 0.2 * 0.5])
    assert np.allclose(found, parts / parts.sum())
    found = noise.posterior(belief, np.array([1]), given, discount=0.5)[0]
    parts = np.array([0.5**0.5 * 0.1, 0.3**0.5 * 0.6, 0.2**0.5 * 0.5])
    assert np.allclose(found, parts / parts.sum())


def test_label_given_truth_sums_to_one_for_each_truth() -> None:
    found = noise.label_given_truth(np.array([[8.0, 0.0], [2.0, 0.0]]), prior=1.0)
    assert np.allclose(found, [[9 / 12, 0.5], [3 / 12, 0.5]])


def test_known_class_dependent_noise_is_found_again() -> None:
    """Where one class is often mistaken for one other, that mistake becomes likelier than the same belief elsewhere."""
    rng = np.random.default_rng(3)
    given_by_true = np.array([[0.7, 0.02, 0.02], [0.25, 0.96, 0.03], [0.05, 0.02, 0.95]])
    truth = rng.integers(0, 3, 6000)
    label = np.array([rng.choice(3, p=given_by_true[:, t]) for t in truth])
    belief = 0.8 * np.eye(3)[truth] + 0.2 * rng.dirichlet([1, 1, 1], 6000)
    found = noise.label_given_truth(noise.confident_joint(belief, label))
    assert np.abs(found - given_by_true).max() < 0.04
    unsure = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    doubt = 1 - noise.posterior(unsure, np.array([1, 1]), found)[[0, 1], [1, 1]]
    assert doubt[0] > doubt[1] + 0.1
