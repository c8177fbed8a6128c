"""The four schemes of learning from votes against hand-computed values, in float64."""

from __future__ import annotations

import math

import pytest
import torch

from kinesics.systems.ldl_votes import losses

SHARE = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.1, 0.4, 0.4], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
OUTPUT = torch.tensor([[0.25, 0.5, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.125, 0.125]], dtype=torch.float64)
LOG = OUTPUT.log()


def test_cross_entropy_by_hand() -> None:
    expected = [
        -(0.5 * math.log(0.25) + 0.3 * math.log(0.5) + 0.2 * math.log(0.125)),
        -(0.1 * math.log(0.1) + 0.1 * math.log(0.2) + 0.4 * math.log(0.3) + 0.4 * math.log(0.4)),
        -math.log(0.5),
    ]
    assert losses.cross_entropy(SHARE, LOG).tolist() == pytest.approx(expected)


def test_kl_is_cross_entropy_less_entropy_and_has_its_gradient() -> None:
    logits = OUTPUT.log().clone().requires_grad_()
    reference = torch.distributions
    expected = reference.kl_divergence(reference.Categorical(SHARE), reference.Categorical(logits=logits))
    torch.testing.assert_close(losses.kl_divergence(SHARE, torch.log_softmax(logits, 1)), expected)
    gradients = []
    for loss in (losses.kl_divergence, losses.cross_entropy):
        logits.grad = None
        loss(SHARE, torch.log_softmax(logits, 1)).sum().backward()
        gradients.append(logits.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], OUTPUT - SHARE)  # softmax less target
    assert losses.kl_divergence(SHARE, SHARE.clamp(min=1e-300).log()).abs().max() < 1e-12


def test_majority_takes_the_first_of_equal_shares() -> None:
    assert losses.majority(SHARE).argmax(1).tolist() == [0, 2, 0]
    assert losses.majority(SHARE).sum(1).tolist() == [1, 1, 1]


def test_multi_label_takes_the_most_probable_of_those_that_count() -> None:
    """Row 0: 0.5 and 0.3 count, the output prefers the second; row 1: 0.4 and 0.4; row 2: one label."""
    found = losses.multi_label_loss(SHARE, LOG, 0.3)
    assert found.tolist() == pytest.approx([-math.log(0.5), -math.log(0.4), -math.log(0.5)])
    assert losses.multi_label_loss(SHARE.float(), LOG.float(), 0.3)[0].item() == pytest.approx(-math.log(0.5))


def test_multi_label_where_nothing_counts_is_majority_voting() -> None:
    found = losses.multi_label_loss(SHARE, LOG, 1.0)
    assert found.tolist() == pytest.approx([-math.log(0.25), -math.log(0.3), -math.log(0.5)])


def test_drawn_labels_come_as_often_as_their_shares() -> None:
    torch.manual_seed(0)
    rows = SHARE.repeat(4000, 1)
    found = losses.drawn(rows).view(4000, 3, 4)
    assert (found.sum(2) == 1).all()
    # 4,000 draws: the standard error of a share is at most 0.008
    assert (found.mean(0) - SHARE).abs().max() < 0.03
    assert (found[:, 2, 0] == 1).all() and (found[:, 0, 3] == 0).all()


def test_expected_loss_of_drawing_is_cross_entropy() -> None:
    total = torch.zeros(3, dtype=torch.float64)
    for k in range(4):
        one_hot = torch.zeros_like(SHARE)
        one_hot[:, k] = 1
        total += SHARE[:, k] * losses.cross_entropy(one_hot, LOG)
    torch.testing.assert_close(total, losses.cross_entropy(SHARE, LOG))
