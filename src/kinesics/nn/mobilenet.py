"""MobileNet-V2 (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018).

The keys of the convolutions are torchvision's (`features.N...`), so that its weights can be started from; the
classifier is called `fc`, as in every backbone here. torchvision's `classifier.1` is not read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

TABLE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Table 2 of the paper: expansion t, channels c, repeats n, stride s of the first."""


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expansion, depth-wise 3x3, linear projection; a shortcut where the shape stays.

    Args:
        inputs, outputs: channels.
        stride: of the depth-wise convolution.
        expansion: t.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers = [conv_norm(inputs, width, 1)] if expansion != 1 else []
        layers += [conv_norm(width, width, 3, stride, groups=width)]
        projection = nn.Conv2d(width, outputs, 1, bias=False)
        self.conv = nn.Sequential(*layers, projection, nn.BatchNorm2d(outputs))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """2.2 million parameters without the classifier, 1,280 features.

    Args:
        num_classes: outputs of `fc`.
        in_channels: 1 or 3.
    """

    feature_size = 1280

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(in_channels, 32, 3, 2)]
        width = 32
        for expansion, channels, repeats, stride in TABLE:
            for repeat in range(repeats):
                layers.append(InvertedResidual(width, channels, stride if repeat == 0 else 1, expansion))
                width = channels
        self.features = nn.Sequential(*layers, conv_norm(width, self.feature_size, 1))
        self.fc = nn.Linear(self.feature_size, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward_maps(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, 1280, H / 32, W / 32) maps, rounded up."""
        return self.features(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, 1280) pooled features."""
        return torch.flatten(self.forward_maps(x).mean((2, 3)), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, num_classes)."""
        return self.fc(self.forward_features(x))
