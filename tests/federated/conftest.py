"""A linear task whose every step can be worked out by hand, and silos of random numbers for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinesics.data.samples import Samples
from kinesics.engine.prediction import Prediction
from kinesics.engine.task import Batch, DataSpec, Task

torch.set_num_threads(1)
SIZE = 8


@dataclass
class LineConfig:
    """No settings."""


class Line(Task):
    """target = w x + b over all pixels, with a number of its own for every sample that is only counted."""

    config_class: ClassVar[type] = LineConfig
    local_prefixes: ClassVar[tuple[str, ...]] = ("seen",)

    def __init__(self, config: LineConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.model = nn.Linear(SIZE * SIZE, 1)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(spec.n_train))

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        self.seen[batch["index"]] += 1
        answer = self.model(batch["image"].flatten(1)).squeeze(1)
        return {"loss": (answer - batch["target"]).square().mean()}

    def prediction_step(self, batch: Batch) -> Sequence[Prediction]:
        return [Prediction() for _ in batch["index"]]

    def metrics(self, predictions: Sequence[Prediction], targets: Samples) -> dict[str, float]:
        return {"rmse": 0.0}

    @property
    def selection_metric(self) -> tuple[str, int]:
        return "rmse", -1


@pytest.fixture
def make_line() -> Callable[[int], Line]:
    return lambda n: Line(LineConfig(), DataSpec((), SIZE, 1, 0.5, 0.25, n))


@pytest.fixture
def roads() -> dict[str, Samples]:
    """Four silos of 12 to 18 random pictures, each with a target of its own level."""
    rng, found = np.random.default_rng(5), {}
    for silo, n in enumerate((12, 14, 16, 18)):
        images = rng.integers(0, 256, (n, SIZE, SIZE, 1), dtype=np.uint8)
        target = (images[:, 2, 3, 0] / 255 + 0.2 * silo).astype(np.float32)
        names = np.array([f"{silo}-{i}.png" for i in range(n)])
        found[f"city{silo}"] = Samples(images, np.arange(n), {"target": target}, names, ())
    return found


@pytest.fixture
def ring() -> Callable[[int], Tensor]:
    """n -> the ring's matrix: half of itself, half of the silo before it."""

    def matrix(n: int) -> Tensor:
        one = torch.eye(n, dtype=torch.float64)
        return 0.5 * one + 0.5 * one.roll(1, 0)

    return matrix
