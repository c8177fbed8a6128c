"""Support maps: they light up where a known model looks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from kinesics.engine.regressor import Regressor, RegressorConfig
from kinesics.engine.task import DataSpec
from kinesics.errors import UserError
from kinesics.inference.predictor import Predictor
from kinesics.inference.steering.support import support_of


class Corner(Regressor):
    """Answers with three times the mean of the 8 x 8 pixels at the upper left."""

    config_class: ClassVar[type] = RegressorConfig

    def make_model(self) -> torch.nn.Module:
        """No network."""
        return torch.nn.Linear(1, 1)

    def angles(self, image: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) -> (B,)."""
        return 3 * image[:, 0, :8, :8].mean((1, 2))


def test_the_corner_that_steers_lights_up() -> None:
    task = Corner(RegressorConfig(), DataSpec((), 32, 1, 0.5, 0.25, 0)).eval()
    pixels = np.random.default_rng(0).integers(0, 100, (32, 32), dtype=np.uint8)
    pixels[:8, :8] = 250
    found = support_of(Predictor(task, "corner"), pixels)
    inside = np.zeros((32, 32), dtype=bool)
    inside[:8, :8] = True
    np.testing.assert_allclose(found.gradient[inside], 3 / 64 / 0.25, rtol=1e-5)
    assert (found.gradient[~inside] == 0).all()
    largest = found.occlusion.max()
    assert largest > 0.3 and found.occlusion[inside].min() > 0.1 * largest
    np.testing.assert_allclose(found.occlusion[:4, :4], largest, rtol=1e-3)
    assert found.occlusion[12:, 12:].max() < 1e-4 * largest
    assert found.answer.angle == pytest.approx(3 * (250 / 255 - 0.5) / 0.25, rel=1e-5)
    drawn = np.asarray(found.draw()).astype(int)
    assert drawn.shape == (32, 3 * 32 + 8, 3)
    gradient = drawn[:, 36:68]
    assert (gradient[2, 2] == (255, 40, 0)).all() and gradient[20, 20, 0] == gradient[20, 20, 1]


@pytest.mark.parametrize("window", [-1, 33])
def test_windows_are_within_the_picture(window: int) -> None:
    task = Corner(RegressorConfig(), DataSpec((), 32, 1, 0.5, 0.25, 0))
    with pytest.raises(UserError, match="window"):
        support_of(Predictor(task, "corner"), np.zeros((32, 32), dtype=np.uint8), window)


def test_classifiers_have_none() -> None:
    task: Any = torch.nn.Identity()
    task.spec, task.calibration = DataSpec(("a", "b"), 32, 1, 0.5, 0.25, 0), {}
    with pytest.raises(UserError, match="answers with classes"):
        support_of(Predictor(task, "faces"), np.zeros((32, 32), dtype=np.uint8))
