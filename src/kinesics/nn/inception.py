"""Inception-V3 (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", arXiv 1512.00567).

The keys are torchvision's (`Conv2d_1a_3x3.conv.weight`, `Mixed_5b.branch1x1.bn.bias`, .., `fc.weight`), so that its
weights can be started from. The auxiliary classifier, which only trains, is left out, and with it the keys
`AuxLogits.`; so is the dropout before `fc`.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 75
"""Pixels: the side of the smallest picture of which the last stage has something left."""

Layer = tuple[str, int, int | tuple[int, int]]
"""Name, channels, kernel."""

ROW, COLUMN = (1, 7), (7, 1)


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU.

    Args:
        inputs, outputs: channels.
        kernel: rows and columns, or both.
        stride: of both axes.
        padding: zeros around; None: as many as keep the size at stride 1.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, padding: int | None = 0
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        around = (sides[0] // 2, sides[1] // 2) if padding is None else (padding, padding)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, around, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, h, w)."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Branches side by side, their channels put together, the pooling branch last.

    Args:
        inputs: channels.
        branches: each a chain of layers; those of the last entry of a chain that is a tuple of layers stand side by
            side at its end.
        pooled: outputs of the 1x1 convolution after average pooling; 0: the block halves the picture instead, by a
            stride of 2 in the last layer of each chain and by max-pooling.

    Attributes:
        outputs: channels.
    """

    def __init__(self, inputs: int, branches: list[list[Layer | tuple[Layer, Layer]]], pooled: int) -> None:
        super().__init__()
        self.chains: list[list[str | tuple[str, str]]] = []
        self.outputs = pooled or inputs
        for chain in branches:
            names: list[str | tuple[str, str]] = []
            width = inputs
            for place, entry in enumerate(chain):
                last = place == len(chain) - 1
                side_by_side = isinstance(entry[0], tuple)
                layers = cast(tuple[Layer, ...], entry if side_by_side else (entry,))
                for name, outputs, kernel in layers:
                    halving = last and not pooled
                    made = ConvNorm(width, outputs, kernel, 2 if halving else 1, 0 if halving else None)
                    self.add_module(name, made)
                names.append((layers[0][0], layers[1][0]) if side_by_side else layers[0][0])
                width = sum(layer[1] for layer in layers)
            self.outputs += width
            self.chains.append(names)
        if pooled:
            self.branch_pool = ConvNorm(inputs, pooled, 1)
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W), or half the size."""
        found: list[Tensor] = []
        for chain in self.chains:
            y = x
            for entry in chain:
                if isinstance(entry, str):
                    y = self.get_submodule(entry)(y)
                else:
                    y = torch.cat([self.get_submodule(name)(y) for name in entry], 1)
            found.append(y)
        if self.pooled:
            found.append(self.branch_pool(F.avg_pool2d(x, 3, 1, 1)))
        else:
            found.append(F.max_pool2d(x, 3, 2))
        return torch.cat(found, 1)


def fine(inputs: int, pooled: int) -> Mixed:
    """Figure 5 of the paper: 5x5 as two 3x3, at 35 x 35 cells of a picture of 299 pixels."""
    return Mixed(
        inputs,
        [
            [("branch1x1", 64, 1)],
            [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
            [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        ],
        pooled,
    )


def to_middle(inputs: int) -> Mixed:
    """From 35 x 35 cells to 17 x 17 (Figure 10)."""
    return Mixed(
        inputs,
        [[("branch3x3", 384, 3)], [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]],
        0,
    )


def middle(inputs: int, width: int) -> Mixed:
    """Figure 6 with n = 7: rows and columns apart, at 17 x 17 cells; `width` channels inside."""
    double: list[Layer | tuple[Layer, Layer]] = [("branch7x7dbl_1", width, 1)]
    double += [(f"branch7x7dbl_{i}", width, COLUMN if i % 2 == 0 else ROW) for i in (2, 3, 4)]
    return Mixed(
        inputs,
        [
            [("branch1x1", 192, 1)],
            [("branch7x7_1", width, 1), ("branch7x7_2", width, ROW), ("branch7x7_3", 192, COLUMN)],
            [*double, ("branch7x7dbl_5", 192, ROW)],
        ],
        192,
    )


def to_coarse(inputs: int) -> Mixed:
    """From 17 x 17 cells to 8 x 8."""
    return Mixed(
        inputs,
        [
            [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)],
            [
                ("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, ROW), ("branch7x7x3_3", 192, COLUMN),
                ("branch7x7x3_4", 192, 3),
            ],
        ],
        0,
    )  # fmt: skip


def coarse(inputs: int) -> Mixed:
    """Figure 7: a row and a column side by side, at 8 x 8 cells."""
    row, column = (1, 3), (3, 1)
    return Mixed(
        inputs,
        [
            [("branch1x1", 320, 1)],
            [("branch3x3_1", 384, 1), (("branch3x3_2a", 384, row), ("branch3x3_2b", 384, column))],
            [
                ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3),
                (("branch3x3dbl_3a", 384, row), ("branch3x3dbl_3b", 384, column)),
            ],
        ],
        192,
    )  # fmt: skip


class InceptionV3(nn.Module):
    """21.8 million parameters without the classifier, 2,048 features; pictures of 75 pixels a side or more.

    Args:
        num_classes: outputs of `fc`.
        in_channels: 1 or 3.
    """

    feature_size = 2048

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(in_channels, 32, 3, 2)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3)
        self.Mixed_5b = fine(192, 32)
        self.Mixed_5c = fine(256, 64)
        self.Mixed_5d = fine(288, 64)
        self.Mixed_6a = to_middle(288)
        self.Mixed_6b = middle(768, 128)
        self.Mixed_6c = middle(768, 160)
        self.Mixed_6d = middle(768, 160)
        self.Mixed_6e = middle(768, 192)
        self.Mixed_7a = to_coarse(768)
        self.Mixed_7b = coarse(1280)
        self.Mixed_7c = coarse(2048)
        self.fc = nn.Linear(self.feature_size, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_maps(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, 2048, h, w) maps; 8 x 8 at 299 pixels, 1 x 1 at 75."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for stage, letters in ((5, "bcd"), (6, "abcde"), (7, "abc")):
            for letter in letters:
                x = self.get_submodule(f"Mixed_{stage}{letter}")(x)
        return x

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, 2048) pooled features."""
        return torch.flatten(self.forward_maps(x).mean((2, 3)), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) normalised pixels -> (B, num_classes)."""
        return self.fc(self.forward_features(x))
