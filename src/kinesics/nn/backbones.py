"""The one flat table of backbones: every one has forward_features(x) -> (B, num_features) and a linear `fc`."""

from __future__ import annotations

import difflib
from typing import Any

from torch import nn

from kinesics.errors import UserError
from kinesics.nn.compact import CompactNet
from kinesics.nn.resnet import resnet

BACKBONES = ("compact", "resnet18", "resnet34", "resnet50")


def make_backbone(name: str, num_classes: int, in_channels: int, size: int) -> Any:
    """Build a backbone by name.

    ResNets take the stem that fits the input: "small" under 80 px, "medium" under 160 px, torchvision's own beyond.

    Args:
        name: one of `BACKBONES`.
        num_classes: outputs of the classifier `fc`.
        in_channels: 1 or 3.
        size: side of the input in pixels.

    Raises:
        UserError: unknown name; the message lists the closest ones.
    """
    if name == "compact":
        return CompactNet(num_classes, in_channels)
    if name in BACKBONES:
        stem = "small" if size < 80 else "medium" if size < 160 else "imagenet"
        return resnet(int(name.removeprefix("resnet")), num_classes, in_channels, stem)
    close = difflib.get_close_matches(str(name), BACKBONES, n=3)
    raise UserError(
        f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}",
        hint=f"did you mean {' or '.join(close)}?" if close else None,
    )


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
