"""The Self-Cure Network as a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine import distributed
from kinesics.engine.classifier import Classifier
from kinesics.engine.config import FitConfig
from kinesics.engine.graph import FromBytes
from kinesics.engine.optimizers import OptimizerSpec
from kinesics.engine.prediction import Prediction
from kinesics.engine.task import Batch, DataSpec
from kinesics.systems.scn import losses
from kinesics.systems.scn.config import SCNConfig
from kinesics.systems.scn.model import WeightedLogits


class SCN(Classifier):
    """Logits weighted by a learned importance, ranked; labels that the network contradicts are replaced.

    Shared: the backbone, the importance layer, delta_1 where it is learned. Local, by sample id: the label as it
    stands and the importance when last drawn.
    """

    config_class: ClassVar[type] = SCNConfig
    local_prefixes: ClassVar[tuple[str, ...]] = ("sample_",)

    config: SCNConfig
    sample_label: Tensor
    sample_importance: Tensor

    def __init__(self, config: SCNConfig, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        self.importance = nn.Linear(self.model.feature_size, 1)
        self.margin = nn.Parameter(torch.tensor([config.margin])) if config.learn_margin else None
        self.register_buffer("sample_label", torch.full((spec.n_train,), -1, dtype=torch.int64))
        self.register_buffer("sample_importance", torch.zeros(spec.n_train))
        self._epoch = 0
        self._first_relabelling = max(config.relabel_epoch - 1, 0)
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    def optimizers(self, config: FitConfig) -> list[OptimizerSpec]:
        """The run's optimiser; its number of epochs says when relabelling starts."""
        if not self.config.relabel_epoch:
            self._first_relabelling = math.ceil(self.config.relabel_share * config.epochs)
        return super().optimizers(config)

    def epoch_start(self, epoch: int) -> None:
        """Relabelling goes by epochs."""
        self._epoch = epoch

    def importance_and_logits(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, channels, H, W) -> features (B, D), alpha (B,) in (0, 1), logits (B, C) before alpha; float32."""
        features, logits = super().features_and_logits(image)
        with torch.autocast(image.device.type, enabled=False):
            return features, torch.sigmoid(self.importance(features)).squeeze(1), logits

    def features_and_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) -> features (B, D) and weighted logits alpha W^T x (B, C), both float32."""
        features, importance, logits = self.importance_and_logits(image)
        return features, importance.unsqueeze(1) * logits

    def export_module(self) -> nn.Module:
        """Bytes -> softmax(alpha W^T x / temperature)."""
        network = WeightedLogits(self.model, self.importance)
        return FromBytes(network, self.spec.mean, self.spec.std, self.calibration.get("temperature", 1.0))

    def current_labels(self, index: Tensor, label: Tensor) -> Tensor:
        """(B,) labels of samples `index` (B,) as they stand: replaced ones, else the given `label` (B,)."""
        replaced = self.sample_label[index]
        return torch.where(replaced >= 0, replaced, label)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """L_WCE + rank_weight L_RR; "cls" and "rank" are its parts, "importance" the mean alpha, "relabelled" the share
        of the batch whose label is no longer the given one."""
        index = batch["index"]
        label = self.current_labels(index, batch["label"])
        _, importance, logits = self.importance_and_logits(batch["image"])
        whole, own = _whole_batch(importance)
        high = losses.high_importance(whole, self.config.beta)
        target = self.targets({**batch, "label": label})
        replaced = label != batch["label"]
        if self.config.labels == "votes" and "distribution" in batch:  # votes belong to the label that was replaced
            target = torch.where(replaced.unsqueeze(1), self.targets({"label": label}), target)
        cls = losses.weighted_cross_entropy(importance, logits, target, self.sample_weights(label))
        margin = self.config.margin if self.margin is None else self.margin.squeeze()
        rank = losses.rank_regularisation(whole, high, margin)
        self._seen = index, importance.detach(), self._relabelled(importance, logits, label, high[own])
        return {
            "loss": cls + self.config.rank_weight * rank,
            "cls": cls.detach(),
            "rank": rank.detach(),
            "importance": importance.detach().mean(),
            "relabelled": replaced.float().mean(),
        }

    @torch.no_grad()
    def _relabelled(self, importance: Tensor, logits: Tensor, label: Tensor, high: Tensor) -> Tensor:
        """(B,) the batch's labels from now on; only what this step's outputs contradict is replaced."""
        if self._epoch < self._first_relabelling:
            return label
        probability = torch.softmax(importance.unsqueeze(1) * logits, 1)
        changed = losses.relabel(probability, label, self.config.relabel_margin)
        return torch.where(high, label, changed) if self.config.relabel_group == "low" else changed

    @torch.no_grad()
    def after_step(self, batch: Batch) -> None:
        """Write the batch's importance and labels into the tables, by sample id; a label that is the given one again
        counts as given."""
        if self._seen is None:
            return
        index, importance, label, given = distributed.gather_rows(*self._seen, batch["label"])
        self._seen = None
        self.sample_importance[index] = importance
        self.sample_label[index] = torch.where(label == given, -1, label)

    def sample_scores(self, train: Samples, predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
        """`importance` alpha (N,) when last drawn, `uncertainty` 1 - alpha, `relabelled` (N,) 0 or 1, the current label
        as a one-hot `target` (N, C), and `label_doubt` (N,) in [0, 1].

        label_doubt is the mean of 1 - p(given label) by the finished model and of `relabelled`: what was relabelled
        comes first.
        """
        given = torch.from_numpy(train.columns["label"])
        label = self.current_labels(torch.arange(len(given)), given.to(self.device)).cpu()
        importance = self.sample_importance.double().cpu().numpy()
        relabelled = (label != given).double().numpy()
        doubt = super().sample_scores(train, predictions)["label_doubt"]
        return {
            "label_doubt": (doubt + relabelled) / 2,
            "importance": importance,
            "uncertainty": 1 - importance,
            "relabelled": relabelled,
            "target": F.one_hot(label, self.spec.n_classes).double().numpy(),
        }


def _whole_batch(importance: Tensor) -> tuple[Tensor, slice]:
    """Every process's alpha (B,) in one vector, and where this process's lie in it.

    Own values keep their gradient, times the number of processes: the mean of the processes' gradients is then that of
    one process with the whole batch.
    """
    world, n = distributed.world_size(), len(importance)
    own = slice(distributed.rank() * n, (distributed.rank() + 1) * n)
    if world == 1:
        return importance, own
    (everyones,) = distributed.gather_rows(importance.detach())
    before, after = everyones[: own.start], everyones[own.stop :]
    return torch.cat([before, importance.detach() + world * (importance - importance.detach()), after]), own
