"""Answers of a trained run for images in any form."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from kinesics.engine.device import choose_device, place
from kinesics.engine.prediction import Prediction
from kinesics.engine.run import Run, load_model
from kinesics.engine.task import Task
from kinesics.inference.reader import InputForm, Reader
from kinesics.systems import get_system

DEFAULT_MODEL = "ferplus-compact"
"""The shipped model that answers where none is named."""


class Predictor(Reader):
    """A trained model that answers for images: photographs, cropped faces, videos, or the views of a front camera.

    >>> predictor = kinesics.load()                         # doctest: +SKIP
    >>> predictor("photo.jpg").to_frame()                   # doctest: +SKIP

    Args:
        task: in evaluation mode.
        system: its name.
        finds: whether pictures larger than a face crop are searched for faces unless told otherwise; None: where the
            task was trained on faces cut out by boxes.
    """

    def __init__(self, task: Task, system: str, finds: bool | None = None) -> None:
        spec = task.spec
        form = InputForm(spec.size, spec.channels, spec.crop, spec.face, bool(spec.face) if finds is None else finds)
        super().__init__(form, spec.classes, task.calibration)
        self.task = task
        self.system = system

    @torch.inference_mode()
    def answer(self, pixels: np.ndarray) -> list[Prediction]:
        """One answer for each of (N, size, size, channels) uint8 crops, at most 64 in one forward pass."""
        found: list[Prediction] = []
        for start in range(0, len(pixels), _AT_ONCE):
            part = torch.from_numpy(pixels[start : start + _AT_ONCE])
            index = torch.arange(len(part))
            found += self.task.prediction_step(
                self.task.transform({"image": part.to(self.task.device), "index": index}, None)
            )
        return found


_AT_ONCE = 64


def load(run: str | os.PathLike[str] | None = None, last: bool = False, device: str = "cpu") -> Predictor:
    """The predictor of a run.

    Args:
        run: run directory, or the name of a shipped model; None is the shipped model `DEFAULT_MODEL`.
        last: the last epoch's weights instead of the kept ones.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        UserError: no finished run there, damaged files, no such device.
    """
    from kinesics.engine.transfer import shipped_models

    where = choose_device(device, "--device")
    shipped = shipped_models()
    name = DEFAULT_MODEL if run is None else str(run)
    ships = name in shipped and (run is None or not Path(name).exists())
    if ships:
        description = shipped[name]
        task, system = load_model(Run(description.parent), _task_class, description.stem)
    else:
        found = Run.find(name)
        stem = "model_last" if last and (found.folder / "model_last.json").is_file() else "model"
        task, system = load_model(found, _task_class, stem)
    place(task, where)
    return Predictor(task, system, finds=True if ships and task.spec.classes else None)


def _task_class(name: str) -> type[Task]:
    return get_system(name).task_class
