"""Pictures of what stands beside a road: trees, bushes, cacti, rocks, lamp posts; facing the camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from kinesics.data.synthetic.road_textures import smooth_noise

SIZE = 64
"""Rows and columns of the largest copy of a picture."""

VARIANTS = 4
"""Different pictures of each kind."""

ASPECT = {
    "tree": 0.8, "conifer": 0.5, "bush": 1.3, "cactus": 0.6, "rock": 1.5, "palm": 0.7, "lamp": 0.3, "delineator": 0.16,
}  # fmt: skip
"""Width over height."""


@lru_cache(maxsize=64)
def plant_picture(name: str, variant: int) -> tuple[np.ndarray, ...]:
    """Copies of one picture, each half as large as the one before: (5, n, n) float32 red, green, blue (premultiplied
    by alpha), alpha, glow; row 0 is the top."""
    rng = np.random.default_rng([variant, 33])
    x, y = np.meshgrid((np.arange(SIZE) + 0.5) / SIZE * 2 - 1, (np.arange(SIZE)[::-1] + 0.5) / SIZE)
    colour, alpha, glow = _PLANTS[name](rng, x, y)
    planes = np.concatenate([colour * alpha, alpha[None] * 1.0, glow[None] * 1.0]).astype(np.float32)
    copies = [planes]
    while copies[-1].shape[1] > 4:
        last = copies[-1]
        n = last.shape[1] // 2
        copies.append(last.reshape(5, n, 2, n, 2).mean(axis=(2, 4)))
    return tuple(copies)


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Colour (3, n, n), alpha (n, n), glow (n, n)."""


def _toned(rgb: tuple[float, float, float], shade: np.ndarray) -> np.ndarray:
    return np.array(rgb)[:, None, None] * shade


def _tree(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    crown = np.zeros_like(x, dtype=bool)
    for _ in range(9):
        cx, cy, r = rng.uniform(-0.5, 0.5), rng.uniform(0.42, 0.80), rng.uniform(0.15, 0.2)
        crown |= ((x - cx) / 2.2) ** 2 + (y - cy) ** 2 < r * r
    trunk = (np.abs(x) < 0.08 + 0.05 * (y < 0.06)) & (y < 0.55)
    shade = 0.5 + 0.6 * y * (0.6 + 0.8 * smooth_noise(rng, SIZE, SIZE, 6))
    green = (0.30, 0.46, 0.17) if rng.random() < 0.7 else (0.42, 0.44, 0.16)
    colour = np.where(crown, _toned(green, shade), _toned((0.34, 0.25, 0.17), np.ones_like(x)))
    return colour, crown | trunk, np.zeros_like(x)


def _conifer(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    tier = (y - 0.1) % 0.18 / 0.18
    ragged = 0.14 * (smooth_noise(rng, SIZE, SIZE, 4) - 0.5)
    crown = (np.abs(x) < (1.0 - y) * (1.05 - 0.4 * tier) + ragged) & (y > 0.12)
    trunk = (np.abs(x) < 0.09) & (y < 0.2)
    shade = (0.55 + 0.4 * (1 - tier)) * (0.75 + 0.5 * smooth_noise(rng, SIZE, SIZE, 4)) * (0.7 + 0.5 * y)
    colour = np.where(crown, _toned((0.15, 0.31, 0.17), shade), _toned((0.30, 0.21, 0.14), np.ones_like(x)))
    return colour, crown | trunk, np.zeros_like(x)


def _bush(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    inside = (x / 0.95) ** 2 + ((y - 0.2) / 0.75) ** 2 + 0.7 * (smooth_noise(rng, SIZE, SIZE, 8) - 0.5) < 0.9
    shade = (0.5 + 0.7 * y) * (0.7 + 0.6 * smooth_noise(rng, SIZE, SIZE, 5))
    return _toned((0.36, 0.44, 0.20), shade), inside, np.zeros_like(x)


def _cactus(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    def stick(px: float, low: float, high: float, r: float) -> np.ndarray:
        rest = y - np.clip(y, low, high)
        return ((x - px) / 1.7) ** 2 + rest * rest < r * r

    left, right = rng.uniform(0.35, 0.5, 2)
    inside = stick(0.0, 0.0, 0.9, 0.1) | stick(-0.62, left, left + 0.25, 0.07) | stick(0.62, right, right + 0.3, 0.07)
    inside |= (np.abs(y - left) < 0.06) & (x > -0.62) & (x < 0)
    inside |= (np.abs(y - right) < 0.06) & (x < 0.62) & (x > 0)
    shade = 0.8 + 0.25 * ((np.abs(x) * 24).astype(np.int64) % 2)
    return _toned((0.28, 0.44, 0.24), shade), inside, np.zeros_like(x)


def _rock(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    height = 0.85 - 0.5 * np.abs(x) ** 2 + 0.25 * (smooth_noise(rng, 1, SIZE, 12) - 0.5)
    inside = (y < height) & (np.abs(x) < 0.95)
    shade = (0.55 + 0.5 * y) * (0.75 + 0.5 * smooth_noise(rng, SIZE, SIZE, 10))
    return _toned((0.66, 0.48, 0.36), shade), inside, np.zeros_like(x)


def _palm(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    lean = rng.uniform(-0.25, 0.25)
    trunk = (np.abs(x - lean * y * y) < 0.07) & (y < 0.78)
    crown = np.zeros_like(x, dtype=bool)
    dx, dy = x - lean * 0.6, y - 0.8
    for angle in np.linspace(-0.9, np.pi + 0.9, 9) + rng.uniform(-0.1, 0.1, 9):
        along = dx * np.cos(angle) * 0.75 + dy * np.sin(angle) * 1.3
        beside = -dx * np.sin(angle) * 0.75 + dy * np.cos(angle) * 1.3 + 0.5 * along * along
        crown |= (along > 0) & (along < 0.55) & (np.abs(beside) < 0.055)
    colour = np.where(crown, _toned((0.30, 0.48, 0.20), 0.7 + 0.5 * y), _toned((0.52, 0.42, 0.30), np.ones_like(x)))
    return colour, crown | trunk, np.zeros_like(x)


def _lamp(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    post = (np.abs(x) < 0.11) & (y < 0.94)
    head = (np.abs(x) < 0.75) & (y >= 0.93) & (y < 0.975)
    colour = np.where(head, _toned((0.9, 0.88, 0.8), np.ones_like(x)), _toned((0.32, 0.34, 0.36), np.ones_like(x)))
    return colour, post | head, head * 2.0


def _delineator(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Drawn:
    band = (y > 0.62) & (y < 0.84)
    shade = np.where(band, 0.12, 0.95)
    return _toned((1.0, 1.0, 0.98), shade), np.abs(x) < 0.85, np.zeros_like(x)


_PLANTS: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], Drawn]] = {
    "tree": _tree, "conifer": _conifer, "bush": _bush, "cactus": _cactus, "rock": _rock, "palm": _palm,
    "lamp": _lamp, "delineator": _delineator,
}  # fmt: skip
