"""Settings and presets of Erasing Attention Consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinesics.engine.classifier import ClassifierConfig
from kinesics.engine.config import require


@dataclass
class EACConfig(ClassifierConfig):
    """Settings of Erasing Attention Consistency. How often and how much is erased: --input.augment.erase and
    erase_area."""

    weight: float = 5.0
    """lambda, of the attention consistency; 0 leaves it out."""
    erasing: str = "apart"
    """What is erased of the mirror image: "apart" draws boxes of its own, "shared" mirrors those of the image."""
    detach_classifier: bool = True
    """Whether the classifier's weights are constants in the attention maps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.weight >= 0, "--task.weight", self.weight, "at least 0")
        require(self.erasing in ("apart", "shared"), "--task.erasing", self.erasing, "apart or shared")


PRESETS: dict[str, dict[str, Any]] = {
    "default": {"input.augment.erase": 0.5, "input.augment.erase_area": 0.25},
    "release": {
        "task.backbone": "resnet50",
        "task.stem": "imagenet",
        "input.size": 224,
        "input.channels": 3,
        "input.augment.flip": 0.0,
        "input.augment.erase": 0.5,
        "input.augment.erase_area": 0.25,
        "fit.optimizer": "adam",
        "fit.batch_size": 32,
        "fit.epochs": 60,
        "fit.lr": 1e-4,
        "fit.weight_decay": 1e-4,
        "fit.schedule": "step",
        "fit.milestones": list(range(1, 60)),
        "fit.decay": 0.9,
        "fit.ema": 0.0,
    },
}
"""Flag -> value. `release`: the released code's settings for RAF-DB."""
