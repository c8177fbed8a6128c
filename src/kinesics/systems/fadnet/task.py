"""FADNet as a task: its network under the engine's regressor."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from kinesics.engine.regressor import Regressor
from kinesics.systems.fadnet.config import FADNetConfig
from kinesics.systems.fadnet.model import FADNet


class FADNetTask(Regressor):
    """Squared error of theta = mean(f_s * f_c)."""

    config_class: ClassVar[type] = FADNetConfig

    def make_model(self) -> nn.Module:
        """The variant that the settings name."""
        return FADNet(self.config, self.spec.channels, self.spec.size)
