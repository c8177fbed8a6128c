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
    unit = float(np.clip(min(canvas.size) / 34, 11, 40))
    boxes = [answer.box for answer in answers if isinstance(answer, Emotion) and answer.box is not None]
    taken = [(x, y, x + width, y + height) for x, y, width, height in boxes]
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
    """The plate with text and bars beside the box, or with the text alone where there is room for no more."""
    text = f"#{answer.track} {answer.label}" if answer.track is not None else answer.label
    head = f"{text} {answer.confidence:.0%}" if answer.label != ABSTAINED else f"{text} (uncertain)"
    large, small, bar = unit, unit * 0.78, 3.2 * unit
    for rows in (_SHOWN, 0):
        ranked = sorted((answer.distribution or {}).items(), key=lambda item: -item[1])[:rows]
        name_width = max((pen.textlength(name, font_size=small) for name, _ in ranked), default=0.0)
        wide = name_width + bar + 2.6 * unit if ranked else 0.0
        width = max(pen.textlength(head, font_size=large), wide) + unit
        height = 1.5 * large + len(ranked) * 1.15 * small + (0.3 * unit if ranked else 0.0)
        place = (4.0, 4.0) if answer.box is None else _room(answer.box, (width, height), size, taken)
        if place is not None:
            break
    else:
        assert answer.box is not None
        place = max(answer.box[0], 2.0), max(answer.box[1] - height / 2, 2.0)
    x, y = place
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
) -> tuple[float, float] | None:
    """The upper left corner of a plate inside the picture and on nothing taken; None where there is no such place."""
    x, y, width, height = box
    across = float(np.clip(x + width / 2 - plate[0] / 2, 2, max(size[0] - plate[0] - 2, 2)))
    beside = float(np.clip(y, 2, max(size[1] - plate[1] - 2, 2)))
    places = [
        (across, y + height + 4), (across, y - plate[1] - 4), (x + width + 4, beside), (x - plate[0] - 4, beside),
        (x + width - plate[0], y + height + 4), (x, y + height + 4), (x, y - plate[1] - 4),
        (x + width - plate[0], y - plate[1] - 4),
    ]  # fmt: skip
    for left, top in places:
        right, bottom = left + plate[0], top + plate[1]
        if left < 0 or top < 0 or right > size[0] or bottom > size[1]:
            continue
        if not any(left < x1 and x0 < right and top < y1 and y0 < bottom for x0, y0, x1, y1 in taken):
            return left, top
    return None


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """A colour for each class, the same in every figure: the palette's series, then lighter ones."""
    base = [light(name) for name in SERIES]
    more = [_mixed(colour, 0.45) for colour in base]
    return {name: (base + more)[k % (2 * len(base))] for k, name in enumerate(classes)}


def _mixed(colour: str, white: float) -> str:
    red, green, blue = (round(part + (255 - part) * white) for part in ImageColor.getrgb(colour)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
