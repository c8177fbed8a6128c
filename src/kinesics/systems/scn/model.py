"""The Self-Cure Network as it answers, for files that leave the house."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightedLogits(nn.Module):
    """Backbone, importance and classifier, without the tables of training samples.

    Args:
        backbone: has `forward_features` and `fc`.
        importance: features (B, D) -> (B, 1).
    """

    def __init__(self, backbone: nn.Module, importance: nn.Module) -> None:
        super().__init__()
        self.backbone, self.importance = backbone, importance

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) normalised pixels -> alpha W^T x (B, C)."""
        features = self.backbone.forward_features(x)  # type: ignore[operator]
        return torch.sigmoid(self.importance(features)) * self.backbone.fc(features)  # type: ignore[operator]
