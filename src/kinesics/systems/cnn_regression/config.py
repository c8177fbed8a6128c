"""Settings and presets of the plain image networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinesics.engine.config import require
from kinesics.engine.regressor import RegressorConfig
from kinesics.nn.backbones import BACKBONES, STEMS


@dataclass
class CNNRegressionConfig(RegressorConfig):
    """Settings of the plain image networks."""

    backbone: str = "mobilenet_v2"
    """compact, resnet18, resnet34, resnet50, mobilenet_v2, vgg16 or inception_v3."""
    stem: str = "auto"
    """First layers of a ResNet: small, medium, imagenet, or auto; of no effect on others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.backbone in BACKBONES, "--task.backbone", self.backbone, ", ".join(BACKBONES))
        require(self.stem in STEMS, "--task.stem", self.stem, ", ".join(STEMS))


PRESETS: dict[str, dict[str, Any]] = {
    "default": {"input.size": 96, "fit.batch_size": 32},
    "vgg16": {"task.backbone": "vgg16", "input.size": 96, "fit.batch_size": 32, "fit.lr": 3e-4},
    "inception_v3": {"task.backbone": "inception_v3", "input.size": 96, "fit.batch_size": 32},
}
"""Flag -> value. VGG-16 has no normalisation and needs the lower rate; Inception-V3 needs 75 pixels."""
