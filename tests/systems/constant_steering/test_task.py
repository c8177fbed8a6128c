"""The baselines that don't look: their RMSE follows from the targets alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import fit, predict_all
from kinesics.engine.task import DataSpec
from kinesics.systems.constant_steering.config import ConstantConfig
from kinesics.systems.constant_steering.model import standard_draws
from kinesics.systems.constant_steering.task import ConstantTask


def views(n: int) -> Samples:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
    target = rng.normal(0.3, 0.5, n).astype(np.float32)
    return Samples(images, np.arange(n), {"target": target}, np.array([str(i) for i in range(n)]), ())


def rmse(answer: str, data: Samples) -> tuple[float, ConstantTask]:
    task = ConstantTask(ConstantConfig(answer=answer), DataSpec((), 8, 1, 0.5, 0.25, len(data)))
    fit(task, data, None, FitConfig(epochs=1, batch_size=16, ema=0.0, threads=1), seed=0, name="")
    return task.metrics(predict_all(task, data, 64), data)["rmse"], task


def test_constant_has_the_targets_deviation_and_random_more_by_the_root_of_two() -> None:
    data = views(2000)
    target = data.columns["target"].astype(np.float64)
    found, task = rmse("mean", data)
    assert found == pytest.approx(target.std(), rel=1e-5)
    assert task.model.mean.item() == pytest.approx(target.mean(), rel=1e-5)
    assert rmse("random", data)[0] == pytest.approx(np.sqrt(2) * target.std(), rel=0.05)


def test_a_pictures_draw_is_its_own() -> None:
    x = torch.rand(4, 1, 8, 8)
    draws = standard_draws(x)
    assert torch.equal(standard_draws(x[[2, 0]]), draws[[2, 0]]) and len(set(draws.tolist())) == 4
