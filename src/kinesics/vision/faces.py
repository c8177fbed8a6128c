"""Finding faces: what a detector is, the detectors by name, and joining the answers of two.

Every detector answers with boxes of one convention, so that one crop rule fits all: a square from the brows to just
below the chin, as dlib's HOG detector draws it. Detectors that draw other boxes are brought to it by constants that
were measured (benchmarks/face_detectors.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

import numpy as np

from kinesics.errors import UserError

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


def _whole(**_: object) -> FaceDetector:
    return whole


def _dlib(*, video: bool = False, upsample: int | None = None) -> FaceDetector:
    from kinesics.vision.dlib_faces import DlibFaces

    return DlibFaces(upsample=(0 if video else 1) if upsample is None else upsample)


def _haar(*, video: bool = False, upsample: int | None = None) -> FaceDetector:
    from kinesics.vision.haar_faces import HaarFaces

    return HaarFaces(step=1.2 if video else 1.1, smallest=40 if video else 24)


def _both(*, video: bool = False, upsample: int | None = None) -> FaceDetector:
    from kinesics.vision.haar_faces import ConfirmedFaces

    return ConfirmedFaces(
        upsample=(0 if video else 1) if upsample is None else upsample,
        step=1.2 if video else 1.1,
        smallest=40 if video else 24,
    )


DETECTORS: dict[str, Callable[..., FaceDetector]] = {"dlib+haar": _both, "dlib": _dlib, "haar": _haar, "whole": _whole}
"""Name -> factory. A path that ends in .onnx is a name, too."""

DEFAULT = "dlib+haar"
"""What measures best among those that need no download (benchmarks/face_detectors.csv)."""


def make_detector(name: str = DEFAULT, *, video: bool = False, upsample: int | None = None) -> FaceDetector:
    """The detector of a name.

    Args:
        name: one of `DETECTORS`, or the path of a YuNet or SCRFD network in ONNX form.
        video: choose what is fast rather than what finds the smallest faces.
        upsample: how often dlib doubles the picture first, 0 to 3: once finds faces from 40 pixels, not at all from 80,
            each time four times slower; None: once for pictures, not at all for video.

    Raises:
        UserError: no such detector, a package or a file that is missing, a value out of range.
    """
    if upsample is not None and not 0 <= upsample <= 3:
        raise UserError(f"--upsample must be 0 to 3; got {upsample}")
    if name.lower().endswith(".onnx"):
        from kinesics.vision.onnx_faces import OnnxFaces

        return OnnxFaces(Path(name))
    if name not in DETECTORS:
        close = get_close_matches(name, DETECTORS, n=1)
        raise UserError(
            f"no face detector is called {name!r}; known: {', '.join(DETECTORS)}, or a file.onnx (YuNet, SCRFD)",
            hint=f"did you mean {close[0]}?" if close else None,
        )
    return DETECTORS[name](video=video, upsample=upsample)
