"""The plain image classifier: a backbone and cross-entropy. Systems that classify faces build on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine.answers import circumplex_of, emotions
from kinesics.engine.config import require
from kinesics.engine.evaluation import Evaluation, evaluate_classification
from kinesics.engine.graph import FromBytes
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.engine.task import Batch, DataSpec, Task
from kinesics.errors import UserError
from kinesics.metrics.calibration import apply_temperature, fit_temperature
from kinesics.nn.backbones import BACKBONES, STEMS, make_backbone

if TYPE_CHECKING:
    from kinesics.engine.report import Section

log = logging.getLogger("kinesics")


@dataclass
class ClassifierConfig:
    """Settings of the plain classifier."""

    backbone: str = "compact"
    """compact (1.2 M parameters, for CPUs), compact_wide (2.8 M), resnet18, resnet34, resnet50, mobilenet_v2, vgg16 or
    inception_v3."""
    stem: str = "auto"
    """First layers of a ResNet: small (3x3, 48 px), medium (7x7/2, 64 to 112 px), imagenet (torchvision's), or auto."""
    labels: str = "hard"
    """What is learned: "hard" single labels, or "votes": the `p_<class>` distributions (rows without one use the
    label)."""
    class_weights: str = "none"
    """Weight of each sample's loss: "none", or "balanced" by its label: N / (C N_c)."""
    label_smoothing: float = 0.0
    """Share of every target spread evenly over the classes (Szegedy et al. 2016), in [0, 1)."""

    def __post_init__(self) -> None:
        require(self.backbone in BACKBONES, "--task.backbone", self.backbone, ", ".join(BACKBONES))
        require(self.stem in STEMS, "--task.stem", self.stem, ", ".join(STEMS))
        require(self.labels in ("hard", "votes"), "--task.labels", self.labels, "hard or votes")
        weights = self.class_weights
        require(weights in ("none", "balanced"), "--task.class_weights", weights, "none or balanced")
        require(0 <= self.label_smoothing < 1, "--task.label_smoothing", self.label_smoothing, "in [0, 1)")


class Classifier(Task):
    """Backbone features v, logits f, and answers of kind `Emotion`.

    Args:
        config: has a field `backbone`.
        spec: classes and input.
    """

    config_class: ClassVar[type] = ClassifierConfig
    answer_kind: ClassVar[str] = "emotion"

    def __init__(self, config: Any, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        self.model = make_backbone(config.backbone, spec.n_classes, spec.channels, spec.size, config.stem)
        self._class_weight: Tensor | None = None
        self._circumplex = circumplex_of(spec.classes)

    def attach(self, train: Samples) -> None:
        """Count the classes, for balanced weights; warn where votes are to be learned and there are none.

        Raises:
            UserError: the data have no labels.
        """
        if "label" not in train.columns:
            raise UserError(
                "this system learns classes, but the manifest has none: no label and no p_<class> column",
                hint="add a label column",
            )
        if getattr(self.config, "labels", "hard") == "votes":
            votes = train.columns.get("distribution")
            if votes is None or not np.isfinite(votes).all(axis=1).any():
                log.warning("no training sample has votes (p_<class> columns): their labels are learned instead")
        if self.config.class_weights == "balanced":
            count = np.bincount(train.columns["label"], minlength=self.spec.n_classes)
            self._class_weight = torch.from_numpy(len(train) / (self.spec.n_classes * np.maximum(count, 1))).float()

    def sample_weights(self, label: Tensor) -> Tensor:
        """(B,) weights by label (B,), mean 1 over the training samples; a single 1 without class weights."""
        if self._class_weight is None:
            return torch.ones(1, device=label.device)
        return self._class_weight.to(label.device)[label]

    def features_and_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) -> features v (B, D) and logits (B, C), both float32."""
        features = self.model.forward_features(image).float()
        with torch.autocast(image.device.type, enabled=False):
            return features, self.model.fc(features)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy to the target distribution of each sample, mean over the batch."""
        _, logits = self.features_and_logits(batch["image"])
        loss = -(self.targets(batch) * F.log_softmax(logits, 1)).sum(1)
        return {"loss": (loss * self.sample_weights(batch["label"])).mean()}

    def targets(self, batch: Batch) -> Tensor:
        """(B, C) float32 what each sample is taught, as `labels` and `label_smoothing` say; rows sum to 1."""
        target = one_hot_targets(batch, self.spec.n_classes, votes=self.config.labels == "votes")
        smoothing = self.config.label_smoothing
        return (1 - smoothing) * target + smoothing / self.spec.n_classes

    def prediction_step(self, batch: Batch) -> list[Prediction]:
        """One `Emotion` a face, its distribution softmax(logits / temperature)."""
        _, logits = self.features_and_logits(batch["image"])
        scaled = logits.double() / self.calibration.get("temperature", 1.0)
        return emotions(torch.softmax(scaled, 1).cpu().numpy(), self.spec.classes)

    def export_module(self) -> nn.Module:
        """Bytes -> softmax(logits / temperature); a subclass with another `features_and_logits` has its own."""
        temperature = self.calibration.get("temperature", 1.0)
        return FromBytes(self.model, self.spec.mean, self.spec.std, temperature)

    def calibrate(self, predictions: Sequence[Prediction], targets: Samples) -> None:
        """Temperature scaling (Guo et al. 2017) on the given samples' labels, or their votes if votes were learned, and
        the spread of the uncertainty that comes of it."""
        wanted = targets.columns["label"]
        known = wanted >= 0
        votes = targets.columns.get("distribution")
        if getattr(self.config, "labels", "hard") == "votes" and votes is not None:
            wanted, known = votes, np.isfinite(votes).all(1)
        if known.any():
            log_probability = np.log(np.clip(probabilities(predictions)[known], 1e-300, 1.0))
            temperature = fit_temperature(log_probability, wanted[known])
            self.calibration = {"temperature": temperature, **uncertainty_deciles(log_probability, temperature)}

    def metrics(self, predictions: Sequence[Prediction], targets: Samples) -> dict[str, float]:
        """Accuracy, UAR, calibration error and, where the data have them, distances to vote distributions."""
        return self.evaluation(predictions, targets).metrics

    def evaluation(self, predictions: Sequence[Prediction], targets: Samples) -> Evaluation:
        """Everything that can be said of uncalibrated answers against the columns of `targets`.

        Args:
            predictions: made without calibration; measures ending in `_calibrated` apply the task's temperature here.
            targets: "label", and where known "distribution" and "valence_arousal".
        """
        temperature = self.calibration.get("temperature", 1.0)
        probability = probabilities(predictions)
        label = targets.columns["label"]
        truth = targets.columns.get("distribution")
        place = targets.columns.get("valence_arousal")
        predicted_place = None if self._circumplex is None else probability @ self._circumplex
        scores = evaluate_classification(
            probability,
            label,
            self.spec.classes,
            temperature,
            distribution=truth,
            valence_arousal_pred=predicted_place,
            valence_arousal=place,
        )
        return Evaluation(
            classes=self.spec.classes,
            label=label,
            probability=probability,
            temperature=temperature,
            distribution=truth,
            metrics=scores,
            names=[str(name) for name in targets.names],
            uncertainty=np.array([p.uncertainty for p in predictions if isinstance(p, Emotion)]),
        )

    @property
    def selection_metric(self) -> tuple[str, int]:
        """Highest accuracy on validation."""
        return "accuracy", 1

    def sample_scores(self, train: Samples, predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
        """`label_doubt` (N,) in [0, 1]: 1 - p(given label) by the finished model."""
        probability = probabilities(predictions)
        label = train.columns["label"]
        return {"label_doubt": 1 - probability[np.arange(len(label)), label]}

    def report(self, predictions: Sequence[Prediction], targets: Samples) -> list[Section]:
        """Nothing beyond the engine's own sections."""
        return []


def one_hot_targets(batch: Batch, n_classes: int, votes: bool) -> Tensor:
    """(B, C) float32 targets: the vote distribution where `votes` and there is one, else the one-hot label."""
    target = F.one_hot(batch["label"].clamp(min=0), n_classes).float()
    if votes and "distribution" in batch:
        known = torch.isfinite(batch["distribution"]).all(1, keepdim=True)
        target = torch.where(known, torch.nan_to_num(batch["distribution"]), target)
    return target


def probabilities(predictions: Sequence[Prediction]) -> np.ndarray:
    """(N, C) float64 distributions of `Emotion` answers, in the class order of their dictionaries."""
    rows = [list(p.distribution.values()) for p in predictions if isinstance(p, Emotion) and p.distribution]
    return np.array(rows, dtype=np.float64)


def uncertainty_deciles(log_probability: np.ndarray, temperature: float) -> dict[str, float]:
    """How uncertain calibrated answers are: `uncertainty_10` .. `uncertainty_90`, the uncertainty (entropy divided by
    log C) below which 10 % .. 90 % of the answers lie; what `kinesics predict --abstain` goes by.

    Args:
        log_probability: (N, C) before calibration.
        temperature: that they are divided by.
    """
    probability = apply_temperature(np.exp(log_probability), temperature)
    entropy = -(probability * np.log(np.clip(probability, 1e-300, 1.0))).sum(1) / np.log(max(probability.shape[1], 2))
    return {f"uncertainty_{10 * k}": float(np.quantile(entropy, k / 10)) for k in range(1, 10)}
