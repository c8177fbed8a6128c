"""Settings and presets of the Self-Cure Network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinesics.engine.classifier import ClassifierConfig
from kinesics.engine.config import require


@dataclass
class SCNConfig(ClassifierConfig):
    """Settings of the Self-Cure Network; the defaults are the text's."""

    beta: float = 0.7
    """Share of a batch that is its high-importance group, in (0, 1)."""
    margin: float = 0.15
    """delta_1: by how much the mean weight of the high group must exceed that of the low group, in [0, 1]."""
    learn_margin: bool = False
    """Whether delta_1 is trained, starting from `margin`, instead of fixed."""
    rank_weight: float = 1.0
    """Weight of the rank regularisation beside the cross-entropy; 0 leaves it out."""
    relabel_margin: float = 0.2
    """delta_2: a label is replaced if another class is more probable by more than this, in [0, 1]."""
    relabel_share: float = 0.25
    """Share of the epochs before the first relabelling (the text: 10 of 40), in [0, 1]; 1 never relabels."""
    relabel_epoch: int = 0
    """First epoch with relabelling, counted from 1; 0 goes by `relabel_share`."""
    relabel_group: str = "low"
    """Which samples may be relabelled: "low" importance group (the text) or "all" (the released code)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.beta < 1, "--task.beta", self.beta, "in (0, 1)")
        require(0 <= self.margin <= 1, "--task.margin", self.margin, "in [0, 1]")
        require(self.rank_weight >= 0, "--task.rank_weight", self.rank_weight, "at least 0")
        require(0 <= self.relabel_margin <= 1, "--task.relabel_margin", self.relabel_margin, "in [0, 1]")
        require(0 <= self.relabel_share <= 1, "--task.relabel_share", self.relabel_share, "in [0, 1]")
        require(self.relabel_epoch >= 0, "--task.relabel_epoch", self.relabel_epoch, "at least 0")
        require(self.relabel_group in ("low", "all"), "--task.relabel_group", self.relabel_group, "low or all")


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "task.relabel_epoch": 10,
        "task.backbone": "resnet18",
        "task.stem": "imagenet",
        "input.size": 224,
        "input.channels": 3,
        "fit.optimizer": "sgd",
        "fit.batch_size": 1024,
        "fit.epochs": 40,
        "fit.lr": 0.1,
        "fit.weight_decay": 1e-4,
        "fit.schedule": "step",
        "fit.milestones": [15, 30],
        "fit.decay": 0.1,
        "fit.ema": 0.0,
    },
    "release": {
        "task.relabel_epoch": 10,
        "task.relabel_group": "all",
        "task.backbone": "resnet18",
        "task.stem": "imagenet",
        "input.size": 224,
        "input.channels": 3,
        "input.augment.erase": 0.5,
        "input.augment.erase_area": 0.25,
        "fit.optimizer": "adam",
        "fit.batch_size": 64,
        "fit.epochs": 70,
        "fit.lr": 1e-3,
        "fit.weight_decay": 1e-4,
        "fit.schedule": "step",
        "fit.milestones": list(range(1, 70)),
        "fit.decay": 0.9,
        "fit.ema": 0.0,
    },
}
"""Flag -> value. `paper`: the text's settings for RAF-DB. `release`: the released code's."""
