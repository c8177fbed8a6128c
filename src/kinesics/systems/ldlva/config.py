"""Settings of LDLVA. Every choice that the text leaves open is a field here; `__init__` gives the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kinesics.engine.config import require
from kinesics.nn.backbones import BACKBONES, STEMS


@dataclass
class LDLVAConfig:
    """Settings of LDLVA."""

    backbone: str = "compact"
    """compact (1.2 M parameters, for CPUs), compact_wide (2.8 M), resnet18, resnet34, resnet50, mobilenet_v2, vgg16 or
    inception_v3."""

    stem: str = "auto"
    """First layers of a ResNet: small (3x3, 48 px), medium (7x7/2, 64 to 112 px), imagenet (torchvision's), or auto."""

    # neighbours
    neighbours: str = "bank"
    """Where the neighbours' features and predictions come from: "bank", a table that each step updates, or "forward",
    K more images through the backbone every step (the text; 4 to 5 times the cost)."""
    k: int = 8
    """Neighbours of each sample, K."""
    space: str = "valence_arousal"
    """Where neighbours are searched: "valence_arousal" (the text) or "distribution", the teacher's C-dimensional
    prediction, for classes without circumplex coordinates."""
    source: str = "auto"
    """Where valence-arousal comes from: "columns" of the manifest, "teacher" (out-of-fold predictions projected on the
    circumplex), "votes" (one half of each sample's votes, likewise), or auto: columns if complete, else teacher."""
    similarity: str = "gaussian"
    """Local similarity: "gaussian" exp(-||a_i - a_k||^2 / delta^2) (the text) or "laplace"
    exp(-||a_i - a_k||_1 / delta) (the released code, delta 0.5)."""
    delta: float = 0.3
    """Width of the local similarity in valence-arousal units."""

    # teacher
    teacher_folds: int = 2
    """Parts of the training data that take turns at being predicted by a model that never saw them."""
    teacher_epochs: int = 10
    """Epochs of each teacher, at most those of the run."""
    relocate: bool = True
    """Whether a teacher's placement gives way to the bank's own predictions: once the bank is no longer held, every
    epoch places all samples anew and searches their neighbours. Needs source teacher and a bank; else of no effect."""

    # calibration network g
    calibration_hidden: list[int] = field(default_factory=lambda: [128])
    """Hidden widths of g; the released code has [512, 256]."""
    calibration_norm: bool = False
    """Batch normalisation over the B x K pairs in g (released code)."""
    calibration_floor: float | None = None
    """Lower clamp of g's output before the sigmoid; the released code has -1.3, so that zeta is in [.214, 1)."""

    # uncertainty lambda
    uncertainty_init: float = 0.5
    """Uncertainty lambda of every sample at the start, in (0, 1)."""
    uncertainty_start: str = "fitted"
    """Where every lambda begins: at `uncertainty_init` ("constant"), or where the mixture of labels and neighbours
    comes nearest to what the teacher's out-of-fold predictions and the labels say of the truth, in least squares and
    kept in [0.05, 0.5] ("fitted"; without a teacher at `uncertainty_init`)."""
    uncertainty_lr: float = 10.0
    """Rate of lambda's own SGD; it is not scheduled."""
    uncertainty_batch: int = 0
    """Batch size that `uncertainty_lr` is meant for: the rate is multiplied by batch size / this, so that a visit moves
    lambda as far whatever the batch (the mean loss divides its gradient by the batch size; silos of a federation may
    have batches of 2 to 33). 0 leaves the rate as it is; of no use with reduction sum."""
    uncertainty_momentum: float = 0.0
    """Momentum of lambda's own SGD; the released code uses 0.9 on AffectNet."""
    uncertainty_through_centres: bool = False
    """Whether L_D's gradient reaches lambda too (the text read literally; it only ever raises lambda)."""

    # neighbours' classes
    alignment: str = "none"
    """What frequency of classes the neighbour distributions have, weighed by lambda: as it comes ("none", the text), or
    that of the "labels", which they are brought to by one factor a class, renewed every epoch. Needs a bank; else of no
    effect."""

    # bank
    bank_start: str = "teacher"
    """First predictions in the bank: "teacher" (its out-of-fold predictions, where there is a teacher), "label" (the
    smoothed given label) or "uniform"."""
    bank_hold: int = 5
    """Epochs in which the bank keeps its first predictions, so that an untrained network doesn't overwrite them."""
    bank_momentum: float = 0.0
    """Share of the old entry that an update keeps, in [0, 1)."""
    warmup: int = 0
    """Epochs of plain cross-entropy before neighbours are trusted."""

    # losses
    class_weights: str = "none"
    """Weight of each sample's L_cls: "none", or "balanced" by its label: N / (C N_c) (released code on AffectNet)."""
    gamma: float = 0.001
    """Weight of L_D. The text's 0.01 goes with pretrained features; without them it slows learning down."""
    reduction: str = "mean"
    """"mean" over the batch (released code) or "sum" (the text's formulas)."""
    centres: str = "trained"
    """"trained": class centres follow the gradient of L_D (the text); "moved": the released code's own rule."""
    centre_lr: float = 500.0
    """Rate of the centres' SGD, which gamma scales down; with "moved" the released code's alpha, 0.5 there."""
    centre_init: float = 0.0
    """Standard deviation of the first centres; 0 puts them all at the origin, as the released code does."""
    neighbours_in_centres: bool = False
    """Whether the K neighbours count in L_D with their own labels, without gradient (released code)."""

    def __post_init__(self) -> None:
        require(self.backbone in BACKBONES, "--task.backbone", self.backbone, ", ".join(BACKBONES))
        require(self.stem in STEMS, "--task.stem", self.stem, ", ".join(STEMS))
        for name, accepted in _CHOICES.items():
            value = getattr(self, name)
            require(value in accepted, f"--task.{name}", value, " or ".join(accepted))
        require(self.k >= 1, "--task.k", self.k, "at least 1")
        require(self.delta > 0, "--task.delta", self.delta, "above 0")
        require(self.teacher_folds >= 2, "--task.teacher_folds", self.teacher_folds, "at least 2")
        require(self.teacher_epochs >= 1, "--task.teacher_epochs", self.teacher_epochs, "at least 1")
        widths = self.calibration_hidden
        require(bool(widths) and min(widths) > 0, "--task.calibration_hidden", widths, "one or more widths above 0")
        require(0 < self.uncertainty_init < 1, "--task.uncertainty_init", self.uncertainty_init, "in (0, 1)")
        require(self.uncertainty_lr >= 0, "--task.uncertainty_lr", self.uncertainty_lr, "at least 0")
        require(self.uncertainty_batch >= 0, "--task.uncertainty_batch", self.uncertainty_batch, "at least 0")
        require(
            0 <= self.uncertainty_momentum < 1, "--task.uncertainty_momentum", self.uncertainty_momentum, "in [0, 1)"
        )
        require(0 <= self.bank_momentum < 1, "--task.bank_momentum", self.bank_momentum, "in [0, 1)")
        require(self.bank_hold >= 0, "--task.bank_hold", self.bank_hold, "at least 0")
        require(self.warmup >= 0, "--task.warmup", self.warmup, "at least 0")
        require(self.gamma >= 0, "--task.gamma", self.gamma, "at least 0")
        require(self.centre_lr >= 0, "--task.centre_lr", self.centre_lr, "at least 0")
        require(self.centre_init >= 0, "--task.centre_init", self.centre_init, "at least 0")


_CHOICES = {
    "neighbours": ("bank", "forward"),
    "space": ("valence_arousal", "distribution"),
    "source": ("auto", "columns", "teacher", "votes"),
    "similarity": ("gaussian", "laplace"),
    "bank_start": ("teacher", "label", "uniform"),
    "uncertainty_start": ("constant", "fitted"),
    "alignment": ("none", "labels"),
    "reduction": ("mean", "sum"),
    "class_weights": ("none", "balanced"),
    "centres": ("trained", "moved"),
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "task.gamma": 0.01,
        "task.uncertainty_init": 0.5,
        "task.uncertainty_start": "constant",
        "task.neighbours": "forward",
        "task.bank_hold": 0,
        "task.relocate": False,
        "task.reduction": "sum",
        "task.uncertainty_through_centres": True,
        "task.centre_lr": 1.0,
        "task.centre_init": 1.0,
        "task.backbone": "resnet18",
        "input.size": 112,
        "input.channels": 3,
        "fit.optimizer": "adam",
        "fit.batch_size": 32,
        "fit.epochs": 60,
        "fit.lr": 1e-3,
        "fit.weight_decay": 0.0,
        "fit.schedule": "step",
        "fit.milestones": [10, 20, 40],
        "fit.decay": 0.1,
        "fit.ema": 0.0,
    },
    "release": {
        "task.neighbours": "forward",
        "task.similarity": "laplace",
        "task.delta": 0.5,
        "task.calibration_hidden": [512, 256],
        "task.calibration_norm": True,
        "task.calibration_floor": -1.3,
        "task.uncertainty_init": 0.378,
        "task.uncertainty_start": "constant",
        "task.gamma": 0.01,
        "task.centres": "moved",
        "task.centre_lr": 0.5,
        "task.neighbours_in_centres": True,
        "task.bank_hold": 0,
        "task.relocate": False,
        "task.backbone": "resnet50",
        "input.size": 112,
        "input.channels": 3,
        "input.mean": 0.5,
        "input.std": 0.5,
        "input.augment.crop_pad": 4,
        "input.augment.fill": "zero",
        "input.augment.erase": 0.5,
        "fit.optimizer": "adam",
        "fit.batch_size": 32,
        "fit.epochs": 60,
        "fit.lr": 1e-4,
        "fit.weight_decay": 0.0,
        "fit.schedule": "step",
        "fit.milestones": [10, 30],
        "fit.decay": 0.1,
        "fit.ema": 0.0,
    },
}
"""Flag -> value. `paper`: the text's formulas with its hyper-parameters for ResNet-18. `release`: the released code's
functions and its ResNet-50 settings (lamb_init .5 is a certainty logit there: lambda = 1 - sigmoid(.5) = .378)."""
