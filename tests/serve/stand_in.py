"""A stand-in for a model: faces are bright squares on dark ground, and the brighter, the happier."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from kinesics.engine.prediction import Emotion, Prediction
from kinesics.inference.reader import InputForm, Reader
from kinesics.vision.faces import Face

CLASSES = ("neutral", "happiness", "sadness")


def bright(image: np.ndarray) -> list[Face]:
    """Faces: connected areas brighter than 120 and larger than 5 pixels."""
    spots, _ = ndimage.label(image.min(axis=2) > 120)
    found = []
    for rows, columns in ndimage.find_objects(spots):
        width, height = columns.stop - columns.start, rows.stop - rows.start
        if min(width, height) > 5:
            found.append(Face((float(columns.start), float(rows.start), float(width), float(height))))
    return found


class StandIn(Reader):
    """Happiness is the brightness in the middle of the crop; it remembers the sizes of its batches.

    Args:
        pause: seconds that an answer takes.
    """

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__(InputForm(16, 1), CLASSES, {})
        self.pause = pause
        self.batches: list[int] = []

    def answer(self, pixels: np.ndarray) -> list[Prediction]:
        self.batches.append(len(pixels))
        time.sleep(self.pause)
        found: list[Prediction] = []
        for crop in pixels:
            share = float(crop[crop.shape[0] // 2, crop.shape[1] // 2].mean()) / 255
            shares = {"neutral": 0.5 * (1 - share), "happiness": share, "sadness": 0.5 * (1 - share)}
            label = max(shares, key=lambda name: shares[name])
            place = (0.81 * share - 0.63 * shares["sadness"], 0.51 * share - 0.27 * shares["sadness"])
            found.append(Emotion("", None, None, label, shares, shares[label], 0.5, *place))
        return found


def main(words: Sequence[str]) -> None:
    """Serve on a free port: limits as JSON, then the pause."""
    from kinesics.progress import setup_logging
    from kinesics.serve.app import make_app
    from kinesics.serve.limits import Limits
    from kinesics.serve.server import allowed_hosts, run

    setup_logging()
    app = make_app(
        StandIn(float(words[1])), lambda fast: bright, Limits(**json.loads(words[0])), model=Path(__file__).stem,
        hosts=allowed_hosts("127.0.0.1"),
    )  # fmt: skip
    run(app, "127.0.0.1", 0)


if __name__ == "__main__":
    main(sys.argv[1:])
