"""From an image file to pixels of a fixed size: the one way by which training, the cache and prediction make model
input."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from kinesics.vision.crop import CropRule, crop, place
from kinesics.vision.media import UnreadableImage, converted, open_image, reason

RESIZING = "Pillow bilinear with antialias, aspect not kept"
"""Named in run.json. The triangle filter over the source's pixels is what torchvision's Resize does on Pillow
images,
so that weights trained elsewhere see the same pixels; unlike Lanczos it neither rings nor overshoots."""


def load_image(
    path: str | os.PathLike[str],
    size: int | None,
    channels: int,
    box: Sequence[float] | np.ndarray | None = None,
    square: float = 0.0,
    face: CropRule | None = None,
) -> np.ndarray:
    """Decode a file, turn it upright (EXIF), crop, convert and resize.

    Args:
        path: a PNG, JPEG, BMP, PPM, GIF (first frame), TIFF, WebP, JPEG 2000 or AVIF file, as far as Pillow
        can.
        size: height and width of the result in pixels; None: as it is after the crop.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB). Transparent pixels become black.
        box: x, y, width, height in pixels of the upright image; what lies outside of it is black. None: all
            of it.
        square: then the centred square of this share of the shorter side, in (0, 1]; 0: no square is cut out.
        face: what is cut out around the box; None: the box itself.

    Returns:
        (size, size, channels) uint8, or (H, W, channels) without a size.

    Raises:
        UnreadableImage: no such file, not a regular file, empty, damaged, truncated, of an unknown format,
            more than 89 million pixels, or a box that doesn't touch the image.
    """
    with open_image(path) as image:
        if box is None and not square and size is not None:
            # A JPEG is decoded at a half, quarter or eighth where that still leaves twice the pixels wanted.
            image.draft(None, (2 * size, 2 * size))
        try:
            return to_pixels(image, size, channels, box, square, face)
        except UnreadableImage:
            raise
        except Exception as error:  # Pillow's decoders raise nearly any exception on damaged bytes
            raise UnreadableImage(path, reason(error)) from error


def to_pixels(
    image: Image.Image,
    size: int | None,
    channels: int,
    box: Sequence[float] | np.ndarray | None = None,
    square: float = 0.0,
    face: CropRule | None = None,
) -> np.ndarray:
    """The same for an opened Pillow image; see `load_image`."""
    upright = ImageOps.exif_transpose(image)
    if box is not None:
        upright = crop(upright, box if face is None else place(np.asarray(box), face)[0])
    if square:
        side = max(round(square * min(upright.size)), 1)
        left, top = (upright.width - side) // 2, (upright.height - side) // 2
        upright = upright.crop((left, top, left + side, top + side))
    final = converted(upright, "L" if channels == 1 else "RGB")
    if size is not None and final.size != (size, size):
        final = final.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(final, dtype=np.uint8).reshape(final.height, final.width, channels)
