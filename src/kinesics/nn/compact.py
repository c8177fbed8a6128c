"""A compact residual network for grey or colour faces of 40 to 112 px that trains on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016, Figure 2 left).

    Args:
        inputs, outputs: channels.
        stride: of the first convolution and the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


class CompactNet(nn.Module):
    """A ResNet-10 of quarter-to-half width: stride-2 3x3 stem, four blocks, global average pooling.

    1.2 M parameters at width 32, 2.8 M at width 48. Keys follow torchvision's ResNet naming (conv1, bn1, layerN.0, fc).

    Args:
        num_classes: outputs of `fc`; 0 leaves the pooled features.
        in_channels: 1 or 3.
        width: channels of the stem; the stages have width x (1, 2, 4, 8).
    """

    def __init__(self, num_classes: int, in_channels: int = 1, width: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(Block(width, width, 1))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2))
        self.layer3 = nn.Sequential(Block(2 * width, 4 * width, 2))
        self.layer4 = nn.Sequential(Block(4 * width, 8 * width, 2))
        self.feature_size = 8 * width
        self.fc = nn.Linear(self.feature_size, num_classes) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_maps(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, feature_size, H / 16, W / 16) maps, rounded up."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, feature_size) pooled features."""
        return torch.flatten(F.adaptive_avg_pool2d(self.forward_maps(x), 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, num_classes) logits."""
        return self.fc(self.forward_features(x))
