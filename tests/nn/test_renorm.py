"""Batch renormalisation against its formula in float64, and against what it is made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.nn.compact import CompactNet
from kinesics.nn.renorm import BatchRenorm, limits_at, renormalise


def layer(limits: tuple[float, float]) -> BatchRenorm:
    """Of 5 channels with statistics and parameters that are not the first ones."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    with torch.no_grad():
        for tensor, least in ((norm.weight, 0.5), (norm.bias, -1), (norm.running_mean, -1), (norm.running_var, 0.3)):
            assert tensor is not None
            tensor.uniform_(least, 2)
    (found,) = renormalise(norm)
    found.limits = limits
    return found


def batch(n: int = 3) -> Tensor:
    return (torch.randn(n, 5, 4, 6) * 1.7 + 0.8).to(memory_format=torch.channels_last)


def by_formula(norm: BatchRenorm, x: Tensor) -> Tensor:
    """Algorithm 1 of the paper in float64; r and d have no gradient."""
    x, (r_max, d_max) = x.double(), norm.limits
    mean = x.mean((0, 2, 3))
    deviation = ((x - mean[:, None, None]).square().mean((0, 2, 3)) + norm.eps).sqrt()
    assert norm.running_mean is not None and norm.running_var is not None
    running = (norm.running_var.double() + norm.eps).sqrt()
    r = (deviation / running).detach().clamp(1 / r_max, r_max)
    d = ((mean - norm.running_mean.double()) / running).detach().clamp(-d_max, d_max)
    y = (x - mean[:, None, None]) / deviation[:, None, None] * r[:, None, None] + d[:, None, None]
    return y * norm.weight.double()[:, None, None] + norm.bias.double()[:, None, None]


@pytest.mark.parametrize("limits", [(1.0, 0.0), (1.2, 0.1), (3.0, 5.0)])
def test_values_and_gradients_are_those_of_the_formula(limits: tuple[float, float]) -> None:
    norm, x = layer(limits), batch()
    weights = torch.randn_like(x)
    found = []
    for answer in (by_formula, lambda norm, x: norm(x)):
        own = x.clone().requires_grad_()
        norm.zero_grad()
        y = answer(norm, own)
        (y * weights).sum().backward()
        assert own.grad is not None and norm.weight.grad is not None and norm.bias.grad is not None
        found.append((y.detach().float(), own.grad, norm.weight.grad.clone(), norm.bias.grad.clone()))
    for expected, got in zip(*found, strict=True):
        assert torch.allclose(expected, got, atol=2e-5)


def test_without_limits_training_gives_what_answering_gives() -> None:
    norm, x = layer((1e9, 1e9)), batch(2)
    expected = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    assert torch.allclose(norm(x), expected, atol=1e-5)


def test_at_the_start_it_is_batch_normalisation() -> None:
    norm, plain, x = layer((1.0, 0.0)), nn.BatchNorm2d(5), batch()
    plain.load_state_dict(norm.state_dict())
    assert torch.equal(norm(x), plain(x))
    assert torch.equal(norm.running_mean, plain.running_mean) and torch.equal(norm.running_var, plain.running_var)
    norm.eval(), plain.eval()
    assert torch.equal(norm(x), plain(x))


def test_a_model_keeps_its_names_and_answers() -> None:
    torch.manual_seed(0)
    model = CompactNet(3)
    names, x = list(model.state_dict()), torch.randn(2, 1, 48, 48)
    model.eval()
    before = model(x)
    found = renormalise(model)
    assert len(found) == 12 and renormalise(model) == found
    assert list(model.state_dict()) == names and torch.equal(model(x), before)


def test_limits_grow_and_stop() -> None:
    assert limits_at(0.0) == limits_at(0.04) == (1.0, 0.0)
    assert limits_at(0.12) == pytest.approx((1 + 2 * 0.08 / 0.26, 2.5))
    assert limits_at(0.2) == pytest.approx((1 + 2 * 0.16 / 0.26, 5.0))
    assert limits_at(0.3) == limits_at(1.0) == (3.0, 5.0)
