"""Plain image networks as tasks: a backbone with one output under the engine's regressor."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from kinesics.engine.regressor import Regressor
from kinesics.nn.backbones import make_backbone
from kinesics.systems.cnn_regression.config import CNNRegressionConfig


class CNNRegression(Regressor):
    """Squared error of a backbone's single output."""

    config_class: ClassVar[type] = CNNRegressionConfig

    def make_model(self) -> nn.Module:
        """The backbone that the settings name."""
        return make_backbone(self.config.backbone, 1, self.spec.channels, self.spec.size, self.config.stem)

    def angles(self, image: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B,) float32."""
        return self.model(image).squeeze(1).float()
