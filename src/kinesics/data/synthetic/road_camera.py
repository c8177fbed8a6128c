"""A level pinhole camera behind the windscreen, and what depends on nothing but it.

The picture's rows are parallel to the horizon, which lies above its middle (the lower part of a level camera's
view), so upright things stay upright. A point a metres ahead, b to the left and c above the ground is drawn at
column W / 2 - f b / a, row horizon - f (c - height) / a.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kinesics.data.synthetic.road_car import State
from kinesics.errors import UserError


@dataclass(frozen=True)
class Camera:
    """The camera and its mount on the car.

    Args:
        width, height: of the picture, pixels.
        field: horizontal field of view, degrees.
        eye: metres above the ground.
        forward: metres ahead of the rear axle.

    Raises:
        UserError: a value out of its range.
    """

    width: int = 320
    height: int = 160
    field: float = 80.0
    eye: float = 1.3
    forward: float = 0.6

    def __post_init__(self) -> None:
        for name, low, high, unit in (
            ("width", 32, 2048, "pixels"), ("height", 16, 2048, "pixels"), ("field", 30.0, 120.0, "degrees"),
            ("eye", 0.2, 2.4, "metres"), ("forward", -2.0, 4.0, "metres"),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"camera.{name} is {value}; expected {low} to {high} {unit}")

    @cached_property
    def focal(self) -> float:
        """Focal length, pixels."""
        return self.width / 2 / math.tan(math.radians(self.field / 2))

    @cached_property
    def horizon(self) -> int:
        """Rows above the horizon."""
        return round(0.4 * self.height)

    def viewpoint(self, state: State) -> tuple[float, float, float, float]:
        """Where the camera is, x and y, and where it looks, cosine and sine of the heading."""
        cos, sin = math.cos(state.heading), math.sin(state.heading)
        return state.x + self.forward * cos, state.y + self.forward * sin, cos, sin

    def project(self, state: State, x: float, y: float, z: float = 0.0) -> tuple[float, float, float]:
        """Column, row (both in pixels from the picture's upper left corner) and distance ahead of a point in space.

        The column and row are meaningless where the distance is not positive.
        """
        px, py, cos, sin = self.viewpoint(state)
        ahead = (x - px) * cos + (y - py) * sin
        left = (y - py) * cos - (x - px) * sin
        scale = self.focal / ahead if abs(ahead) > 1e-9 else math.inf
        return self.width / 2 - scale * left, self.horizon - scale * (z - self.eye), ahead

    @cached_property
    def slopes(self) -> np.ndarray:
        """(W,) float32, metres to the right for each metre ahead, of the columns' middles."""
        return ((np.arange(self.width) + 0.5 - self.width / 2) / self.focal).astype(np.float32)

    @cached_property
    def below(self) -> np.ndarray:
        """(R,) float32, pixels below the horizon of the middles of the R ground rows, from the horizon down."""
        return (np.arange(self.height - self.horizon) + 0.5).astype(np.float32)

    def depths(self, drop: float) -> np.ndarray:
        """(R,) float32, how far ahead the plane `drop` metres below the camera is met in each ground row."""
        return (self.focal * drop / self.below).astype(np.float32)
