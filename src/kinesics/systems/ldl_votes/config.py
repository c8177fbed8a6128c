"""Settings and presets of training on votes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kinesics.engine.config import require
from kinesics.nn.backbones import BACKBONES, STEMS

SCHEMES = ("cel", "pld", "mv", "ml")


@dataclass
class VoteLearningConfig:
    """Settings of training on votes."""

    labels: ClassVar[str] = "votes"
    """What is learned, and what answers are calibrated on."""

    backbone: str = "compact"
    """compact (1.2 M parameters, for CPUs), compact_wide (2.8 M), resnet18, resnet34, resnet50, mobilenet_v2, vgg16 or
    inception_v3."""
    stem: str = "auto"
    """First layers of a ResNet: small (3x3, 48 px), medium (7x7/2, 64 to 112 px), imagenet (torchvision's), or auto."""
    scheme: str = "cel"
    """cel (cross-entropy to the shares), pld (a label drawn from them), mv (their majority) or ml (any label with a
    share of `threshold` or more is right)."""
    threshold: float = 0.3
    """theta of ml, in (0, 1]."""
    class_weights: str = "none"
    """Weight of each sample's loss: "none", or "balanced" by its label: N / (C N_c)."""

    def __post_init__(self) -> None:
        require(self.backbone in BACKBONES, "--task.backbone", self.backbone, ", ".join(BACKBONES))
        require(self.stem in STEMS, "--task.stem", self.stem, ", ".join(STEMS))
        require(self.scheme in SCHEMES, "--task.scheme", self.scheme, ", ".join(SCHEMES))
        require(0 < self.threshold <= 1, "--task.threshold", self.threshold, "in (0, 1]")
        weights = self.class_weights
        require(weights in ("none", "balanced"), "--task.class_weights", weights, "none or balanced")


PRESETS: dict[str, dict[str, Any]] = {"default": {}}
"""Flag -> value."""
