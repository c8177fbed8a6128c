"""Batch renormalisation (S. Ioffe, "Batch renormalization: towards reducing minibatch dependence", NeurIPS 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLAIN, LIMIT_R, LIMIT_D = 0.04, (3.0, 0.3), (5.0, 0.2)
"""Share of the training that begins as plain batch normalisation; then the largest r and d, and the shares of the
training by which they are allowed. The text's 5,000, 40,000 and 25,000 of 130,000 steps, rounded."""


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
        r_max, d_max = self.limits
        with torch.no_grad():
            mean, deviation = self.running_mean.clone(), (self.running_var + self.eps).sqrt()
            batch_mean, batch_var = torch.batch_norm_update_stats(
                x, self.running_mean, self.running_var, self.momentum or 0.0
            )
            r = ((batch_var.float() + self.eps).sqrt() / deviation).clamp(1 / r_max, r_max)
            d = ((batch_mean.float() - mean) / deviation).clamp(-d_max, d_max)
        return F.batch_norm(x, None, None, self.weight * r, self.bias + self.weight * d, True, 0.0, self.eps)


def renormalise(model: nn.Module) -> list[BatchRenorm]:
    """Turn every `nn.BatchNorm2d` of a model into a `BatchRenorm`, in place; they share their parameters' names."""
    found = []
    for module in model.modules():
        if type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats:
            module.__class__ = BatchRenorm
        if isinstance(module, BatchRenorm):
            found.append(module)
    return found


def limits_at(share: float) -> tuple[float, float]:
    """r_max and d_max when this share of the training, in [0, 1], is done."""

    def grown(least: float, most: float, by: float) -> float:
        return least + (most - least) * min(max((share - PLAIN) / (by - PLAIN), 0.0), 1.0)

    return grown(1.0, *LIMIT_R), grown(0.0, *LIMIT_D)
