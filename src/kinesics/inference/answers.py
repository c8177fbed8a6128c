"""The list of answers that a model gives back: a list that can become a table, dictionaries and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kinesics.engine.prediction import Prediction, to_frame
from kinesics.errors import UserError
from kinesics.vision.video import Frame

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL.Image import Image

    ImageLike = str | os.PathLike[str] | np.ndarray | Image


class Answers(list[Prediction]):
    """Answers in order, those of one picture beside each other.

    Args:
        answers: the records.
        pictures: what they are about; nothing where the pictures were not kept.
        owners: for each answer the position of its picture.
        frame: of a video, that all of them are about.
    """

    def __init__(
        self,
        answers: Iterable[Prediction] = (),
        pictures: Sequence[ImageLike] = (),
        owners: Sequence[int] = (),
        frame: Frame | None = None,
    ) -> None:
        super().__init__(answers)
        self.pictures, self.owners, self.frame = list(pictures), list(owners), frame

    def to_frame(self) -> pd.DataFrame:
        """One row an answer, see `kinesics.engine.prediction.to_row`."""
        return to_frame(self)

    def to_dict(self) -> list[dict[str, Any]]:
        """A dictionary an answer, ready for JSON."""
        return [answer.to_dict() for answer in self]

    def draw(self) -> list[Image]:
        """Every picture with its answers on it, as large as it is; files are opened again.

        Raises:
            UserError: the pictures were not kept (they came from a generator), or a file is gone.
        """
        from PIL import Image as Images

        from kinesics.inference.draw import draw_answers
        from kinesics.vision.media import as_array, read_picture

        if self.frame is not None:
            return [Images.fromarray(draw_answers(self.frame.image, self))]
        if self and not self.pictures:
            raise UserError("the pictures of a generator are not kept", hint="give a list, or draw each with stream()")
        drawn = []
        for place, picture in enumerate(self.pictures):
            pixels = read_picture(picture) if isinstance(picture, str | os.PathLike) else as_array(picture)
            mine = [answer for answer, owner in zip(self, self.owners, strict=True) if owner == place]
            drawn.append(Images.fromarray(draw_answers(pixels, mine)))
        return drawn
