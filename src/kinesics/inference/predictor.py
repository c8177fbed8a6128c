"""Answers of a trained run for images in any form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kinesics.data.decode import load_image, to_pixels
from kinesics.engine.device import choose_device, place
from kinesics.engine.prediction import Prediction
from kinesics.engine.run import Run, load_model
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.systems import get_system

if TYPE_CHECKING:
    from PIL.Image import Image

    ImageLike = str | os.PathLike[str] | np.ndarray | Image


class Predictor:
    """A trained model that answers for images: cropped faces, or the views of a front camera.

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

    @torch.inference_mode()
    def __call__(self, images: ImageLike | Sequence[ImageLike], batch_size: int = 64) -> list[Prediction]:
        """One answer an image, in order.

        Args:
            images: file paths, PIL images or (H, W), (H, W, 1) or (H, W, 3) uint8 arrays, one or many, faces already
                cropped; resized to the model's input.
            batch_size: images in one forward pass.

        Raises:
            UserError: an image can't be read or has another form.
        """
        many = (
            [images]
            if isinstance(images, str | os.PathLike | np.ndarray) or not isinstance(images, Sequence)
            else images
        )
        found: list[Prediction] = []
        for start in range(0, len(many), batch_size):
            part = many[start : start + batch_size]
            pixels = torch.from_numpy(np.stack([self.pixels(image) for image in part]))
            index = torch.arange(start, start + len(part))
            batch = self.task.transform({"image": pixels.to(self.task.device), "index": index}, None)
            answers = self.task.prediction_step(batch)
            names = [str(image) if isinstance(image, str | os.PathLike) else "" for image in part]
            found.extend(replace(answer, source=name) for answer, name in zip(answers, names, strict=True))
        return found

    def pixels(self, image: ImageLike) -> np.ndarray:
        """What the model sees of one image: (size, size, channels) uint8."""
        spec = self.task.spec
        if isinstance(image, str | os.PathLike):
            return load_image(Path(image), spec.size, spec.channels, square=spec.crop)
        return to_pixels(_as_pillow(image), spec.size, spec.channels, square=spec.crop)


def _as_pillow(image: Any) -> Image:
    """A PIL image from an array or itself."""
    from PIL import Image as Images

    if isinstance(image, Images.Image):
        return image
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise UserError(
            f"image: got an array of shape {array.shape} and type {array.dtype}, expected (H, W), (H, W, 1) or "
            "(H, W, 3) uint8",
            hint="scale floats in [0, 1] by 255 and convert to uint8",
        )
    return Images.fromarray(np.ascontiguousarray(array))


def load(run: str | os.PathLike[str], last: bool = False, device: str = "cpu") -> Predictor:
    """The predictor of a run.

    Args:
        run: run directory, or the name of a shipped model.
        last: the last epoch's weights instead of the kept ones.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        UserError: no finished run there, damaged files, no such device.
    """
    from kinesics.engine.transfer import shipped_models

    where = choose_device(device, "--device")
    shipped = shipped_models()
    if str(run) in shipped and not Path(run).exists():
        description = shipped[str(run)]
        task, system = load_model(Run(description.parent), _task_class, description.stem)
    else:
        found = Run.find(run)
        stem = "model_last" if last and (found.folder / "model_last.json").is_file() else "model"
        task, system = load_model(found, _task_class, stem)
    place(task, where)
    return Predictor(task, system)


def _task_class(name: str) -> type[Task]:
    return get_system(name).task_class
