"""Settings and presets of the baselines that don't look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinesics.engine.config import require
from kinesics.engine.regressor import RegressorConfig


@dataclass
class ConstantConfig(RegressorConfig):
    """Settings of the baselines that don't look."""

    answer: str = "mean"
    """"mean" of the training targets for every picture, or "random", a normal draw with their mean and deviation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.answer in ("mean", "random"), "--task.answer", self.answer, "mean or random")


_ONCE: dict[str, Any] = {"input.augment.flip": 0.0, "fit.epochs": 1, "fit.ema": 0.0}

PRESETS: dict[str, dict[str, Any]] = {"default": _ONCE, "random": {**_ONCE, "task.answer": "random"}}
"""Flag -> value. The answer is known before the first step: one epoch, so that a run is like any other."""
