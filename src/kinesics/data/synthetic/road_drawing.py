"""Drawing the road as a camera on the car sees it.

Ground: every pixel below the horizon is taken back to the point of the ground that it shows, that point to road
coordinates, and these to a colour; lines are averaged over the pixel's footprint, so that they thin out towards the
horizon instead of flickering. Walls stand where a column of such points first leaves the strip beside the road. Plants
are pasted from far to near. Everything then goes through the light, the headlights and the fog of its distance.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_car import State
from kinesics.data.synthetic.road_plants import VARIANTS
from kinesics.data.synthetic.road_scenes import (
    LIGHTS,
    SCENES,
    WEATHERS,
    Light,
    Mark,
    Scene,
    Weather,
    check_setting,
    look_up,
)
from kinesics.data.synthetic.road_sky import (
    COLUMNS,
    OVERLAYS,
    falling,
    headlight,
    panorama,
    sensor_noise,
    sky_colours,
)
from kinesics.data.synthetic.road_standing import Air, Plants, draw_plants, draw_wall
from kinesics.data.synthetic.road_textures import TILE, grain_tiles
from kinesics.data.synthetic.road_track import Road


def render(
    road: Road,
    state: State,
    scene: str | Scene = "countryside",
    weather: str | Weather = "clear",
    light: str | Light = "noon",
    camera: Camera | None = None,
    frame: int = 0,
) -> np.ndarray:
    """The picture from the car; the same arguments give the same picture.

    Args:
        road: the road.
        state: where the car is.
        scene, weather, light: a name of `SCENES`, `WEATHERS`, `LIGHTS`, or a setting of one's own.
        camera: 320 x 160 pixels and 80 degrees where not given.
        frame: number of the picture in its drive; rain, snow and noise differ with it.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UserError: an unknown name, or weather in a corridor.
    """
    painter = _painter(
        road,
        look_up(SCENES, scene, "scene"),
        look_up(WEATHERS, weather, "weather"),
        look_up(LIGHTS, light, "light"),
        camera or Camera(),
    )
    return painter(state, frame)


@lru_cache(maxsize=4)
def _painter(road: Road, scene: Scene, weather: Weather, light: Light, camera: Camera) -> Painter:
    return Painter(road, scene, weather, light, camera)


class Painter:
    """All that stays the same along one road under one sky; call it with a state and a frame number."""

    def __init__(self, road: Road, scene: Scene, weather: Weather, light: Light, camera: Camera) -> None:
        check_setting(scene, weather)
        self.road, self.scene, self.weather, self.camera = road, scene, weather, camera
        variant = road.seed % VARIANTS
        self.fine, self.patches = grain_tiles(variant)
        _, haze = sky_colours(weather, light)
        ambient = np.array(light.indoor if scene.indoor else light.ambient, dtype=np.float32) * weather.dim
        if scene.indoor:
            haze = 0.35 * ambient
        self.air = Air(
            ambient, haze, 0.02 if scene.indoor else weather.fog, light.headlights, light.lamps, weather.snow
        )
        self.sky = None if scene.indoor else panorama(scene, weather, light, camera, variant)
        self.depth = camera.depths(camera.eye)
        self.aside = self.depth[:, None] * camera.slopes[None, :]
        self.ground_light = self._light(self.depth)
        mirror = (0.10 + 0.5 / (1.0 + camera.below / 14.0)) * np.exp(-self.air.fog * self.depth)
        self.wet = weather.wet * mirror.astype(np.float32)[:, None]
        self.haze = haze
        self.plants = Plants.beside(road, scene)
        self.ceiling = camera.depths(scene.walls[0].height - camera.eye) if scene.indoor else None
        self.planes = np.empty((3, camera.height, camera.width), dtype=np.float32)

    def _light(self, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(3, R, W or 1) what colours at the rows' depths are multiplied by, and (3, R, 1) what is added."""
        clear = np.exp(-self.air.fog * depth)[:, None]
        lamps = self.air.headlights * headlight(depth[:, None], self.camera.slopes[None, :])
        tint = np.array([1.0, 0.96, 0.86], dtype=np.float32)
        gain = self.air.ambient[:, None, None] + (tint[:, None, None] * lamps if self.air.headlights else 0.0)
        return (gain * clear).astype(np.float32), (self.air.haze[:, None, None] * (1.0 - clear)).astype(np.float32)

    def __call__(self, state: State, frame: int = 0) -> np.ndarray:
        """(H, W, 3) uint8."""
        camera, road, planes = self.camera, self.road, self.planes
        top = camera.horizon
        s, offset, along = self._ground(state, self.depth, self.aside)
        self._paint_ground(planes[:, top:], s, offset, along)
        if self.ceiling is None:
            self._paint_sky(planes[:, :top], state)
        else:
            self._paint_ceiling(planes[:, :top], state)
        beside = np.abs(offset)
        hidden = np.full(camera.width, np.inf, dtype=np.float32)
        for wall in self.scene.walls:
            reach = draw_wall(planes, wall, camera, road, self.air, s, offset, beside)
            if wall.height > camera.eye:
                hidden = np.minimum(hidden, reach)
        draw_plants(planes, self.plants, camera, state, self.air, hidden)
        return self._develop(planes, frame)

    def _ground(self, state: State, depth: np.ndarray, aside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """s, offset (R, W) of the points shown, and |cosine| of the angle between the road there and the view."""
        x0, y0, cos, sin = self.camera.viewpoint(state)
        self.x = x = (depth * cos + x0)[:, None] + aside * sin
        self.y = y = (depth * sin + y0)[:, None] - aside * cos
        s, offset, tx, ty = self.road.coordinates(x, y)
        return s, offset, np.abs(tx * cos + ty * sin)

    def _paint_ground(self, planes: np.ndarray, s: np.ndarray, offset: np.ndarray, along: np.ndarray) -> None:
        scene, beside, depth = self.scene, np.abs(offset), self.depth[:, None]
        wide, deep = depth / self.camera.focal, depth * depth / (self.camera.focal * self.camera.eye)
        across = np.sqrt(np.maximum(1.0 - along * along, 0.0))
        foot_side, foot_long = wide * along + deep * across, wide * across + deep * along
        grain = self._tile(self.fine, 5.0)
        grain *= 1.0 / (1.0 + depth * 0.09)
        patch = self._tile(self.patches, 2.0)
        rough = 1.0 + scene.roughness * grain
        for plane, tone, other in zip(planes, scene.land, scene.patches, strict=True):
            np.multiply(patch, other - tone, out=plane)
            plane += tone
            plane *= rough
        if scene.water is not None:
            _lay(planes, (0.16, 0.40, 0.50), _edge(scene.water - offset * self.road.hand, foot_side))
        smooth = 1.0 + 0.10 * grain
        edge = scene.half_width
        for reach, colour in scene.bands:
            _lay(planes, colour, _edge(beside - (edge + reach), foot_side))
        paved = _edge(beside - edge, foot_side)
        for plane, tone in zip(planes, scene.road, strict=True):
            part = smooth * (tone * (1.0 - 0.25 * self.weather.wet))
            part -= plane
            part *= paved
            plane += part
        white = self._snow(planes, grain, patch, beside, paved) if self.weather.snow else 0.0
        for mark in scene.marks:
            _lay(planes, mark.colour, self._mark(mark, s, beside, foot_side, foot_long) * (0.92 - 0.5 * white))
        if scene.indoor:  # the lamps of the ceiling shine on the floor
            planes *= 1.06 - 0.16 * np.abs(2.0 * (s / 5.0 - np.floor(s / 5.0)) - 1.0)
        gain, haze = self.ground_light
        planes *= gain
        if self.weather.wet:
            shine = paved * self.wet * (0.8 + 0.5 * patch)
            _lay(planes, self.haze, shine)
        planes += haze

    def _tile(self, tile: np.ndarray, fineness: float) -> np.ndarray:
        """(R, W) values of a tile at the points of the ground, `fineness` texels a metre."""
        u = np.floor(self.x * fineness).astype(np.int64) & (TILE - 1)
        v = np.floor(self.y * (fineness * self.road.hand)).astype(np.int64) & (TILE - 1)
        return tile.take(v * TILE + u)

    def _snow(
        self, planes: np.ndarray, grain: np.ndarray, patch: np.ndarray, beside: np.ndarray, paved: np.ndarray
    ) -> np.ndarray:
        """Lay snow on everything, least in the tracks of wheels; (R, W) how much lies."""
        track = np.clip(1.6 - np.abs(beside - 0.85) * 2.2, 0.0, 1.0)
        lies = 0.86 + 0.3 * grain - paved * (0.34 + 0.3 * patch + 0.26 * track)
        np.clip(lies, 0.0, 1.0, out=lies)
        lies *= self.weather.snow
        _lay(planes, (0.90, 0.92, 0.95), lies)
        return lies

    def _mark(
        self, mark: Mark, s: np.ndarray, beside: np.ndarray, foot_side: np.ndarray, foot_long: np.ndarray
    ) -> np.ndarray:
        """(R, W) share of each pixel's footprint that the line covers."""
        share = (0.5 * (mark.width + foot_side) - np.abs(beside - mark.offset)) / foot_side
        share = np.clip(share, 0.0, np.minimum(1.0, mark.width / foot_side))
        if mark.dash:
            period = (
                self.road.length / max(1, round(self.road.length / mark.period)) if self.road.closed else mark.period
            )
            phase = s / period
            from_middle = np.abs(phase - np.floor(phase) - 0.5) * period
            foot = np.minimum(foot_long, period)
            dash = np.clip((0.5 * (mark.dash + foot) - from_middle) / foot, 0.0, np.minimum(1.0, mark.dash / foot))
            share *= np.where(foot_long >= period, mark.dash / period, dash)
        return share

    def _paint_sky(self, planes: np.ndarray, state: State) -> None:
        assert self.sky is not None
        bearing = self.road.hand * (state.heading - np.arctan(self.camera.slopes))
        column = np.floor(bearing * (COLUMNS / (2 * np.pi))).astype(np.int64) % COLUMNS
        np.take(self.sky, column, axis=2, out=planes)

    def _paint_ceiling(self, planes: np.ndarray, state: State) -> None:
        """A corridor's ceiling, which is the ground upside down, with a strip of lamps every 5 m."""
        assert self.ceiling is not None
        rows = min(len(planes[0]), len(self.ceiling))
        depth = self.ceiling[:rows]
        s, offset, _ = self._ground(state, depth, depth[:, None] * self.camera.slopes[None, :])
        phase = s / 5.0
        lamp = (np.abs(phase - np.floor(phase) - 0.5) < 0.13) & (np.abs(offset) < 0.65)
        gain, haze = self._light(depth)
        shown = gain * 0.66 + haze
        glow = np.minimum(0.25 + 0.85 * self.air.ambient, 1.0)
        flipped = planes[:, len(planes[0]) - rows :][:, ::-1]
        for plane, tone, bright in zip(flipped, shown, glow, strict=True):
            plane[:] = np.where(lamp, bright, tone)
        planes[:, : len(planes[0]) - rows] = planes[:, len(planes[0]) - rows][:, None]

    def _develop(self, planes: np.ndarray, frame: int) -> np.ndarray:
        """Falling rain or snow, noise, and bytes."""
        height, width, hand = self.camera.height, self.camera.width, self.road.hand
        if kind := self.weather.falling:
            mask = falling(kind, height, width)[frame % OVERLAYS][:, ::hand]
            bright = np.minimum(0.12 + 1.05 * self.haze + 0.25 * self.air.headlights, 1.0)
            _lay(planes, bright, mask)
        shift = np.random.default_rng([self.road.seed, frame, 37]).integers(0, (height, width))
        noise = sensor_noise(height, width)[shift[0] : shift[0] + height, shift[1] : shift[1] + width]
        image = np.empty((height, width, 3), dtype=np.uint8)
        noise = noise[:, ::hand] + 0.5
        for c, plane in enumerate(planes):
            levels = plane * 255.0
            levels += noise
            np.clip(levels, 0.0, 255.0, out=levels)
            image[:, :, c] = levels
        return image


def _edge(distance: np.ndarray, foot: np.ndarray) -> np.ndarray:
    """Share of a footprint on the inner (negative) side of an edge."""
    distance = distance / foot
    np.subtract(0.5, distance, out=distance)
    return np.clip(distance, 0.0, 1.0, out=distance)


def _lay(planes: np.ndarray, colour: np.ndarray | tuple[float, ...], share: np.ndarray) -> None:
    """Lay a colour over the picture where `share` says so."""
    for plane, tone in zip(planes, colour, strict=True):
        part = float(tone) - plane
        part *= share
        plane += part
