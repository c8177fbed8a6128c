"""Drives to look at: the camera's picture with the policy's and the expert's steering on it, and a map."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import MAX_ANGLE, WHEELBASE, State
from kinesics.data.synthetic.road_track import Road
from kinesics.inference.steering.closed_loop import Moment

POLICY, EXPERT, INK = (86, 180, 233), (240, 160, 20), (245, 245, 245)

_INSET, _TRAIL = 150, 120


class Overlay:
    """Draws frames of one drive; call it with each moment in turn.

    The ribbons on the road and the wheels below are the steering: blue the policy's, orange the expert's at the same
    place. The inset is the road from above, north up, with the way the car has come.

    Args:
        road: the road driven on.
        half_width: metres from its middle to its edge.
        camera: the camera of the drive.
        title: written in the upper left corner.
        zoom: how many times larger than the camera's picture the frames are.
    """

    def __init__(
        self, road: Road, half_width: float, camera: Camera | None = None, title: str = "", zoom: int = 2
    ) -> None:
        self.camera, self.title, self.zoom, self.half_width = camera or Camera(), title, zoom, half_width
        low = np.array([road.x.min(), road.y.min()]) - 8.0
        high = np.array([road.x.max(), road.y.max()]) + 8.0
        self._scale = (_INSET - 8) / float((high - low).max())
        self._shift = (low + high) / 2
        self._way = [self._above(x, y) for x, y in zip(road.x[::8], road.y[::8], strict=True)]
        self._trail: list[tuple[float, float]] = []

    def __call__(self, moment: Moment) -> Image.Image:
        """The frame."""
        size = (self.camera.width * self.zoom, self.camera.height * self.zoom)
        frame = Image.fromarray(moment.image).resize(size, Image.Resampling.BICUBIC)
        glass = Image.new("RGBA", size, (0, 0, 0, 0))
        pen = ImageDraw.Draw(glass)
        for steering, colour, width in ((moment.expert, EXPERT, 0.22), (moment.steering, POLICY, 0.12)):
            ribbon = self._ribbon(moment.state, steering, width)
            if len(ribbon) > 2:
                pen.polygon(ribbon, fill=(*colour, 190))
        for place, (steering, colour, name) in enumerate(
            ((moment.steering, POLICY, "policy"), (moment.expert, EXPERT, "expert"))
        ):
            self._wheel(pen, (34.0 + 70.0 * place, size[1] - 50.0), steering, colour, name)
        self._inset(pen, size[0], moment)
        pen.rectangle((4, 4, 14 + 6.2 * max(len(self.title), 34), 36), fill=(0, 0, 0, 120))
        side = "left" if moment.offset > 0 else "right"
        pen.text((8, 6), self.title, fill=INK)
        pen.text((8, 20), f"{moment.time:5.1f} s  {moment.s:5.0f} m  {abs(moment.offset):.2f} m {side}", fill=INK)
        frame = frame.convert("RGBA")
        frame.alpha_composite(glass)
        return frame.convert("RGB")

    def _ribbon(self, state: State, steering: float, width: float) -> list[tuple[float, float]]:
        """Outline in the frame of the strip of ground that the rear axle's middle would pass over."""
        bend = -math.tan(MAX_ANGLE * steering) / WHEELBASE
        sides: list[list[tuple[float, float]]] = [[], []]
        for distance in np.linspace(self.camera.forward + 2.6, 15.0, 24):
            turn = bend * distance
            if abs(turn) > 1.4:
                break
            chord = distance * (math.sin(turn / 2) / (turn / 2) if abs(turn) > 1e-9 else 1.0)
            middle, end = state.heading + turn / 2, state.heading + turn
            x, y = state.x + chord * math.cos(middle), state.y + chord * math.sin(middle)
            for side, away in zip(sides, (width, -width), strict=True):
                column, row, ahead = self.camera.project(state, x - away * math.sin(end), y + away * math.cos(end))
                if ahead > 0.5:
                    side.append((column * self.zoom, row * self.zoom))
        return sides[0] + sides[1][::-1]

    def _wheel(
        self, pen: ImageDraw.ImageDraw, middle: tuple[float, float], steering: float, colour: tuple[int, ...], name: str
    ) -> None:
        """A steering wheel turned by six times the angle of the front wheels, and the number."""
        x, y = middle
        pen.ellipse((x - 28, y - 28, x + 28, y + 28), fill=(0, 0, 0, 110))
        pen.ellipse((x - 24, y - 24, x + 24, y + 24), outline=(*colour, 255), width=5)
        turn = 6.0 * MAX_ANGLE * steering
        for spoke in (0.0, math.pi, math.pi / 2):
            end = (x + 20 * math.cos(spoke + turn), y + 20 * math.sin(spoke + turn))
            pen.line((x, y, *end), fill=(*colour, 255), width=4)
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(*colour, 255))
        pen.text((x, y + 38), f"{name} {steering:+.2f}", fill=INK, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))

    def _inset(self, pen: ImageDraw.ImageDraw, width: int, moment: Moment) -> None:
        left, top = width - _INSET - 6, 6

        def shift(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
            return [(left + x, top + y) for x, y in points]

        pen.rectangle((left, top, left + _INSET, top + _INSET), fill=(15, 20, 25, 170))
        thick = max(3, round(2 * self.half_width * self._scale))
        for x, y in shift(self._way):  # discs, as a thick line has cracks at its joints
            pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=(150, 150, 155, 255))
        self._trail = [*self._trail, self._above(moment.state.x, moment.state.y)][-_TRAIL:]
        if len(self._trail) > 1:
            pen.line(shift(self._trail), fill=(*POLICY, 255), width=2)
        nose, heading = 7.0, moment.state.heading
        ((x, y),) = shift(self._trail[-1:])
        corners = [
            (x + nose * math.cos(heading + a) * k, y - nose * math.sin(heading + a) * k)
            for a, k in ((0.0, 1.0), (2.5, 0.8), (-2.5, 0.8))
        ]
        pen.polygon(corners, fill=(255, 80, 60, 255))

    def _above(self, x: float, y: float) -> tuple[float, float]:
        """Pixels in the inset."""
        return (
            _INSET / 2 + (float(x) - float(self._shift[0])) * self._scale,
            _INSET / 2 - (float(y) - float(self._shift[1])) * self._scale,
        )
