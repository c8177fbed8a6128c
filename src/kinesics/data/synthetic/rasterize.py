"""Drawing many small pictures at once: signed distances to shapes, anti-aliased coverage, painting, blur
and noise.

Everything works on arrays (B, H, W), B pictures at a time, float32. Only + - * / sqrt, minima and maxima
touch the pixels: IEEE 754 fixes their results, so a picture has the same bytes on any processor and in
any batch.
"""

from __future__ import annotations

import numpy as np

Length = np.ndarray | np.float32 | float
"""A length of each picture, (B, 1, 1) float32 or one for all."""

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601), those of Pillow's "L"."""


def coverage(distance: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Share of each pixel inside a shape: a box filter one pixel wide across its edge.

    Args:
        distance: (B, H, W) signed distance to the edge, negative inside; overwritten.
        pixel: (B, 1, 1) size of a pixel in the same unit.

    Returns:
        (B, H, W) in [0, 1].
    """
    distance /= -pixel
    distance += 0.5
    return np.clip(distance, 0.0, 1.0, out=distance)


def soft(squared: np.ndarray) -> np.ndarray:
    """A smooth bump from a squared distance in units of its radius: (1 - d^2)^2 inside, 0 outside;
    overwrites."""
    np.subtract(1.0, squared, out=squared)
    np.maximum(squared, 0.0, out=squared)
    squared *= squared
    return squared


def ellipse(x: np.ndarray, y: np.ndarray, radius_x: Length, radius_y: Length) -> np.ndarray:
    """Signed distance to an ellipse round the origin, first order: f / |grad f| of f = (x/a)^2 + (y/b)^2
    - 1."""
    u, v = x / radius_x, y / radius_y
    value = u * u + v * v
    slope = 2.0 * np.sqrt((u / radius_x) ** 2 + (v / radius_y) ** 2) + 1e-6
    return (value - 1.0) / slope


def box(x: np.ndarray, y: np.ndarray, half_x: Length, half_y: Length, corner: float) -> np.ndarray:
    """Signed distance to a rectangle round the origin whose corners are rounded with radius `corner`."""
    a = np.abs(x) - (half_x - corner)
    b = np.abs(y) - (half_y - corner)
    outside = np.sqrt(np.maximum(a, 0.0) ** 2 + np.maximum(b, 0.0) ** 2)
    return outside + np.minimum(np.maximum(a, b), 0.0) - corner


def capsule(x: np.ndarray, y: np.ndarray, length: Length, radius: Length) -> np.ndarray:
    """Signed distance to a stick with round ends that goes from the origin `length` upwards (towards -y)."""
    rest = y + np.clip(-y, 0.0, length)
    return np.sqrt(x * x + rest * rest) - radius


class Canvas:
    """B pictures under the brush.

    Attributes:
        planes: (C, B, H, W) float32, 0 black to 1 white; C is 1 (grey) or 3 (RGB). Grey pictures are
            painted with the luminance of the colours: painting is linear, so they are the grey of the
            coloured ones.
    """

    def __init__(self, planes: np.ndarray) -> None:
        self.planes = planes

    def colour(self, rgb: np.ndarray) -> np.ndarray:
        """(B, 3) or (3,) red, green and blue in [0, 1] as this canvas paints them: (C, B or 1, 1, 1)
        float32."""
        rgb = np.atleast_2d(np.asarray(rgb, dtype=np.float32))
        if len(self.planes) == 1:
            rgb = rgb[:, 0:1] * LUMINANCE[0] + rgb[:, 1:2] * LUMINANCE[1] + rgb[:, 2:3] * LUMINANCE[2]
        return rgb.T[:, :, None, None]

    def crop(self, rows: slice, columns: slice) -> Canvas:
        """A window of this canvas; painting on it paints here."""
        return Canvas(self.planes[:, :, rows, columns])

    def fill(self, rgb: np.ndarray) -> None:
        """One colour all over each picture."""
        self.planes[:] = self.colour(rgb)

    def paint(self, rgb: np.ndarray, share: np.ndarray) -> None:
        """Lay a colour over the picture where `share` (B, H, W) in [0, 1] says so."""
        for plane, tone in zip(self.planes, self.colour(rgb), strict=True):
            plane += share * (tone - plane)

    def shade(self, amount: np.ndarray) -> None:
        """Darken (amount > 0) or lighten (< 0): multiply by 1 - amount, (B, H, W)."""
        for plane in self.planes:
            plane -= amount * plane

    def blur(self, amount: np.ndarray) -> None:
        """A 3x3 tent; `amount` (B, 1, 1) in [0, 1], where 1 is a box that averages 9 pixels."""
        side = amount / 3.0
        for axis in (-1, -2):
            padded = np.pad(
                self.planes, [(0, 0)] * 2 + [(1, 1) if axis == a else (0, 0) for a in (-2, -1)], mode="edge"
            )
            before = np.take(padded, range(self.planes.shape[axis]), axis=axis)
            after = np.take(padded, range(2, self.planes.shape[axis] + 2), axis=axis)
            self.planes += side * (before + after - 2.0 * self.planes)

    def bytes(self) -> np.ndarray:
        """(B, H, W, C) uint8, values beyond black and white cut off."""
        levels = np.clip(self.planes * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 3, 0))
