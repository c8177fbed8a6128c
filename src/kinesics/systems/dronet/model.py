"""DroNet's steering network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.nn.resnet8 import WIDTHS, ResNet8, grid_sides


class DroNet(ResNet8):
    """ResNet-8, ReLU, dropout and one linear layer: (B, channels, S, S) normalised pixels -> (B,) steering angles.

    Args:
        channels: 1 or 3.
        size: S.
        dropout: share of the features dropped in training.
    """

    def __init__(self, channels: int, size: int, dropout: float) -> None:
        super().__init__(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(WIDTHS[-1] * grid_sides(size)[-1] ** 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, S, S) -> (B,)."""
        features = F.relu(self.stages(x)[-1]).flatten(1)
        return self.fc(self.dropout(features)).squeeze(1)
