"""Faces in a picture: what a detector is, boxes that overlap, and joining the answers of two.

Every detector answers with boxes of one convention, so that one crop rule fits all: a square from the brows to just
below the chin, as dlib's HOG detector draws it. Detectors that draw other boxes are brought to it by constants that
were measured (benchmarks/face_detectors.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""


@dataclass(frozen=True)
class Face:
    """A face in a picture."""

    box: Box
    """x, y, width, height in pixels; may reach a little beyond the picture."""
    score: float = 1.0
    """How sure the detector is, comparable among the faces of one detector only; larger is surer."""
    landmarks: np.ndarray | None = None
    """(5, 2) pixels: the eyes (the one at the left of the picture first), the nose, the corners of the mouth; None
    where the detector gives none."""


class FaceDetector(Protocol):
    """Finds faces in a picture. Calling it from one thread at a time is all that is asked of it."""

    def __call__(self, image: np.ndarray) -> list[Face]:
        """The faces of (H, W, 3) uint8 RGB `image`, surest first; none is an answer."""
        ...


def whole(image: np.ndarray) -> list[Face]:
    """The picture as one face: for pictures that are face crops already."""
    return [Face((0.0, 0.0, float(image.shape[1]), float(image.shape[0])))]


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes.

    Args:
        first: (N, 4) x, y, width, height.
        second: (M, 4).

    Returns:
        (N, M) in [0, 1]; 0 where both are empty.
    """
    a, b = np.reshape(np.asarray(first, np.float64), (-1, 1, 4)), np.reshape(np.asarray(second, np.float64), (1, -1, 4))
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def suppress(faces: Sequence[Face], most: float = 0.4) -> list[Face]:
    """Of faces that overlap by more than `most` the surest, or, scores being equal, the first; surest first."""
    ranked = sorted(faces, key=lambda face: -face.score)
    kept: list[Face] = []
    for face in ranked:
        if not kept or overlaps(np.array([face.box]), np.array([one.box for one in kept])).max() <= most:
            kept.append(face)
    return kept
