"""LDLVA as a task: one training step reads like the text's Overview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine import distributed
from kinesics.engine.classifier import Classifier, one_hot_targets, probabilities
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import step_seed
from kinesics.engine.optimizers import OptimizerSpec, build_optimizer
from kinesics.engine.prediction import Prediction
from kinesics.engine.task import Batch, DataSpec, Preparation
from kinesics.metrics.label_noise import anchor_counts, label_given_truth, nearest_mixture, posterior
from kinesics.systems.ldlva import losses
from kinesics.systems.ldlva.config import LDLVAConfig
from kinesics.systems.ldlva.model import Calibration
from kinesics.systems.ldlva.neighbours import locate, nearest, project, teacher_classifier

_START_RANGE = (0.05, 0.5)
"""Lambda has no gradient at 0, and above a half the bank feeds on itself before the network has learned much."""

_ROWS = 4096
"""Samples whose neighbours are looked at together."""

_NEVER = 2**30
"""Epoch in which samples are placed for good."""


class LDLVA(Classifier):
    """Label distribution learning over valence-arousal neighbours with a trainable uncertainty per sample.

    Shared: the backbone, the calibration network g, the class centres. Local, by sample id: uncertainty lambda (as a
    logit), the neighbours and their similarity, the bank of features and predictions (fp16); where neighbours are
    aligned, the factors of the classes and the epoch that they are of, which are the same in every row.
    """

    edition: ClassVar[int] = 2

    config_class: ClassVar[type] = LDLVAConfig
    local_prefixes: ClassVar[tuple[str, ...]] = ("uncertainty", "neighbour_", "bank_")

    config: LDLVAConfig
    uncertainty_logit: nn.Parameter
    neighbour_index: Tensor
    neighbour_similarity: Tensor
    neighbour_placed: Tensor
    neighbour_factor: Tensor
    neighbour_aligned: Tensor
    bank_feature: Tensor
    bank_probability: Tensor

    def __init__(self, config: LDLVAConfig, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__(config, spec, augment)
        features, n = self.model.feature_size, spec.n_train
        self.calibrate_pairs = Calibration(
            features, config.calibration_hidden, config.calibration_norm, config.calibration_floor
        )
        self.centres = nn.Parameter(config.centre_init * torch.randn(spec.n_classes, features))
        start = float(np.log(config.uncertainty_init / (1 - config.uncertainty_init)))
        self.uncertainty_logit = nn.Parameter(torch.full((n,), start))
        self.register_buffer("neighbour_index", torch.zeros(n, config.k, dtype=torch.int32))
        self.register_buffer("neighbour_similarity", torch.zeros(n, config.k))
        self.register_buffer("neighbour_placed", torch.full((n,), _NEVER, dtype=torch.int32))
        if self._aligns:
            self.register_buffer("neighbour_factor", torch.ones(n, spec.n_classes))
            self.register_buffer("neighbour_aligned", torch.full((n,), -1, dtype=torch.int32))
        rows = n if config.neighbours == "bank" else 0
        self.register_buffer("bank_feature", torch.zeros(rows, features, dtype=torch.float16))
        self.register_buffer("bank_probability", torch.zeros(rows, spec.n_classes, dtype=torch.float16))
        self._epoch = 0
        self._fresh: tuple[Tensor, Tensor] | None = None
        self._train: Samples | None = None
        self._label: Tensor | None = None

    def attach(self, train: Samples) -> None:
        """Keep the training samples: `forward` neighbours are read from them, and their labels."""
        super().attach(train)
        self._train = train
        self._label = torch.from_numpy(train.columns["label"])

    def prepare(self, data: Samples, preparation: Preparation) -> None:
        """Place the samples in valence-arousal space, find their neighbours and fill the first bank."""
        place = locate(self.config, data, lambda: teacher_classifier(self.config, self.spec, self), preparation)
        self._find_neighbours(place.position)
        if self.config.neighbours == "bank":
            self._fill_bank(data, place.teacher)
        if self.config.uncertainty_start == "fitted" and place.teacher is not None:
            start = self._fitted_uncertainty(place.teacher, data.columns["label"])
            self.uncertainty_logit.data.fill_(float(np.log(start / (1 - start))))
            self.notes["uncertainty_start"] = round(start, 4)
        self.notes["valence_arousal"] = place.source
        if place.source == "teacher":
            relocates = self.config.relocate and self.config.neighbours == "bank"
            self.neighbour_placed.fill_(self.config.bank_hold if relocates else _NEVER)
            self.notes["teacher"] = {
                "folds": self.config.teacher_folds,
                "epochs": min(self.config.teacher_epochs, preparation.config.epochs),
                "relocates": relocates,
            }
        if place.judging_votes is not None:
            self.notes["judging_votes_seed"] = step_seed(preparation.seed, 4)

    def _find_neighbours(self, position: np.ndarray) -> None:
        """K nearest neighbours among positions (N, d), and their local similarity."""
        index, place = torch.from_numpy(nearest(position, self.config.k)), torch.from_numpy(position)
        similarity = (
            losses.local_similarity if self.config.similarity == "gaussian" else losses.local_similarity_release
        )
        self.neighbour_index.copy_(index)
        self.neighbour_similarity.copy_(similarity(place.unsqueeze(1), place[index], self.config.delta))

    def _fitted_uncertainty(self, teacher: np.ndarray, label: np.ndarray) -> float:
        """The lambda of all samples that brings d nearest to P(true class | teacher, label)."""
        given_by_true = label_given_truth(anchor_counts(teacher, label))
        neighbours = self._neighbour_distribution(torch.from_numpy(teacher).float(), torch.from_numpy(label))
        found = nearest_mixture(label, neighbours.double().numpy(), posterior(teacher, label, given_by_true))
        return float(np.clip(found, *_START_RANGE))

    def _fill_bank(self, data: Samples, teacher: np.ndarray | None) -> None:
        n_classes = self.spec.n_classes
        if self.config.bank_start == "teacher" and teacher is not None:
            first = torch.from_numpy(teacher)
        elif self.config.bank_start == "uniform":
            first = torch.full((len(data), n_classes), 1 / n_classes)
        else:
            one_hot = F.one_hot(torch.from_numpy(data.columns["label"]), n_classes).float()
            first = 0.9 * one_hot + 0.1 / n_classes
        self.bank_probability.copy_(first)

    def optimizers(self, config: FitConfig) -> list[OptimizerSpec]:
        """The run's optimiser for backbone and g; lambda and the centres have an SGD each, at a constant rate."""
        own = {id(self.uncertainty_logit), id(self.centres)}
        shared = [p for p in self.parameters() if id(p) not in own]
        specs = [OptimizerSpec(build_optimizer(shared, config))]
        reference = self.config.uncertainty_batch or config.batch_size
        uncertainty = torch.optim.SGD(
            [self.uncertainty_logit],
            lr=self.config.uncertainty_lr * config.batch_size / reference,
            momentum=self.config.uncertainty_momentum,
        )
        specs.append(OptimizerSpec(uncertainty, scheduled=False, from_epoch=self.config.warmup))
        if self.config.centres == "trained":
            centres = torch.optim.SGD([self.centres], lr=self.config.centre_lr)
            specs.append(OptimizerSpec(centres, scheduled=False, from_epoch=self.config.warmup))
        return specs

    def epoch_start(self, epoch: int) -> None:
        """Warm-up and the holding of the first bank go by epochs; so does the search for neighbours after that.

        The epoch that placed a sample last is kept with it: a resume inside an epoch must not place it anew, as the
        bank has moved on. So is the epoch whose factors of classes are known.
        """
        self._epoch = epoch
        if bool((self.neighbour_placed < epoch).any()):
            self._find_neighbours(project(self.config, self.bank_probability.double().cpu().numpy(), self.spec.classes))
            self.neighbour_placed.fill_(epoch)
        if self._aligns and epoch >= self.config.warmup and bool((self.neighbour_aligned != epoch).any()):
            assert self._label is not None
            aggregated = self._aggregate_all(self.bank_probability)
            self.neighbour_factor.copy_(self._factors(aggregated, self._label))
            self.neighbour_aligned.fill_(epoch)

    @property
    def _aligns(self) -> bool:
        return self.config.alignment == "labels" and self.config.neighbours == "bank"

    @torch.no_grad()
    def _aggregate_all(self, probability_NC: Tensor) -> Tensor:
        """(N, C) d~ of every training sample by these predictions, not aligned; zeta is 1 without a bank."""
        found = []
        learning = self.calibrate_pairs.training
        self.calibrate_pairs.eval()  # its normalisation, where it has one, learns from steps alone
        for start in range(0, len(probability_NC), _ROWS):
            rows = slice(start, start + _ROWS)
            neighbour = self.neighbour_index[rows].long()
            contribution = self.neighbour_similarity[rows]
            if self.config.neighbours == "bank":
                own, others = self.bank_feature[rows].float(), self.bank_feature[neighbour].float()
                contribution = contribution * self.calibrate_pairs(own, others)
            found.append(losses.aggregate(contribution, probability_NC[neighbour].float()))
        self.calibrate_pairs.train(learning)
        return torch.cat(found)

    def _factors(self, aggregated_NC: Tensor, label_N: Tensor) -> Tensor:
        """(C,) by which the neighbours leave the labels' classes as frequent as they are."""
        one_hot = F.one_hot(label_N.to(aggregated_NC.device).clamp(min=0), self.spec.n_classes)
        return losses.class_factors(aggregated_NC, one_hot, torch.sigmoid(self.uncertainty_logit.detach()))

    def _neighbour_distribution(self, probability_NC: Tensor, label_N: Tensor) -> Tensor:
        """(N, C) d~ of every training sample by these predictions, aligned where the settings say so."""
        aggregated = self._aggregate_all(probability_NC.to(self.neighbour_index.device))
        if self._aligns:
            aggregated = losses.align(aggregated, self._factors(aggregated, label_N))
        return aggregated.cpu()

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """L = L_cls + gamma L_D of the batch; "cls" and "centre" are its parts, "uncertainty" the mean lambda."""
        index, label = batch["index"], batch["label"]
        own_BV, logits = self.features_and_logits(batch["image"])
        log_probability = F.log_softmax(logits, 1)
        self._fresh = own_BV.detach(), log_probability.detach().exp()
        one_hot = one_hot_targets(batch, self.spec.n_classes, votes=False)
        weight = self.sample_weights(label)
        if self._epoch < self.config.warmup:
            return {"loss": losses.classification_loss(one_hot, log_probability, self.config.reduction, weight)}

        neighbour_BK = self.neighbour_index[index].long()
        other_BKV, other_BKC = self._neighbour_outputs(neighbour_BK, batch)
        zeta_BK = self.calibrate_pairs(own_BV, other_BKV)
        aggregated = losses.aggregate(zeta_BK * self.neighbour_similarity[index], other_BKC)
        if self._aligns:
            aggregated = losses.align(aggregated, self.neighbour_factor[index])
        uncertainty = torch.sigmoid(self.uncertainty_logit[index])
        target = losses.target_distribution(one_hot, aggregated, uncertainty)
        cls = losses.classification_loss(target, log_probability, self.config.reduction, weight)
        centre = self._discriminative_loss(own_BV, label, uncertainty, other_BKV, neighbour_BK)
        return {
            "loss": cls + self.config.gamma * centre,
            "cls": cls.detach(),
            "centre": centre.detach(),
            "uncertainty": uncertainty.detach().mean(),
        }

    @torch.no_grad()
    def _neighbour_outputs(self, neighbour_BK: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features (B, K, V) and predictions (B, K, C) of the neighbours, float32 and without gradient."""
        if self.config.neighbours == "bank":
            return self.bank_feature[neighbour_BK].float(), self.bank_probability[neighbour_BK].float()
        assert self._train is not None
        flat = neighbour_BK.flatten()
        images = self._train.batch(flat.cpu().numpy())["image"].to(flat.device)
        # The engine seeds the global generator anew for every step, so this repeats after a resume.
        draw = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
        view = self.transform({"image": images}, draw)["image"]
        feature, logits = self.features_and_logits(view)
        shape = neighbour_BK.shape
        return feature.view(*shape, -1), torch.softmax(logits, 1).view(*shape, -1)

    def _discriminative_loss(
        self, own_BV: Tensor, label_B: Tensor, uncertainty_B: Tensor, other_BKV: Tensor, neighbour_BK: Tensor
    ) -> Tensor:
        """L_D; with `centres` "moved" its second term is the released code's hand-made step instead of a loss."""
        config = self.config
        if not config.uncertainty_through_centres:
            uncertainty_B = uncertainty_B.detach()
        feature, label, uncertainty = own_BV, label_B, uncertainty_B
        if config.neighbours_in_centres:
            assert self._label is not None
            flat = neighbour_BK.flatten()
            feature = torch.cat([own_BV, other_BKV.flatten(0, 1)])
            label = torch.cat([label_B, self._label.to(flat.device)[flat]])
            uncertainty = torch.cat([uncertainty_B, torch.sigmoid(self.uncertainty_logit[flat]).detach()])
        centre = self.centres if config.centres == "trained" else self.centres.detach()
        intra = losses.intra_class_loss(feature, centre[label], uncertainty, config.reduction)
        if config.centres == "trained":
            return intra + losses.centre_repulsion(centre)
        everyones = distributed.gather_rows(label, feature.detach(), uncertainty.detach())
        moved = losses.move_centres_release(
            self.centres.detach(), everyones[1], everyones[0], everyones[2], config.centre_lr
        )
        # The backward pass keeps differences to the centres, not the centres, so they can be written at once.
        self.centres.detach().copy_(moved)
        return intra

    @torch.no_grad()
    def after_step(self, batch: Batch) -> None:
        """Write the batch's features and, after the holding epochs, its predictions into the bank, by sample id."""
        if self.config.neighbours != "bank" or self._fresh is None:
            return
        index, feature, probability = distributed.gather_rows(batch["index"], *self._fresh)
        self._fresh = None
        self.bank_feature[index] = feature.half()
        if self._epoch >= self.config.bank_hold:
            keep = self.config.bank_momentum
            updated = keep * self.bank_probability[index].float() + (1 - keep) * probability
            self.bank_probability[index] = updated.half()

    @property
    def uncertainty(self) -> Tensor:
        """(N,) lambda of the training samples, in [0, 1]."""
        return torch.sigmoid(self.uncertainty_logit.detach())

    @torch.no_grad()
    def constructed_distribution(self, train: Samples, predictions: Sequence[Prediction]) -> np.ndarray:
        """(N, C) target d of every training sample, with the neighbours' predictions by the finished model.

        The calibration score uses the bank's features; without a bank every zeta is 1.
        """
        label = torch.from_numpy(train.columns["label"])
        aggregated = self._neighbour_distribution(torch.from_numpy(probabilities(predictions)).float(), label)
        one_hot = F.one_hot(label.clamp(min=0), self.spec.n_classes).float()
        return losses.target_distribution(one_hot, aggregated, self.uncertainty.cpu()).numpy()

    def sample_scores(self, train: Samples, predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
        """`uncertainty` lambda (N,), the constructed `target` d (N, C), and `label_doubt` (N,) in [0, 1].

        label_doubt is the mean of 1 - p(label) by the finished model and 1 - d(label): the model alone, and the
        neighbours weighed by lambda. Together they find wrong labels better than either alone (EXPERIMENTS.md).
        """
        target = self.constructed_distribution(train, predictions)
        label = train.columns["label"]
        model_doubt = super().sample_scores(train, predictions)["label_doubt"]
        return {
            "label_doubt": (model_doubt + 1 - target[np.arange(len(label)), label]) / 2,
            "uncertainty": self.uncertainty.cpu().numpy(),
            "target": target,
        }
