"""Following boxes through a video: a Kalman filter for each, the Hungarian method for who is who, and scene cuts.

After A. Bewley et al., "Simple online and realtime tracking", ICIP 2016 (constant-velocity Kalman filter, assignment by
overlap), Y. Zhang et al., "ByteTrack", ECCV 2022 (unsure boxes continue tracks but start none), and F. Yang et al.,
"Hard to track objects with irregular motions and similar appearances? Make it easier by buffering the matching space",
WACV 2023 (boxes are widened before they are compared). Nothing here knows what the boxes hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinesics.errors import UserError
from kinesics.vision.faces import Box, overlaps

_POSITION, _VELOCITY = 1 / 20, 1 / 160
"""Standard deviations a frame of the motion model, as shares of the box's height, as in SORT's descendants."""

_MEASURED = 1 / 12
"""Standard deviation of a detector's box, as a share of its height: detectors try a grid of places and sizes."""


class Kalman:
    """A box that moves and grows steadily: the state is middle x, y, width, height and their change a frame.

    Args:
        box: x, y, width, height in pixels where it was first seen.
    """

    def __init__(self, box: Box | np.ndarray) -> None:
        z = _middle(box)
        self.mean = np.concatenate([z, np.zeros(4)])
        spread = np.concatenate([np.full(4, 2 * _MEASURED), np.full(4, 10 * _VELOCITY)]) * z[3]
        self.covariance = np.diag(spread**2)

    def predict(self, frames: float = 1.0) -> None:
        """Move on by a number of frames: x <- F x, P <- F P F' + Q."""
        motion = np.eye(8)
        motion[:4, 4:] = frames * np.eye(4)
        height = max(self.mean[3], 1.0)
        noise = (np.concatenate([np.full(4, _POSITION), np.full(4, _VELOCITY)]) * height) ** 2 * frames
        self.mean = motion @ self.mean
        self.covariance = motion @ self.covariance @ motion.T + np.diag(noise)
        self.mean[2:4] = np.maximum(self.mean[2:4], 1.0)

    def update(self, box: Box | np.ndarray) -> None:
        """Take in a measured box: K = P H' (H P H' + R)^-1, x <- x + K (z - H x), P <- (1 - K H) P."""
        noise = np.eye(4) * (_MEASURED * max(self.mean[3], 1.0)) ** 2
        gain = np.linalg.solve(self.covariance[:4, :4] + noise, self.covariance[:4]).T
        self.mean = self.mean + gain @ (_middle(box) - self.mean[:4])
        self.covariance = self.covariance - gain @ self.covariance[:4]
        self.mean[2:4] = np.maximum(self.mean[2:4], 1.0)

    @property
    def box(self) -> Box:
        """x, y, width, height in pixels."""
        x, y, width, height = self.mean[:4]
        return float(x - width / 2), float(y - height / 2), float(width), float(height)


@dataclass
class Track:
    """One thing that is followed."""

    number: int
    """Its id: 1, 2, ... in the order of appearance, never given twice by one tracker."""
    filter: Kalman
    score: float
    """Of the detection that it was last matched with."""
    frame: float = 0.0
    """When it was last matched, in frames of the tracker."""
    missed: int = 0
    """Detections since then that did not show it."""

    @property
    def box(self) -> Box:
        """x, y, width, height in pixels, now."""
        return self.filter.box


@dataclass(frozen=True)
class TrackingConfig:
    """How boxes are followed."""

    high: float = 0.0
    """Score from which a box may start a track; boxes below only continue tracks that no better box continues."""
    overlap: float = 0.25
    """Least intersection over union of a track's expected box and a box that continues it, both widened."""
    reach: float = 0.25
    """Share of its sides by which a box is widened on every side before it is compared: what moves by most of its width
    from one search to the next is still found again."""
    max_age: float = 45.0
    """Frames for which a track that is not seen is kept, in case it comes back where it was expected."""
    coast: int = 1
    """Detections that may miss a track while it is still shown, where it is expected."""

    def __post_init__(self) -> None:
        if not 0.0 < self.overlap < 1.0 or self.max_age < 0 or self.coast < 0 or not 0.0 <= self.reach <= 2.0:
            raise UserError(
                f"tracking: got overlap {self.overlap}, reach {self.reach}, max_age {self.max_age} and coast "
                f"{self.coast}; expected (0, 1), [0, 2], 0 or more and 0 or more"
            )


class Tracker:
    """Gives boxes stable numbers; for every frame call `detected` with its boxes, or `moved` if none were looked for.

    Args:
        config: thresholds and patience.
    """

    def __init__(self, config: TrackingConfig | None = None) -> None:
        self.config = config or TrackingConfig()
        self._tracks: list[Track] = []
        self._last, self._now = 0, 0.0

    def moved(self, frames: float = 1.0) -> list[Track]:
        """Move every track on by a number of frames, without looking; the tracks shown."""
        self._now += frames
        for track in self._tracks:
            track.filter.predict(frames)
        return self._shown()

    def detected(self, boxes: np.ndarray, scores: Sequence[float] | np.ndarray, frames: float = 1.0) -> list[Track]:
        """Move on and take in what a detector found.

        Args:
            boxes: (N, 4) x, y, width, height in pixels.
            scores: (N,) of the detector.
            frames: since the last call.

        Returns:
            The tracks shown, in the order of their numbers.
        """
        self.moved(frames)
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        scores = np.asarray(scores, dtype=np.float64).reshape(-1)
        sure = np.flatnonzero(scores >= self.config.high)
        pairs, free, new = self._matched(self._tracks, boxes, sure)
        more, missed, _ = self._matched(free, boxes, np.flatnonzero(scores < self.config.high))
        for track, k in (*pairs, *more):
            track.filter.update(boxes[k])
            track.score, track.frame, track.missed = float(scores[k]), self._now, 0
        for track in missed:
            track.missed += 1
        for k in new:
            self._last += 1
            self._tracks.append(Track(self._last, Kalman(boxes[k]), float(scores[k]), self._now))
        self._tracks = [track for track in self._tracks if self._now - track.frame <= self.config.max_age]
        return self._shown()

    def cut(self) -> None:
        """A new scene: every track ends."""
        self._tracks = []

    def _shown(self) -> list[Track]:
        return [track for track in self._tracks if track.missed <= self.config.coast]

    def _matched(
        self, tracks: Sequence[Track], boxes: np.ndarray, choice: np.ndarray
    ) -> tuple[list[tuple[Track, int]], list[Track], list[int]]:
        """The assignment of tracks to boxes `choice` with the largest sum of overlaps, pairs below the least overlap
        apart: pairs, tracks left, boxes left."""
        if not len(tracks) or not len(choice):
            return [], list(tracks), [int(k) for k in choice]
        from scipy.optimize import linear_sum_assignment

        expected = np.array([track.box for track in tracks])
        share = overlaps(widened(expected, self.config.reach), widened(boxes[choice], self.config.reach))
        allowed = share >= self.config.overlap
        rows, columns = linear_sum_assignment(np.where(allowed, share, 0.0), maximize=True)
        good = [(i, j) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]
        taken, used = {i for i, _ in good}, {j for _, j in good}
        return (
            [(tracks[i], int(choice[j])) for i, j in good],
            [track for i, track in enumerate(tracks) if i not in taken],
            [int(k) for j, k in enumerate(choice) if j not in used],
        )


def widened(boxes: np.ndarray, share: float) -> np.ndarray:
    """(N, 4) boxes grown by a share of their sides on every side."""
    return np.concatenate([boxes[:, :2] - share * boxes[:, 2:], boxes[:, 2:] * (1 + 2 * share)], axis=1)


class SceneCuts:
    """Tells frames that begin a new scene: their colours are spread quite otherwise than those of the frame before.

    Args:
        threshold: half the sum of absolute differences of the two frames' colour histograms, in [0, 1], from which a
            frame begins a scene.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self._before: np.ndarray | None = None

    def __call__(self, image: np.ndarray) -> bool:
        """Whether (H, W, 3) uint8 `image` begins a new scene; the first frame doesn't."""
        now = colour_histogram(image)
        before, self._before = self._before, now
        return before is not None and bool(np.abs(now - before).sum() / 2 >= self.threshold)


def colour_histogram(image: np.ndarray) -> np.ndarray:
    """(512,) shares of 8 x 8 x 8 bins of red, green and blue, smoothed along each, of every few pixels of the image.

    Smoothing lets a slow change of light move pixels into the next bin without looking like another scene.
    """
    rows, columns = max(image.shape[0] // 90, 1), max(image.shape[1] // 160, 1)
    few = (image[::rows, ::columns] >> 5).astype(np.int64).reshape(-1, 3)
    count = np.bincount(few[:, 0] * 64 + few[:, 1] * 8 + few[:, 2], minlength=512).reshape(8, 8, 8) / len(few)
    for axis in range(3):
        padded = np.pad(count, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        parts = [np.take(padded, np.arange(8) + shift, axis=axis) for shift in range(3)]
        count = parts[0] / 4 + parts[1] / 2 + parts[2] / 4
    return count.reshape(-1) / count.sum()


def _middle(box: Box | np.ndarray) -> np.ndarray:
    """x, y, width, height -> middle x, middle y, width, height."""
    x, y, width, height = (float(number) for number in box)
    return np.array([x + width / 2, y + height / 2, width, height])
