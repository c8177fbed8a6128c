"""The baselines that don't look, as tasks."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.optimizers import OptimizerSpec
from kinesics.engine.regressor import Regressor
from kinesics.engine.task import Preparation
from kinesics.errors import UserError
from kinesics.systems.constant_steering.config import ConstantConfig
from kinesics.systems.constant_steering.model import Constant, RandomDraw


class ConstantTask(Regressor):
    """The training targets' mean, or draws around it."""

    config_class: ClassVar[type] = ConstantConfig

    def make_model(self) -> nn.Module:
        """One number, or two."""
        return RandomDraw() if self.config.answer == "random" else Constant()

    def export_module(self) -> nn.Module:
        """As every regressor's.

        Raises:
            UserError: for draws, which a checksum of the pixels decides; no graph computes that.
        """
        if self.config.answer == "random":
            raise UserError(
                "random answers have no exported form: a checksum of the pixels decides them",
                hint="export a run with --task.answer mean",
            )
        return super().export_module()

    def prepare(self, data: Samples, preparation: Preparation) -> None:
        """Set mean and deviation to those of the targets."""
        target, model = torch.from_numpy(data.columns["target"]).double(), self.model
        assert isinstance(model, Constant)
        with torch.no_grad():
            model.mean.fill_(target.mean().item())
            if isinstance(model, RandomDraw):
                model.deviation.fill_(target.std(correction=0).item())

    def optimizers(self, config: FitConfig) -> list[OptimizerSpec]:
        """Nothing is left to learn: a rate of 0 keeps what `prepare` found."""
        return [OptimizerSpec(torch.optim.SGD(self.parameters(), lr=0.0))]
