"""The face detectors by name: the one table that knows them all, and the default."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from kinesics.errors import UserError
from kinesics.vision.faces import FaceDetector, whole


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
