"""The mathematics of Erasing Attention Consistency as pure functions. Names follow arXiv 2207.10299."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_maps(feature_BDHW: Tensor, weight_CD: Tensor) -> Tensor:
    """M_j = sum_d W_jd F_d: class activation maps (Zhou et al., CVPR 2016).

    Args:
        feature_BDHW: (B, D, h, w) feature maps before pooling.
        weight_CD: (C, D) weights of the linear classifier.

    Returns:
        (B, C, h, w); their means over space, plus the classifier's bias, are the logits.
    """
    return torch.einsum("bdhw,cd->bchw", feature_BDHW, weight_CD)


def flip_consistency(map_BCHW: Tensor, mirrored_BCHW: Tensor) -> Tensor:
    """l_c: mean squared difference of M and Flip(M'), over samples, classes and places.

    Args:
        map_BCHW: (B, C, h, w) attention to the images.
        mirrored_BCHW: (B, C, h, w) attention to their mirror images.
    """
    return (map_BCHW - mirrored_BCHW.flip(3)).square().mean()
