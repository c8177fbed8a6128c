"""Erasing Attention Consistency as a task."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesics.engine.classifier import Classifier
from kinesics.engine.task import Batch
from kinesics.systems.eac import losses
from kinesics.systems.eac.config import EACConfig


class EAC(Classifier):
    """Cross-entropy on erased images, and attention maps that must agree with those of their mirror images."""

    config_class: ClassVar[type] = EACConfig

    config: EACConfig

    def transform(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        """In training also "mirrored" (B, C, H, W): the mirror image, erased at places of its own where `erasing` is
        "apart"."""
        if generator is None:
            return super().transform(batch, None)
        if self.config.erasing == "shared":
            image = other = self._augment(batch["image"], generator)
        else:
            image, other = self._augment.erased_twice(batch["image"], generator)
        return {**batch, "image": image, "mirrored": other.flip(3)}

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """l_cls + lambda l_c; "cls" and "consistency" are its parts."""
        both = torch.cat([batch["image"], batch["mirrored"]])
        maps = self.model.forward_maps(both).float()
        with torch.autocast(both.device.type, enabled=False):
            own, mirrored = maps.chunk(2)
            logits = self.model.fc(own.mean((2, 3)))
            weight = self.model.fc.weight
            if self.config.detach_classifier:
                weight = weight.detach()
            consistency = losses.flip_consistency(
                losses.attention_maps(own, weight), losses.attention_maps(mirrored, weight)
            )
        loss = -(self.targets(batch) * F.log_softmax(logits, 1)).sum(1)
        cls = (loss * self.sample_weights(batch["label"])).mean()
        return {
            "loss": cls + self.config.weight * consistency,
            "cls": cls.detach(),
            "consistency": consistency.detach(),
        }
