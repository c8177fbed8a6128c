"""Faces through a video: decode, look for faces every few frames, follow them in between, recognise in batches.

Decoding and looking for faces run beside each other, recognising follows in batches over frames. Only a few frames are
held at a time, however long the video is. Nothing here imports PyTorch: whatever turns pixels into answers can be used.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from kinesics.engine.prediction import Emotion, Prediction
from kinesics.errors import UserError
from kinesics.vision.crop import CropRule, cut_faces
from kinesics.vision.faces import Box, Face, FaceDetector
from kinesics.vision.tracking import SceneCuts, Tracker, TrackingConfig
from kinesics.vision.video import Frame

Recognise = Callable[[np.ndarray], Sequence[Prediction]]
"""(N, S, S, C) uint8 crops -> N answers."""


@dataclass(frozen=True)
class Following:
    """How faces are followed through a video."""

    detect_every: int = 5
    """Frames from one search for faces to the next; scene cuts are searched in any case."""
    batch: int = 32
    """Faces that are recognised in one go."""
    ahead: int = 8
    """Frames decoded ahead of a search that is still going on; 0 for a camera, whose answers are wanted at once."""
    smooth: float = 0.0
    """Seconds over which distributions are averaged within a track, for the extra columns; 0: none."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        if not (self.detect_every >= 1 and self.batch >= 1 and self.ahead >= 0 and self.smooth >= 0):
            raise UserError(
                f"got detect_every {self.detect_every}, batch {self.batch}, ahead {self.ahead}, smooth {self.smooth}; "
                "expected at least 1, 1, 0 and 0"
            )


@dataclass
class _Waiting:
    """A frame whose faces are known and not yet recognised."""

    frame: Frame
    boxes: list[Box | None]
    tracks: list[int | None]
    crops: np.ndarray


class FaceStream:
    """Answers for the faces of a video, frame by frame, in order.

    Args:
        recognise: turns crops into answers.
        rule: what is cut out around a face.
        size, channels: of the crops.
        detector: finds faces; None takes each frame whole, as one face without a box.
        following: how faces are followed.

    Attributes:
        seconds: time spent in "decode" (with conversion to RGB), "detect" (in a thread beside the others), "track"
        (with
            scene cuts and cutting out) and "recognise".
    """

    def __init__(
        self,
        recognise: Recognise,
        rule: CropRule,
        size: int,
        channels: int,
        detector: FaceDetector | None,
        following: Following | None = None,
    ) -> None:
        self.recognise, self.rule, self.size, self.channels = recognise, rule, size, channels
        self.detector, self.following = detector, following or Following()
        self.seconds = dict.fromkeys(("decode", "detect", "track", "recognise"), 0.0)

    def __call__(self, frames: Iterable[Frame], source: str = "") -> Iterator[tuple[Frame, list[Prediction]]]:
        """Each frame with its answers; a frame without a face has one empty answer (`Emotion.empty`).

        Args:
            frames: in the order of time.
            source: name that the answers carry.
        """
        smoother = Smoother(self.following.smooth)
        waiting: list[_Waiting] = []
        held = 0
        for item in self._followed(frames):
            waiting.append(item)
            held += len(item.crops)
            # frames without faces wait, too: bounded, so that memory stays flat and a camera is not kept waiting
            if held >= self.following.batch or len(waiting) > 2 * self.following.ahead:
                yield from self._answered(waiting, source, smoother)
                waiting, held = [], 0
        yield from self._answered(waiting, source, smoother)

    def _answered(
        self, waiting: Sequence[_Waiting], source: str, smoother: Smoother
    ) -> Iterator[tuple[Frame, list[Prediction]]]:
        began = time.perf_counter()
        crops = [item.crops for item in waiting if len(item.crops)]
        answers = iter(self.recognise(np.concatenate(crops)) if crops else ())
        self.seconds["recognise"] += time.perf_counter() - began
        for item in waiting:
            frame = item.frame
            known = {"source": source, "time": round(frame.time, 6), "frame": frame.index}
            found: list[Prediction] = []
            for box, track in zip(item.boxes, item.tracks, strict=True):
                answer = replace(next(answers), **known)  # type: ignore[arg-type]
                if isinstance(answer, Emotion):
                    shares = None if track is None else smoother(track, frame.time, answer.distribution)
                    answer = replace(answer, box=box, track=track, smooth=shares)
                found.append(answer)
            yield frame, found or [Emotion(**known)]  # type: ignore[arg-type]

    def _followed(self, frames: Iterable[Frame]) -> Iterator[_Waiting]:
        """Frames with the boxes and crops of their faces."""
        if self.detector is None:
            for frame in self._timed(frames):
                whole = np.array([[0.0, 0.0, frame.image.shape[1], frame.image.shape[0]]])
                crops = cut_faces(frame.image, whole, CropRule(), self.size, self.channels)
                yield _Waiting(frame, [None], [None], crops)
            return
        tracker, cuts = Tracker(self.following.tracking), SceneCuts()
        for frame, cut, faces in self._searched(frames, cuts):
            began = time.perf_counter()
            if cut:
                tracker.cut()
            if faces is None:
                shown = tracker.moved()
            else:
                shown = tracker.detected(np.array([face.box for face in faces]), [face.score for face in faces])
            height, width = frame.image.shape[:2]
            # a track may be expected where it has left the picture
            shown = [track for track in shown if _touches(track.box, width, height)]
            boxes = [track.box for track in shown]
            marks = None if faces is None or not self.rule.align else [_marks(box, faces) for box in boxes]
            crops = cut_faces(frame.image, np.array(boxes), self.rule, self.size, self.channels, marks)
            self.seconds["track"] += time.perf_counter() - began
            yield _Waiting(frame, list(boxes), [track.number for track in shown], crops)

    def _searched(self, frames: Iterable[Frame], cuts: SceneCuts) -> Iterator[tuple[Frame, bool, list[Face] | None]]:
        """Frames, whether they begin a scene, and their faces where they were searched."""
        queue: deque[tuple[Frame, bool, Future[list[Face]] | None]] = deque()
        with ThreadPoolExecutor(1, "faces") as pool:
            try:
                since = self.following.detect_every
                for frame in self._timed(frames):
                    began = time.perf_counter()
                    cut = cuts(frame.image)
                    self.seconds["track"] += time.perf_counter() - began
                    search = cut or since >= self.following.detect_every
                    since = 1 if search else since + 1
                    queue.append((frame, cut, pool.submit(self._detect, frame.image) if search else None))
                    while queue and (len(queue) > self.following.ahead or queue[0][2] is None or queue[0][2].done()):
                        yield _finished(queue.popleft())
                while queue:
                    yield _finished(queue.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _detect(self, image: np.ndarray) -> list[Face]:
        assert self.detector is not None
        began = time.perf_counter()
        faces = self.detector(image)
        self.seconds["detect"] += time.perf_counter() - began
        return faces

    def _timed(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        began = time.perf_counter()
        for frame in frames:
            self.seconds["decode"] += time.perf_counter() - began
            yield frame
            began = time.perf_counter()


class Smoother:
    """Distributions averaged over a track's recent past: each answer counts exp(-age / seconds).

    Args:
        seconds: 0 averages nothing.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._state: dict[int, tuple[float, float, np.ndarray]] = {}

    def __call__(self, track: int, now: float, distribution: dict[str, float] | None) -> dict[str, float] | None:
        """The average up to `now`, seconds; None where nothing is averaged or there is no distribution."""
        if not self.seconds or not distribution:
            return None
        value = np.array(list(distribution.values()))
        before, weight, total = self._state.get(track, (now, 0.0, np.zeros_like(value)))
        decay = float(np.exp(-max(now - before, 0.0) / self.seconds))
        weight, total = decay * weight + 1.0, decay * total + value
        self._state[track] = now, weight, total
        if len(self._state) > _REMEMBERED:
            del self._state[min(self._state, key=lambda number: self._state[number][0])]
        return dict(zip(distribution, (total / weight).tolist(), strict=True))


_REMEMBERED = 256


def _finished(item: tuple[Frame, bool, Future[list[Face]] | None]) -> tuple[Frame, bool, list[Face] | None]:
    frame, cut, search = item
    return frame, cut, None if search is None else search.result()


def _touches(box: Box, width: int, height: int) -> bool:
    """Whether the middle of a box lies in the picture."""
    x, y, w, h = box
    return 0 <= x + w / 2 < width and 0 <= y + h / 2 < height


def _marks(box: Box, faces: Sequence[Face]) -> np.ndarray | None:
    """The landmarks of the face whose box overlaps most with a track's."""
    from kinesics.vision.faces import overlaps

    if not faces:
        return None
    share = overlaps(np.array([box]), np.array([face.box for face in faces]))[0]
    return faces[int(share.argmax())].landmarks if share.max() > 0.3 else None
