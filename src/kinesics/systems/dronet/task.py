"""DroNet as a task: its network under the engine's regressor."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from kinesics.engine.regressor import Regressor
from kinesics.systems.dronet.config import DroNetConfig
from kinesics.systems.dronet.model import DroNet


class DroNetTask(Regressor):
    """Squared error of DroNet's steering branch."""

    config_class: ClassVar[type] = DroNetConfig

    def make_model(self) -> nn.Module:
        """ResNet-8 with one output."""
        return DroNet(self.spec.channels, self.spec.size, self.config.dropout)
