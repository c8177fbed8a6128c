"""The mathematics of Relative Uncertainty Learning as pure functions; B samples, V features, C classes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def uncertainty_value(log_sigma_BV: Tensor) -> Tensor:
    """u = mean_v exp(log sigma_v), (B,) above 0."""
    return log_sigma_BV.exp().mean(1)


def mix(mu_BV: Tensor, uncertainty_B: Tensor, partner_B: Tensor) -> Tensor:
    """(u_i mu_i + u_j mu_j) / (u_i + u_j): the more uncertain of a pair has the larger share.

    Args:
        mu_BV: (B, V) features.
        uncertainty_B: (B,) u, above 0; its gradient is kept, as that is how u is learned.
        partner_B: (B,) int64, j for each i.

    Returns:
        (B, V).
    """
    share = uncertainty_B / (uncertainty_B + uncertainty_B[partner_B])
    return share.unsqueeze(1) * mu_BV + (1 - share).unsqueeze(1) * mu_BV[partner_B]


def add_up_loss(
    logits_BC: Tensor, target_BC: Tensor, partner_B: Tensor, weight_B: Tensor | None = None
) -> Tensor:  # fmt: skip
    """Half the cross-entropy of each mixture to its one target and half that to the other, mean over the batch.

    Args:
        logits_BC: (B, C) of the mixtures.
        target_BC: (B, C) what each sample is taught; rows sum to 1.
        partner_B: (B,) int64, j for each i.
        weight_B: (B,) weights by class of the samples, or (1,); None for 1.
    """
    log_probability = F.log_softmax(logits_BC, 1)
    own, other = (-(target * log_probability).sum(1) for target in (target_BC, target_BC[partner_B]))
    if weight_B is not None:
        weight_B = weight_B.expand(len(own))
        own, other = own * weight_B, other * weight_B[partner_B]
    return (own + other).mean() / 2
