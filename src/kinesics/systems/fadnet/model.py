"""FADNet: ResNet-8 whose feature is multiplied by a weighted sum of supports from its stages, and averaged.

Shape suffixes: B pictures, H supports (3), D the unified dimension (128 g g; 6,272 at 200 x 200 pixels, where g = 7).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.nn.resnet8 import WIDTHS, ResNet8, grid_sides
from kinesics.systems.fadnet.config import FADNetConfig

CHANNELS = WIDTHS[-1]
"""Channels of the ResBlock feature, 128."""


def accumulate(features_BHD: Tensor, weight_H: Tensor, bias: Tensor | None = None) -> Tensor:
    """f_c = sum_h w_h f_h, the text's Accumulation: one weight a support, the same for all its entries.

    Args:
        features_BHD: the supports f_1 .. f_n.
        weight_H: w in R^n.
        bias: (1,) added to every entry (released code); the text has none.

    Returns:
        (B, D).
    """
    total = torch.einsum("bhd,h->bd", features_BHD, weight_H)
    return total if bias is None else total + bias


def aggregate(feature_BD: Tensor, support_BD: Tensor) -> Tensor:
    """theta = mean(f_s * f_c), the text's Aggregation: mean of the Hadamard product. Returns (B,)."""
    return (feature_BD * support_BD).mean(1)


def pooled_support(stage: Tensor, grid: int) -> Tensor:
    """The global average of a stage, brought to D without weights.

    Each of the C averages stands at all g x g cells; the C channels are repeated until there are 128.

    Args:
        stage: (B, C, h, w), C a divisor of 128.
        grid: g.

    Returns:
        (B, D), D = 128 g g, in the order channel, row, column.
    """
    mean_BC = stage.mean((2, 3))
    repeated = mean_BC.repeat(1, CHANNELS // mean_BC.shape[1])
    return repeated[:, :, None].expand(-1, -1, grid * grid).flatten(1)


def halved_support(support: Tensor) -> Tensor:
    """(B, 256, g, g) of a 1x1 convolution -> (B, D): means of neighbouring pairs in memory order (released code)."""
    return support.flatten(1).unflatten(1, (-1, 2)).mean(2)


class FADNet(ResNet8):
    """(B, channels, S, S) normalised pixels -> (B,) steering angles.

    Keys are those of the released models, which differ in the names of the same parts: supports are `conv2_support` ..
    beside the shortcuts `conv2` .., and take the name of the shortcuts where there are none; Accumulation is
    `fc_accumulation`, beside a linear head `fc_feature`.

    Args:
        config: which of the variants.
        channels: 1 or 3.
        size: S.
    """

    def __init__(self, config: FADNetConfig, channels: int, size: int) -> None:
        super().__init__(channels, shortcuts=config.shortcuts)
        self.config = config
        *before, self.grid = grid_sides(size)
        if config.support == "conv":
            # the stride at which each stage gives g x g cells: 7, 4 and 2 at 200 pixels
            for number, (width, side) in enumerate(zip((32, *WIDTHS[:2]), before, strict=True), start=2):
                name = f"conv{number}_support" if config.shortcuts else f"conv{number}"
                self.add_module(name, nn.Conv2d(width, 2 * CHANNELS, 1, -(-side // self.grid)))
        self.dropout = nn.Dropout(config.dropout)
        accumulation = nn.Linear(len(WIDTHS), 1, bias=config.accumulation_bias)
        if config.head == "mean":
            self.fc = nn.Linear(self.grid, self.grid)
            nn.init.eye_(self.fc.weight)  # a negative bias drawn at random would let whole columns start dead
            nn.init.zeros_(self.fc.bias)
            self.fc_accumulation = accumulation
        else:
            self.fc_feature = accumulation
            self.fc = nn.Linear(CHANNELS * self.grid**2, 1)

    @property
    def accumulation(self) -> nn.Linear:
        """The Accumulation layer, whatever its key."""
        return self.fc_accumulation if self.config.head == "mean" else self.fc_feature

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, S, S) -> (B,)."""
        if self.config.input_norm:
            x = F.layer_norm(x, x.shape[1:])
        stages = self.stages(x)
        layer = self.accumulation
        supports_BHD = torch.stack(self._supports(stages), 1).to(layer.weight.dtype)
        feature = stages[-1] if self.config.head == "linear" else self.fc(stages[-1])
        feature_BD = self.dropout(F.relu(feature)).flatten(1).to(layer.weight.dtype)
        with torch.autocast(x.device.type, enabled=False):
            support_BD = accumulate(supports_BHD, layer.weight[0], layer.bias)
            if self.config.head == "linear":
                return self.fc(feature_BD * support_BD).squeeze(1)
            return aggregate(feature_BD, support_BD)

    def _supports(self, stages: list[Tensor]) -> list[Tensor]:
        """f_1, f_2, f_3: (B, D) each."""
        if self.config.support == "pooled":
            return [pooled_support(stage, self.grid) for stage in stages[1:]]
        ending = "_support" if self.config.shortcuts else ""
        pairs = enumerate(stages[:-1], start=2)
        return [halved_support(self.get_submodule(f"conv{number}{ending}")(stage)) for number, stage in pairs]
