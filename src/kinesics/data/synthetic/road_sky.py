"""What does not move with the car: the sky all round, falling rain and snow, the sensor's noise, the headlights."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from kinesics.data.synthetic.road_camera import Camera
from kinesics.data.synthetic.road_scenes import Light, Rgb, Scene, Weather
from kinesics.data.synthetic.road_textures import smooth_noise

COLUMNS = 2048
"""Of the panorama, which goes once round."""

OVERLAYS = 6
"""Different pictures of falling rain or snow."""

SUN_BEARING = 0.9
"""Radians from x, counter-clockwise."""


def sky_colours(weather: Weather, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """(3,) float32 each: the sky overhead and at the horizon, after clouds and what the weather takes."""
    top, horizon = np.array(light.top), np.array(light.horizon)
    # by day the overcast sky is the grey of the light, at night that of the clear one
    grey = 0.72 * np.array(light.ambient).mean() + 0.28 * horizon
    grey = 0.75 * grey + 0.25 * grey.mean()
    shade = 0.95 if weather.name != "rain" else 0.85
    horizon = horizon + weather.overcast * (grey * shade - horizon)
    # thick air throws the car's own lamps back, and hides the sky as it hides the land
    thick = min(weather.fog / 0.045, 1.0)
    horizon = horizon * (1.0 - 0.12 * thick) + 0.13 * light.headlights * thick**0.5 * (weather.overcast > 0.5)
    top = top + weather.overcast * (grey * 0.8 * shade - top)
    top = top + thick * 0.85 * (horizon - top)
    return top.astype(np.float32), horizon.astype(np.float32)


@lru_cache(maxsize=16)
def panorama(scene: Scene, weather: Weather, light: Light, camera: Camera, seed: int) -> np.ndarray:
    """(3, horizon rows, COLUMNS) float32: the sky by rows of the picture and bearing."""
    rng = np.random.default_rng([seed, 34])
    top, horizon = sky_colours(weather, light)
    rise = ((camera.horizon - np.arange(camera.horizon) - 0.5) / camera.focal).astype(np.float32)[:, None]
    share = np.clip(rise / 0.34, 0.0, 1.0) ** 0.7
    sky = horizon[:, None, None] * (1 - share) + top[:, None, None] * share
    sky = np.repeat(sky, COLUMNS, axis=2)
    clouds = _clouds(rng, rise)
    bearing = np.arange(COLUMNS) * (2 * math.pi / COLUMNS)
    if weather.overcast < 0.5:
        if light.sun is not None:
            _paint_sun(sky, rise, bearing, light.sun)
        cover = np.clip((clouds - 0.52) / 0.2, 0.0, 1.0) * np.clip(rise / 0.1, 0.0, 1.0) * 0.75
        bright = np.minimum(np.array(light.ambient) * 0.72 + np.array(light.horizon) * 0.3, 1.0).astype(np.float32)
        sky += cover * (bright[:, None, None] - sky)
        if light.headlights >= 1.0:
            stars = (rng.random(sky.shape[1:]) < 0.004) * rng.uniform(0.3, 0.9, sky.shape[1:]) * np.clip(rise * 9, 0, 1)
            sky += (stars * (1 - cover)).astype(np.float32)
    else:
        sky *= 1.0 + 0.14 * (clouds - 0.5)
    _paint_hills(sky, scene, weather, light, rise, rng, horizon)
    return sky.astype(np.float32)


def _clouds(rng: np.random.Generator, rise: np.ndarray) -> np.ndarray:
    """(rows, COLUMNS) noise of a flat layer of clouds: wider than high, flatter towards the horizon."""
    total = np.zeros((len(rise), COLUMNS), dtype=np.float32)
    level = np.clip(1.0 - 0.09 / (0.09 + rise[:, 0]), 0.0, 0.999) * 64
    for grain, weight in ((16, 0.5), (8, 0.3), (4, 0.2)):
        noise = smooth_noise(rng, 64, COLUMNS // 8, grain)
        noise = np.repeat(noise, 8, axis=1)
        kernel = np.hanning(10)[1:-1] / np.hanning(10).sum()
        noise = sum(w * np.roll(noise, k, axis=1) for k, w in enumerate(kernel))
        low = level.astype(np.int64)
        share = (level - low)[:, None]
        total += weight * (noise[low] * (1 - share) + noise[np.minimum(low + 1, 63)] * share)
    return total


def _paint_sun(sky: np.ndarray, rise: np.ndarray, bearing: np.ndarray, sun: tuple[float, float, Rgb]) -> None:
    high, strength, colour = sun
    away = np.abs((bearing - SUN_BEARING + math.pi) % (2 * math.pi) - math.pi)
    squared = away**2 + (rise - high) ** 2
    wide = (away / 1.0) ** 2 + ((rise - high) / 0.3) ** 2
    glow = np.clip(
        strength * (0.30 / (1.0 + 60.0 * squared) + 0.28 / (1.0 + 3.0 * wide)) + (squared < 0.0016), 0.0, 1.0
    )
    sky += glow.astype(np.float32) * (np.array(colour, dtype=np.float32)[:, None, None] - sky)


def _paint_hills(
    sky: np.ndarray,
    scene: Scene,
    weather: Weather,
    light: Light,
    rise: np.ndarray,
    rng: np.random.Generator,
    horizon: np.ndarray,
) -> None:
    colour, high = scene.hills
    for near, distance in ((0.0, 900.0), (1.0, 400.0)):
        ridge = sum(smooth_noise(rng, 1, COLUMNS, grain)[0] * grain for grain in (256, 64, 16, 4)) / 340.0
        if scene.name == "city":
            ridge = 0.2 + 0.8 * smooth_noise(rng, 1, COLUMNS, 16)[0].round(1)[(np.arange(COLUMNS) // 12) * 12]
        top = high * (0.25 + 0.75 * ridge) * (1.0 - 0.45 * near)
        clear = math.exp(-weather.fog * distance)
        tone = np.array(colour) * np.array(light.ambient) * weather.dim * (1.0 - 0.15 * near)
        tone = tone * clear + horizon * (1 - clear)
        if weather.snow:
            tone = tone * 0.75 + 0.25 * horizon
        cover = np.clip((top - rise) / 0.004, 0.0, 1.0).astype(np.float32)
        sky += cover * (tone.astype(np.float32)[:, None, None] - sky)


def headlight(ahead: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Light of the car's own lamps at points `ahead` metres on, `slope` metres aside for each metre; float32."""
    aside = slope * ahead
    width = 0.42 * ahead + 1.2
    reach = np.clip((ahead - 1.0) / 4.0, 0.25, 1.0) * np.exp(-ahead / np.float32(30.0))
    return (1.45 * reach * np.exp(-((aside / width) ** 2))).astype(np.float32)


@lru_cache(maxsize=8)
def falling(kind: str, height: int, width: int) -> np.ndarray:
    """(OVERLAYS, H, W) float32 in [0, 1]: streaks of rain or flakes of snow."""
    rng = np.random.default_rng([len(kind), 35])
    masks = np.zeros((OVERLAYS, height, width), dtype=np.float32)
    scale = width / 320
    for mask in masks:
        for _ in range(130 if kind == "rain" else 190):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            if kind == "rain":
                length, strength = rng.uniform(5, 16) * scale, rng.uniform(0.12, 0.32)
                rows = np.arange(max(int(y), 0), min(int(y + length), height))
                columns = np.clip((x + 0.12 * (rows - y)).astype(np.int64), 0, width - 1)
                mask[rows, columns] = strength
            else:
                radius, strength = (
                    scale * rng.choice([0.7, 1.0, 1.5, 2.3], p=[0.4, 0.35, 0.2, 0.05]),
                    rng.uniform(0.5, 0.95),
                )
                r = math.ceil(radius)
                top, left = max(int(y) - r, 0), max(int(x) - r, 0)
                part = mask[top : int(y) + r + 1, left : int(x) + r + 1]
                dy = np.arange(top, top + part.shape[0])[:, None] + 0.5 - y
                dx = np.arange(left, left + part.shape[1])[None, :] + 0.5 - x
                np.maximum(part, strength * np.clip(radius + 0.5 - np.sqrt(dx * dx + dy * dy), 0.0, 1.0), out=part)
    return masks


@lru_cache(maxsize=4)
def sensor_noise(height: int, width: int) -> np.ndarray:
    """(2 H, 2 W) float32 noise, to be read at a place that differs by frame; levels of 255."""
    return np.random.default_rng(36).normal(0.0, 2.2, (2 * height, 2 * width)).astype(np.float32)
