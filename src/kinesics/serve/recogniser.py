"""What the service asks of a model: `kinesics.inference.reader.Reader` has it, and so may anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from kinesics.engine.prediction import Prediction
from kinesics.inference.stream import FaceStream, Following
from kinesics.vision.faces import Box, FaceDetector


class Recogniser(Protocol):
    """A loaded model that knows expressions."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in label order."""
        ...

    def faces_of(self, image: Any, faces: Any = None) -> tuple[list[np.ndarray], list[Box | None]]:
        """What the model is shown of a picture (H, W, 3) uint8 RGB: (S, S, C) uint8 a face, and the faces' boxes;
        `faces` is a detector, or "whole" for a picture that is one face, whose box is None. Called from several
        threads, each with its own detector."""
        ...

    def answer(self, pixels: np.ndarray) -> list[Prediction]:
        """One `Emotion` for each of (N, S, S, C) uint8 crops. Called from one thread."""
        ...

    def face_stream(self, faces: Any = None, following: Following | None = None) -> FaceStream:
        """A pipeline from a video's frames to answers, with the detector `faces`."""
        ...


MakeDetector = Callable[[bool], FaceDetector]
"""Given whether it is for videos, makes a new detector, for one thread."""
