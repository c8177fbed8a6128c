"""The four schemes of arXiv 1608.01041 as pure functions; B samples, C classes, p vote shares, q the softmax output.

Each returns (B,) losses, one a sample.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(share_BC: Tensor, log_probability_BC: Tensor) -> Tensor:
    """cel: -sum_k p_k log q_k.

    Args:
        share_BC: (B, C) p, rows sum to 1.
        log_probability_BC: (B, C) log q.
    """
    return -(share_BC * log_probability_BC).sum(1)


def kl_divergence(share_BC: Tensor, log_probability_BC: Tensor) -> Tensor:
    """KL(p || q) = cel - H(p), at least 0; shapes as in `cross_entropy`."""
    return cross_entropy(share_BC, log_probability_BC) + torch.xlogy(share_BC, share_BC).sum(1)


def majority(share_BC: Tensor) -> Tensor:
    """mv: (B, C) one-hot of the largest share, the first of equal ones."""
    return F.one_hot(share_BC.argmax(1), share_BC.shape[1]).to(share_BC)


def drawn(share_BC: Tensor) -> Tensor:
    """pld: (B, C) one-hot of a label drawn from each row of shares, by PyTorch's global generator."""
    return F.one_hot(torch.multinomial(share_BC, 1).squeeze(1), share_BC.shape[1]).to(share_BC)


def multi_label_loss(share_BC: Tensor, log_probability_BC: Tensor, threshold: float) -> Tensor:
    """ml: -log max_k I(p_k >= theta) q_k: the most probable label that enough people gave.

    Args:
        share_BC: (B, C) p. Where none reaches `threshold`, the largest counts.
        log_probability_BC: (B, C) log q.
        threshold: theta, in (0, 1].
    """
    # Shares of ten votes are not exact in binary: 3 / 10 must reach 0.3.
    counts = (share_BC >= threshold - 1e-6) | (majority(share_BC) > 0)
    return -log_probability_BC.masked_fill(~counts, -torch.inf).amax(1)
