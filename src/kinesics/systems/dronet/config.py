"""Settings and presets of DroNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinesics.engine.config import require
from kinesics.engine.regressor import RegressorConfig


@dataclass
class DroNetConfig(RegressorConfig):
    """Settings of DroNet."""

    dropout: float = 0.5
    """Share of the features that is dropped in training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.dropout < 1, "--task.dropout", self.dropout, "in [0, 1)")


PRESETS: dict[str, dict[str, Any]] = {
    "default": {"input.size": 96, "fit.batch_size": 32},
    "paper": {
        "input.size": 200,
        "input.crop": 0.8333,
        "input.channels": 1,
        "input.augment.flip": 0.0,
        "fit.optimizer": "adam",
        "fit.lr": 1e-3,
        "fit.weight_decay": 0.0,
        "fit.batch_size": 32,
        "fit.schedule": "constant",
        "fit.ema": 0.0,
        "fit.keep": "last",
    },
}
"""Flag -> value. `paper`: as the FADNet text trains everything that it compares."""
