"""Faces through an uploaded video, frame by frame, within bounds of size, length and time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinesics.errors import UserError
from kinesics.inference.stream import Following
from kinesics.serve.documents import Tracks, faces_of
from kinesics.serve.limits import Limits
from kinesics.serve.recogniser import FaceDetector, MakeDetector, Recogniser
from kinesics.serve.refusal import Refusal
from kinesics.vision.media import ANIMATED, UnreadableImage, frame_count, open_image
from kinesics.vision.video import Frame, VideoInfo, probe, read_video


@dataclass(frozen=True)
class Stretch:
    """Which frames of a video are asked for."""

    start: float = 0.0
    """Seconds."""
    end: float | None = None
    every: int = 1
    """One frame of so many."""
    fps: float | None = None
    """At most so many frames a second."""


def moves(path: Path, limits: Limits) -> bool:
    """Whether a picture file is an animation: nothing is decoded for that, and nothing of a picture that is too large.

    Raises:
        Refusal: 422 damaged.
    """
    try:
        with open_image(path) as image:
            if image.format not in ANIMATED or image.width * image.height > limits.pixels:
                return False
        return frame_count(path) > 1
    except UnreadableImage:
        return False  # the reader of pictures says what is wrong


class FilmReader:
    """Runs a recogniser through video files.

    Args:
        recogniser: whose stream is used.
        recognise: crops to answers; shared between requests.
        make: makes detectors, one for each video at a time.
        limits: of pixels, seconds, frames and time.
    """

    def __init__(self, recogniser: Recogniser, recognise: Callable[..., Any], make: MakeDetector, limits: Limits):
        self.recogniser, self.recognise, self.make, self.limits = recogniser, recognise, make, limits
        self._free: list[FaceDetector] = []

    def read(
        self, path: Path, stretch: Stretch, stopped: threading.Event, faces: str = "find"
    ) -> Iterator[dict[str, Any]]:
        """The answer in parts: a head, one record a frame, a tail.

        The head has `kind`, `width`, `height` (of the first frame, upright), `rate` and `duration`; frames have
        `frame`, `time`, `faces`, and their own `width` and `height` where these differ; the tail has `tracks`,
        `truncated` (why it ended early, or null) and `seconds`.

        Args:
            path: of the upload.
            stretch: what of it.
            stopped: set when nobody waits for the answer any more.
            faces: "find", or "whole": each frame is one face.

        Raises:
            Refusal: 413 too large or too long, 422 damaged, without pictures, or nothing in that stretch; 503 not one
                frame done in time.
        """
        detector: Any = "whole" if faces == "whole" else None
        try:
            info = self._checked(path, stretch)
            frames = _Frames(path, stretch, self.limits, stopped)
            detector = detector or self._detector()
            stream = self.recogniser.face_stream(detector, Following(detect_every=_search_every(info, stretch)))
            stream.recognise = self.recognise
            yield from self._parts(info, frames, stream)
            if detector != "whole":
                # not of a video that was broken off: a search may still be going on in its thread
                self._free.append(detector)
        except UserError as error:
            text = error.message.replace(str(path.resolve()), "the video").replace(str(path), "the video")
            raise Refusal(422, "damaged", text.replace("the video: ", "the video ", 1)) from error

    def _detector(self) -> FaceDetector:
        """A detector that no other video uses."""
        try:
            return self._free.pop()
        except IndexError:
            return self.make(True)

    def _parts(self, info: VideoInfo, frames: _Frames, stream: Any) -> Iterator[dict[str, Any]]:
        tracks, first = Tracks(), None
        for frame, answers in stream(frames):
            size = frames.sizes.popleft()
            if first is None:
                first = size
                yield {
                    "kind": "video", "width": size[0], "height": size[1], "rate": round(info.rate, 3),
                    "duration": round(info.duration, 3),
                }  # fmt: skip
            faces = faces_of(answers, (size[0] / frame.image.shape[1], size[1] / frame.image.shape[0]))
            tracks.add(round(frame.time, 3), faces)
            own = {} if size == first else {"width": size[0], "height": size[1]}
            yield {"frame": frame.index, "time": round(frame.time, 3), **own, "faces": faces}
        if first is None:
            if frames.truncated:
                raise Refusal(503, "timeout", "no frame was done in time", retry_after=30)
            raise Refusal(422, "nothing", "the video has no frame in that stretch")
        seconds = {name: round(value, 3) for name, value in stream.seconds.items()}
        yield {"tracks": tracks.documents(), "truncated": frames.truncated, "seconds": seconds}

    def _checked(self, path: Path, stretch: Stretch) -> VideoInfo:
        if stretch.end is not None and stretch.end <= stretch.start:
            raise Refusal(422, "stretch", f"end must be larger than start; got {stretch.end:g} and {stretch.start:g}")
        info, most = probe(path), self.limits.film_seconds
        _check_size(info.width, info.height, self.limits.film_pixels)
        end = info.duration if stretch.end is None else min(stretch.end, info.duration or stretch.end)
        if end - stretch.start > most:
            raise Refusal(
                413, "too_long", f"{end - stretch.start:.1f} s of the video are asked for, more than {most:g} s",
                "ask for a stretch with start and end, in seconds",
            )  # fmt: skip
        return info


class _Frames:
    """The frames of the stretch, reduced where they are large, until a bound is met."""

    def __init__(self, path: Path, stretch: Stretch, limits: Limits, stopped: threading.Event) -> None:
        self.path, self.stretch, self.limits, self.stopped = path, stretch, limits, stopped
        self.sizes: deque[tuple[int, int]] = deque()
        """Width and height of the originals of frames on their way, in order."""
        self.truncated: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        limits, stretch = self.limits, self.stretch
        until = time.monotonic() + limits.work_seconds
        # headers lie about durations, or are silent
        for count, frame in enumerate(read_video(self.path, stretch.start, stretch.end, stretch.every, stretch.fps)):
            if self.stopped.is_set():
                return
            if frame.time - stretch.start > limits.film_seconds:
                self.truncated = f"seconds: {limits.film_seconds:g} is the most"
            elif count >= limits.frames:
                self.truncated = f"frames: {limits.frames} is the most"
            elif time.monotonic() > until:
                self.truncated = f"time: {limits.work_seconds:g} s of work is the most"
            if self.truncated:
                return
            height, width = frame.image.shape[:2]
            _check_size(width, height, limits.film_pixels)
            self.sizes.append((width, height))
            yield Frame(_reduced(frame.image, limits.film_side), frame.index, frame.time)


def _search_every(info: VideoInfo, stretch: Stretch) -> int:
    """Frames from one search for faces to the next: about 0.2 s of the video, at most 5. Where few frames are taken,
    faces move too far between them to be followed without a search."""
    step = stretch.every / (info.rate or 25.0)
    if stretch.fps is not None:
        step = max(step, 1 / stretch.fps)
    return min(max(round(0.2 / step), 1), 5)


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        text = f"the video has frames of {width} x {height} pixels, more than {most / 1e6:g} million"
        raise Refusal(413, "too_many_pixels", text, "send it smaller")


def _reduced(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    factor = side / max(height, width)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
