"""The noise model: hand-computed values, and data whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest

from kinesics.metrics import label_noise as noise
from kinesics.metrics.classification import auroc


def test_anchors_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.55, 0.45], [0.5, 0.5]])
    label = np.array([0, 0, 0, 1, 1, 1, 1])
    # believed to be 0, the surest first: 0, 1, 5, 6 (of equals the first class); to be 1: 4, 2, 3
    assert noise.anchor_counts(p, label, share=0.5, least=1).tolist() == [[2, 1], [0, 1]]
    assert noise.anchor_counts(p, label, share=0.1, least=3).tolist() == [[2, 1], [1, 2]]
    assert noise.anchor_counts(p, label, share=1.0, least=9).tolist() == [[2, 1], [2, 2]]


def test_a_class_that_no_sample_is_believed_to_be_is_an_average_one() -> None:
    p = np.array([[0.5, 0.4, 0.1]] * 30 + [[0.1, 0.8, 0.1]] * 30)
    label = np.array([0] * 27 + [2] * 3 + [1] * 24 + [2] * 6)
    counts = noise.anchor_counts(p, label, share=1.0)
    assert counts.tolist() == [[27, 0, 0], [0, 24, 0], [3, 6, 0]]
    found = noise.label_given_truth(counts)
    # 51 of 60 labels are right; the others name 0 and 1 as 27 to 24
    assert np.allclose(found[:, 2], [0.15 * 27 / 51, 0.15 * 24 / 51, 0.85])
    assert np.allclose(found.sum(axis=0), 1)
    # 30 samples and three of an average class, of whose wrong labels 9 are 2 and 24 are 1
    assert np.allclose(found[:, 0], [(27 + 3 * 0.85) / 33, 3 * 0.15 * 24 / 33 / 33, (3 + 3 * 0.15 * 9 / 33) / 33])


def test_one_class_alone_is_believed_and_named() -> None:
    found = noise.label_given_truth(np.array([[5.0, 0.0], [0.0, 0.0]]))
    assert np.isfinite(found).all() and np.allclose(found.sum(axis=0), 1)


def test_posterior_is_bayes_rule() -> None:
    belief = np.array([[0.5, 0.3, 0.2]])
    given = np.array([[0.8, 0.1, 0.0], [0.1, 0.6, 0.5], [0.1, 0.3, 0.5]])
    found = noise.posterior(belief, np.array([1]), given)[0]
    parts = np.array([0.5 * 0.1, 0.3 * 0.6, 0.2 * 0.5])
    assert np.allclose(found, parts / parts.sum())
    found = noise.posterior(belief, np.array([1]), given, discount=0.5)[0]
    odds = (0.7 / 0.3) ** 0.5 * (0.5 / 0.7 * 0.1 + 0.2 / 0.7 * 0.5) / 0.6
    assert np.allclose(found, [odds / (1 + odds) / 3, 1 / (1 + odds), odds / (1 + odds) * 2 / 3])


def test_where_mistakes_are_alike_the_order_is_that_of_the_belief() -> None:
    """Also with a discount, by which classes that share the belief among many had counted for more."""
    rng = np.random.default_rng(8)
    belief, label = rng.dirichlet([0.3] * 6, 500), rng.integers(0, 6, 500)
    alike = np.full((6, 6), 0.06) + 0.64 * np.eye(6)
    own = belief[np.arange(500), label]
    for discount in (0.3, 0.7, 1.0):
        odds = noise.log_odds_wrong(belief, label, alike, discount)[(own > 1e-9)]
        assert (np.diff(odds[np.argsort(own[own > 1e-9])]) < 1e-9).all()


def test_known_class_dependent_noise_is_found_again() -> None:
    """Where one class is often mistaken for one other, that mistake becomes likelier than the same belief elsewhere."""
    rng = np.random.default_rng(3)
    given_by_true = np.array([[0.7, 0.02, 0.02], [0.25, 0.96, 0.03], [0.05, 0.02, 0.95]])
    truth = rng.integers(0, 3, 6000)
    label = np.array([rng.choice(3, p=given_by_true[:, t]) for t in truth])
    belief = 0.8 * np.eye(3)[truth] + 0.2 * rng.dirichlet([1, 1, 1], 6000)
    found = noise.label_given_truth(noise.anchor_counts(belief, label))
    assert np.abs(found - given_by_true).max() < 0.04
    unsure = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    doubt = 1 - noise.posterior(unsure, np.array([1, 1]), found)[[0, 1], [1, 1]]
    assert doubt[0] > doubt[1] + 0.1


NOISE = np.array([[0.6, 0.02, 0.05], [0.35, 0.95, 0.15], [0.05, 0.03, 0.8]])


def test_what_was_mixed_is_unmixed() -> None:
    """Many steps come to the solution of the linear equations, where it is a distribution."""
    truth = np.random.default_rng(1).dirichlet([2, 2, 2], 50)
    answers = truth @ NOISE.T
    assert np.abs(noise.unmixed(answers, NOISE, steps=5000) - np.linalg.solve(NOISE, answers.T).T).max() < 1e-3
    assert np.array_equal(noise.unmixed(answers, NOISE, steps=0), answers)
    assert np.allclose(noise.unmixed(answers, np.eye(3)), answers)


def test_each_step_of_unmixing_explains_the_answers_better() -> None:
    answers = np.random.default_rng(2).dirichlet([0.3, 0.3, 0.3], 200)
    fits = []
    for steps in range(6):
        belief = noise.unmixed(answers, NOISE, steps)
        assert np.allclose(belief.sum(axis=1), 1) and (belief >= 0).all()
        fits.append((answers * np.log(belief @ NOISE.T)).sum(axis=1))
    assert (np.diff(fits, axis=0) > -1e-12).all() and (fits[1] > fits[0]).any()


def test_one_step_by_hand() -> None:
    answer, pattern = np.array([[0.6, 0.4]]), np.array([[0.9, 0.3], [0.1, 0.7]])
    mixed = [0.9 * 0.6 + 0.3 * 0.4, 0.1 * 0.6 + 0.7 * 0.4]
    expected = [
        0.6 * (0.6 / mixed[0] * 0.9 + 0.4 / mixed[1] * 0.1),
        0.4 * (0.6 / mixed[0] * 0.3 + 0.4 / mixed[1] * 0.7),
    ]
    assert noise.unmixed(answer, pattern, steps=1)[0] == pytest.approx(expected)  # sums to 1 by itself
    assert sum(expected) == pytest.approx(1)
    sure = noise.unmixed(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert sure.tolist() == [[1.0, 0.0]]


def test_answers_that_repeat_the_mistakes_of_labels_are_seen_through() -> None:
    rng = np.random.default_rng(4)
    truth = np.concatenate([np.eye(3)[rng.integers(0, 3, 4000)], rng.dirichlet([1, 1, 1], 2000)])
    shown = np.array([rng.choice(3, p=p) for p in truth])
    label = np.array([rng.choice(3, p=NOISE[:, t]) for t in shown])
    answers = truth @ NOISE.T
    belief, pattern = noise.truth_and_noise(answers, label)
    assert np.abs(pattern - NOISE).max() < 0.05
    assert np.abs(belief - truth).mean() < 0.6 * np.abs(answers - truth).mean()
    first = noise.pattern_of_mistakes(noise.anchor_counts(answers, label))
    assert np.allclose(noise.truth_and_noise(answers, label, rounds=1)[1], first)


def test_a_pattern_is_drawn_towards_the_alike_one_by_hand() -> None:
    counts = np.array([[45.0, 2.0, 1.0], [3.0, 12.0, 3.0], [2.0, 6.0, 6.0]])
    # 80 anchors, 50, 20 and 10 a class; 17 labels are wrong, 5, 8 and 4 a class, and name the classes 3, 6 and 8 times
    rate = 18 / 82
    often = [4 / (30 + 1 / rate), 7 / (60 + 1 / rate), 9 / (70 + 1 / rate)]  # among the anchors of other classes
    own, alike, chance, differ = np.zeros((3, 3)), np.zeros((3, 3)), 0.0, 0.0
    for j, (n, wrong) in enumerate(((50, 5), (20, 8), (10, 4))):
        alike[j, j], own[j, j] = 1 - rate, 1 - (wrong + 1) / (n + 1 / rate)
        for i in {0, 1, 2} - {j}:
            named = often[i] / sum(often[k] for k in {0, 1, 2} - {j})
            alike[i, j] = rate * named
            own[i, j] = (wrong + 1) / (n + 1 / rate) * (counts[i, j] + 3 * named) / (wrong + 3)
        for i in range(3):
            moved = n / (n + 1 / rate) if i == j else wrong / (wrong + 3)
            chance += n * moved**2 * alike[i, j] * (1 - alike[i, j]) / n
            differ += n * (own[i, j] - alike[i, j]) ** 2
        chance += n * 0.02**2
    share = chance / differ
    assert 0.1 < share < 1
    assert np.allclose(noise.pattern_of_mistakes(counts, error=0.02), (1 - share) * own + share * alike)
    assert np.allclose(noise.pattern_of_mistakes(counts, error=1.0), alike)


@pytest.mark.parametrize("n_classes", [3, 7])
def test_random_flips_come_out_as_random_though_anchors_are_not_pure(n_classes: int) -> None:
    """A net of a few per cent of mistakes, most of them between two classes, on labels of which 30 % are flipped."""
    rng = np.random.default_rng(5)
    frequency = np.linspace(1, 6, n_classes) / np.linspace(1, 6, n_classes).sum()
    truth = rng.choice(n_classes, 20000, p=frequency)
    flipped = rng.random(20000) < 0.3
    label = np.where(flipped, (truth + rng.integers(1, n_classes, 20000)) % n_classes, truth)
    seen = np.where((truth == 0) & (rng.random(20000) < 0.3), 1, truth)
    belief = 0.7 * np.eye(n_classes)[seen] + 0.3 * rng.dirichlet(np.ones(n_classes), 20000)
    counts = noise.anchor_counts(belief, label)
    flips = np.where(np.eye(n_classes, dtype=bool), 0.7, 0.3 / (n_classes - 1))
    found, own = noise.pattern_of_mistakes(counts), noise.label_given_truth(counts)
    assert np.abs(found - flips).max() < 0.7 * np.abs(own - flips).max()


def test_a_pattern_of_their_own_is_left_to_labels_of_people() -> None:
    anchors = np.array([500, 300, 200])
    counts = np.rint(NOISE * anchors)
    assert np.abs(noise.pattern_of_mistakes(counts) - NOISE).max() < 0.02


@pytest.mark.parametrize("counts", [np.diag([5.0, 0.0, 0.0]), np.diag([5.0, 3.0, 0.0]), np.eye(3)[[2, 0, 1]] * 4])
def test_patterns_of_extreme_counts_are_shares(counts: np.ndarray) -> None:
    found = noise.pattern_of_mistakes(counts)
    assert ((found > 0) & (found < 1)).all() and np.allclose(found.sum(axis=0), 1)


def test_what_chance_explains_of_a_pattern_is_chance() -> None:
    """Where anchors are drawn from an alike pattern, few or many, of 8 classes or 60, the estimate is nearer to it than
    the anchors' own shares."""
    for n_classes, anchors in ((8, 400), (8, 20), (60, 25)):
        alike = np.full((n_classes, n_classes), 0.3 / (n_classes - 1))
        np.fill_diagonal(alike, 0.7)
        for seed in range(3):
            rng = np.random.default_rng(seed)
            counts = np.stack([rng.multinomial(anchors, alike[:, j]) for j in range(n_classes)], 1).astype(float)
            found = noise.pattern_of_mistakes(counts, error=0.0)
            assert ((found - alike) ** 2).sum() < 0.5 * ((counts / anchors - alike) ** 2).sum()


def test_one_mistake_among_many_classes_is_not_taken_for_chance() -> None:
    """Half of the anchors of class 3 are labelled 7, wrong labels are rare otherwise."""
    pattern = np.full((26, 26), 0.02 / 25)
    np.fill_diagonal(pattern, 0.98)
    pattern[:, 3] = 0
    pattern[[3, 7], 3] = 0.5
    found = noise.pattern_of_mistakes(np.rint(200 * pattern))
    assert found[7, 3] > 0.2 and found[7, 3] > 50 * np.delete(found[:, 3], [3, 7]).max()


@pytest.mark.parametrize("n_wrong", [0, 5, 50])
def test_few_wrong_labels_are_found_though_all_anchors_are_right(n_wrong: int) -> None:
    rng = np.random.default_rng(6)
    logits = 4 * np.eye(6)[rng.integers(0, 6, 3000)] + rng.normal(0, 1.5, (3000, 6))
    belief = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = belief.argmax(axis=1)
    wrong = np.arange(3000) < n_wrong
    label = np.where(wrong, (truth + rng.integers(1, 6, 3000)) % 6, truth)
    found, pattern = noise.truth_and_noise(belief, label)
    odds = noise.log_odds_wrong(found, label, pattern)
    assert len(np.unique(odds)) > 2990
    if n_wrong:
        assert auroc(odds, wrong) > 0.97
    truths = noise.posterior(found, label, pattern)
    doubt = noise.with_total(odds, noise.expected_wrong(truths, pattern))
    assert doubt.sum() < 2 * n_wrong + 15 and (np.argsort(doubt) == np.argsort(odds)).all()


def test_log_odds_are_those_of_the_posterior() -> None:
    rng = np.random.default_rng(7)
    belief, label = rng.dirichlet([1, 1, 1], 40), rng.integers(0, 3, 40)
    right = noise.posterior(belief, label, NOISE, 0.7)[np.arange(40), label]
    assert np.allclose(noise.log_odds_wrong(belief, label, NOISE, 0.7), np.log(1 - right) - np.log(right))
    sure = noise.log_odds_wrong(np.array([[1 - 1e-9, 1e-9, 0.0]] * 2), np.array([0, 1]), np.eye(3) * 0.7 + 0.1)
    assert sure[0] == pytest.approx(np.log((1e-9 + 1e-12) * 0.1 / 0.8), rel=1e-6) and sure[1] > 15


def test_odds_are_raised_alike_until_the_doubts_have_their_sum() -> None:
    odds = np.array([-40.0, -4.0, -0.5, -0.5, 2.0, 30.0])
    for total in (0.5, 2.0, 4.5):
        found = noise.with_total(odds, total)
        assert abs(found.sum() - total) < 1e-6
        shift = np.log(found[1:5]) - np.log1p(-found[1:5]) - odds[1:5]
        assert np.allclose(shift, shift[0])
        assert (np.diff(found) >= 0).all()
    assert np.isfinite(noise.with_total(odds, 0.0)).all() and np.isfinite(noise.with_total(odds, 6.0)).all()
    far = noise.with_total(np.array([-400.0, -300.0, 500.0]), 1.0)
    assert far[0] <= far[1] <= far[2] and abs(far.sum() - 1) < 1e-6
