"""What a trained model answers with: frozen records that convert to dictionaries, tables and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


@dataclass(frozen=True)
class Prediction:
    """Base of every kind of answer."""

    source: str = ""
    """File or stream that the answer is about."""
    time: float | None = None
    """Seconds from the start of a video or track; None for a still image."""
    frame: int | None = None
    """Number of the frame in a video, from 0; None for a still image."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and dictionaries, ready for JSON; None fields are left out."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name)) is not None}

    def to_frame(self) -> pd.DataFrame:
        """One table row; nested dictionaries become columns `p_<class>`."""
        return to_frame([self])

    def draw(self, image: Image) -> Image:
        """A copy of `image` with the answer drawn on it."""
        raise TypeError(f"{type(self).__name__} has no drawing")


@dataclass(frozen=True)
class Emotion(Prediction):
    """The expression of one face."""

    label: str = ""
    """Class with the highest probability; empty where no face was found in the picture."""
    distribution: dict[str, float] | None = None
    """Class -> probability, calibrated by the run's temperature; sums to 1."""
    confidence: float = 0.0
    """Calibrated probability of `label`, in [0, 1]."""
    uncertainty: float = 0.0
    """Entropy of the calibrated distribution divided by log(number of classes), in [0, 1]."""
    valence: float | None = None
    """In [-1, 1]: the distribution's mean over the classes' circumplex coordinates."""
    arousal: float | None = None
    """In [-1, 1], likewise."""
    box: tuple[float, float, float, float] | None = None
    """x, y, width, height of the face in pixels, where a face was searched for."""
    track: int | None = None
    """Number of the person in a video."""
    smooth: dict[str, float] | None = None
    """Class -> probability, averaged over the track's recent past; None unless that was asked for."""

    @property
    def empty(self) -> bool:
        """Whether this says that no face was found in the picture."""
        return not self.label and not self.distribution and self.valence is None

    def draw(self, image: Image) -> Image:
        """A copy of `image` (widened at the right) with the distribution as bars, most probable first."""
        from PIL import Image as Images
        from PIL import ImageDraw

        height = max(image.height, 120)
        canvas = Images.new("RGB", (image.width + 220, height), "white")
        canvas.paste(image.convert("RGB"), (0, (height - image.height) // 2))
        pen = ImageDraw.Draw(canvas)
        ranked = sorted((self.distribution or {}).items(), key=lambda item: -item[1])
        step = height / max(len(ranked), 1)
        for place, (name, share) in enumerate(ranked):
            top = place * step + 1
            pen.rectangle((image.width + 90, top + 2, image.width + 90 + 90 * share, top + step - 3), fill="#0072b2")
            pen.text((image.width + 6, top + step / 2 - 6), name, fill="black")
            pen.text((image.width + 184, top + step / 2 - 6), f"{share:.0%}", fill="black")
        return canvas


@dataclass(frozen=True)
class Steering(Prediction):
    """Where a driver would turn the wheel."""

    angle: float = 0.0
    """In the unit and with the sign of the targets that were learned; in simulators negative is left."""

    def draw(self, image: Image) -> Image:
        """A copy of `image` with a line from its lower edge, turned from the vertical by `angle` taken as radians.

        It leans at most 80 degrees; a positive angle leans to the right.
        """
        from PIL import ImageDraw

        canvas = image.convert("RGB")
        pen = ImageDraw.Draw(canvas)
        width, height = canvas.size
        lean = max(-_LARGEST_LEAN, min(_LARGEST_LEAN, self.angle))
        length = 0.4 * min(width, height)
        start = (width / 2, height - 1)
        tip = (start[0] + length * math.sin(lean), start[1] - length * math.cos(lean))
        thick = max(round(height / 60), 1)
        pen.line((*start, *tip), fill="white", width=thick + 2)
        pen.line((*start, *tip), fill="#0072b2", width=thick)
        pen.text((4, 2), f"{self.angle:+.3f}", fill="white", stroke_width=1, stroke_fill="black")
        return canvas


_LARGEST_LEAN = math.radians(80)


def to_row(prediction: Prediction) -> dict[str, Any]:
    """One table row: `distribution` spreads over columns `p_<class>`, `smooth` over `smooth_<class>`, `box` over
    `box_x` .. `box_h`; where no face was found, what is said of one is left out."""
    answer = prediction.to_dict()
    if isinstance(prediction, Emotion) and prediction.empty:
        del answer["confidence"], answer["uncertainty"]
    row: dict[str, Any] = {name: answer.pop(name) for name in ("source", "frame", "time", "track") if name in answer}
    if (box := answer.pop("box", None)) is not None:
        row.update(zip(("box_x", "box_y", "box_w", "box_h"), box, strict=True))
    place: dict[str, Any] = {name: answer.pop(name) for name in ("valence", "arousal") if name in answer}
    shares, smooth = answer.pop("distribution", None) or {}, answer.pop("smooth", None) or {}
    row.update(answer)
    row.update({f"p_{name}": share for name, share in shares.items()})
    row.update(place)
    row.update({f"smooth_{name}": share for name, share in smooth.items()})
    return row


def to_frame(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """One row a prediction, see `to_row`; columns in the order of the fullest row, then any others."""
    import pandas as pd

    rows = [to_row(prediction) for prediction in predictions]
    fullest: dict[str, Any] = max(rows, key=lambda row: len(row), default={})
    return pd.DataFrame(rows, columns=list(dict.fromkeys([*fullest, *(name for row in rows for name in row)])))
