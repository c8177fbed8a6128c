"""Relative Uncertainty Learning as a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine.answers import emotions, with_uncertainty
from kinesics.engine.classifier import Classifier
from kinesics.engine.graph import FromBytes
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.engine.task import Batch, DataSpec
from kinesics.systems.rul import losses
from kinesics.systems.rul.config import RULConfig
from kinesics.systems.rul.model import Answering, Branch


class RUL(Classifier):
    """Features and uncertainties in two branches; pairs mixed by uncertainty are taught both labels. All is shared."""

    config_class: ClassVar[type] = RULConfig
    answer_kind: ClassVar[str] = "emotion_and_uncertainty"

    config: RULConfig

    def __init__(self, config: RULConfig, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        channels, places = self.model.feature_size, 1
        if config.branch == "maps":
            places = self._places()
        self.mu = Branch(channels, places, config.dimension, config.dropout)
        self.log_sigma = Branch(channels, places, config.dimension, config.dropout)
        self.model.fc = nn.Linear(config.dimension, spec.n_classes)

    @torch.no_grad()
    def _places(self) -> int:
        """h w of the backbone's maps."""
        self.model.eval()
        found = self.model.forward_maps(torch.zeros(1, self.spec.channels, self.spec.size, self.spec.size))
        self.model.train()
        return found.shape[2] * found.shape[3]

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) -> mu (B, V) and log sigma (B, V), float32."""
        pooled = self.config.branch == "pooled"
        seen = self.model.forward_features(image) if pooled else self.model.forward_maps(image)
        with torch.autocast(image.device.type, enabled=False):
            return self.mu(seen.float()), self.log_sigma(seen.float())

    def features_and_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) -> mu (B, V) and its logits (B, C), both float32."""
        mu, _ = self.encode(image)
        return mu, self._logits(mu)

    def _logits(self, mu: Tensor) -> Tensor:
        with torch.autocast(mu.device.type, enabled=False):
            return self.model.fc(mu)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """The add-up loss of each sample with a partner drawn from the batch; "uncertainty" is the mean u."""
        mu, log_sigma = self.encode(batch["image"])
        with torch.autocast(mu.device.type, enabled=False):
            uncertainty = losses.uncertainty_value(log_sigma)
            partner = torch.randperm(len(mu)).to(mu.device)
            logits = self._logits(losses.mix(mu, uncertainty, partner))
            loss = losses.add_up_loss(logits, self.targets(batch), partner, self.sample_weights(batch["label"]))
        return {"loss": loss, "uncertainty": uncertainty.detach().mean()}

    def prediction_step(self, batch: Batch) -> list[Prediction]:
        """One `Emotion` a face, its distribution softmax(W mu / temperature), its uncertainty u / (1 + u)."""
        mu, log_sigma = self.encode(batch["image"])
        scaled = self._logits(mu).double() / self.calibration.get("temperature", 1.0)
        value = losses.uncertainty_value(log_sigma.double())
        share = (value / (1 + value)).cpu().numpy()
        return with_uncertainty(emotions(torch.softmax(scaled, 1).cpu().numpy(), self.spec.classes), share)

    def export_module(self) -> nn.Module:
        """Bytes -> softmax(W mu / temperature) and u / (1 + u)."""
        network = Answering(self.model, self.mu, self.log_sigma, self.config.branch == "pooled")
        return FromBytes(network, self.spec.mean, self.spec.std, self.calibration.get("temperature", 1.0))

    def sample_scores(self, train: Samples, predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
        """`label_doubt` (N,) 1 - p(given label), and `uncertainty` (N,) u / (1 + u), both by the finished model."""
        found = [p.uncertainty for p in predictions if isinstance(p, Emotion)]
        return {**super().sample_scores(train, predictions), "uncertainty": np.array(found, dtype=np.float64)}
