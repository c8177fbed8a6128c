"""What every model that answers for images shares: images in any form, in batches. It needs no PyTorch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinesics.data.decode import load_image, to_pixels
from kinesics.engine.prediction import Prediction
from kinesics.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    ImageLike = str | os.PathLike[str] | np.ndarray | Image


class ImagePredictor(ABC):
    """A trained model that answers for images: cropped faces, or the views of a front camera."""

    system: str
    """Name of the system that trained it."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names in label order; empty for a model that answers with a number."""

    @property
    @abstractmethod
    def form(self) -> tuple[int, int, float]:
        """Side in pixels, channels, and the share of the shorter side that is cut out (0: the whole image)."""

    @property
    @abstractmethod
    def steers(self) -> bool:
        """Whether its answers are `Steering`."""

    @abstractmethod
    def answers(self, pixels: np.ndarray, start: int) -> Sequence[Prediction]:
        """One answer for each of (B, size, size, channels) uint8 images, the first of which is number `start`."""

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
            answers = self.answers(np.stack([self.pixels(image) for image in part]), start)
            names = [str(image) if isinstance(image, str | os.PathLike) else "" for image in part]
            found.extend(replace(answer, source=name) for answer, name in zip(answers, names, strict=True))
        return found

    def pixels(self, image: ImageLike) -> np.ndarray:
        """What the model sees of one image: (size, size, channels) uint8."""
        size, channels, crop = self.form
        if isinstance(image, str | os.PathLike):
            return load_image(Path(image), size, channels, square=crop)
        return to_pixels(_as_pillow(image), size, channels, square=crop)


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
