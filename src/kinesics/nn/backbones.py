"""The one flat table of backbones, each with a linear `fc`.

forward_maps(x) -> (B, feature_size, h, w), and forward_features(x) -> (B, feature_size), their means over space.
"""

from __future__ import annotations

import difflib
from typing import Any, cast

from torch import nn

from kinesics.errors import UserError
from kinesics.nn.compact import CompactNet
from kinesics.nn.inception import SMALLEST, InceptionV3
from kinesics.nn.mobilenet import MobileNetV2
from kinesics.nn.resnet import Stem, resnet
from kinesics.nn.vgg import VGG16

STEMS = ("auto", "small", "medium", "imagenet")
BACKBONES = ("compact", "compact_wide", "resnet18", "resnet34", "resnet50", "mobilenet_v2", "vgg16", "inception_v3")


def make_backbone(name: str, num_classes: int, in_channels: int, size: int, stem: str = "auto") -> Any:
    """Build a backbone by name.

    With stem "auto" a ResNet takes the one that fits the input: "small" under 64 px, "medium" under 96 px,
    torchvision's own ("imagenet") beyond, as published recipes for 112 px do.

    Args:
        name: one of `BACKBONES`.
        num_classes: outputs of the classifier `fc`.
        in_channels: 1 or 3.
        size: side of the input in pixels; at least 75 for inception_v3.
        stem: one of `STEMS`; of no effect on networks other than ResNets.

    Raises:
        UserError: unknown name or stem (the message lists the closest ones), or an input that is too small.
    """
    if name in ("compact", "compact_wide"):
        return CompactNet(num_classes, in_channels, width=32 if name == "compact" else 48)
    if name == "mobilenet_v2":
        return MobileNetV2(num_classes, in_channels)
    if name == "vgg16":
        return VGG16(num_classes, in_channels)
    if name == "inception_v3":
        if size < SMALLEST:
            raise UserError(
                f"inception_v3 needs pictures of {SMALLEST} pixels a side or more; got {size}",
                hint=f"--input.size {SMALLEST} or larger, or another --task.backbone",
            )
        return InceptionV3(num_classes, in_channels)
    if name in BACKBONES:
        if stem not in STEMS:
            raise UserError(f"--task.stem must be {' or '.join(STEMS)}; got {stem!r}")
        fitting = "small" if size < 64 else "medium" if size < 96 else "imagenet"
        chosen = cast(Stem, fitting if stem == "auto" else stem)
        return resnet(int(name.removeprefix("resnet")), num_classes, in_channels, chosen)
    close = difflib.get_close_matches(str(name), BACKBONES, n=3)
    raise UserError(
        f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}",
        hint=f"did you mean {' or '.join(close)}?" if close else None,
    )


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
