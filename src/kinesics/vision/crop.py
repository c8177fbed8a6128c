"""The crop rule: which part of a picture around a face a model is shown, the same in training and when it answers.

A rule is a handful of numbers. It is written into `model.json`, so that whoever loads a model cuts
faces out as its training did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import Image

from kinesics.errors import UserError
from kinesics.vision.media import MAX_PIXELS, UnreadableImage, converted, name_of


@dataclass(frozen=True)
class CropRule:
    """From a face's box to the part of the picture that is cut out; the default is the box itself."""

    margin: float = 0.0
    """Share of the box's width added at the left and at the right, and of its height above and below; may be negative
    down to -0.4."""
    shift: float = 0.0
    """How far the middle is moved down, as a share of the box's height (negative: up, towards the hair)."""
    square: bool = False
    """Widen the shorter side, the middle kept, so that resizing does not stretch the face."""
    align: bool = False
    """Turn the face so that its eyes are level, where its landmarks are known."""

    def __post_init__(self) -> None:
        if not -0.4 <= self.margin <= 4.0:
            raise UserError(f"--input.face.margin must be in [-0.4, 4]; got {self.margin!r}")
        if not -1.0 <= self.shift <= 1.0:
            raise UserError(f"--input.face.shift must be in [-1, 1]; got {self.shift!r}")

    @property
    def key(self) -> str:
        """Text that changes with anything that changes pixels; empty for the box itself."""
        plain = CropRule(align=self.align)  # boxes of a manifest have no landmarks: nothing is turned there
        return "" if self == plain else f"{self.margin!r} {self.shift!r} {self.square}"

    @classmethod
    def of(cls, content: Mapping[str, Any] | None) -> CropRule | None:
        """The rule that `model.json` holds; None where it holds none.

        Raises:
            TypeError, UserError: a name or a value that no rule has.
        """
        if content is None:
            return None
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in dict(content).items() if name in known})


DETECTED = CropRule(margin=0.087, shift=-0.072, square=True)
"""What turns detectors' boxes (see `vision.faces`) into the frame of FER2013's pictures, median over 166 found
FER+ faces of 96 to 200 pixels (benchmarks/face_detectors.py). For models whose training had no boxes."""


def place(boxes: np.ndarray, rule: CropRule) -> np.ndarray:
    """The parts of a picture to cut out.

    Args:
        boxes: (N, 4) x, y, width, height in pixels.
        rule: margin, shift and squareness.

    Returns:
        (N, 4) float64 x, y, width, height; they may reach beyond the picture.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    middle[:, 1] += rule.shift * boxes[:, 3]
    size = boxes[:, 2:] * (1 + 2 * rule.margin)
    if rule.square:
        size = np.repeat(size.max(axis=1, keepdims=True), 2, axis=1)
    return np.concatenate([middle - size / 2, size], axis=1)


def crop(image: Image.Image, box: Sequence[float] | np.ndarray) -> Image.Image:
    """Cut x, y, width, height out of an upright image; edges are rounded to whole pixels, outside is black.

    Raises:
        UnreadableImage: the box doesn't touch the image or has more than 89 million pixels.
    """
    x, y, width, height = (float(number) for number in box)
    left, top = round(x), round(y)
    right, bottom = max(round(x + width), left + 1), max(round(y + height), top + 1)
    if left >= image.width or top >= image.height or right <= 0 or bottom <= 0:
        raise UnreadableImage(name_of(image), f"the box lies outside of the {image.width} x {image.height} image")
    if (right - left) * (bottom - top) > MAX_PIXELS:
        raise UnreadableImage(name_of(image), f"the box has {right - left} x {bottom - top} pixels")
    return image.crop((left, top, right, bottom))


def roll(landmarks: np.ndarray) -> float:
    """Angle of the line through the eyes, radians, positive where the picture's right eye is lower.

    Args:
        landmarks: (5, 2) or (K, 2) pixels, the first two the eyes, the one at the left of the picture first.
    """
    (x0, y0), (x1, y1) = np.asarray(landmarks, dtype=np.float64)[:2]
    return math.atan2(y1 - y0, x1 - x0)


def cut_faces(
    picture: np.ndarray,
    boxes: np.ndarray,
    rule: CropRule,
    size: int,
    channels: int,
    landmarks: Sequence[np.ndarray | None] | None = None,
) -> np.ndarray:
    """Faces of one picture as a model takes them.

    Args:
        picture: (H, W, 3) or (H, W) uint8, upright.
        boxes: (N, 4) x, y, width, height in pixels, each touching the picture.
        rule: what is cut out around a box.
        size: height and width of the result in pixels.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).
        landmarks: of each face, (K, 2) pixels with the eyes first, or None; used where the rule aligns.

    Returns:
        (N, size, size, channels) uint8: the pixels that training sees of such boxes in a manifest.

    Raises:
        UnreadableImage: a box outside of the picture.
    """
    image = Image.fromarray(picture)
    found = np.zeros((len(boxes), size, size, channels), dtype=np.uint8)
    for k, box in enumerate(place(boxes, rule)):
        marks = None if landmarks is None else landmarks[k]
        part = crop(image, box) if marks is None or not rule.align else _turned(image, box, roll(marks))
        part = converted(part, "L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BILINEAR)
        found[k] = np.asarray(part).reshape(size, size, channels)
    return found


def _turned(image: Image.Image, box: np.ndarray, angle: float) -> Image.Image:
    """The box's content in its own scale, turned about the box's middle so that the eyes are level."""
    x, y, width, height = box
    columns, rows = max(round(width), 1), max(round(height), 1)
    if columns * rows > MAX_PIXELS:
        raise UnreadableImage(name_of(image), f"the box has {columns} x {rows} pixels")
    cos, sin = math.cos(angle), math.sin(angle)
    middle_x, middle_y = x + width / 2, y + height / 2
    # Pillow asks for the way from a pixel of the result back to the picture
    way = (
        cos,
        -sin,
        middle_x - cos * columns / 2 + sin * rows / 2,
        sin,
        cos,
        middle_y - sin * columns / 2 - cos * rows / 2,
    )
    return image.transform((columns, rows), Image.Transform.AFFINE, way, Image.Resampling.BILINEAR)
