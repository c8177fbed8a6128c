"""The Self-Cure Network's formulas against loops and hand-computed values, in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from kinesics.systems.scn import losses


def random_batch(n: int = 9, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    importance = torch.rand(n, dtype=torch.float64)
    return importance, torch.randn(n, classes, dtype=torch.float64) * 2, torch.randint(0, classes, (n,))


def test_weighted_cross_entropy_is_the_formula_sample_by_sample() -> None:
    importance, logits, label = random_batch()
    total = 0.0
    for a, row, y in zip(importance.tolist(), logits.tolist(), label.tolist(), strict=True):
        total -= math.log(math.exp(a * row[y]) / sum(math.exp(a * value) for value in row))
    found = losses.weighted_cross_entropy(importance, logits, F.one_hot(label, 5).double())
    assert found.item() == pytest.approx(total / 9, rel=1e-12)


def test_gradient_of_the_importance_is_the_closed_form() -> None:
    """dL/dalpha_i = (sum_j p_j z_j - z_y) / N: a sample that the classifier contradicts loses weight."""
    importance, logits, label = random_batch()
    importance.requires_grad_()
    losses.weighted_cross_entropy(importance, logits, F.one_hot(label, 5).double()).backward()
    probability = torch.softmax(importance.detach().unsqueeze(1) * logits, 1)
    expected = ((probability * logits).sum(1) - logits[torch.arange(9), label]) / 9
    torch.testing.assert_close(importance.grad, expected)


def test_class_weights_multiply_each_sample() -> None:
    importance, logits, label = random_batch()
    one_hot, weight = F.one_hot(label, 5).double(), torch.rand(9, dtype=torch.float64)
    each = [losses.weighted_cross_entropy(*(t[i : i + 1] for t in (importance, logits, one_hot))) for i in range(9)]
    found = losses.weighted_cross_entropy(importance, logits, one_hot, weight)
    assert found.item() == pytest.approx(sum(w * e for w, e in zip(weight, each, strict=True)).item() / 9)


@pytest.mark.parametrize(("n", "beta", "count"), [(10, 0.7, 7), (64, 0.7, 44), (8, 0.5, 4), (2, 0.9, 1), (5, 0.1, 1)])
def test_high_group_has_the_largest_weights(n: int, beta: float, count: int) -> None:
    """64 x 0.7 is 44.8: rounded down, as int() does."""
    importance = torch.randperm(n).double() / n
    high = losses.high_importance(importance, beta)
    assert set(torch.nonzero(high).flatten().tolist()) == set(importance.argsort(descending=True)[:count].tolist())


def test_equal_weights_still_make_two_groups() -> None:
    assert losses.high_importance(torch.full((4,), 0.5), 0.7).tolist() == [True, True, False, False]


def test_rank_regularisation_by_hand() -> None:
    importance = torch.tensor([0.9, 0.4, 0.8, 0.6, 0.5], dtype=torch.float64, requires_grad=True)
    high = losses.high_importance(importance, 0.7)  # 3 of 5: 0.9, 0.8, 0.6
    assert high.tolist() == [True, False, True, True, False]
    gap = (0.9 + 0.8 + 0.6) / 3 - (0.4 + 0.5) / 2
    assert losses.rank_regularisation(importance, high, 0.15).item() == 0  # the gap, 0.317, is wide enough
    loss = losses.rank_regularisation(importance, high, 0.5)
    assert loss.item() == pytest.approx(0.5 - gap)
    loss.backward()
    torch.testing.assert_close(importance.grad, torch.tensor([-1 / 3, 1 / 2, -1 / 3, -1 / 3, 1 / 2]).double())


def test_relabelling_on_constructed_probabilities() -> None:
    """The rule is on the difference of the highest and the label's probability, and strict."""
    probability = torch.tensor(
        [
            [0.6, 0.3, 0.1],  # label 1: 0.3 apart -> 0
            [0.6, 0.3, 0.1],  # label 0: is the highest
            [0.5, 0.375, 0.125],  # label 1: 0.125 apart, under the margin
            [0.5, 0.25, 0.25],  # label 2: 0.25 apart, exactly the margin
            [0.1, 0.2, 0.7],  # label 0: 0.6 apart -> 2
        ],
        dtype=torch.float64,
    )
    label = torch.tensor([1, 0, 1, 2, 0])
    assert losses.relabel(probability, label, 0.25).tolist() == [0, 0, 1, 2, 2]
    assert losses.relabel(probability, label, 1.0).tolist() == label.tolist()
    assert losses.relabel(probability, label, 0.0).tolist() == probability.argmax(1).tolist()
