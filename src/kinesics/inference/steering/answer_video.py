"""A film of steering answers: each picture with the predicted and the true angle, and a strip chart of both below."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from kinesics.data.decode import load_image
from kinesics.errors import UserError
from kinesics.inference.steering.drive_video import EXPERT, INK, POLICY
from kinesics.progress import track
from kinesics.vision.film import VideoWriter

WIDTH, TALLEST, LOWEST, CHART = 640, 480, 160, 170
"""Pixels: width of a frame, bounds of the picture's height in it, height of the chart."""

LEAN = math.radians(65.0)
"""How far an arrow leans at the end of the scale."""

WINDOW = 12.0
"""Seconds that the chart shows."""

_INSET, _RIGHT, _HEAD, _FOOT = 52, 12, 30, 22
_DARK, _FAINT = (18, 22, 28), (95, 103, 115)

Place = tuple[float, float]


class SteeringOverlay:
    """Draws the frames of one sequence; call it with the number of a frame and its picture.

    Blue and solid is what was predicted; orange and dashed, with a longer arrow, is the truth where it is known. A
    positive angle leans to the right. The scale of arrows and chart is the same in all frames.

    Args:
        predicted: (N,) answers, in the unit of the targets.
        target: (N,) true angles, NaN where unknown; None: all are.
        rate: frames per second.
        size: width and height of the first picture; others are fitted into its shape.

    Attributes:
        limit: the angle at the end of the scale.
        rmse: (N,) root mean square error over the frames up to each, NaN before the first with a truth.
        size: of the frames, both even.
    """

    def __init__(self, predicted: np.ndarray, target: np.ndarray | None, rate: int, size: tuple[int, int]) -> None:
        self.predicted = np.asarray(predicted, dtype=np.float64)
        unknown = np.full(len(self.predicted), np.nan)
        self.target = unknown if target is None else np.asarray(target, dtype=np.float64)
        self.rate = rate
        height = min(max(round(WIDTH * size[1] / size[0]), LOWEST), TALLEST) // 2 * 2
        self.picture, self.size = (WIDTH, height), (WIDTH, height + CHART)
        self.limit = scale_of(np.concatenate([self.predicted, self.target]))
        squared = (self.predicted - self.target) ** 2
        known = np.isfinite(squared)
        self.judged = np.cumsum(known)
        with np.errstate(invalid="ignore"):
            self.rmse = np.sqrt(np.cumsum(np.where(known, squared, 0.0)) / np.where(self.judged, self.judged, np.nan))

    def __call__(self, k: int, picture: Image.Image) -> Image.Image:
        """Frame `k`, RGB."""
        frame = Image.new("RGB", self.size, _DARK)
        frame.paste(ImageOps.pad(picture.convert("RGB"), self.picture, Image.Resampling.BICUBIC), (0, 0))
        pen = ImageDraw.Draw(frame)
        self._gauge(pen, k)
        text = f"{k + 1} of {len(self.predicted)}   {k / self.rate:.1f} s"
        pen.text((8, 6), text, fill=INK, font_size=14, stroke_width=2, stroke_fill=(0, 0, 0))
        self._numbers(pen, k)
        self._chart(pen, k)
        return frame

    def _gauge(self, pen: ImageDraw.ImageDraw, k: int) -> None:
        """The scale as an arc over the picture's lower edge, and the arrows."""
        width, height = self.picture
        radius = min(0.62 * height, 0.3 * width)
        foot = (width / 2, height - 8.0)
        box = (foot[0] - radius, foot[1] - radius, foot[0] + radius, foot[1] + radius)
        lean = math.degrees(LEAN)
        for colour, thick in (((0, 0, 0), 5), (INK, 2)):
            pen.arc(box, 270 - lean, 270 + lean, fill=colour, width=thick)
        for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
            inner, outer = (_towards(foot, radius + gap, share * LEAN) for gap in (-6, 4))
            pen.line((*inner, *outer), fill=(0, 0, 0), width=5)
            pen.line((*inner, *outer), fill=INK, width=2)
        for share in (-1.0, 0.0, 1.0):
            text = self._label(share)
            x, y = _towards(foot, radius + 18, share * LEAN)
            anchor = "mm" if not share else "lm" if share > 0 else "rm"
            pen.text(
                (x - 8 * share, y), text, fill=INK, anchor=anchor, font_size=13, stroke_width=2, stroke_fill=(0, 0, 0)
            )
        if math.isfinite(self.target[k]):
            self._arrow(pen, foot, radius - 8, float(self.target[k]), EXPERT, dashed=True)
        if math.isfinite(self.predicted[k]):
            self._arrow(pen, foot, 0.74 * radius, float(self.predicted[k]), POLICY, dashed=False)

    def _arrow(
        self,
        pen: ImageDraw.ImageDraw,
        foot: Place,
        length: float,
        angle: float,
        colour: tuple[int, int, int],
        dashed: bool,
    ) -> None:
        """From `foot`, leaning as far as the angle says; the head of a dashed one is hollow."""
        lean = LEAN * min(max(angle / self.limit, -1.08), 1.08)
        tip, neck = _towards(foot, length, lean), _towards(foot, length - 20, lean)
        aside = (9 * math.cos(lean), 9 * math.sin(lean))
        head = [tip, (neck[0] + aside[0], neck[1] + aside[1]), (neck[0] - aside[0], neck[1] - aside[1])]
        pieces = [(0.0, length - 20)]
        if dashed:
            n = max(round((length - 20) / 24), 1)
            pieces = [((i + 0.4) * (length - 20) / n, (i + 1.0) * (length - 20) / n) for i in range(n)]
        ends = [(*_towards(foot, a, lean), *_towards(foot, b, lean)) for a, b in pieces]
        for end in ends:
            pen.line(end, fill=(0, 0, 0), width=9)
        pen.line([*head, *head[:2]], fill=(0, 0, 0), width=7, joint="curve")
        pen.polygon(head, fill=_DARK if dashed else colour)
        for end in ends:
            pen.line(end, fill=colour, width=5)
        pen.line([*head, *head[:2]], fill=colour, width=3, joint="curve")

    def _numbers(self, pen: ImageDraw.ImageDraw, k: int) -> None:
        """The line between picture and chart: what the lines mean, the angles, the error so far."""
        y = self.picture[1] + _HEAD / 2
        pen.line((12, y, 36, y), fill=POLICY, width=4)
        pen.text((42, y), f"predicted {self.predicted[k]:+.3f}", fill=INK, anchor="lm", font_size=15)
        if not self.judged[-1]:
            return
        for start in (190, 201, 212):
            pen.line((start, y, start + 6, y), fill=EXPERT, width=4)
        true = f"{self.target[k]:+.3f}" if math.isfinite(self.target[k]) else "unknown"
        pen.text((224, y), f"true {true}", fill=INK, anchor="lm", font_size=15)
        if math.isfinite(self.rmse[k]):
            text = f"RMSE of {self.judged[k]} so far {self.rmse[k]:.4f}"
            pen.text((WIDTH - _RIGHT, y), text, fill=INK, anchor="rm", font_size=15)

    def _chart(self, pen: ImageDraw.ImageDraw, k: int) -> None:
        """Both angles over the last seconds; it fills from the left, then moves on."""
        top, bottom = self.picture[1] + _HEAD, self.size[1] - _FOOT
        window = max(round(WINDOW * self.rate), 2)
        step = (WIDTH - _INSET - _RIGHT) / (window - 1)
        first = max(0, k + 1 - window)
        for share in (1.0, 0.0, -1.0):
            y = self._level(share * self.limit, top, bottom)
            pen.line((_INSET, y, WIDTH - _RIGHT, y), fill=_FAINT, width=1)
            text = self._label(share)
            pen.text((_INSET - 6, y), text, fill=INK, anchor="rm", font_size=13)
        for second in range(math.ceil(first / self.rate), math.floor((first + window - 1) / self.rate) + 1, 2):
            x = _INSET + (second * self.rate - first) * step
            pen.line((x, bottom, x, bottom + 4), fill=_FAINT, width=1)
            pen.text((x, bottom + 12), f"{second} s", fill=INK, anchor="mm", font_size=12)
        dash = max(1, round(7 / step))
        for values, colour, width, every in ((self.target, EXPERT, 3, dash), (self.predicted, POLICY, 2, 0)):
            for j in range(first, k):
                if np.isfinite(values[j : j + 2]).all() and not (every and j // every % 2):
                    a, b = ((_INSET + (i - first) * step, self._level(values[i], top, bottom)) for i in (j, j + 1))
                    pen.line((*a, *b), fill=colour, width=width)
        now = _INSET + (k - first) * step
        for values, colour in ((self.target, EXPERT), (self.predicted, POLICY)):
            if math.isfinite(values[k]):
                y = self._level(values[k], top, bottom)
                pen.ellipse((now - 4, y - 4, now + 4, y + 4), fill=colour if values is self.predicted else _DARK)
                pen.ellipse((now - 4, y - 4, now + 4, y + 4), outline=colour, width=2)

    def _label(self, share: float) -> str:
        """The number at a share of the scale."""
        return f"{share * self.limit:+g}" if share else "0"

    def _level(self, angle: float, top: float, bottom: float) -> float:
        """The row of an angle in the chart."""
        share = min(max(angle / self.limit, -1.0), 1.0)
        return (top + bottom) / 2 - share * ((bottom - top) / 2 - 4)


def scale_of(angles: np.ndarray) -> float:
    """The smallest of 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.2, .. that no finite angle exceeds."""
    largest = float(np.abs(angles[np.isfinite(angles)]).max(initial=0.1))
    power = 10.0 ** math.floor(math.log10(largest) + 1e-9)
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return float(f"{next(step for step in steps if step * power >= largest * (1 - 1e-9)) * power:.3g}")


def film_steering(
    film: VideoWriter, files: Sequence[str | os.PathLike[str]], predicted: np.ndarray, target: np.ndarray | None = None
) -> float:
    """Draw every file with its angles and add it to a film.

    Args:
        film: open for writing; its rate says how fast the time runs.
        files: N image files of any sizes.
        predicted: (N,) answers.
        target: (N,) true angles, NaN where unknown; None: all are.

    Returns:
        RMSE over the frames whose truth is known; NaN without any.

    Raises:
        UserError: no files, lengths that differ, or an image that can't be read.
    """
    if not len(files) or len(files) != len(predicted) or (target is not None and len(target) != len(files)):
        count = "no targets" if target is None else f"{len(target)} targets"
        raise UserError(f"got {len(files)} frames, {len(predicted)} answers and {count}; expected 1 or more of each")
    overlay: SteeringOverlay | None = None
    for k, file in enumerate(track(files, "filming")):
        picture = Image.fromarray(load_image(file, None, 3))
        overlay = overlay or SteeringOverlay(predicted, target, round(film.rate), picture.size)
        film.add(overlay(k, picture))
    assert overlay is not None
    return float(overlay.rmse[-1])


def _towards(foot: Place, distance: float, lean: float) -> Place:
    """The point `distance` pixels from `foot`, `lean` radians to the right of straight up."""
    return foot[0] + distance * math.sin(lean), foot[1] - distance * math.cos(lean)
