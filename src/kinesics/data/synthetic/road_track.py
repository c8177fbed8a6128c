"""Roads as curves: a smooth centre line with bounded curvature, sampled by arc length.

Frame: x east, y north, metres; headings in radians, counter-clockwise from x. `s` is the arc length along the road and
`offset` the signed distance from its centre line, positive to the left of the direction of travel. Curvature is
positive where the road bends to the left.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from kinesics.errors import UserError

SPACING = 0.25
"""Metres between neighbouring samples, about."""

CLEARANCE = 34.0
"""Metres that two parts of a random road keep from each other, centre to centre."""

_CELL, _MARGIN = 1.0, 45.0

_BLOCK = 3
"""Cells a side of the blocks for whose middles the nearest sample is looked up; each cell's is found from there."""


class Road:
    """One road, closed (a track) or open.

    Args:
        x, y: (N,) points at equal arc lengths, metres.
        heading: (N,) direction of travel at each, radians.
        curvature: (N,) per metre.
        length: of the centre line, metres. A closed road has N intervals, the last one back to the first point; an open
            one N - 1.
        closed: whether the end leads back to the start.
        seed: what scenery and weather are drawn from.
        hand: 1, or -1 where the world is the mirror image of another: scenery and textures are mirrored with the road.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        heading: np.ndarray,
        curvature: np.ndarray,
        length: float,
        *,
        closed: bool,
        seed: int = 0,
        hand: int = 1,
    ) -> None:
        self.x, self.y, self.curvature = x, y, curvature
        self.heading = np.unwrap(heading)
        self.length, self.closed, self.seed, self.hand = float(length), closed, seed, hand
        self.spacing = self.length / (len(x) if closed else len(x) - 1)
        self._tree = cKDTree(np.column_stack([x, y]))
        self._grid: np.ndarray | None = None
        columns = (x, y, np.cos(heading), np.sin(heading), curvature, np.arange(len(x)) * self.spacing)
        self._columns = tuple(np.asarray(column, dtype=np.float32) for column in columns)

    @classmethod
    def random(cls, seed: int, *, closed: bool = True, min_radius: float = 18.0, length: float = 400.0) -> Road:
        """A road of bends to both sides, none of them tighter than `min_radius`.

        Args:
            seed: which road, 0 or more.
            closed: a track round a middle, clockwise or not; else a road from here to there.
            min_radius: smallest radius of a bend, metres.
            length: of an open road, metres; that of a closed one follows from its shape (220 to 900 m at 18 m).

        Raises:
            UserError: an argument is out of its range.
        """
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise UserError(f"seed is {seed}; expected a whole number, 0 or more")
        if not 12.0 <= min_radius <= 500.0:
            raise UserError(f"min_radius is {min_radius}; expected 12 to 500 metres")
        if not 50.0 <= length <= 5000.0:
            raise UserError(f"length is {length}; expected 50 to 5000 metres")
        rng = np.random.default_rng([int(seed), 17])
        while True:
            road = _random_track(rng, int(seed), min_radius) if closed else _random_way(rng, seed, min_radius, length)
            if road is not None:
                return road

    @classmethod
    def circle(cls, radius: float, left: bool = True, seed: int = 0) -> Road:
        """A round track; `left` is counter-clockwise."""
        n = max(8, round(2 * math.pi * radius / SPACING))
        angle = np.arange(n) * (2 * math.pi / n)
        sign = 1.0 if left else -1.0
        x, y = radius * np.cos(angle), sign * radius * np.sin(angle)
        heading = sign * (angle + math.pi / 2)
        return cls(x, y, heading, np.full(n, sign / radius), 2 * math.pi * radius, closed=True, seed=seed)

    @classmethod
    def straight(cls, length: float, seed: int = 0) -> Road:
        """An open road along x from the origin."""
        n = max(2, round(length / SPACING) + 1)
        zero = np.zeros(n)
        return cls(np.linspace(0.0, length, n), zero, zero, zero, length, closed=False, seed=seed)

    def mirrored(self) -> Road:
        """The same road in a world whose y axis is turned round: left bends become right ones."""
        return Road(
            self.x, -self.y, -self.heading, -self.curvature, self.length, closed=self.closed, seed=self.seed,
            hand=-self.hand,
        )  # fmt: skip

    def pose(self, s: float) -> tuple[float, float, float, float]:
        """x, y, heading and curvature of the centre line at arc length `s`.

        A closed road goes round; beyond the ends of an open one it goes on straight.
        """
        if self.closed:
            s %= self.length
        place = min(max(s / self.spacing, 0.0), len(self.x) - 1.0)
        k = min(int(place), len(self.x) - 1)
        rest, curvature, heading = s - k * self.spacing, float(self.curvature[k]), float(self.heading[k])
        if not self.closed and (s < 0.0 or s > self.length):
            curvature = 0.0
        middle = heading + 0.5 * curvature * rest
        x, y = float(self.x[k]) + rest * math.cos(middle), float(self.y[k]) + rest * math.sin(middle)
        return x, y, heading + curvature * rest, curvature

    def locate(self, x: float, y: float) -> tuple[float, float]:
        """(s, offset) of the point of the centre line nearest to (x, y)."""
        k = int(self._tree.query((x, y))[1])
        heading, bend = float(self.heading[k]), float(self.curvature[k])
        dx, dy, cos, sin = x - float(self.x[k]), y - float(self.y[k]), math.cos(heading), math.sin(heading)
        along, beside = dx * cos + dy * sin, dy * cos - dx * sin
        foot = along / max(1.0 - bend * beside, 0.2)  # as in _project
        return k * self.spacing + foot, beside - 0.5 * bend * along * foot

    def coordinates(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Road coordinates of many points at once, through a grid of 1 m cells that know their nearest sample.

        Args:
            x, y: (...) float32 metres; cut off at 45 m round the road, in place.

        Returns:
            s, offset (...) float32 and the road's direction there as cosine and sine. Exact to about a millimetre
            within `CLEARANCE` / 2 of the road; beyond that the nearest part of the road may be mistaken.
        """
        if self._grid is None:
            self._grid = self._make_grid()
        x0, y0, nx, ny = self._box
        np.clip(x, x0, x0 + nx * _CELL - 0.01, out=x)
        np.clip(y, y0, y0 + ny * _CELL - 0.01, out=y)
        cell = ((y - y0) * (1.0 / _CELL)).astype(np.intp)
        cell *= nx
        cell += ((x - x0) * (1.0 / _CELL)).astype(np.intp)
        return self._project(x, y, self._grid.take(cell))

    def _project(
        self, x: np.ndarray, y: np.ndarray, k: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Nearest point from the nearest sample: the road is a parabola there.

        With a along and b beside the tangent at the sample, the foot is at a / (1 - curvature b) and the distance
        b - curvature a^2 / (2 (1 - curvature b)).
        """
        px, py, cos, sin, bend, at = (column.take(k) for column in self._columns)
        dx, dy = x - px, y - py
        along, beside = dx * cos + dy * sin, dy * cos - dx * sin
        foot = along / np.maximum(1.0 - bend * beside, 0.2)
        return at + foot, beside - 0.5 * bend * along * foot, cos, sin

    def _make_grid(self) -> np.ndarray:
        """(ny * nx,) intp, the sample nearest to the middle of each cell."""
        x0, y0 = float(self.x.min()) - _MARGIN, float(self.y.min()) - _MARGIN
        nx = math.ceil((float(self.x.max()) + _MARGIN - x0) / _CELL)
        ny = math.ceil((float(self.y.max()) + _MARGIN - y0) / _CELL)
        self._box = (x0, y0, nx, ny)
        wide, high = -(-nx // _BLOCK), -(-ny // _BLOCK)
        blocks = np.stack(np.meshgrid(np.arange(wide) + 0.5, np.arange(high) + 0.5), axis=-1).reshape(-1, 2)
        found = self._tree.query(blocks * (_BLOCK * _CELL) + (x0, y0))[1].reshape(high, wide)
        k = found.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)[:ny, :nx].astype(np.intp)
        x = np.asarray((np.arange(nx) + 0.5) * _CELL + x0, dtype=np.float32)[None]
        y = np.asarray((np.arange(ny) + 0.5) * _CELL + y0, dtype=np.float32)[:, None]
        for _ in range(2):  # twice to the foot of the perpendicular, as a block's sample may lie 2 m off
            k = self._stepped(x, y, k)
        return k.ravel()

    def _stepped(self, x: np.ndarray, y: np.ndarray, k: np.ndarray) -> np.ndarray:
        """The samples at the feet of the perpendiculars from (x, y), where those are nearer than the samples `k`."""
        s = self._project(x, y, k)[0]
        other = np.rint(s * np.float32(1.0 / self.spacing)).astype(np.intp)
        n = len(self.x)
        other = other % n if self.closed else np.clip(other, 0, n - 1)
        px, py = self._columns[:2]
        here, there = ((x - px.take(at)) ** 2 + (y - py.take(at)) ** 2 for at in (k, other))
        return np.where(there < here, other, k)


def _random_track(rng: np.random.Generator, seed: int, min_radius: float) -> Road | None:
    """A closed curve r(angle) = 1 + waves, enlarged until its tightest bend has the radius asked for."""
    orders = np.arange(2, 6)
    share = rng.uniform(0.2, 1.0, 4) * (0.30, 0.16, 0.09, 0.05)
    phase = rng.uniform(0.0, 2 * math.pi, 4)
    sign = 1.0 if rng.random() < 0.5 else -1.0
    dense = np.linspace(0.0, 2 * math.pi, 4097)
    _, _, _, speed, bend = _polar(dense, orders, share, phase)
    scale = min_radius * float(np.abs(bend).max()) * rng.uniform(1.0, 1.25)
    arc = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(dense))]) * scale
    length = float(arc[-1])
    if not 12.0 * min_radius <= length <= 50.0 * min_radius:
        return None
    n = round(length / SPACING)
    x, y, heading, _, bend = _polar(np.interp(np.arange(n) * (length / n), arc, dense), orders, share, phase)
    road = Road(
        x * scale, sign * y * scale, sign * heading, sign * bend / scale, length, closed=True, seed=seed
    )  # fmt: skip
    return road if _is_clear(road) else None


def _polar(
    angle: np.ndarray, orders: np.ndarray, share: np.ndarray, phase: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, heading, |d(x, y)/d angle| and curvature of r = 1 + sum share cos(order angle + phase)."""
    waves = orders[:, None] * angle + phase[:, None]
    r = 1.0 + share @ np.cos(waves)
    dr = -(share * orders) @ np.sin(waves)
    ddr = -(share * orders**2) @ np.cos(waves)
    speed = np.sqrt(r * r + dr * dr)
    heading = angle + np.arctan2(r, dr)
    return r * np.cos(angle), r * np.sin(angle), heading, speed, (r * r + 2 * dr * dr - r * ddr) / speed**3


def _random_way(rng: np.random.Generator, seed: int, min_radius: float, length: float) -> Road | None:
    """An open road whose curvature is a sum of waves, integrated; it never turns back by more than about 90 degrees."""
    n = round(length / SPACING) + 1
    s = np.linspace(0.0, length, n)
    waves = np.zeros(n)
    for wavelength in rng.uniform(60.0, 180.0, 4):
        waves += rng.uniform(0.3, 1.0) * np.sin(2 * math.pi * s / wavelength + rng.uniform(0.0, 2 * math.pi))
    bend = waves / float(np.abs(waves).max()) / (min_radius * rng.uniform(1.0, 1.25))
    step = s[1] - s[0]
    heading = np.concatenate([[0.0], np.cumsum(0.5 * (bend[1:] + bend[:-1]) * step)])
    heading -= heading.mean()
    middle = 0.5 * (heading[1:] + heading[:-1])
    x = np.concatenate([[0.0], np.cumsum(np.cos(middle) * step)])
    y = np.concatenate([[0.0], np.cumsum(np.sin(middle) * step)])
    road = Road(x, y, heading, bend, length, closed=False, seed=seed)
    return road if _is_clear(road) else None


def _is_clear(road: Road) -> bool:
    """Whether parts that are far apart along the road are also far apart across the country."""
    every = 8
    points = np.column_stack([road.x, road.y])[::every]
    pairs = cKDTree(points).query_pairs(CLEARANCE, output_type="ndarray")
    if not len(pairs):
        return True
    gap = (pairs[:, 1] - pairs[:, 0]) * every * road.spacing
    if road.closed:
        gap = np.minimum(gap, road.length - gap)
    # along a bend of radius r the arc over a chord of 2 r is pi r
    return bool((gap < 2.2 * CLEARANCE).all())
