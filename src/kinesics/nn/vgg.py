"""VGG-16 (Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015).

Configuration D's thirteen convolutions with torchvision's keys (`features.N`); its three fully connected layers, nine
tenths of its parameters, give way to a global average and one linear layer `fc`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of each group of convolutions; a max-pooling of stride 2 follows each group."""


class VGG16(nn.Module):
    """14.7 million parameters without the classifier, 512 features; no normalisation.

    Args:
        num_classes: outputs of `fc`.
        in_channels: 1 or 3.
    """

    feature_size = 512

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_channels
        for group in WIDTHS:
            for channels in group:
                layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU(inplace=True)]
                width = channels
            layers.append(nn.MaxPool2d(2, ceil_mode=True))  # so that pictures of 8 pixels have something left
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(self.feature_size, num_classes)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward_maps(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, 512, H / 32, W / 32) maps, rounded up."""
        return self.features(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, 512) pooled features."""
        return torch.flatten(self.forward_maps(x).mean((2, 3)), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, num_classes)."""
        return self.fc(self.forward_features(x))
