"""From an image file to pixels of a fixed size: the one way by which training, the cache and prediction read
images."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kinesics.errors import UserError

FORMATS = ("PNG", "JPEG", "MPO", "BMP", "PPM", "GIF", "TIFF", "WEBP", "JPEG2000", "AVIF")
"""Formats that are tried. Others of Pillow's are not: some of them start programs (EPS) or read other files.
"""

MAX_PIXELS = 89_478_485
"""Larger images count as decompression bombs (Pillow's own warning limit: 256 MiB of RGB)."""

RESIZING = "Pillow bilinear with antialias, aspect not kept"
"""Named in run.json. The triangle filter over the source's pixels is what torchvision's Resize does on Pillow
images,
so that weights trained elsewhere see the same pixels; unlike Lanczos it neither rings nor overshoots."""


class UnreadableImage(UserError):
    """An image that can't be used; `reason` says why, without the file's name."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.reason = reason


def load_image(
    path: str | os.PathLike[str],
    size: int | None,
    channels: int,
    box: Sequence[float] | np.ndarray | None = None,
    square: float = 0.0,
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
            return to_pixels(image, size, channels, box, square)
        except UnreadableImage:
            raise
        except Exception as error:  # Pillow's decoders raise nearly any exception on damaged bytes
            raise UnreadableImage(path, _reason(error)) from error


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Open a file as an image without decoding its pixels; close it after use.

    Raises:
        UnreadableImage: as for `load_image`, as far as the file's header tells.
    """
    try:
        information = Path(path).stat()
        if stat.S_ISDIR(information.st_mode):
            raise UnreadableImage(path, "is a folder")
        if not stat.S_ISREG(information.st_mode):
            raise UnreadableImage(path, "is not a regular file")
        if information.st_size == 0:
            raise UnreadableImage(path, "is empty (0 bytes)")
        image = Image.open(path, formats=_formats())
    except UnreadableImage:
        raise
    except Exception as error:  # as above
        raise UnreadableImage(path, _reason(error)) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise UnreadableImage(path, f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def to_pixels(
    image: Image.Image,
    size: int | None,
    channels: int,
    box: Sequence[float] | np.ndarray | None = None,
    square: float = 0.0,
) -> np.ndarray:
    """The same for an opened Pillow image; see `load_image`."""
    upright = ImageOps.exif_transpose(image)
    if box is not None:
        upright = crop(upright, box)
    if square:
        side = max(round(square * min(upright.size)), 1)
        left, top = (upright.width - side) // 2, (upright.height - side) // 2
        upright = upright.crop((left, top, left + side, top + side))
    converted = _converted(upright, "L" if channels == 1 else "RGB")
    if size is not None and converted.size != (size, size):
        converted = converted.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(converted, dtype=np.uint8).reshape(converted.height, converted.width, channels)


def crop(image: Image.Image, box: Sequence[float] | np.ndarray) -> Image.Image:
    """Cut x, y, width, height out of an upright image; edges are rounded to whole pixels, outside is black.

    Raises:
        UnreadableImage: the box doesn't touch the image or has more than 89 million pixels.
    """
    x, y, width, height = (float(number) for number in box)
    left, top = round(x), round(y)
    right, bottom = max(round(x + width), left + 1), max(round(y + height), top + 1)
    if left >= image.width or top >= image.height or right <= 0 or bottom <= 0:
        raise UnreadableImage(_name(image), f"the box lies outside of the {image.width} x {image.height} image")
    if (right - left) * (bottom - top) > MAX_PIXELS:
        raise UnreadableImage(_name(image), f"the box has {right - left} x {bottom - top} pixels")
    return image.crop((left, top, right, bottom))


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bit grey: Pillow's own conversion to 8 bit clips instead of scaling
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray((deep.clip(0, 65535) // 257).astype(np.uint8)).convert(mode)
    if "A" in image.getbands() or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert(mode)
    return image if image.mode == mode else image.convert(mode)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _name(image: Image.Image) -> str:
    return str(getattr(image, "filename", "")) or "the image"


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "is not an image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error, struct.error | IndexError | KeyError | TypeError | AttributeError):
        return f"is damaged ({type(error).__name__}: {error})"
    return (str(error) or type(error).__name__)[:200]
