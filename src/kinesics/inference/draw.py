"""Answers drawn on pictures and frames: boxes, labels, bars of the most probable classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from kinesics.engine.palette import SERIES, light
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.inference.abstaining import ABSTAINED

_INK, _PLATE = (255, 255, 255), (20, 24, 30)
_SHOWN = 3


def draw_answers(image: np.ndarray, answers: Sequence[Prediction]) -> np.ndarray:
    """A copy of the picture with every answer on it.

    A face has a frame in the colour of its track; a plate beside it says track, label and confidence, and shows the
    three most probable classes as bars. An answer without a box (a whole picture) has its plate in the upper left
    corner. What is withheld has a grey frame.

    Args:
        image: (H, W, 3) uint8 RGB.
        answers: of this picture.

    Returns:
        (H, W, 3) uint8.
    """
    canvas = Image.fromarray(np.ascontiguousarray(image))
    pen = ImageDraw.Draw(canvas, "RGBA")
    unit = float(np.clip(min(canvas.size) / 30, 11, 40))
    taken: list[tuple[float, float, float, float]] = []
    for place, answer in enumerate(answers):
        if not isinstance(answer, Emotion) or answer.empty:
            continue
        colour = _colour(answer, place)
        if answer.box is not None:
            x, y, width, height = answer.box
            thick = max(round(unit / 8), 2)
            pen.rectangle((x, y, x + width, y + height), outline=_PLATE, width=thick + 2)
            pen.rectangle((x + 1, y + 1, x + width - 1, y + height - 1), outline=colour, width=thick)
        _plate(pen, answer, colour, unit, canvas.size, taken)
    return np.asarray(canvas)


def _colour(answer: Emotion, place: int) -> tuple[int, ...]:
    if answer.label == ABSTAINED:
        return ImageColor.getrgb("#a9b3c0")
    number = place if answer.track is None else answer.track - 1
    return ImageColor.getrgb(_BRIGHT[number % len(_BRIGHT)])


_BRIGHT = ("#56b4e9", "#f0934e", "#2fc79a", "#e08fc4", "#e6b800")
"""The dark page's values of the palette's series: they stand out on most pictures."""


def _plate(
    pen: ImageDraw.ImageDraw,
    answer: Emotion,
    colour: tuple[int, ...],
    unit: float,
    size: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """The plate with text and bars: below the box where there is room, else above it, else inside its lower edge."""
    ranked = sorted((answer.distribution or {}).items(), key=lambda item: -item[1])[:_SHOWN]
    text = f"#{answer.track} {answer.label}" if answer.track is not None else answer.label
    head = f"{text} {answer.confidence:.0%}" if answer.label != ABSTAINED else f"{text} (uncertain)"
    names = [name for name, _ in ranked]
    large, small = unit, unit * 0.78
    name_width = max((pen.textlength(name, font_size=small) for name in names), default=0.0)
    bar = 3.2 * unit
    width = max(pen.textlength(head, font_size=large), name_width + bar + 2.6 * unit) + unit
    height = 1.5 * large + len(ranked) * 1.15 * small + 0.3 * unit
    x, y = (4.0, 4.0) if answer.box is None else _room(answer.box, (width, height), size, taken)
    taken.append((x, y, x + width, y + height))
    pen.rounded_rectangle((x, y, x + width, y + height), radius=unit / 4, fill=(*_PLATE, 200))
    pen.text((x + 0.5 * unit, y + 0.15 * unit), head, fill=colour, font_size=large)
    for row, (name, share) in enumerate(ranked):
        top = y + 1.5 * large + row * 1.15 * small
        pen.text((x + 0.5 * unit, top), name, fill=_INK, font_size=small)
        left = x + 0.8 * unit + name_width
        pen.rectangle((left, top + 0.2 * small, left + bar, top + 0.95 * small), fill=(255, 255, 255, 45))
        pen.rectangle((left, top + 0.2 * small, left + bar * share, top + 0.95 * small), fill=colour)
        pen.text((left + bar + 0.3 * unit, top), f"{share:.0%}", fill=_INK, font_size=small)


def _room(
    box: tuple[float, float, float, float],
    plate: tuple[float, float],
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float]:
    """The upper left corner of a plate inside the picture, on no other plate where that can be."""
    x, y, width, height = box
    across = float(np.clip(x + width / 2 - plate[0] / 2, 2, max(size[0] - plate[0] - 2, 2)))
    beside = float(np.clip(y, 2, max(size[1] - plate[1] - 2, 2)))
    places = [
        (across, y + height + 4), (across, y - plate[1] - 4), (x + width + 4, beside), (x - plate[0] - 4, beside),
        (across, y + height - plate[1] - 4),
    ]  # fmt: skip
    inside = [
        (left, top) for left, top in places
        if left >= 0 and top >= 0 and left + plate[0] <= size[0] and top + plate[1] <= size[1]
    ]  # fmt: skip
    for left, top in inside:
        if not any(
            left < right and other_left < left + plate[0] and top < bottom and other_top < top + plate[1]
            for other_left, other_top, right, bottom in taken
        ):
            return left, top
    return inside[0] if inside else (across, beside)


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """A colour for each class, the same in every figure: the palette's series, then lighter ones."""
    base = [light(name) for name in SERIES]
    more = [_mixed(colour, 0.45) for colour in base]
    return {name: (base + more)[k % (2 * len(base))] for k, name in enumerate(classes)}


def _mixed(colour: str, white: float) -> str:
    red, green, blue = (round(part + (255 - part) * white) for part in ImageColor.getrgb(colour)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
