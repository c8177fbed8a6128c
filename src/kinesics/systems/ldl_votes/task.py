"""Training on votes as a task."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from kinesics.engine.classifier import Classifier, one_hot_targets
from kinesics.engine.task import Batch
from kinesics.systems.ldl_votes import losses
from kinesics.systems.ldl_votes.config import VoteLearningConfig


class VoteLearning(Classifier):
    """A classifier taught the vote shares by one of four schemes; rows without votes are taught their label."""

    config_class: ClassVar[type] = VoteLearningConfig

    config: VoteLearningConfig

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """The scheme's loss, mean over the batch; "kl" is the mean KL divergence from the shares to the output."""
        _, logits = self.features_and_logits(batch["image"])
        log_probability = F.log_softmax(logits, 1)
        share = one_hot_targets(batch, self.spec.n_classes, votes=True)
        loss = self._losses(share, log_probability) * self.sample_weights(batch["label"])
        return {"loss": loss.mean(), "kl": losses.kl_divergence(share, log_probability).detach().mean()}

    def _losses(self, share: Tensor, log_probability: Tensor) -> Tensor:
        scheme = self.config.scheme
        if scheme == "ml":
            return losses.multi_label_loss(share, log_probability, self.config.threshold)
        target = {"cel": lambda s: s, "mv": losses.majority, "pld": losses.drawn}[scheme](share)
        return losses.cross_entropy(target, log_probability)
