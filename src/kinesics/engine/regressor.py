"""The plain regressor: a network that answers one number a picture, and squared error. Steering systems build on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine.config import require
from kinesics.engine.graph import FromBytes
from kinesics.engine.prediction import Prediction, Steering
from kinesics.engine.task import Batch, DataSpec, Task
from kinesics.errors import UserError
from kinesics.metrics import regression

if TYPE_CHECKING:
    from kinesics.engine.report import Section


@dataclass
class RegressorConfig:
    """Settings of the plain regressor."""

    mirror_sign: float = -1.0
    """What a mirrored picture's target is multiplied by: -1 for steering; 1 for targets without left and right."""
    shift_gain: float = 0.0
    """Added to the target for a shift of the picture to the right by its whole width (the released FADNet's helper:
    0.64, that is 0.002 a pixel at 320)."""

    def __post_init__(self) -> None:
        require(self.mirror_sign in (-1.0, 1.0), "--task.mirror_sign", self.mirror_sign, "-1 or 1")


class Regressor(Task):
    """Answers of kind `Steering` from a picture, learned by mean squared error on the column `target`.

    Subclasses say which network `self.model` is: (B, channels, H, W) normalised pixels -> (B,) answers.

    Args:
        config: a `RegressorConfig`.
        spec: the input.
    """

    config_class: ClassVar[type] = RegressorConfig
    truth: ClassVar[str] = "target"
    answer_kind: ClassVar[str] = "steering"

    def __init__(self, config: Any, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        self.model = self.make_model()

    @abstractmethod
    def make_model(self) -> nn.Module:
        """The network for `self.config` and `self.spec`: (B, channels, H, W) -> (B,)."""

    def attach(self, train: Samples) -> None:
        """Make sure that there is something to learn.

        Raises:
            UserError: the data have no targets.
        """
        if "target" not in train.columns:
            raise UserError(
                "this system learns a number, but the manifest has no column target",
                hint="add it, or name yours: kinesics data convert --layout csv --target-column NAME",
            )

    def transform(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        """As the default; the target follows when its picture is mirrored or shifted."""
        if generator is None:
            return super().transform(batch, None)
        image, moved = self._augment.with_moves(batch["image"], generator)
        if "target" not in batch:
            return {**batch, "image": image}
        target = torch.where(moved.mirrored, self.config.mirror_sign * batch["target"], batch["target"])
        return {**batch, "image": image, "target": target + self.config.shift_gain * moved.shifted}

    def angles(self, image: Tensor) -> Tensor:
        """(B, channels, H, W) normalised pixels -> (B,) float32 answers."""
        return self.model(image).float()

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error over the batch."""
        return {"loss": (self.angles(batch["image"]) - batch["target"]).square().mean()}

    def prediction_step(self, batch: Batch) -> list[Prediction]:
        """One `Steering` a picture."""
        return [Steering(angle=angle) for angle in self.angles(batch["image"]).double().tolist()]

    def export_module(self) -> nn.Module:
        """Bytes -> (B,) answers."""
        return FromBytes(self.model, self.spec.mean, self.spec.std)

    def metrics(self, predictions: Sequence[Prediction], targets: Samples) -> dict[str, float]:
        """RMSE and mean absolute error in the unit of the targets, correlation, concordance; NaN without targets."""
        predicted, true = answers_and_targets(predictions, targets)
        return {
            "rmse": regression.rmse(predicted, true),
            "mae": regression.mae(predicted, true),
            "pearson": regression.pearson(predicted, true),
            "ccc": regression.ccc(predicted, true),
        }

    @property
    def selection_metric(self) -> tuple[str, int]:
        """Lowest RMSE on validation."""
        return "rmse", -1

    def sample_scores(self, train: Samples, predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
        """`error` (N,): distance of the finished model's answer from the given target."""
        return {"error": np.abs(_angles(predictions) - train.columns["target"])}

    def report(self, predictions: Sequence[Prediction], targets: Samples) -> list[Section]:
        """Answers over targets, errors by silo, and the pictures with the largest errors."""
        from kinesics.engine.regression_sections import regression_sections

        if "target" not in targets.columns or not np.isfinite(targets.columns["target"]).any():
            return []
        return regression_sections(_angles(predictions), targets)


def answers_and_targets(predictions: Sequence[Prediction], targets: Samples) -> tuple[np.ndarray, np.ndarray]:
    """(M,) float64 answers and (M,) targets of the samples that have a target."""
    true = np.asarray(targets.columns.get("target", np.full(len(targets), np.nan)), dtype=np.float64)
    known = np.isfinite(true)
    return _angles(predictions)[known], true[known]


def _angles(predictions: Sequence[Prediction]) -> np.ndarray:
    return np.array([p.angle for p in predictions if isinstance(p, Steering)], dtype=np.float64)
