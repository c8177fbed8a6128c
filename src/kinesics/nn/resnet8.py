"""ResNet-8, the trunk of DroNet and of FADNet: three residual blocks of pre-activated convolutions.

A. Loquercio, A. I. Maqueda, C. R. del-Blanco, D. Scaramuzza, "DroNet: Learning to Fly by Driving", IEEE Robotics and
Automation Letters 3 (2018), Figure 2. Padding is TensorFlow's "same": the odd pixel goes to the bottom and the right.
The keys are those of the released FADNet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 128)
"""Channels after each residual block."""

STEM_VALUES = 2_560_000
"""Values (10 MB) that the first convolution gives at a time when training on a CPU: 8 pictures of 200 x 200."""


def same_padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zero padding after which a convolution gives ceil(H / stride) rows; columns get what the rows need.

    The released code works the padding out from the rows alone, which matters for pictures that are not square.

    Args:
        x: (B, C, H, W).
        kernel, stride: of the convolution that follows.
    """
    rows = x.shape[2]
    needed = max((-(-rows // stride) - 1) * stride + kernel - rows, 0)
    before, after = needed // 2, needed - needed // 2
    if not needed:
        return x
    # padded as (B, H, W, C): padding a grey (B, 1, H, W) would lose that it is channels_last, and with it one kernel
    # for fresh and for trained weights, which round differently
    return F.pad(x.permute(0, 2, 3, 1), (0, 0, before, after, before, after)).permute(0, 3, 1, 2)


class SameConv(nn.Conv2d):
    """A square convolution with "same" padding.

    Args:
        inputs, outputs: channels.
        kernel: side.
        stride: of both axes.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        return super().forward(same_padded(x, self.kernel_size[0], self.stride[0]))


class ResBlock(nn.Module):
    """Twice normalisation, ReLU and a 3x3 convolution, the first of stride 2; the shortcut is not part of it.

    Args:
        inputs, outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.batch_norm = nn.BatchNorm2d(inputs)
        self.conv2d = SameConv(inputs, outputs, 3, 2)
        self.batch_norm_1 = nn.BatchNorm2d(outputs)
        self.conv2d_2 = SameConv(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2))."""
        x = self.conv2d(F.relu(self.batch_norm(x)))
        return self.conv2d_2(F.relu(self.batch_norm_1(x)))


class ResNet8(nn.Module):
    """5x5 convolution of stride 2, max-pooling, three residual blocks with 1x1 shortcuts of stride 2.

    308,384 parameters for grey pictures.

    Args:
        channels: of the picture, 1 or 3.
        shortcuts: without them (the released FADNet_plus) a block's output is all there is.
    """

    def __init__(self, channels: int, shortcuts: bool = True) -> None:
        super().__init__()
        self.conv1 = SameConv(channels, 32, 5, 2)
        self.shortcuts = shortcuts
        for number, (inputs, outputs) in enumerate(zip((32, *WIDTHS), WIDTHS, strict=False), start=1):
            self.add_module(f"res_block{number}", ResBlock(inputs, outputs))
            if shortcuts:
                self.add_module(f"conv{number + 1}", SameConv(inputs, outputs, 1, 2))

    def stem(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 32, about H / 4, W / 4): first convolution and pooling.

        Training on a CPU takes a few pictures at a time. The convolution's output and its gradient are by far the
        largest tensors of a step; in one piece they come from the operating system anew each time (1.2 times as slow).
        """
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return F.max_pool2d(self.conv1(x), 3, 2)
        outputs = self.conv1.out_channels * (x.shape[2] // 2) * (x.shape[3] // 2)
        parts = x.split(max(1, STEM_VALUES // max(outputs, 1)))
        found = [F.max_pool2d(self.conv1(part), 3, 2) for part in parts]
        return found[0] if len(found) == 1 else torch.cat(found)

    def stages(self, x: Tensor) -> list[Tensor]:
        """(B, channels, H, W) -> the pooled stem and the three blocks' outputs, (B, C, h, w) each.

        At 200 x 200 pixels they are 49, 25, 13 and 7 wide.
        """
        x = self.stem(x)
        found = [x]
        for number in range(1, len(WIDTHS) + 1):
            y = self.get_submodule(f"res_block{number}")(x)
            x = y + self.get_submodule(f"conv{number + 1}")(x) if self.shortcuts else y
            found.append(x)
        return found


def grid_sides(size: int) -> list[int]:
    """Sides of the maps that `ResNet8.stages` gives for a square picture of `size` pixels, at least 8.

    200 -> [49, 25, 13, 7].
    """
    sides = [(-(-size // 2) - 3) // 2 + 1]
    for _ in WIDTHS:
        sides.append(-(-sides[-1] // 2))
    return sides
