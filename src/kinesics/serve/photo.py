"""From an uploaded picture to the crops of its faces."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from kinesics.engine.prediction import Emotion, Prediction
from kinesics.inference.reader import SMALL
from kinesics.serve.documents import faces_of
from kinesics.serve.limits import Limits
from kinesics.serve.recogniser import Box, FaceDetector, MakeDetector, Recogniser
from kinesics.serve.refusal import Refusal
from kinesics.vision.media import UnreadableImage, converted, open_image, reason


@dataclass
class Searched:
    """A picture whose faces are found and not recognised yet."""

    width: int
    """Of the upright original, in pixels."""
    height: int
    scale: tuple[float, float]
    """From the pixels that were searched to those of the original."""
    crops: list[np.ndarray]
    """(S, S, C) uint8 a face."""
    boxes: list[Box | None]
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent on "decode" and "detect"."""


class PhotoReader:
    """Decodes pictures and finds their faces; may be used from several threads.

    Args:
        recogniser: whose crops are made.
        make: makes a detector for each thread.
        limits: of pixels.
    """

    def __init__(self, recogniser: Recogniser, make: MakeDetector, limits: Limits) -> None:
        self.recogniser, self.make, self.limits = recogniser, make, limits
        self._own = threading.local()

    def search(self, path: Path, faces: str = "find") -> Searched:
        """The faces of a picture file. A picture of at most 128 pixels is taken as one face.

        Args:
            path: of the upload.
            faces: "find"; "fast" for a detector that misses small faces; "whole": any picture is one face.

        Raises:
            Refusal: 413 too many pixels, 422 damaged.
        """
        began = time.perf_counter()
        picture, size = decode(path, self.limits.pixels, self.limits.side)
        decoded = time.perf_counter()
        whole = faces == "whole" or max(size) <= SMALL
        detector: Any = "whole" if whole else self._detector(faces == "fast")
        crops, boxes = self.recogniser.faces_of(picture, detector)
        scale = (size[0] / picture.shape[1], size[1] / picture.shape[0])
        spent = {"decode": decoded - began, "detect": time.perf_counter() - decoded}
        return Searched(size[0], size[1], scale, crops, boxes, spent)

    def warm_up(self) -> None:
        """Make this thread's detectors, and let each look once."""
        for fast in (False, True):
            self._detector(fast)(np.zeros((96, 96, 3), np.uint8))

    def _detector(self, fast: bool) -> FaceDetector:
        """This thread's own detector."""
        known: dict[bool, FaceDetector] = self._own.__dict__.setdefault("detectors", {})
        if fast not in known:
            known[fast] = self.make(fast)
        return known[fast]


def decode(path: Path, most: int, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The upright picture of a file, no larger than needed.

    Args:
        path: of the upload.
        most: pixels that its header may name; nothing is decoded above.
        side: longest side of the result.

    Returns:
        (H, W, 3) uint8 RGB; width and height of the original.

    Raises:
        Refusal: 413 too many pixels, 422 damaged.
    """
    try:
        with open_image(path) as image:
            if image.width * image.height > most:
                raise Refusal(
                    413, "too_many_pixels",
                    f"the picture has {image.width} x {image.height} pixels, more than {most / 1e6:g} million",
                    "send it smaller",
                )  # fmt: skip
            # 5 to 8 of the EXIF tag lie on their side
            turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
            size = (image.height, image.width) if turned else (image.width, image.height)
            image.draft(None, (side, side))
            upright = converted(ImageOps.exif_transpose(image), "RGB")
            if max(upright.size) > side:
                factor = side / max(upright.size)
                small = (max(round(upright.width * factor), 1), max(round(upright.height * factor), 1))
                upright = upright.resize(small, Image.Resampling.BILINEAR, reducing_gap=3.0)
            return np.asarray(upright, dtype=np.uint8), size
    except Refusal:
        raise
    except UnreadableImage as error:
        # pixels beyond Pillow's own limit are noticed on opening
        status = 413 if "pixels" in error.reason else 422
        code = "too_many_pixels" if status == 413 else "damaged"
        raise Refusal(status, code, f"the picture {error.reason}") from error
    except Exception as error:  # Pillow's decoders raise nearly any exception on damaged bytes
        raise Refusal(422, "damaged", f"the picture can't be read: {reason(error)}") from error


def photo_document(searched: Searched, answers: list[Prediction]) -> dict[str, Any]:
    """The answer about a picture: `kind`, `width`, `height`, `faces`."""
    found = [
        replace(answer, box=box) if isinstance(answer, Emotion) else answer
        for answer, box in zip(answers, searched.boxes, strict=True)
    ]
    seconds = {name: round(value, 4) for name, value in searched.seconds.items()}
    return {
        "kind": "photo", "width": searched.width, "height": searched.height,
        "faces": faces_of(found, searched.scale), "seconds": seconds,
    }  # fmt: skip
