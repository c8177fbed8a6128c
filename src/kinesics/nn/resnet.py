"""ResNet-18, 34 and 50 (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016).

State-dict keys and numerics are torchvision's, so that its checkpoints load as they are: `conv1`, `bn1`,
`layer1.0.conv1`, `layer1.0.downsample.0`, `fc`. The bottleneck strides in its 3x3 convolution ("v1.5", which
torchvision follows too) and not in the first 1x1 of the paper. What is added is the choice of the stem, as
faces are often smaller than the 224 px that the original stem, which reduces 4 times before the first block,
is for.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.errors import UserError

Stem = Literal["imagenet", "medium", "small"]

BLOCKS: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Residual blocks in each of the four stages (table 1 of the paper)."""

WIDTHS = (64, 128, 256, 512)
"""Channels inside the blocks of each stage."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the identity beside them (ResNet-18 and 34)."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(channels_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, width, H / stride, W / stride), sizes rounded up."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 to four times the width, and the identity beside them (ResNet-50)."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * self.expansion
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.downsample = _downsample(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, 4 width, H / stride, W / stride), sizes rounded up."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out, inplace=True)


class ResNet(nn.Module):
    """The four stages behind a stem, global average pooling and, with classes, one linear layer.

    Made by `resnet`, which checks the arguments.

    Attributes:
        feature_size: D, the length of a feature vector: 512, or 2048 for ResNet-50.
    """

    def __init__(self, depth: int, num_classes: int, in_channels: int, stem: Stem, zero_init_residual: bool) -> None:
        super().__init__()
        block = Bottleneck if depth >= 50 else BasicBlock
        if stem == "small":
            self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        stages = []
        channels = WIDTHS[0]
        for stage, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS, strict=True)):
            strides = [1 if stage == 0 else 2] + [1] * (count - 1)
            blocks: list[nn.Module] = []
            for stride in strides:
                blocks.append(block(channels, width, stride))
                channels = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.feature_size = channels
        self.fc = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        self._initialise(zero_init_residual)

    def _initialise(self, zero_init_residual: bool) -> None:
        """He et al. (2015) normal, fan-out, for convolutions; BatchNorm and the linear layer as PyTorch
        does."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, Bottleneck):
                    nn.init.zeros_(module.bn3.weight)
                elif isinstance(module, BasicBlock):
                    nn.init.zeros_(module.bn2.weight)

    def forward_maps(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> the last stage's maps (B, D, h, w).

        h is H / 32 with the "imagenet" stem, H / 16 with "medium", H / 8 with "small", rounded up; w
        likewise.
        """
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> feature vectors (B, D): the maps averaged over space."""
        return F.adaptive_avg_pool2d(self.forward_maps(x), 1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> logits (B, num_classes); the feature vectors when there are no classes."""
        return self.fc(self.forward_features(x))


def _downsample(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    """The projection of the shortcut where shapes differ (option B of the paper)."""
    if stride == 1 and channels_in == channels_out:
        return None
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))


def resnet(
    depth: int,
    num_classes: int,
    in_channels: int = 3,
    stem: Stem = "imagenet",
    zero_init_residual: bool = False,
) -> ResNet:
    """A ResNet with fresh weights.

    Args:
        depth: 18, 34 or 50. num_classes: length of the logits; 0 leaves the linear layer out and `forward`
        gives feature vectors. in_channels: 3 for colour, 1 for grey. stem: "imagenet" is 7x7 with stride 2,
        then 3x3 max pooling with stride 2, for 224 px; "medium" leaves the
            pooling out, for about 112 px: the stages see the same 56 px as at 224, and the 7x7 weights still
            load; "small" is 3x3 with stride 1 and no pooling, for 32 to 64 px.
        zero_init_residual: start each block as the identity by a zero gain in its last BatchNorm (Goyal et
        al.,
            "Accurate, Large Minibatch SGD", 2017, section 5.1).

    Raises:
        UserError: a value outside of these.
    """
    if depth not in BLOCKS:
        raise _unknown("depth", depth, ", ".join(map(str, BLOCKS)))
    if stem not in get_args(Stem):
        raise _unknown("stem", stem, ", ".join(get_args(Stem)))
    if num_classes < 0:
        raise _unknown("num_classes", num_classes, "0 (no classifier) or more")
    if in_channels < 1:
        raise _unknown("in_channels", in_channels, "1 or more")
    return ResNet(depth, num_classes, in_channels, stem, zero_init_residual)


def _unknown(name: str, value: object, accepted: str) -> UserError:
    return UserError(f"resnet: {name} is {value!r}; expected {accepted}", hint=f"choose {name}: {accepted}")
