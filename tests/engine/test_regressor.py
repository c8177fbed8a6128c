"""The regressor: targets that follow their pictures, and what a run of it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine.page import Section
from kinesics.engine.prediction import Steering
from kinesics.engine.regressor import Regressor, RegressorConfig, answers_and_targets
from kinesics.engine.task import DataSpec
from kinesics.errors import UserError

SPEC = DataSpec((), 32, 1, 0.5, 0.25, 0)


class Middle(Regressor):
    """Answers with the column of the brightest light, from -1 (left) to 1."""

    def make_model(self) -> torch.nn.Module:
        """Light-weighted mean column."""

        class Brightest(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                weight = (x - x.amin((2, 3), keepdim=True)).square().square().sum((1, 2))
                return (weight * torch.linspace(-1, 1, x.shape[3])).sum(1) / weight.sum(1)

        return Brightest()


def task(**augment: float) -> Middle:
    changes = AugmentConfig(**{"flip": 0.0, **augment})  # type: ignore[arg-type]
    return Middle(RegressorConfig(shift_gain=2.0 if "shift" in augment else 0.0), SPEC, changes)


def answers_follow(judge: Middle, data: Samples, within: float) -> np.ndarray:
    """How targets changed; the answers to the changed pictures are off by as much as those to the stored ones."""
    plain = judge.transform(data.batch(np.arange(len(data))), None)
    changed = judge.transform(data.batch(np.arange(len(data))), torch.Generator().manual_seed(0))
    moved = changed["target"] - plain["target"]
    sign = torch.where(moved.abs() > 0, changed["target"] / plain["target"], torch.ones(())) if not within else 1
    error = judge.angles(plain["image"]) * sign - plain["target"] * sign
    assert (judge.angles(changed["image"]) - changed["target"] - error).abs().max() < max(within, 1e-4)
    return moved.numpy()


def test_the_target_of_a_mirrored_picture_changes_its_sign(data_of: Callable[[str], Samples]) -> None:
    views = data_of("fadnet")
    moved = answers_follow(task(flip=0.5), views, 0.0)
    mirrored = moved != 0
    assert 10 < mirrored.sum() < 38
    np.testing.assert_allclose(moved[mirrored], -2 * views.columns["target"][mirrored], rtol=1e-6)


def test_the_target_of_a_shifted_picture_is_shifted(data_of: Callable[[str], Samples]) -> None:
    """A picture moved right by a share s of its width shows the post 2 s further right on the scale from -1 to 1."""
    views = data_of("fadnet")
    inner = views.subset(np.flatnonzero(np.abs(views.columns["target"]) < 0.6))
    moved = answers_follow(task(shift=0.1), inner, 0.06)
    assert np.abs(moved).max() <= 0.2 + 1e-6 and moved.min() < -0.1 and moved.max() > 0.1


def test_targets_stay_where_left_and_right_do_not_matter(data_of: Callable[[str], Samples]) -> None:
    views = data_of("fadnet")
    judge = Middle(RegressorConfig(mirror_sign=1.0), SPEC, AugmentConfig(flip=1.0))
    changed = judge.transform(views.batch(np.arange(9)), torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(changed["target"], views.columns["target"][:9])
    assert "target" not in judge.transform({"image": torch.zeros(1, 32, 32, 1, dtype=torch.uint8)}, torch.Generator())


def test_samples_without_a_target_are_not_judged(data_of: Callable[[str], Samples]) -> None:
    views = data_of("fadnet").subset(range(4))
    some = views.with_columns(target=np.array([0.5, np.nan, -0.5, 1.0], dtype=np.float32))
    answers = [Steering(angle=angle) for angle in (0.0, 9.0, -0.5, 0.5)]
    predicted, true = answers_and_targets(answers, some)
    assert predicted.tolist() == [0.0, -0.5, 0.5] and true.tolist() == [0.5, -0.5, 1.0]
    scores = task().metrics(answers, some)
    assert scores["rmse"] == pytest.approx(np.sqrt(0.5 / 3)) and scores["mae"] == pytest.approx(1 / 3)
    none = replace(views, columns={})
    assert all(np.isnan(value) for value in task().metrics(answers, none).values())
    assert task().report(answers, none) == []
    with pytest.raises(UserError, match="no column target"):
        task().attach(none)


def test_the_report_has_a_figure_a_table_and_the_worst(data_of: Callable[[str], Samples]) -> None:
    views = data_of("fadnet").subset(range(12))
    answers = [Steering(angle=float(target) / 2) for target in views.columns["target"]]
    sections = task().report(answers, replace(views, extra={"silo": np.array(["a", "b"] * 6, dtype=object)}))
    assert all(isinstance(section, Section) for section in sections)
    assert [section.title for section in sections] == ["Answers and targets", "By silo", "Largest errors"]


def test_the_drawn_line_leans_as_the_wheel_is_turned() -> None:
    image = Image.new("RGB", (100, 80), "black")
    for angle in (-0.6, 0.6, 50.0):
        drawn = np.asarray(Steering(angle=angle).draw(image)).astype(int)
        blue = (drawn[20:, :, 2] > 150) & (drawn[20:, :, 0] < 60)
        columns = np.flatnonzero(blue.any(0))
        assert (columns.mean() < 45) if angle < 0 else (columns.mean() > 55)
    assert Steering("a.png", angle=0.5).to_dict() == {"source": "a.png", "angle": 0.5}
