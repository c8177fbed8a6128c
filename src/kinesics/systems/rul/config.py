"""Settings and presets of Relative Uncertainty Learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinesics.engine.classifier import ClassifierConfig
from kinesics.engine.config import require


@dataclass
class RULConfig(ClassifierConfig):
    """Settings of Relative Uncertainty Learning."""

    dimension: int = 64
    """V, length of the features mu and of sigma."""
    branch: str = "pooled"
    """What both branches see: "pooled" features, or the flattened "maps" before pooling (the released code)."""
    dropout: float = 0.4
    """Probability of dropping an input of a branch, in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.dimension >= 1, "--task.dimension", self.dimension, "at least 1")
        require(self.branch in ("pooled", "maps"), "--task.branch", self.branch, "pooled or maps")
        require(0 <= self.dropout < 1, "--task.dropout", self.dropout, "in [0, 1)")


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "release": {
        "task.branch": "maps",
        "task.backbone": "resnet18",
        "task.stem": "imagenet",
        "input.size": 224,
        "input.channels": 3,
        "input.augment.erase": 0.5,
        "input.augment.erase_area": 0.25,
        "fit.optimizer": "adam",
        "fit.batch_size": 64,
        "fit.epochs": 60,
        "fit.lr": 2e-4,
        "fit.weight_decay": 1e-4,
        "fit.schedule": "step",
        "fit.milestones": list(range(1, 60)),
        "fit.decay": 0.9,
        "fit.ema": 0.0,
    },
}
"""Flag -> value. `release`: the released code's settings for RAF-DB."""
