"""What stands beside the road: walls along it, and plants and posts that face the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import State
from kinesics.data.synthetic.road_plants import ASPECT, VARIANTS, plant_picture
from kinesics.data.synthetic.road_scenes import Scene, Wall
from kinesics.data.synthetic.road_sky import headlight
from kinesics.data.synthetic.road_textures import WALL_COLUMNS, WALL_LEVELS, WALL_PERIOD, WALL_ROWS, wall_texture
from kinesics.data.synthetic.road_track import Road

FARTHEST, NEAREST = 130.0, 1.2
"""Metres ahead between which plants are drawn."""

_WARM = np.array([1.0, 0.85, 0.55])
"""Colour of a lamp's glow."""

MOST = 28
"""Plants drawn at a time, the largest in the picture."""


@dataclass(frozen=True)
class Air:
    """Light and fog: a colour at distance d is shown as colour (ambient + headlights) exp(-fog d) + haze (1 - ...)."""

    ambient: np.ndarray
    haze: np.ndarray
    fog: float
    headlights: float
    lamps: float
    snow: float


def draw_wall(
    planes: np.ndarray,
    wall: Wall,
    camera: Camera,
    road: Road,
    air: Air,
    s: np.ndarray,
    offset: np.ndarray,
    beside: np.ndarray,
) -> np.ndarray:
    """Draw a wall where the ground under each column of the picture first lies `wall.distance` off the road.

    Args:
        planes: (3, H, W) float32, painted on.
        s, offset, beside: (R, W) road coordinates of the ground pixels and |offset|.

    Returns:
        (W,) float32, how far ahead the wall stands in each column; infinite where there is none.
    """
    column = np.arange(camera.width)
    out = beside[::-1] > wall.distance
    first = out.argmax(axis=0)
    outer = len(beside) - 1 - first
    inner = np.minimum(outer + 1, len(beside) - 1)
    far, near = beside[outer, column], beside[inner, column]
    share = np.clip((wall.distance - near) / np.maximum(far - near, 1e-6), 0.0, 1.0)
    inverse = 1.0 / camera.below
    # the ground is linear in 1 / row
    at = inverse[inner] + share * (inverse[outer] - inverse[inner])
    found = out[first, column]
    depth = np.where(found, camera.focal * camera.eye * at, np.float32(1e4)).astype(np.float32)
    along = s[outer, column] - s[inner, column]
    if road.closed:
        along -= road.length * np.round(along / road.length)
    place = s[inner, column] + share * along
    side = np.where(offset[outer, column] > 0, road.hand, -road.hand)

    texel = WALL_PERIOD[wall.texture] / WALL_COLUMNS
    step = np.abs(np.diff(place, append=place[-1:]))
    step = np.minimum(step, np.abs(np.diff(place, prepend=place[:1]))) + depth / camera.focal
    level = np.clip(np.log2(np.maximum(step / texel, 1.0)) * 0.5 + 0.3, 0, WALL_LEVELS - 1).astype(np.int64)
    turn = np.floor(place / texel).astype(np.int64) + np.where(side > 0, 0, WALL_COLUMNS // 3)
    base = level * (WALL_ROWS * WALL_COLUMNS) + turn % WALL_COLUMNS

    foot = camera.focal * camera.eye / depth
    head = foot - camera.focal * wall.height / depth
    top = int(max(np.floor(camera.horizon + head.min()), 0))
    bottom = int(min(np.ceil(camera.horizon + foot.max()) + 1, camera.height))
    if bottom <= top:
        return depth
    row = (np.arange(top, bottom) + 0.5 - camera.horizon).astype(np.float32)[:, None]
    height = (foot - row) * (depth * (WALL_ROWS / wall.height / camera.focal))
    texel_row = np.clip(height, 0.0, WALL_ROWS - 1).astype(np.int64)
    texel_row *= WALL_COLUMNS
    texel_row += base
    red, green, blue, alpha, glow = wall_texture(wall.texture, road.seed % VARIANTS)
    share = alpha.take(texel_row)
    share *= (height >= 0.0) & (height < WALL_ROWS) & found
    shine = glow.take(texel_row) * air.lamps if air.lamps else None
    clear = np.exp(-air.fog * depth)
    lamp = air.headlights * 0.8 * headlight(depth, camera.slopes)
    facing = np.where(side > 0, np.float32(1.0), np.float32(0.86))
    for plane, colour, ambient, haze, warm in zip(
        planes[:, top:bottom], (red, green, blue), air.ambient, air.haze, (1.0, 0.82, 0.5), strict=True
    ):
        shown = colour.take(texel_row)
        shown *= (facing * ambient + lamp) * clear
        if shine is not None:
            shown += shine * (warm * clear)
        shown += haze * (1.0 - clear)
        shown -= plane
        shown *= share
        plane += shown
    return depth


@dataclass(frozen=True)
class Plants:
    """M things beside a road: (M,) each."""

    x: np.ndarray
    y: np.ndarray
    height: np.ndarray
    aspect: np.ndarray
    kind: tuple[str, ...]
    variant: np.ndarray
    hand: int

    @classmethod
    def beside(cls, road: Road, scene: Scene) -> Plants:
        """Those of a scene, from the road's seed; none stands on any part of the road or before a wall's foot."""
        rng = np.random.default_rng([road.seed, 38])
        spots: list[tuple[float, float, float, str, int]] = []
        for plant in scene.plants:
            n = max(1, round(road.length / plant.every))
            for side in (1, -1):
                for k in range(n):
                    lots = rng.random(4)
                    s = (k + (0.5 if plant.regular else lots[0])) * road.length / n
                    aside = scene.half_width + plant.near + (plant.far - plant.near) * lots[1]
                    if scene.water is not None and side > 0 and aside > scene.water - 2.0:
                        continue
                    tall = plant.size[0] + (plant.size[1] - plant.size[0]) * lots[2]
                    spots.append((s, side * aside, tall, plant.picture, int(lots[3] * VARIANTS)))
        kept = []
        for s, aside, tall, kind, variant in spots:
            x, y, heading, _ = road.pose(s)
            x, y = x - road.hand * aside * np.sin(heading), y + road.hand * aside * np.cos(heading)
            if abs(road.locate(x, y)[1]) > abs(aside) - 0.3:
                kept.append((x, y, tall, kind, variant))
        column = list(zip(*kept, strict=True)) if kept else [(), (), (), (), ()]
        return cls(
            np.array(column[0]), np.array(column[1]), np.array(column[2]),
            np.array([ASPECT[kind] for kind in column[3]]), tuple(column[3]), np.array(column[4], dtype=np.int64),
            road.hand,
        )  # fmt: skip


def draw_plants(planes: np.ndarray, plants: Plants, camera: Camera, state: State, air: Air, hidden: np.ndarray) -> None:
    """Paste the plants in view, far ones first.

    Args:
        planes: (3, H, W) float32, painted on.
        hidden: (W,) distance ahead beyond which a column shows a wall.
    """
    x0, y0, cos, sin = camera.viewpoint(state)
    dx, dy = plants.x - x0, plants.y - y0
    ahead, right = dx * cos + dy * sin, dx * sin - dy * cos
    reach = ahead * (camera.width / 2 / camera.focal) + plants.height
    seen = np.flatnonzero((ahead > NEAREST) & (ahead < min(FARTHEST, 4.0 / air.fog)) & (np.abs(right) < reach))
    if len(seen) > MOST:
        seen = seen[np.argsort(-plants.height[seen] / ahead[seen])[:MOST]]
    seen = seen[np.argsort(-ahead[seen], kind="stable")]
    # colours (3,): (colour gain + cover tint), and the glow of lamps
    clear = np.exp(-air.fog * ahead[seen])[:, None]
    lamp = air.headlights * 0.8 * headlight(ahead[seen], right[seen] / ahead[seen])[:, None]
    gain = (air.ambient + lamp) * clear
    snow = air.snow * 0.45
    tint = air.haze * (1.0 - clear) + gain * (0.9 * snow)
    shine = clear * (air.lamps * _WARM)
    light = np.stack([gain * (1.0 - snow), tint, shine], axis=1).astype(np.float32)[..., None, None]
    walled = bool(np.isfinite(hidden).any())
    for k, part in zip(seen.tolist(), light, strict=True):
        spot = float(ahead[k]), float(right[k])
        _paste(planes, plants, k, camera, *spot, part, hidden if walled else None, air.lamps > 0)


def _paste(
    planes: np.ndarray,
    plants: Plants,
    k: int,
    camera: Camera,
    ahead: float,
    right: float,
    light: np.ndarray,
    hidden: np.ndarray | None,
    lit: bool,
) -> None:
    """Paste one plant; `light` (3, 3, 1, 1) is what its colour, its cover and its glow are multiplied by."""
    scale = camera.focal / ahead
    tall = float(plants.height[k]) * scale
    wide = tall * float(plants.aspect[k])
    foot, middle = camera.horizon + camera.eye * scale, camera.width / 2 + right * scale
    top, left = foot - tall, middle - wide / 2
    first_row, last_row = max(round(top), 0), min(round(foot), camera.height)
    first, last = max(round(left), 0), min(round(left + wide), camera.width)
    if last_row <= first_row or last <= first:
        return
    copies = plant_picture(plants.kind[k], int(plants.variant[k]))
    level = 0
    while level + 1 < len(copies) and copies[level].shape[1] > 1.6 * max(tall, 4.0):
        level += 1
    picture = copies[level]
    n = picture.shape[1]
    rows = ((np.arange(first_row, last_row) + (0.5 - top)) * (n / tall)).astype(np.intp)
    columns = ((np.arange(first, last) + (0.5 - left)) * (n / wide)).astype(np.intp)
    np.minimum(rows, n - 1, out=rows)  # what is cut off towards 0 is 0 at least
    np.minimum(columns, n - 1, out=columns)
    if plants.hand < 0:
        columns = n - 1 - columns
    texel = rows[:, None] * n + columns
    layers = picture.reshape(5, -1)
    part = layers[:4].take(texel, axis=1)
    if hidden is not None:
        part *= hidden[first:last] > ahead
    cover = part[3]
    colour = part[:3] * light[0]
    colour += cover * light[1]
    if lit and plants.kind[k] == "lamp":
        glow = layers[4].take(texel)
        colour += (glow if hidden is None else glow * (hidden[first:last] > ahead)) * light[2]
    target = planes[:, first_row:last_row, first:last]
    target *= 1.0 - cover
    target += colour
