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
from kinesics.engine.transfer import shipped_models
from kinesics.inference.reader import DEFAULT_MODEL, InputForm, Reader, portions
from kinesics.systems import get_system


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
        super().__init__(form, spec.classes, task.calibration, system)
        self.task = task

    @torch.inference_mode()
    def answer(self, pixels: np.ndarray) -> list[Prediction]:
        """One answer for each of (N, size, size, channels) uint8 crops, at most 64 in one forward pass."""
        found: list[Prediction] = []
        for part in portions(pixels):
            image = torch.from_numpy(part).to(self.task.device)
            found += self.task.prediction_step(
                self.task.transform({"image": image, "index": torch.arange(len(part))}, None)
            )
        return found


def load(run: str | os.PathLike[str] | None = None, last: bool = False, device: str = "cpu") -> Predictor:
    """The predictor of a run.

    Args:
        run: run directory, or the name of a shipped model; None is the shipped model `DEFAULT_MODEL`.
        last: the last epoch's weights instead of the kept ones.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        UserError: no finished run there, damaged files, no such device.
    """
    where = choose_device(device, "--device")
    found, stem = locate(run, last)
    task, system = load_model(found, _task_class, stem)
    place(task, where)
    # what ships is for photographs, whatever it was trained on
    return Predictor(task, system, finds=True if _ships(run) and task.spec.classes else None)


def locate(run: str | os.PathLike[str] | None, last: bool = False) -> tuple[Run, str]:
    """The folder and the file stem of a model: of a run directory, or of a shipped model by its name; None is the
    shipped model `DEFAULT_MODEL`.

    Raises:
        UserError: no finished run there.
    """
    if run is None or _ships(run):
        description = shipped_models()[str(run or DEFAULT_MODEL)]
        return Run(description.parent), description.stem
    found = Run.find(run)
    return found, "model_last" if last and (found.folder / "model_last.json").is_file() else "model"


def _ships(run: str | os.PathLike[str] | None) -> bool:
    """Whether it names a shipped model, or none; a file or folder of that name comes first."""
    return run is None or (str(run) in shipped_models() and not Path(run).exists())


def _task_class(name: str) -> type[Task]:
    return get_system(name).task_class
