"""What the tests of the rivals share: noise pictures with labels, and a plain training on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from kinesics.data.emotions import BASIC
from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import fit, predict_all
from kinesics.engine.prediction import Emotion
from kinesics.engine.task import DataSpec, Task


def make_samples(n: int, channels: int = 1, size: int = 16, votes: bool = False) -> Samples:
    """Noise pictures, labels in turn; with votes the shares of ten votes, the last picture without."""
    rng = np.random.default_rng(0)
    columns = {"label": np.arange(n) % 7}
    if votes:
        shares = rng.multinomial(10, np.full(7, 1 / 7), n).astype(np.float32) / 10
        shares[-1] = np.nan
        columns["distribution"] = shares
    images = rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    return Samples(images, np.arange(n), columns, np.array([f"{i}.png" for i in range(n)]), BASIC)


@pytest.fixture
def samples_of() -> Callable[..., Samples]:
    """`make_samples`."""
    return make_samples


@pytest.fixture
def spec_of() -> Callable[[Samples], DataSpec]:
    """What a model must know of samples."""
    return lambda samples: DataSpec(
        samples.classes, samples.images.shape[1], samples.images.shape[3], 0.5, 0.25, len(samples)
    )


@pytest.fixture
def learned_by_heart() -> Callable[..., float]:
    """Train on the samples, 40 full batches, and return the share of them that is answered with its label."""

    def train(task: Task, samples: Samples, **settings: Any) -> float:
        config = FitConfig(
            epochs=40, batch_size=len(samples), lr=0.01, weight_decay=0.0, ema=0.0, precision="fp32", threads=1,
            **settings,
        )  # fmt: skip
        torch.manual_seed(0)
        fit(task, samples, None, config, seed=0, name="")
        answers = [a for a in predict_all(task, samples, len(samples)) if isinstance(a, Emotion)]
        right = [BASIC.index(str(a.label)) == y for a, y in zip(answers, samples.columns["label"], strict=True)]
        return float(np.mean(right))

    return train
