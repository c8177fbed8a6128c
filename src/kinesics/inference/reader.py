"""What every loaded model can do with pictures and videos, whatever runs its network. Nothing here imports PyTorch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinesics.data.decode import load_image, to_pixels
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.errors import UserError
from kinesics.inference.answers import Answers
from kinesics.inference.stream import FaceStream, Following
from kinesics.vision.crop import DETECTED, CropRule, cut_faces
from kinesics.vision.detectors import DEFAULT, make_detector
from kinesics.vision.faces import Face, FaceDetector
from kinesics.vision.media import as_array, as_pillow, open_image, read_picture
from kinesics.vision.video import Frame, read_video

if TYPE_CHECKING:
    from kinesics.inference.answers import ImageLike

DEFAULT_MODEL = "ferplus-compact"
"""The shipped model that answers where none is named."""

SMALL = 128
"""Pictures whose longer side has at most so many pixels are taken as crops of one face, unless told otherwise."""

AT_ONCE = 64
"""Crops that a network is given in one forward pass at most."""

Faces = str | FaceDetector | None
"""How faces are found: None or "auto", "whole", a detector's name (`vision.detectors.DETECTORS` or a file.onnx), "find"
for the default detector, or a detector."""


@dataclass(frozen=True)
class InputForm:
    """What a model is to be shown."""

    size: int
    """Side of the square input in pixels."""
    channels: int
    """1 grey, 3 RGB."""
    crop: float = 0.0
    """Share of the shorter side of the centred square that is cut out of whole pictures; 0: none is."""
    face: CropRule | None = None
    """What its training cut out around faces' boxes; None: it had no boxes."""
    finds: bool = False
    """Whether pictures larger than a face crop are searched for faces unless told otherwise."""


class Reader(ABC):
    """A loaded model that answers for pictures and videos.

    Args:
        form: what the model is to be shown.
        classes: names in label order; empty for models that steer.
        calibration: numbers fitted on validation data.
        system: name of the system that trained it; empty where it is not known.
    """

    def __init__(
        self, form: InputForm, classes: Sequence[str], calibration: dict[str, float], system: str = ""
    ) -> None:
        self.form, self._classes, self.calibration, self.system = form, tuple(classes), calibration, system
        self._detectors: dict[tuple[str, bool], FaceDetector] = {}

    @abstractmethod
    def answer(self, pixels: np.ndarray) -> list[Prediction]:
        """One answer for each of (N, size, size, channels) uint8 crops."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self._classes

    @property
    def steers(self) -> bool:
        """Whether its answers are `Steering`: those of models without classes are."""
        return not self._classes

    def __call__(self, images: ImageLike | Iterable[ImageLike], batch_size: int = 64, faces: Faces = None) -> Answers:
        """Answers for pictures, in order: one for each face, or one empty answer (`Emotion.empty`) without a face.

        With `faces` None, a model that ships, or was trained on faces cut out by boxes, searches pictures with a side
        above 128 pixels for faces; smaller ones, and those of any other model, are taken whole, as one face already cut
        out. "whole" takes every picture so, a detector or its name searches every picture.

        Args:
            images: file paths, PIL images or (H, W), (H, W, 1) or (H, W, 3) uint8 arrays: one, many, or a generator.
            batch_size: faces in one forward pass.
            faces: see `Faces`.

        Raises:
            UserError: an image can't be read or has another form, or no such detector.
        """
        single = isinstance(images, str | os.PathLike | np.ndarray) or not isinstance(images, Iterable)
        many: Iterable[Any] = [images] if single else images  # type: ignore[assignment]
        kept: Sequence[Any] = many if isinstance(many, Sequence) else ()
        found: list[Prediction] = []
        owners: list[int] = []
        crops: list[np.ndarray] = []
        slots: list[_Slot] = []
        for place, image in enumerate(many):
            name = str(image) if isinstance(image, str | os.PathLike) else ""
            part, boxes = self.faces_of(image, faces)
            crops += part
            slots += [(name, True, box) for box in boxes] or [(name, False, None)]
            owners += [place] * max(len(boxes), 1)
            if len(crops) >= batch_size:
                found += self.filled(slots, crops)
                crops, slots = [], []
        found += self.filled(slots, crops)
        return Answers(found, kept, owners)

    def filled(self, slots: Sequence[_Slot], crops: Sequence[np.ndarray]) -> list[Prediction]:
        """An answer for each slot: those with a face in the order of `crops`, the others empty."""
        answers = iter(self.answer(np.stack(crops)) if crops else ())
        found: list[Prediction] = []
        for name, face, box in slots:
            answer = replace(next(answers), source=name) if face else Emotion(name)
            found.append(replace(answer, box=box) if isinstance(answer, Emotion) else answer)
        return found

    def faces_of(
        self, image: ImageLike, faces: Faces = None
    ) -> tuple[list[np.ndarray], list[tuple[float, float, float, float] | None]]:
        """What the model is shown of one picture: (size, size, channels) uint8 a face, and the faces' boxes; one box
        None for a picture that is taken whole."""
        detector = self._detector(faces, lambda: _size(image))
        if detector is None:
            return [self.pixels(image)], [None]
        picture = read_picture(image) if isinstance(image, str | os.PathLike) else as_array(image)
        found = [face for face in detector(picture) if _inside(face, picture)]
        boxes = np.array([face.box for face in found]).reshape(-1, 4)
        marks = [face.landmarks for face in found]
        form = self.form
        return list(cut_faces(picture, boxes, self.rule, form.size, form.channels, marks)), [face.box for face in found]

    def pixels(self, image: ImageLike) -> np.ndarray:
        """What the model sees of one picture taken whole: (size, size, channels) uint8."""
        form = self.form
        if isinstance(image, str | os.PathLike):
            return load_image(Path(image), form.size, form.channels, square=form.crop)
        return to_pixels(as_pillow(image), form.size, form.channels, square=form.crop)

    @property
    def rule(self) -> CropRule:
        """What is cut out around faces that are found: the training's rule, or one that gives the frame of FER2013."""
        return self.form.face or DETECTED

    def stream(
        self,
        video: str | os.PathLike[str] | Iterable[Frame | np.ndarray],
        *,
        start: float = 0.0,
        end: float | None = None,
        every: int = 1,
        fps: float | None = None,
        faces: Faces = None,
        following: Following | None = None,
    ) -> Iterator[Answers]:
        """The faces of a video, frame by frame as it goes; memory does not grow with its length.

        Each item has the answers of one frame, with `frame`, `time`, `box` and `track`, and the frame itself as
        `Answers.frame`; a frame without a face has one empty answer.

        Args:
            video: a file, or frames: arrays (H, W, 3) uint8 are taken as 25 a second.
            start, end: seconds.
            every: take one frame of so many.
            fps: take at most so many frames a second.
            faces: see `Faces`; videos are searched unless "whole" is said.
            following: how often is searched, how tracks are kept, smoothing.

        Raises:
            UserError: no faces can be asked of this model, or the video can't be read.
        """
        if isinstance(video, str | os.PathLike):
            source, frames = os.fspath(video), read_video(video, start, end, every, fps)
        else:
            source, frames = "", _as_frames(video)
        return self._streamed(self.face_stream(faces, following), frames, source)

    def face_stream(self, faces: Faces = None, following: Following | None = None) -> FaceStream:
        """The pipeline from frames to answers that `stream` runs.

        Raises:
            UserError: no faces can be asked of this model, or there is no such detector.
        """
        detector = self._detector("find" if faces in (None, "auto") else faces, lambda: (0, 0), video=True)
        rule = CropRule() if detector is None else self.rule
        return FaceStream(self.answer, rule, self.form.size, self.form.channels, detector, following)

    @staticmethod
    def _streamed(stream: FaceStream, frames: Iterator[Frame], source: str) -> Iterator[Answers]:
        for frame, answers in stream(frames, source):
            yield Answers(answers, frame=frame)

    def _detector(self, faces: Faces, size: Callable[[], tuple[int, int]], video: bool = False) -> FaceDetector | None:
        """The detector to use; None where the picture is taken whole."""
        if faces is None or faces == "auto":
            # the size is asked for last: it opens the file
            faces = "find" if self.form.finds and max(size()) > SMALL else "whole"
        if faces == "whole":
            return None
        if not self.classes:
            raise UserError("this model answers for whole pictures, not for faces", hint="leave faces out")
        if not isinstance(faces, str):
            return faces
        name = DEFAULT if faces == "find" else faces
        if (name, video) not in self._detectors:
            self._detectors[name, video] = make_detector(name, video=video)
        return self._detectors[name, video]


def portions(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """(N, ...) in parts of at most `AT_ONCE`."""
    for start in range(0, len(pixels), AT_ONCE):
        yield pixels[start : start + AT_ONCE]


_Slot = tuple[str, bool, tuple[float, float, float, float] | None]
"""Source, whether there is a face, and its box."""


def _size(image: Any) -> tuple[int, int]:
    """Width and height in pixels; of a file its header is read."""
    if isinstance(image, str | os.PathLike):
        with open_image(image) as opened:
            return opened.size
    return as_pillow(image).size


def _inside(face: Face, picture: np.ndarray) -> bool:
    x, y, width, height = face.box
    return 0 <= x + width / 2 < picture.shape[1] and 0 <= y + height / 2 < picture.shape[0]


def _as_frames(pictures: Iterable[Frame | np.ndarray]) -> Iterator[Frame]:
    for index, picture in enumerate(pictures):
        yield picture if isinstance(picture, Frame) else Frame(as_array(picture), index, index / 25)
