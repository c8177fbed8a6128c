"""Pictures that the road drawer pastes: grain of the land, house fronts, woods, corridor walls, plants.

All are drawn from a seed with numpy; standing pictures have their feet in row 0. RGBA in [0, 1], float32, with a fifth
plane for walls: what shines by itself at night.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

TILE = 128
"""Width and height of the tiles of grain; a power of 2."""

WALL_ROWS, WALL_COLUMNS, WALL_LEVELS = 64, 512, 5
"""Rows (up the wall), columns (along the road) and successively blurred copies of a wall's texture."""

WALL_PERIOD = {"houses": 128.0, "woods": 96.0, "corridor": 32.0, "rail": 32.0}
"""Metres of road that a texture covers before it comes again."""


def smooth_noise(rng: np.random.Generator, rows: int, columns: int, grain: int) -> np.ndarray:
    """(rows, columns) float32 in [0, 1] with bumps about `grain` pixels wide; wraps round on both axes."""
    coarse = rng.random((max(1, rows // grain), max(1, columns // grain)))
    for axis, size in ((0, rows), (1, columns)):
        n = coarse.shape[axis]
        at = np.arange(size) * (n / size)
        low = at.astype(np.int64)
        share = (at - low) ** 2 * (3 - 2 * (at - low))
        share = share[:, None] if axis == 0 else share[None, :]
        coarse = np.take(coarse, low % n, axis) * (1 - share) + np.take(coarse, (low + 1) % n, axis) * share
    return coarse.astype(np.float32)


@lru_cache(maxsize=4)
def grain_tiles(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two tiles (TILE * TILE,) float32: fine grain about 0, and patches in [0, 1]."""
    rng = np.random.default_rng([seed, 31])
    fine = 0.6 * (rng.random((TILE, TILE)) - 0.5) + 0.8 * (smooth_noise(rng, TILE, TILE, 4) - 0.5)
    patches = 0.6 * smooth_noise(rng, TILE, TILE, 32) + 0.4 * smooth_noise(rng, TILE, TILE, 8)
    patches = np.clip((patches - 0.35) / 0.3, 0.0, 1.0)
    return fine.astype(np.float32).ravel(), patches.astype(np.float32).ravel()


@lru_cache(maxsize=16)
def wall_texture(name: str, seed: int) -> np.ndarray:
    """(5, WALL_LEVELS * WALL_ROWS * WALL_COLUMNS) float32: red, green, blue, alpha, glow; colours are not
    premultiplied."""
    planes = _WALLS[name](np.random.default_rng([seed, 32])).astype(np.float32)
    levels = [planes]
    for level in range(1, WALL_LEVELS):
        # a box over 4, 16 .. columns and 1, 2, 4 .. rows; colours weighted by alpha, so that gaps do not bleed
        weighted = np.concatenate([planes[:3] * planes[3:4], planes[3:]])
        along, up = 4**level, min(2 ** (level - 1), 4)
        ring = np.cumsum(np.concatenate([weighted, weighted[:, :, :along]], axis=2), axis=2, dtype=np.float64)
        weighted = (ring[:, :, along:] - ring[:, :, :-along]) / along
        weighted = np.roll(weighted, along // 2, axis=2)
        weighted = weighted.reshape(5, WALL_ROWS // up, up, WALL_COLUMNS).mean(axis=2).repeat(up, axis=1)
        colour = weighted[:3] / np.maximum(weighted[3:4], 1e-4)
        levels.append(np.concatenate([colour, weighted[3:]]).astype(np.float32))
    return np.stack(levels, axis=1).reshape(5, -1)


def _canvas() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Empty planes, row numbers (R, 1) and column numbers (1, C)."""
    planes = np.zeros((5, WALL_ROWS, WALL_COLUMNS))
    return planes, np.arange(WALL_ROWS)[:, None], np.arange(WALL_COLUMNS)[None, :]


def _houses(rng: np.random.Generator) -> np.ndarray:
    """Fronts of 7 to 16 m, 2 to 5 storeys of 3 m, windows every 2 m; a texel is 0.25 m."""
    planes, row, column = _canvas()
    colours = np.array(
        [(0.72, 0.42, 0.32), (0.80, 0.74, 0.62), (0.62, 0.64, 0.68), (0.76, 0.62, 0.44), (0.52, 0.40, 0.38)]
    )
    start = 0
    while start < WALL_COLUMNS:
        end = min(start + int(rng.integers(28, 64)), WALL_COLUMNS)
        end = WALL_COLUMNS if WALL_COLUMNS - end < 24 else end
        storeys = int(rng.integers(2, 6))
        top = 12 * storeys + 3
        x = column[:, start:end] - start
        colour = colours[rng.integers(len(colours))] * rng.uniform(0.85, 1.1)
        inside = np.broadcast_to(row < top, (WALL_ROWS, end - start))
        window = (x % 8 >= 2) & (x % 8 < 6) & (row % 12 >= 3) & (row % 12 < 9) & (x < (end - start) // 8 * 8)
        window &= row < 12 * storeys
        shop = (row >= 1) & (row < 9) & (x % 16 >= 1) & (x % 16 < 14)
        window = np.where(row < 12, shop, window)
        lit = (rng.random((6, 20)) < 0.45)[np.minimum(row // 12, 5), np.minimum(x // 8, 19)]
        trim = (row >= top - 2) | (row % 12 == 11) | ((x < 1) | (x >= end - start - 1))
        for c in range(3):
            tone = np.where(trim, colour[c] * 0.72, colour[c])
            tone = np.where(window, (0.22, 0.27, 0.33)[c], tone)
            planes[c, :, start:end] = tone
        planes[3, :, start:end] = inside
        planes[4, :, start:end] = window & lit & inside
        start = end
    return planes


def _woods(rng: np.random.Generator) -> np.ndarray:
    """Trunks below, foliage above, a ragged top; a texel is 0.19 m wide, 0.2 m high."""
    planes, row, _ = _canvas()
    leaves = 0.5 * smooth_noise(rng, WALL_ROWS, WALL_COLUMNS, 4) + 0.5 * smooth_noise(rng, WALL_ROWS, WALL_COLUMNS, 16)
    top = 36 + 26 * smooth_noise(rng, 1, WALL_COLUMNS, 12)
    shade = 0.45 + 0.75 * leaves * (0.5 + row / WALL_ROWS)
    trunk = np.zeros((1, WALL_COLUMNS), dtype=bool)
    for x in rng.integers(0, WALL_COLUMNS - 3, 60):
        trunk[:, x : x + int(rng.integers(2, 4))] = True
    low = row < 12 + 10 * smooth_noise(rng, 1, WALL_COLUMNS, 10)
    for c in range(3):
        foliage = (0.16, 0.30, 0.13)[c] * shade * 1.3
        under = np.where(trunk, (0.30, 0.22, 0.16)[c], (0.07, 0.10, 0.06)[c])
        planes[c] = np.where(low, under, foliage)
    planes[3] = (row < top + 8 * (leaves - 0.5)) * 1.0
    return planes


def _corridor(rng: np.random.Generator) -> np.ndarray:
    """Skirting, a blue dado, cream above, a door every 8 m with a lamp over it; a texel is 6 cm wide, 4 cm high."""
    planes, row, column = _canvas()
    colours = np.where(
        row[None] < 24, np.array([0.36, 0.52, 0.62])[:, None, None], np.array([0.86, 0.82, 0.72])[:, None, None]
    )
    colours = np.where((row == 24) | (row == 25), np.array([0.92, 0.92, 0.90])[:, None, None], colours)
    colours = np.broadcast_to(colours, (3, WALL_ROWS, WALL_COLUMNS)).copy()
    colours[:, :4] = 0.24
    for start in range(20, WALL_COLUMNS, 128):
        start += int(rng.integers(0, 60))
        wide, tone = 16, np.array([(0.55, 0.33, 0.20), (0.30, 0.42, 0.34), (0.60, 0.58, 0.55)][rng.integers(3)])
        colours[:, :51, start - 2 : start + wide + 2] = 0.30
        colours[:, :49, start : start + wide] = tone[:, None, None]
        colours[:, 30:44, start + 4 : start + 12] = np.array([0.70, 0.80, 0.86])[:, None, None]
        planes[4, 53:57, start + 3 : start + wide - 3] = 1.0
        colours[:, 53:57, start + 3 : start + wide - 3] = np.array([0.55, 0.95, 0.65])[:, None, None]
    pillar = column % 64 < 3
    planes[:3] = np.where(pillar, colours * 0.8, colours)
    planes[3] = 1.0
    return planes


def _rail(rng: np.random.Generator) -> np.ndarray:
    """A steel beam on posts; a texel is 6 cm wide, 1.4 cm high."""
    planes, row, column = _canvas()
    beam = (row >= 36) & (row < 58)
    ridge = 0.78 - 0.22 * (np.abs(row - 47) < 4) - 0.12 * (row < 40)
    for c in range(3):
        planes[c] = np.where(beam, ridge, 0.45) * (1.0, 1.0, 1.03)[c]
    planes[3] = beam | (column % 32 < 2)
    return planes


_WALLS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "houses": _houses, "woods": _woods, "corridor": _corridor, "rail": _rail,
}  # fmt: skip
