"""OpenCV's Haar cascade, alone and confirmed by dlib's detector.

Method: P. Viola and M. Jones, "Rapid object detection using a boosted cascade of simple features", CVPR 2001. The
cascade lies in the package opencv-python-headless up to version 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinesics.errors import UserError
from kinesics.vision.dlib_faces import DlibFaces
from kinesics.vision.faces import Face, overlaps, suppress

SIDE, RIGHT, DOWN = 0.887, -0.023, 0.062
"""From the cascade's square to dlib's: its side, and how far the middle moves, as shares of the cascade's side. Median
over 386 FER+ faces on which both fire."""


class HaarFaces:
    """Finds frontal faces from 24 pixels, and a good many things that are none.

    Args:
        step: factor between neighbouring sizes that are tried; smaller finds more and is slower.
        neighbours: how many overlapping hits make a face.
        smallest: least side in pixels.

    Raises:
        UserError: OpenCV is missing or has no cascades (5 and later).
    """

    def __init__(self, step: float = 1.1, neighbours: int = 4, smallest: int = 24) -> None:
        self.step, self.neighbours, self.smallest = step, neighbours, smallest
        try:
            import cv2

            file = Path(str(cv2.__file__)).parent / "data" / "haarcascade_frontalface_default.xml"
            self._cascade: Any = cv2.CascadeClassifier(str(file)) if file.is_file() else None
            known = self._cascade is not None and not self._cascade.empty()
        except (ImportError, AttributeError):
            known = False
        if not known:
            raise UserError(
                "finding faces with Haar cascades needs opencv-python-headless below version 5",
                hint="pip install 'kinesics[vision]'",
            )

    def squares(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cascade's own answer for (H, W, 3) or (H, W) uint8: (N, 4) squares x, y, side, side, and (N,) weights."""
        import cv2

        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        side = (self.smallest, self.smallest)
        found, _, weights = self._cascade.detectMultiScale3(
            grey, self.step, self.neighbours, minSize=side, outputRejectLevels=True
        )
        return np.reshape(np.asarray(found, np.float64), (-1, 4)), np.reshape(np.asarray(weights, np.float64), -1)

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Faces of (H, W, 3) or (H, W) uint8, surest first."""
        squares, weights = self.squares(image)
        faces = [Face(_as_dlib(square), float(weight)) for square, weight in zip(squares, weights, strict=True)]
        return sorted(faces, key=lambda face: -face.score)


class ConfirmedFaces:
    """dlib's faces, and those of the cascade that dlib, with a lower threshold, sees at the same place and size.

    The cascade finds small, shaded and partly covered faces that dlib misses, and false ones; a second look by dlib at
    an enlarged cut-out, expecting the face in its middle, tells them apart.

    Args:
        upsample: as in `DlibFaces`.
        step, smallest: as in `HaarFaces`.
        threshold: least score of dlib at the second look (its own detections have 0).
        agreement: least overlap of what dlib sees there with where the face should be.
    """

    def __init__(
        self, upsample: int = 1, step: float = 1.1, smallest: int = 24, threshold: float = -0.7, agreement: float = 0.55
    ) -> None:
        self.first, self.second = DlibFaces(upsample), DlibFaces(0, threshold)
        self.cascade, self.agreement = HaarFaces(step, smallest=smallest), agreement

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Faces of (H, W, 3) uint8, surest first; the scores are dlib's, below 0 those of the second look."""
        faces = self.first(image)
        known = np.array([face.box for face in faces]).reshape(-1, 4)
        for square in self.cascade.squares(image)[0]:
            box = _as_dlib(square)
            if not len(known) or overlaps(np.array([box]), known).max() < 0.3:
                score = self._look_again(image, square, box)
                if score is not None:
                    faces.append(Face(box, min(score, 0.0)))
        return suppress(faces)

    def _look_again(self, image: np.ndarray, square: np.ndarray, box: tuple[float, ...]) -> float | None:
        """dlib's best score of the face in a cut-out around the cascade's square, resized to faces of 110 and 140
        px."""
        import cv2

        x, y, side = square[:3]
        left, top = int(max(x - 0.4 * side, 0)), int(max(y - 0.4 * side, 0))
        part = image[top : int(y + 1.4 * side) + 1, left : int(x + 1.4 * side) + 1]
        seen: list[float] = []
        for wide in _LOOKS:
            scale = wide / side
            size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            faces = self.second(cv2.resize(part, size, interpolation=how))
            wanted = np.array([[(box[0] - left) * scale, (box[1] - top) * scale, box[2] * scale, box[3] * scale]])
            agree = [face.score for face in faces if overlaps(np.array([face.box]), wanted)[0, 0] >= self.agreement]
            seen += agree
        return max(seen, default=None)


_LOOKS = (110.0, 140.0)


def _as_dlib(square: np.ndarray) -> tuple[float, float, float, float]:
    x, y, side = (float(number) for number in square[:3])
    middle_x, middle_y, small = x + side * (0.5 + RIGHT), y + side * (0.5 + DOWN), side * SIDE
    return middle_x - small / 2, middle_y - small / 2, small, small
