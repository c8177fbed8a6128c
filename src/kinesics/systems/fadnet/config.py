"""Settings and presets of FADNet. Every choice that the text leaves open is named in `__init__`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kinesics.engine.config import require
from kinesics.engine.regressor import RegressorConfig


@dataclass
class FADNetConfig(RegressorConfig):
    """Settings of FADNet."""

    input_norm: bool = True
    """Layer normalisation of each picture before the first convolution (the text); the released code has none."""
    support: str = "pooled"
    """What goes into Accumulation: "pooled", global averages of the three blocks (the text), or "conv", 1x1
    convolutions to 256 channels of what goes into the blocks, halved (released code)."""
    accumulation_bias: bool = False
    """A bias beside the weights of Accumulation (released code)."""
    shortcuts: bool = True
    """1x1 convolutions past the residual blocks; the released FADNet_plus has none."""
    head: str = "mean"
    """"mean" of the Hadamard product (the text), after an FC layer over the columns of the feature map; or "linear", an
    FC layer on the product (the released FADNet_plus)."""
    dropout: float = 0.5
    """Share of the ResBlock feature that is dropped in training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.support in ("pooled", "conv"), "--task.support", self.support, "pooled or conv")
        require(self.head in ("mean", "linear"), "--task.head", self.head, "mean or linear")
        require(0 <= self.dropout < 1, "--task.dropout", self.dropout, "in [0, 1)")


TRAINING: dict[str, Any] = {
    "fit.optimizer": "adam",
    "fit.lr": 1e-3,
    "fit.weight_decay": 0.0,
    "fit.batch_size": 32,
    "fit.schedule": "constant",
    "fit.ema": 0.0,
    "fit.keep": "last",
}
"""The text's training: Adam, 0.001, batches of 32; neither schedule nor selection."""

RELEASED: dict[str, Any] = {
    "task.input_norm": False,
    "task.support": "conv",
    "task.accumulation_bias": True,
    "input.size": 200,
    "input.crop": 0.8333,
    "input.channels": 1,
    "input.mean": 0.0,
    "input.std": 1 / 255,
    "input.augment.flip": 0.0,
    **TRAINING,
    "fit.lr": 1e-4,
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"input.size": 96, "fit.batch_size": 32},
    "paper": {"input.size": 200, "input.crop": 0.8333, "input.channels": 1, "input.augment.flip": 0.0, **TRAINING},
    "release": RELEASED,
    "release_plus": {**RELEASED, "task.shortcuts": False, "task.head": "linear"},
}
"""Flag -> value. `paper`: the text. `release`, `release_plus`: the released FADNet and FADNet_plus, which see grey
values 0 to 255 of the centre of a picture."""
