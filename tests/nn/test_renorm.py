"""Batch renormalisation and moving averages of gradients against formulas in float64, and what they are made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.nn.compact import CompactNet
from kinesics.nn.renorm import BatchRenorm, MovingNorm, limits_at, renormalise, set_share


def layer(limits: tuple[float, float], kind: type[BatchRenorm] = BatchRenorm) -> BatchRenorm:
    """Of 5 channels with statistics and parameters that are not the first ones."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    with torch.no_grad():
        for tensor, least in ((norm.weight, 0.5), (norm.bias, -1), (norm.running_mean, -1), (norm.running_var, 0.3)):
            assert tensor is not None
            tensor.uniform_(least, 2)
    (found,) = renormalise(norm, kind)
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


def moving(limits: tuple[float, float], moved: float) -> MovingNorm:
    norm = layer(limits, MovingNorm)
    assert isinstance(norm, MovingNorm)
    norm.gradients, norm.moved = torch.randn(2, 5), moved
    return norm


@pytest.mark.parametrize("limits", [(1.0, 0.0), (1.2, 0.1), (3.0, 5.0)])
@pytest.mark.parametrize("moved", [0.0, 0.3, 1.0])
def test_moving_averages_take_the_place_of_the_batch_in_the_gradient(limits: tuple[float, float], moved: float) -> None:
    norm, x = moving(limits, moved), batch()
    weight = norm.weight.detach().double()[:, None, None]
    assert norm.running_mean is not None and norm.running_var is not None
    running = norm.running_mean.double().clone(), norm.running_var.double().clone()
    before, g = norm.gradients.double(), torch.randn_like(x)
    own = x.clone().requires_grad_()
    y = norm(own)
    (y * g).sum().backward()

    mean, variance = x.double().mean((0, 2, 3)), x.double().var((0, 2, 3), correction=0)
    inverse, wanted = (variance + norm.eps).rsqrt(), (running[1] + norm.eps).sqrt()
    r = (1 / inverse / wanted).clamp(1 / limits[0], limits[0])
    d = ((mean - running[0]) / wanted).clamp(-limits[1], limits[1])
    x_hat = (x.double() - mean[:, None, None]) * (inverse * r)[:, None, None] + d[:, None, None]
    assert torch.allclose(y.double(), weight * x_hat + norm.bias.double()[:, None, None], atol=1e-5)
    means = torch.stack([g.double().mean((0, 2, 3)), (g * x_hat).mean((0, 2, 3))])
    after = 0.9 * before + 0.1 * 3 * means  # a batch of 3, momentum 0.1
    first, second = ((1 - moved) * means + moved * after / 3)[:, :, None, None]
    expected = weight * (inverse * r)[:, None, None] * (g - first - x_hat * second)
    assert own.grad is not None and norm.weight.grad is not None and norm.bias.grad is not None
    assert torch.allclose(own.grad.double(), expected, atol=1e-5)
    assert torch.allclose(norm.gradients.double(), after, atol=1e-5)
    assert torch.allclose(norm.weight.grad.double(), (g * x_hat).sum((0, 2, 3)), atol=1e-4)
    assert torch.allclose(norm.bias.grad.double(), g.double().sum((0, 2, 3)), atol=1e-4)


def test_parts_that_know_the_whole_have_the_gradient_of_the_whole() -> None:
    """What a federation is after: skewed parts of a batch, each by itself, sum up to batch normalisation of it all."""
    torch.manual_seed(0)
    x, target = torch.randn(12, 5, 4, 4).double(), torch.randn(12, 5, 4, 4).double()
    x[:3] += 2  # the first part is of another kind
    whole = nn.BatchNorm2d(5).double()
    with torch.no_grad():
        whole.weight.uniform_(0.5, 2)
    own = x.clone().requires_grad_()
    y = whole(own)
    loss = (y - target).pow(2).sum((1, 2, 3)).mean()
    loss.backward()
    with torch.no_grad():
        g, x_hat = (
            2 * (y - target),
            (y - whole.bias[:, None, None]) / whole.weight[:, None, None],
        )  # 12 times the mean's
        sums = torch.stack([g.mean((0, 2, 3)), (g * x_hat).mean((0, 2, 3))])
    found: dict[type[BatchRenorm], Tensor] = {}
    for kind in (BatchRenorm, MovingNorm):
        parts = []
        for rows in (slice(0, 3), slice(3, 5), slice(5, 12)):
            norm = nn.BatchNorm2d(5).double()
            norm.load_state_dict(whole.state_dict())
            (part,) = renormalise(norm, kind)
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.copy_(x.mean((0, 2, 3)))
            part.running_var.copy_(x.var((0, 2, 3), correction=0))
            part.limits, part.momentum = (1e9, 1e9), 0.0
            if isinstance(part, MovingNorm):
                part.gradients, part.moved = sums.clone(), 1.0
            piece = x[rows].clone().requires_grad_()
            size = len(piece)
            (part(piece) - target[rows]).pow(2).sum((1, 2, 3)).mean().backward()
            assert piece.grad is not None
            parts.append(piece.grad * size / 12)
        found[kind] = torch.cat(parts)
    assert own.grad is not None
    # r and d are reckoned in float32
    assert torch.allclose(found[MovingNorm], own.grad, atol=1e-5 * float(own.grad.abs().max()) * 10)
    assert (found[BatchRenorm] - own.grad).abs().max() > 0.1 * own.grad.abs().max()


def test_at_the_start_moving_averages_are_kept_and_not_used() -> None:
    norm, plain, x = moving((1.0, 0.0), 0.0), nn.BatchNorm2d(5), batch()
    plain.load_state_dict(norm.state_dict())
    before, found = norm.gradients.clone(), []
    for module in (norm, plain):
        own = x.clone().requires_grad_()
        y = module(own)
        (y * y * x).sum().backward()
        found.append((y, own.grad))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    assert found[0][1] is not None and found[1][1] is not None
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5 * float(found[1][1].abs().max()))
    assert not torch.equal(norm.gradients, before)


@pytest.mark.parametrize("limits", [(1.0, 0.0), (3.0, 5.0)])
def test_in_half_precision_it_keeps_types_and_order_of_memory(limits: tuple[float, float]) -> None:
    norm, x = moving(limits, 1.0), batch().bfloat16()
    own = x.clone().requires_grad_()
    y = norm(own)
    y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16 and own.grad is not None and own.grad.dtype == torch.bfloat16
    assert norm.gradients.dtype == torch.float32 and bool(norm.gradients.isfinite().all())
    assert own.grad.is_contiguous(memory_format=torch.channels_last)


def test_a_moving_model_keeps_its_names_answers_and_shares() -> None:
    torch.manual_seed(0)
    model = CompactNet(3)
    names, x = list(model.state_dict()), torch.randn(2, 1, 48, 48)
    model.eval()
    before = model(x)
    found = renormalise(model, MovingNorm)
    assert len(found) == 12 and list(model.state_dict()) == names and torch.equal(model(x), before)
    for share, moved in ((0.0, 0.0), (0.04, 0.0), (0.12, 0.5), (0.2, 1.0), (1.0, 1.0)):
        set_share(found, share)
        for one in found:
            assert isinstance(one, MovingNorm)
            assert one.moved == pytest.approx(moved) and one.limits == limits_at(share)
