"""The formulas of Relative Uncertainty Learning against loops, hand-computed values and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from kinesics.systems.rul import losses


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mu = torch.randn(6, 4, dtype=torch.float64)
    return mu, torch.randn(6, 4, dtype=torch.float64), torch.tensor([3, 1, 0, 5, 2, 4])


def test_uncertainty_is_the_mean_of_sigma() -> None:
    log_sigma = torch.tensor([[0.0, math.log(2), math.log(6)]], dtype=torch.float64)
    assert losses.uncertainty_value(log_sigma).tolist() == pytest.approx([3.0])


def test_mixture_pair_by_pair() -> None:
    mu, log_sigma, partner = batch()
    u = log_sigma.exp().mean(1)
    found = losses.mix(mu, u, partner)
    for i, j in enumerate(partner.tolist()):
        expected = (u[i] * mu[i] + u[j] * mu[j]) / (u[i] + u[j])
        torch.testing.assert_close(found[i], expected)
    torch.testing.assert_close(found[1], mu[1])  # its own partner


def test_the_more_uncertain_has_the_larger_share() -> None:
    mu = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    found = losses.mix(mu, torch.tensor([3.0, 1.0], dtype=torch.float64), torch.tensor([1, 0]))
    assert found.flatten().tolist() == [0.75, 0.75]  # both are the same mixture


def test_add_up_loss_is_the_mean_of_both_cross_entropies() -> None:
    _, logits, partner = batch()
    label = torch.tensor([0, 1, 2, 3, 0, 1])
    found = losses.add_up_loss(logits, F.one_hot(label, 4).double(), partner)
    expected = (F.cross_entropy(logits, label) + F.cross_entropy(logits, label[partner])) / 2
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_class_weights_go_with_their_labels() -> None:
    _, logits, partner = batch()
    label, weight = torch.tensor([0, 1, 2, 3, 0, 1]), torch.rand(6, dtype=torch.float64)
    found = losses.add_up_loss(logits, F.one_hot(label, 4).double(), partner, weight)
    log_p, total = torch.log_softmax(logits, 1), 0.0
    for i, j in enumerate(partner.tolist()):
        total -= (weight[i] * log_p[i, label[i]] + weight[j] * log_p[i, label[j]]).item() / 2
    assert found.item() == pytest.approx(total / 6)


def test_gradient_of_sigma_by_finite_differences() -> None:
    mu, log_sigma, partner = batch()
    target = F.one_hot(torch.tensor([0, 1, 2, 3, 0, 1]), 4).double()
    log_sigma.requires_grad_()

    def loss(value: torch.Tensor) -> torch.Tensor:
        return losses.add_up_loss(losses.mix(mu, losses.uncertainty_value(value), partner), target, partner)

    assert torch.autograd.gradcheck(loss, (log_sigma,))


def test_the_loss_teaches_more_uncertainty_for_the_harder_of_a_pair() -> None:
    """Features that are logits: sample 0 shows its label weakly, 1 strongly; descent raises u_0 and lowers u_1."""
    mu = torch.tensor([[0.5, 0.0], [0.0, 6.0]], dtype=torch.float64)
    u = torch.ones(2, dtype=torch.float64, requires_grad=True)
    partner = torch.tensor([1, 0])
    losses.add_up_loss(losses.mix(mu, u, partner), torch.eye(2, dtype=torch.float64), partner).backward()
    assert u.grad[0] < 0 < u.grad[1]
