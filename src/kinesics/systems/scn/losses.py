"""The mathematics of the Self-Cure Network as pure functions; B samples, C classes. Names follow arXiv 2002.10392."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def weighted_cross_entropy(
    importance_B: Tensor, logits_BC: Tensor, target_BC: Tensor, weight_B: Tensor | None = None
) -> Tensor:
    """L_WCE (equation 2): cross-entropy of softmax(alpha_i logits_i), mean over the batch.

    Args:
        importance_B: (B,) alpha in (0, 1).
        logits_BC: (B, C) W^T x, before alpha.
        target_BC: (B, C) one-hot labels, or distributions; rows sum to 1.
        weight_B: (B,) or (1,) weights by class; None for 1.
    """
    loss = -(target_BC * F.log_softmax(importance_B.unsqueeze(1) * logits_BC, 1)).sum(1)
    return (loss if weight_B is None else loss * weight_B).mean()


def high_importance(importance_B: Tensor, beta: float) -> Tensor:
    """(B,) bool: the floor(beta B) samples of largest alpha (B,), at least 1 and at most B - 1 of 2 or more."""
    n = len(importance_B)
    count = min(max(int(n * beta), 1), n - 1)
    high = torch.zeros(n, dtype=torch.bool, device=importance_B.device)
    # A stable sort, so that equal weights are told apart by their place in the batch, on any device.
    high[torch.argsort(importance_B.detach(), descending=True, stable=True)[:count]] = True
    return high


def rank_regularisation(importance_B: Tensor, high_B: Tensor, margin: Tensor | float) -> Tensor:
    """L_RR (equations 3 and 4): max(0, delta_1 - (mean alpha of the high group - mean alpha of the low group)).

    Args:
        importance_B: (B,) alpha.
        high_B: (B,) bool, from `high_importance`; neither group is empty.
        margin: delta_1.
    """
    return torch.relu(margin - (importance_B[high_B].mean() - importance_B[~high_B].mean()))


def relabel(probability_BC: Tensor, label_B: Tensor, margin: float) -> Tensor:
    """Labels after relabelling (equation 6): the most probable class where P_max - P_label > delta_2.

    Args:
        probability_BC: (B, C) rows sum to 1.
        label_B: (B,) int64 labels as they stand.
        margin: delta_2.

    Returns:
        (B,) int64.
    """
    highest, best = probability_BC.max(1)
    own = probability_BC.gather(1, label_B.unsqueeze(1)).squeeze(1)
    return torch.where(highest - own > margin, best, label_B)
