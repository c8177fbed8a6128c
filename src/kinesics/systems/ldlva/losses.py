"""The mathematics of LDLVA as pure functions; K neighbours, C classes, V features, B samples.

Names follow the text (arXiv 2209.10448); functions ending in `_release` give the released code's own forms.
Throughout, lambda is the text's UNCERTAINTY; the released code trains 1 - lambda.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def local_similarity(a_i: Tensor, a_k: Tensor, delta: float) -> Tensor:
    """s = exp(-||a_i - a_k||_2^2 / delta^2).

    Args:
        a_i: (..., 2) valence and arousal of the sample, in [-1, 1].
        a_k: (..., 2) those of the neighbour; broadcast against `a_i`.
        delta: width, above 0.

    Returns:
        (...) in (0, 1].
    """
    return torch.exp(-(a_i - a_k).square().sum(-1) / delta**2)


def local_similarity_release(a_i: Tensor, a_k: Tensor, delta: float = 0.5) -> Tensor:
    """s = exp(-||a_i - a_k||_1 / delta), the released code's similarity; shapes as in `local_similarity`."""
    return torch.exp(-(a_i - a_k).abs().sum(-1) / delta)


def aggregate(contribution_BK: Tensor, neighbour_BKC: Tensor) -> Tensor:
    """Neighbour distribution d~ = sum_k c_k f(x_k) / sum_k c_k.

    Args:
        contribution_BK: (B, K) c = zeta s, at least 0. A row of zeros counts every neighbour alike.
        neighbour_BKC: (B, K, C) the neighbours' predictions; rows sum to 1.

    Returns:
        (B, C) rows sum to 1.
    """
    total = contribution_BK.sum(1, keepdim=True)
    tiny = torch.finfo(contribution_BK.dtype).tiny
    even = torch.full_like(contribution_BK, 1 / contribution_BK.shape[1])
    share = torch.where(total > tiny, contribution_BK / total.clamp(min=tiny), even)
    return (share.unsqueeze(2) * neighbour_BKC).sum(1)


def align(aggregated_BC: Tensor, factor_C: Tensor) -> Tensor:
    """Neighbour distributions with their classes weighed: d~_j w_j / sum_c d~_c w_c.

    Args:
        aggregated_BC: (B, C) d~, rows sum to 1.
        factor_C: (C,) or (B, C) w, above 0.

    Returns:
        (B, C) rows sum to 1.
    """
    weighed = aggregated_BC * factor_C
    return weighed / weighed.sum(1, keepdim=True)


@torch.no_grad()
def class_factors(
    aggregated_NC: Tensor, label_NC: Tensor, uncertainty_N: Tensor, limit: float = 100.0, rounds: int = 200
) -> Tensor:
    """The w of `align` by which mixing labels with neighbours leaves the frequency of every class as it is.

    sum_i lambda_i align(d~_i, w) = sum_i lambda_i l_i, which Sinkhorn's iteration solves: rows and columns of a
    positive matrix are scaled in turns to the sums that are wanted (R. Sinkhorn, P. Knopp, 1967). Averages of
    neighbours favour the frequent classes; a network that learns from them and then answers for its neighbours forgets
    the rare ones. The idea is the distribution alignment of D. Berthelot et al., "ReMixMatch", ICLR 2020.

    Args:
        aggregated_NC: (N, C) d~ of all training samples.
        label_NC: (N, C) one-hot labels.
        uncertainty_N: (N,) lambda.
        limit: no w is more than so many times above or below their mean by the classes' frequency, so that a class that
            no neighbour speaks for doesn't become infinitely dear.
        rounds: at most; it ends earlier where no factor moves any more.

    Returns:
        (C,) float32.
    """
    share, uncertainty = aggregated_NC.double(), uncertainty_N.double()
    wanted = uncertainty @ label_NC.double()
    total = wanted.sum()
    factor = torch.ones_like(wanted)
    for _ in range(rounds):
        found = uncertainty @ align(share, factor)
        raised = factor * (wanted / found.clamp(min=1e-9 * total)).clamp(1 / limit, limit)
        raised = (raised * total / (raised @ wanted)).clamp(1 / limit, limit)
        settled = bool(((raised / factor - 1).abs() < 1e-7).all())
        factor = raised
        if settled:
            break
    return factor.float()


def target_distribution(label_BC: Tensor, aggregated_BC: Tensor, uncertainty_B: Tensor) -> Tensor:
    """d = (1 - lambda) l + lambda d~.

    Args:
        label_BC: (B, C) logical labels l, one-hot.
        aggregated_BC: (B, C) d~.
        uncertainty_B: (B,) lambda in [0, 1].

    Returns:
        (B, C) rows sum to 1.
    """
    return torch.lerp(label_BC, aggregated_BC, uncertainty_B.unsqueeze(1))


def classification_loss(
    target_BC: Tensor, log_probability_BC: Tensor, reduction: str = "mean", weight_B: Tensor | None = None
) -> Tensor:
    """L_cls = -sum_i sum_j d_j log f_j, or its mean over i.

    Args:
        target_BC: (B, C) d. Its gradient is kept: that is how lambda and the calibration network learn.
        log_probability_BC: (B, C) log f.
        reduction: "sum" (the text) or "mean".
        weight_B: (B,) or (1,) weights of the samples; None for 1.
    """
    loss = -(target_BC * log_probability_BC).sum(1)
    return _reduce(loss if weight_B is None else loss * weight_B, reduction)


def classification_loss_release(target_BC: Tensor, probability_BC: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """mean_i w_i sum_j -d_j log(f_j + 1e-10), the released code's form on probabilities.

    Args:
        target_BC, probability_BC: (B, C).
        weight_B: (B,) weights of the samples' classes; None for 1.
    """
    loss = -(target_BC * torch.log(probability_BC + 1e-10)).sum(1)
    return (loss if weight_B is None else loss * weight_B).mean()


def intra_class_loss(feature_BV: Tensor, centre_BV: Tensor, uncertainty_B: Tensor, reduction: str = "mean") -> Tensor:
    """First term of L_D: 1/2 sum_i (1 - lambda_i) ||v_i - mu_{y_i}||^2, or its mean over i.

    Args:
        feature_BV: (B, V) v.
        centre_BV: (B, V) the centre of each sample's class.
        uncertainty_B: (B,) lambda; detach it to keep this term from raising it (its gradient is never positive).
        reduction: "sum" (the text) or "mean".
    """
    return _reduce((1 - uncertainty_B) * (feature_BV - centre_BV).square().sum(1) / 2, reduction)


def centre_repulsion(centre_CV: Tensor) -> Tensor:
    """Second term of L_D: sum_{j != k} exp(-||mu_j - mu_k||^2 / sqrt(V)), over ordered pairs.

    Args:
        centre_CV: (C, V) class centres. Equal centres have zero gradient.
    """
    distance = _squared_distances(centre_CV)
    off_diagonal = ~torch.eye(len(centre_CV), dtype=torch.bool, device=centre_CV.device)
    return torch.exp(-distance[off_diagonal] / math.sqrt(centre_CV.shape[1])).sum()


def centre_repulsion_release(centre_CV: Tensor) -> Tensor:
    """sum_{j < k} exp(-||mu_j - mu_k||^2 / V): half the pairs and another scale; shapes as in `centre_repulsion`."""
    distance = _squared_distances(centre_CV)
    upper = torch.ones_like(distance, dtype=torch.bool).triu(1)
    return torch.exp(-distance[upper] / centre_CV.shape[1]).sum()


@torch.no_grad()
def move_centres_release(
    centre_CV: Tensor, feature_MV: Tensor, label_M: Tensor, uncertainty_M: Tensor, alpha: float = 0.5
) -> Tensor:
    """The released code's two hand-made steps on the centres.

    First c <- c - alpha g with g_c = -sum_{i of c} (1 - lambda_i)(v_i - c) / (n_c + 1) / M, then a step of rate
    0.1 alpha on `centre_repulsion_release` at the moved centres.

    Args:
        centre_CV: (C, V) centres before.
        feature_MV: (M, V) features of the batch and of its neighbours, M = B (1 + K).
        label_M: (M,) int64 their labels.
        uncertainty_M: (M,) lambda.
        alpha: rate.

    Returns:
        (C, V) centres after.
    """
    gradient = torch.zeros_like(centre_CV)
    difference = (1 - uncertainty_M).unsqueeze(1) * (feature_MV - centre_CV[label_M])
    gradient.index_add_(0, label_M, -difference)
    count = torch.bincount(label_M, minlength=len(centre_CV)).to(centre_CV.dtype)
    gradient = gradient / (count + 1).unsqueeze(1) / len(label_M)
    moved = (centre_CV - alpha * gradient).requires_grad_()
    with torch.enable_grad():
        (push,) = torch.autograd.grad(centre_repulsion_release(moved), moved)
    return (moved - alpha * 0.1 * push).detach()


def _squared_distances(centre_CV: Tensor) -> Tensor:
    """(C, C) squared Euclidean distances, from differences: exact and differentiable at equal centres."""
    return (centre_CV.unsqueeze(1) - centre_CV.unsqueeze(0)).square().sum(-1)


def _reduce(loss_B: Tensor, reduction: str) -> Tensor:
    return loss_B.sum() if reduction == "sum" else loss_B.mean()
