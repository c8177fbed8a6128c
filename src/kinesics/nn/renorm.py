"""Normalisation by more than the batch at hand: batch renormalisation, and moving averages of gradients too.

S. Ioffe, "Batch renormalization: towards reducing minibatch dependence in batch-normalized models", NeurIPS 2017;
J. Yan et al., "Towards stabilizing batch statistics in backward propagation of batch normalization", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLAIN, LIMIT_R, LIMIT_D = 0.04, (3.0, 0.3), (5.0, 0.2)
"""Share of the training that begins as plain batch normalisation; then the largest r and d, and the shares of the
training by which they are allowed. The text's 5,000, 40,000 and 25,000 of 130,000 steps, rounded."""
MOVED = 0.2
"""Share of the training by which gradients go by their moving averages alone; it begins with that of r and d."""


class BatchRenorm(nn.BatchNorm2d):
    """Batch normalisation that in training, too, gives what the running statistics would.

    y = (x - mu_B) / sigma_B * r + d, with r = sigma_B / sigma and d = (mu_B - mu) / sigma of the running mu and sigma
    (of before this batch), both without gradient and within limits: r in [1 / r_max, r_max], d in [-d_max, d_max]. At
    r_max 1 and d_max 0 it is batch normalisation. Parameters, buffers and answers are those of `nn.BatchNorm2d`.
    """

    limits: tuple[float, float] = (1.0, 0.0)
    """r_max, at least 1, and d_max, at least 0."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        with torch.no_grad():
            r, d = self.corrections(x)
        return F.batch_norm(x, None, None, self.weight * r, self.bias + self.weight * d, True, 0.0, self.eps)

    def corrections(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r and d (C,) for a batch, which then enters the running statistics."""
        assert self.running_mean is not None and self.running_var is not None
        r_max, d_max = self.limits
        mean, deviation = self.running_mean.clone(), (self.running_var + self.eps).sqrt()
        batch_mean, batch_var = torch.batch_norm_update_stats(
            x, self.running_mean, self.running_var, self.momentum or 0.0
        )
        r = ((batch_var.float() + self.eps).sqrt() / deviation).clamp(1 / r_max, r_max)
        return r, ((batch_mean.float() - mean) / deviation).clamp(-d_max, d_max)


class MovingNorm(BatchRenorm):
    """Batch renormalisation that in the backward pass, too, goes by moving averages instead of the batch.

    Batch normalisation takes out of a gradient what moves the batch as a whole: its mean, and its part along y. In a
    batch of one class that is what would tell this class from the others, and no other batch puts it back. Here the
    averages over many batches are taken out, and where they are mixed, those over the batches of all silos:

        dL/dx = weight / sigma (g - G_1 / B - x_hat G_2 / B),  g = dL/dy,  x_hat = (y - bias) / weight

    with G_1 and G_2 the moving averages of B mean(g) and B mean(g x_hat) over batch and places; B, the size of a batch,
    is in the loss, which is a mean. `moved` of the averages is taken and the rest of the batch's own means: 0 is batch
    renormalisation while r and d stay in their limits 1 and 0.
    """

    moved: float = 0.0
    """In [0, 1]."""
    gradients: Tensor
    """(2, C) G_1 and G_2, with the momentum of the running statistics; no part of the state dict."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        with torch.no_grad():
            r, d = self.corrections(x)
        return _Moving.apply(x, self.weight, self.bias, r, d, self)


class _Moving(torch.autograd.Function):
    """y = (x - mu_B) / sigma_B * r * weight + d * weight + bias, and the gradients that `MovingNorm` tells of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, r: Tensor, d: Tensor, layer: MovingNorm) -> Tensor:
        scale, shift = weight * r, bias + weight * d
        y, mean, inverse = torch.native_batch_norm(x, scale, shift, None, None, True, 0.0, layer.eps)
        ctx.save_for_backward(x, scale, r, d, mean, inverse)
        ctx.layer = layer
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, r, d, mean, inverse = ctx.saved_tensors
        layer, batch, each = ctx.layer, len(x), x.numel() // x.shape[1]
        _, along, total = torch.ops.aten.native_batch_norm_backward(
            g, x, scale, None, None, mean, inverse, True, layer.eps, [False, True, True]
        )
        along = r * along + d * total  # sum of g x_hat
        own = torch.stack([total, along]) / each
        layer.gradients.lerp_(own * batch, layer.momentum or 0.0)
        first, second = own.lerp(layer.gradients / batch, layer.moved)
        a, by_x = scale * inverse, -scale * inverse.square() * r * second
        rest = -a * (first + d * second) - by_x * mean
        a, by_x, rest = (t.to(x.dtype).view(1, -1, 1, 1) for t in (a, by_x, rest))
        return torch.addcmul((g * a).add_(rest), x, by_x), along, total, None, None, None


def renormalise(model: nn.Module, kind: type[BatchRenorm] = BatchRenorm) -> list[BatchRenorm]:
    """Turn every `nn.BatchNorm2d` of a model into a `kind`, in place; they share their parameters' names."""
    found = []
    for module in model.modules():
        if type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats:
            module.__class__ = kind
            if isinstance(module, MovingNorm):
                module.gradients = torch.zeros(2, module.num_features, device=module.weight.device)
        if isinstance(module, BatchRenorm):
            found.append(module)
    return found


def set_share(layers: Iterable[BatchRenorm], share: float) -> None:
    """Tell the layers that this share of the training, in [0, 1], is done."""
    for layer in layers:
        layer.limits = limits_at(share)
        if isinstance(layer, MovingNorm):
            layer.moved = _grown(share, 0.0, 1.0, MOVED)


def limits_at(share: float) -> tuple[float, float]:
    """r_max and d_max when this share of the training, in [0, 1], is done."""
    return _grown(share, 1.0, *LIMIT_R), _grown(share, 0.0, *LIMIT_D)


def _grown(share: float, least: float, most: float, by: float) -> float:
    return least + (most - least) * min(max((share - PLAIN) / (by - PLAIN), 0.0), 1.0)
