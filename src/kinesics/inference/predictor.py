"""Answers of a trained run for images in any form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from kinesics.engine.device import choose_device, place
from kinesics.engine.prediction import Prediction
from kinesics.engine.regressor import Regressor
from kinesics.engine.run import Run, load_model
from kinesics.engine.task import Task
from kinesics.inference.images import ImagePredictor
from kinesics.systems import get_system


class Predictor(ImagePredictor):
    """A trained run that answers for images: cropped faces, or the views of a front camera.

    >>> predictor = kinesics.load("runs/ldlva-1")           # doctest: +SKIP
    >>> predictor(["face.png"])[0].distribution             # doctest: +SKIP

    Args:
        task: in evaluation mode.
        system: its name.
    """

    def __init__(self, task: Task, system: str) -> None:
        self.task = task
        self.system = system

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.task.spec.classes

    @property
    def form(self) -> tuple[int, int, float]:
        """Side in pixels, channels, cut-out share."""
        return self.task.spec.size, self.task.spec.channels, self.task.spec.crop

    @property
    def steers(self) -> bool:
        """Whether its answers are `Steering`."""
        return isinstance(self.task, Regressor)

    @torch.inference_mode()
    def answers(self, pixels: np.ndarray, start: int) -> Sequence[Prediction]:
        """One calibrated answer for each of (B, size, size, channels) uint8 images."""
        index = torch.arange(start, start + len(pixels))
        image = torch.from_numpy(pixels).to(self.task.device)
        return self.task.prediction_step(self.task.transform({"image": image, "index": index}, None))


def load(run: str | os.PathLike[str], last: bool = False, device: str = "cpu") -> Predictor:
    """The predictor of a run.

    Args:
        run: run directory, or the name of a shipped model.
        last: the last epoch's weights instead of the kept ones.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        UserError: no finished run there, damaged files, no such device.
    """
    where = choose_device(device, "--device")
    found, stem = locate(run, last)
    task, system = load_model(found, _task_class, stem)
    place(task, where)
    return Predictor(task, system)


def locate(run: str | os.PathLike[str], last: bool = False) -> tuple[Run, str]:
    """The folder and the file stem of a model: of a run directory, or of a shipped model by its name.

    Raises:
        UserError: no finished run there.
    """
    from kinesics.engine.transfer import shipped_models

    shipped = shipped_models()
    if str(run) in shipped and not Path(run).exists():
        description = shipped[str(run)]
        return Run(description.parent), description.stem
    found = Run.find(run)
    return found, "model_last" if last and (found.folder / "model_last.json").is_file() else "model"


def _task_class(name: str) -> type[Task]:
    return get_system(name).task_class
