"""The contract: all that the engine, the federation and the command line need to know of a system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kinesics.data.augment import Augment, AugmentConfig, normalise
from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.optimizers import OptimizerSpec, build_optimizer
from kinesics.engine.prediction import Prediction
from kinesics.errors import UserError
from kinesics.vision.crop import CropRule

if TYPE_CHECKING:
    from kinesics.engine.evaluation import Evaluation
    from kinesics.engine.report import Section

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class DataSpec:
    """What a model must know of the data it is built for."""

    classes: tuple[str, ...]
    """Class names in label order; empty for regression."""
    size: int
    """Side of the square input in pixels."""
    channels: int
    """1 grey, 3 RGB."""
    mean: float
    """Taken off pixels in [0, 1]."""
    std: float
    """Divides what is left."""
    n_train: int
    """Training samples: the length of every per-sample table. 0 when only predicting."""
    crop: float = 0.0
    """Share of the shorter side of the centred square that is cut out of images; 0 takes the whole image."""
    face: CropRule | None = None
    """What was cut out around the boxes of the training's manifest; None where it had none."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True)
class Preparation:
    """What `Task.prepare` is handed besides the data.

    Args:
        fit: trains another task to the end with the engine's own loop: fit(name, task, train, config) -> None.
            It resumes by name where an earlier start was killed, and gives bit-equal weights either way.
        config: the loop settings of the run being prepared.
        seed: of the run.
        folder: where files may be kept between a kill and a resume; None when nothing is written.
    """

    fit: Callable[[str, Task, Samples, FitConfig], None]
    config: FitConfig
    seed: int
    folder: Path | None


class Task(nn.Module, ABC):
    """A system as the engine sees it: a model, its losses, and the state that belongs to its training samples.

    Subclasses set `config_class` and register what they need as parameters, buffers and submodules; everything in
    `state_dict()` is checkpointed. Names starting with one of `local_prefixes` belong to the data and never leave a
    silo; all else is what federated averaging mixes and what a finished run keeps.

    Args:
        config: the system's own config dataclass.
        spec: what the data look like.
    """

    config_class: ClassVar[type]
    edition: ClassVar[int] = 1
    """Raised when the same settings come to mean another training, such as by new defaults: results of an older edition
    are not taken for results of this one."""
    truth: ClassVar[str] = "label"
    """The column that the system learns: rows without it are left out. What learns "target" sees no classes."""
    local_prefixes: ClassVar[tuple[str, ...]] = ()
    answer_kind: ClassVar[str] = ""
    """What `export_module` gives: a name in `engine.answers.KINDS`; empty where a system has no exported form."""

    def __init__(self, config: Any, spec: DataSpec, augment: AugmentConfig | None = None) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self._augment = Augment(augment or AugmentConfig.none(), spec.mean, spec.std)
        self.calibration: dict[str, float] = {}
        self.notes: dict[str, Any] = {}
        """Facts about this training that `run.json` records, such as where valence-arousal came from."""

    @classmethod
    def build(cls, config: Any, spec: DataSpec, augment: AugmentConfig | None = None) -> Task:
        """A new task with fresh weights, drawn from PyTorch's global generator."""
        return cls(config, spec, augment)

    # -- before training ----------------------------------------------------------------------------------------

    def attach(self, train: Samples) -> None:
        """Called once before training, on a resume too: keep what must be looked up in the data. Nothing by default."""

    def prepare(self, data: Samples, preparation: Preparation) -> None:
        """What comes before the first step (neighbour search, a teacher, the first bank). Nothing by default."""

    def optimizers(self, config: FitConfig) -> list[OptimizerSpec]:
        """One OR MORE optimisers; by default one, as the fit settings say, over all trainable parameters."""
        return [OptimizerSpec(build_optimizer(self.parameters(), config))]

    # -- training -----------------------------------------------------------------------------------------------

    def epoch_start(self, epoch: int) -> None:
        """Called before the first batch of each epoch (0, 1, ...), also right after a resume inside it."""

    def transform(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        """Turn stored bytes into model input: with a generator the random changes of training, without one none.

        The default treats "image" (B, H, W, C) uint8 -> (B, C, H, W) float32. Systems whose target changes with the
        picture (a mirrored road) override it.
        """
        images = batch["image"]
        if generator is None:
            return {**batch, "image": normalise(images, self.spec.mean, self.spec.std)}
        return {**batch, "image": self._augment(images, generator)}

    @abstractmethod
    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name; "loss" is minimised, the others are logged.

        Gradients of micro-batches and of data-parallel processes are averaged: a loss that is the mean over its batch
        is the same loss however the batch is shared out; a sum is divided by the number of parts.

        Args:
            batch: as `transform` returns it, with "index" (B,) int64 sample ids.
        """

    def after_step(self, batch: Batch) -> None:
        """Called after each micro-batch, the last of a step after the optimisers have stepped (bank updates and the
        like)."""

    # -- judging ------------------------------------------------------------------------------------------------

    @abstractmethod
    def prediction_step(self, batch: Batch) -> Sequence[Prediction]:
        """One answer a sample, for a batch without labels, calibrated by `self.calibration`."""

    def calibrate(self, predictions: Sequence[Prediction], targets: Samples) -> None:
        """Fit `self.calibration` on validation answers made with none. Nothing by default."""

    @abstractmethod
    def metrics(self, predictions: Sequence[Prediction], targets: Samples) -> dict[str, float]:
        """Named scores of answers against the columns of `targets`, in the same order."""

    def evaluation(self, predictions: Sequence[Prediction], targets: Samples) -> Evaluation | dict[str, float]:
        """What the report draws: an `Evaluation` for classifiers, the bare metrics by default."""
        return self.metrics(predictions, targets)

    @property
    @abstractmethod
    def selection_metric(self) -> tuple[str, int]:
        """Name of the validation metric that picks the best epoch, and +1 (higher is better) or -1."""

    def sample_scores(self, train: Samples, predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
        """What training learned about each training sample, (N,) or (N, C) a name; empty by default.

        Args:
            train: the training samples.
            predictions: the finished model's answers to them.
        """
        return {}

    def report(self, predictions: Sequence[Prediction], targets: Samples) -> list[Section]:
        """Sections of the run's report. None by default."""
        return []

    # -- leaving the house --------------------------------------------------------------------------------------

    def export_module(self) -> nn.Module:
        """The trained network as one module without Python state, whose answers are final (calibrated).

        It takes the tensors of `export_inputs` in their order and gives the outputs of its `answer_kind`. It must be
        traceable by torch.export with a batch of any size, and hold nothing that belongs to training samples.

        Raises:
            UserError: the system has no such form.
        """
        raise UserError(
            f"{type(self).__name__} has no exported form: it doesn't say which graph gives its answers",
            hint="a system that is to be exported defines answer_kind and export_module (docs/contract.md)",
        )

    def export_inputs(self) -> dict[str, Tensor]:
        """Name -> example of two samples, axis 0 the batch; all other axes stay as they are in the exported graph.

        By default "image" (2, size, size, channels) uint8, as `transform` takes it.
        """
        spec = self.spec
        return {"image": torch.zeros(2, spec.size, spec.size, spec.channels, dtype=torch.uint8)}

    # -- who owns which state -----------------------------------------------------------------------------------

    def shared_state(self, batch_norm: bool = True) -> dict[str, Tensor]:
        """What federated averaging mixes and a finished run keeps; live tensors, not copies.

        Args:
            batch_norm: whether running statistics of normalisation layers are included.
        """
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not self._is_local(name) and (batch_norm or not name.endswith(statistics))
        }

    def local_state(self) -> dict[str, Tensor]:
        """What belongs to the training samples and never leaves a silo; live tensors, not copies."""
        return {name: tensor for name, tensor in self.state_dict().items() if self._is_local(name)}

    def load_shared_state(self, state: dict[str, Tensor]) -> None:
        """Overwrite all or some of the shared tensors in place.

        Raises:
            ValueError: a name or a shape is not one of `shared_state()`; nothing was overwritten.
        """
        own = self.shared_state()
        if unknown := sorted(set(state) - set(own)):
            raise ValueError(f"not shared tensors of {type(self).__name__}: {', '.join(unknown[:5])}")
        for name, tensor in state.items():
            if tensor.shape != own[name].shape:
                raise ValueError(f"{name} is {tuple(tensor.shape)}, expected {tuple(own[name].shape)}")
        with torch.no_grad():
            for name, tensor in state.items():
                own[name].copy_(tensor)

    def _is_local(self, name: str) -> bool:
        return bool(self.local_prefixes) and name.startswith(self.local_prefixes)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device
