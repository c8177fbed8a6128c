"""Drawing faces: an ellipsoid head seen from any side, painted with features whose places come from
`Geometry`.

Each pixel's line of sight is met with the head (a unit sphere, stretched), the point found is turned back
by yaw and pitch, and the features are looked up there: so they shorten and vanish round the side as on a
real head, and the surface normal for the light comes for free.
"""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np

from kinesics.data.synthetic.face_features import FAR, Front, Tones, draw_features, draw_glasses
from kinesics.data.synthetic.face_geometry import FaceParameters, geometry
from kinesics.data.synthetic.rasterize import Canvas, box, capsule, coverage, ellipse, soft

_CHUNK_PIXELS = 16 * 48 * 48
"""Pixels drawn at a time: small enough that the arrays of a chunk stay in the processor's cache."""


def render(parameters: FaceParameters, size: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draw every face of `parameters`.

    Args:
        parameters: N faces.
        size: height and width of the pictures, pixels.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        images (N, size, size, channels) uint8, and occlusion (N,) float32: the share of the face from the
        brows to the chin that glasses and occluder cover, measured on the drawn pixels.
    """
    n = len(parameters)
    images = np.empty((n, size, size, channels), dtype=np.uint8)
    occlusion = np.empty(n, dtype=np.float32)
    step = max(1, _CHUNK_PIXELS // (size * size))
    for start in range(0, n, step):
        part = parameters.rows(start, min(start + step, n))
        images[start : start + step], occlusion[start : start + step] = _draw(part, size, channels)
    return images, occlusion


def _draw(parameters: FaceParameters, size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    lengths = geometry(parameters)
    face, who, camera = _lift(lengths), _lift(parameters.person), _lift(parameters)
    units = SimpleNamespace(**{name: _column(value) for name, value in lengths.units.items()})
    tones = Tones(parameters.person)
    head = _Head(face, camera, size)
    canvas = Canvas(np.zeros((channels, len(parameters), size, size), dtype=np.float32))
    _background(canvas, head, camera, who, tones)
    hair = _hair(head, who)
    canvas.paint(tones.skin, head.share * (1.0 - hair))
    draw_features(canvas, head.front, face, units, who, camera, tones)
    canvas.paint(tones.hair, head.share * hair)
    _light(canvas, head, camera)
    covered = draw_glasses(canvas, head.front, face, camera)
    covered = np.maximum(covered, _occluder(canvas, head, camera, tones))
    canvas.planes *= camera.exposure
    canvas.blur(np.minimum(camera.blur * np.float32(size / 48), 1.0))
    _noise(canvas, parameters)
    seen = head.share * (head.front.y > face.brow_outer_y - 0.1) * (head.front.y < FAR)
    return canvas.bytes(), (covered * seen).sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1.0)


def _column(value: Any) -> np.ndarray:
    return np.asarray(value, dtype=np.float32)[:, None, None]


def _lift(struct: Any) -> SimpleNamespace:
    """The one-value-a-face fields of a dataclass as (B, 1, 1) float32, ready to meet pixels."""
    values = {f.name: getattr(struct, f.name) for f in dataclasses.fields(struct)}
    return SimpleNamespace(**{name: _column(v) for name, v in values.items() if np.ndim(v) == 1})


class _Head:
    """Where each pixel meets the head.

    Attributes, (B, H, W) each: `share` of the pixel that the head covers; `flat_x`, `flat_y` head units
    in the plane of the picture, roll undone; `across`, `down`, `depth` the point on the unit sphere
    turned to the front (depth 1 is the tip of the nose, -1 the back of the head); `normal` the three
    parts of the surface normal as seen. `front` holds the coordinates on the face.
    """

    def __init__(self, face: SimpleNamespace, camera: SimpleNamespace, size: int) -> None:
        ticks = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
        self.pixel = np.float32(2.0 / size) / camera.scale
        dx = (ticks[None, None, :] - camera.shift_x) / camera.scale
        dy = (ticks[None, :, None] - camera.shift_y) / camera.scale
        cos_roll, sin_roll = _turn(camera.roll)
        self.flat_x = cos_roll * dx + sin_roll * dy
        self.flat_y = cos_roll * dy - sin_roll * dx
        height = np.where(self.flat_y > 0.0, face.head_below, face.head_above)
        b = self.flat_y / height
        width = _width(face, b)
        a = self.flat_x / width
        square = a * a + b * b
        slope = 2.0 * np.sqrt((a / width) ** 2 + (b / height) ** 2) + 1e-6
        self.share = coverage((square - 1.0) / slope, self.pixel)
        c = np.sqrt(np.maximum(1.0 - square, 0.0))
        self.normal = (a, b, c)
        cos_yaw, sin_yaw = _turn(camera.yaw)
        cos_pitch, sin_pitch = _turn(camera.pitch)
        self.across = cos_yaw * a - sin_yaw * c
        inward = sin_yaw * a + cos_yaw * c
        self.down = cos_pitch * b + sin_pitch * inward
        self.depth = cos_pitch * inward - sin_pitch * b
        seen = (self.depth > 0.0) & (square < 1.1)
        x = np.where(seen, np.abs(self.across * _width(face, self.down)), FAR)
        y = np.where(seen, self.down * np.where(self.down > 0.0, face.head_below, face.head_above), FAR)
        self.front = Front(x, y, self.across < 0.0, self.pixel)


def _width(face: SimpleNamespace, down: np.ndarray) -> np.ndarray:
    """Half the width of the head, narrowing from the middle to the chin."""
    lower = np.maximum(down, 0.0)
    return face.head_width * (1.0 - face.jaw * lower * lower)


def _turn(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    radians = np.deg2rad(degrees.astype(np.float64))
    return np.cos(radians).astype(np.float32), np.sin(radians).astype(np.float32)


def _background(canvas: Canvas, head: _Head, camera: SimpleNamespace, who: SimpleNamespace, tones: Tones) -> None:
    """Wall, the hair behind the head, neck, shoulders, ears."""
    x, y, pixel = head.flat_x, head.flat_y, head.pixel
    wall = camera.background[:, 0] * np.array([0.95, 1.0, 1.05], dtype=np.float32)
    canvas.fill(wall)
    canvas.shade(0.15 * y)
    is_long = who.hair_length > 0.5
    volume = np.where(who.hair_length < 0.15, -0.5, 0.04 + 0.14 * who.hair_length)
    wide = who.head_width + volume
    hanging = box(x, y - 0.3, wide, 0.2 + 0.8 * who.hair_length, 0.2)
    back = ellipse(x, y + 0.12, wide, who.head_height + volume)
    back = np.where(is_long, np.minimum(back, hanging), np.maximum(back, y - 0.05))
    canvas.paint(tones.hair * 0.8, coverage(back, pixel))
    neck = box(x, y - 1.1, 0.58 * who.head_width, 0.5, 0.05)
    canvas.paint(tones.skin * 0.72, coverage(neck, pixel))
    shoulders = ellipse(x, y - 1.85, 1.35, 0.65)
    canvas.paint(1.0 - wall * np.array([0.9, 0.8, 0.75], dtype=np.float32), coverage(shoulders, pixel))
    ears = ellipse(np.abs(x) - who.head_width, y - who.eye_height - 0.12, 0.09, 0.2)
    canvas.paint(tones.skin * 0.88, coverage(ears, pixel) * ~is_long)


def _hair(head: _Head, who: SimpleNamespace) -> np.ndarray:
    """(B, H, W) coverage by the hair above the hairline and behind the temples, down to the ears or
    further."""
    above = head.down - who.hairline - 0.45 * head.across * head.across
    behind = np.maximum(head.depth - 0.30, head.down - np.where(who.hair_length > 0.5, 2.0, 0.0))
    return coverage(np.minimum(above, behind), 1.5 * head.pixel) * (who.hair_length >= 0.15)


def _light(canvas: Canvas, head: _Head, camera: SimpleNamespace) -> None:
    """Lambert's law on the head; a head lit from the front keeps its brightness."""
    cos_a, sin_a = _turn(camera.light_azimuth)
    cos_e, sin_e = _turn(camera.light_elevation)
    a, b, c = head.normal
    lit = np.maximum(a * (sin_a * cos_e) - b * sin_e + c * (cos_a * cos_e), 0.0)
    rim = 0.06 * (1.0 - c) ** 2
    canvas.shade(head.share * (camera.light_strength * (1.0 - 1.25 * lit) + rim))


def _occluder(canvas: Canvas, head: _Head, camera: SimpleNamespace, tones: Tones) -> np.ndarray:
    """Scarf, hand or patch in front of the face, in the plane of the picture; returns its coverage (B, H,
    W)."""
    kind, size, tone = camera.occluder, camera.occluder_size, camera.occluder_tone[:, 0]
    covered = np.zeros_like(head.flat_x)
    x, y = head.flat_x - camera.occluder_x, head.flat_y - camera.occluder_y
    if (kind == 1).any():
        scarf = coverage(0.12 * x * x - y, head.pixel) * (kind == 1)
        canvas.paint(tone * np.array([1.0, 0.75, 0.8], dtype=np.float32), scarf)
        stripes = soft(((y - 0.12) / 0.05) ** 2) + soft(((y - 0.34) / 0.05) ** 2)
        canvas.shade(0.3 * scarf * stripes)
        covered = np.maximum(covered, scarf)
    if (kind == 2).any():
        palm = coverage(ellipse(x, y - 0.9 * size, 1.05 * size, 0.9 * size), head.pixel) * (kind == 2)
        canvas.paint(tones.skin * 0.86, palm)
        covered = np.maximum(covered, palm)
        for place, reach in ((-0.72, 1.3), (-0.24, 1.7), (0.24, 1.75), (0.72, 1.45)):
            stick = capsule(x - place * size, y - 0.7 * size, reach * size, 0.23 * size)
            outline = coverage(np.abs(stick) - 0.012, head.pixel) * (kind == 2)
            finger = coverage(stick, head.pixel) * (kind == 2)
            canvas.paint(tones.skin * 0.92, finger)
            canvas.shade(0.45 * outline)
            covered = np.maximum(covered, finger)
    if (kind == 3).any():
        patch = coverage(box(x, y, size, 0.8 * size, 0.02), head.pixel) * (kind == 3)
        canvas.paint(tone * np.array([0.9, 1.0, 1.0], dtype=np.float32), patch)
        covered = np.maximum(covered, patch)
    return covered


def _noise(canvas: Canvas, parameters: FaceParameters) -> None:
    """Gaussian grey noise, the same on all channels, from each face's own seed."""
    for k, (sigma, seed) in enumerate(zip(parameters.noise, parameters.noise_seed, strict=True)):
        if sigma > 0.0:
            noise = np.random.default_rng(int(seed)).standard_normal(canvas.planes.shape[2:], dtype=np.float32)
            canvas.planes[:, k] += np.float32(sigma) * noise
