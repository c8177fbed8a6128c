"""Reading pictures: one way by which training, the cache and prediction open files and get upright pixels of them."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kinesics.errors import UserError

FORMATS = ("PNG", "JPEG", "MPO", "BMP", "PPM", "GIF", "TIFF", "WEBP", "JPEG2000", "AVIF")
"""Formats that are tried. Others of Pillow's are not: some of them start programs (EPS) or read other files.
"""

MAX_PIXELS = 89_478_485
"""Larger images count as decompression bombs (Pillow's own warning limit: 256 MiB of RGB)."""


class UnreadableImage(UserError):
    """An image that can't be used; `reason` says why, without the file's name."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.reason = reason


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
        raise UnreadableImage(path, reason(error)) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise UnreadableImage(path, f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """The whole picture of a file, upright.

    16-bit grey is scaled to 8 bits, CMYK and palettes become RGB, transparent pixels black; of several pictures the
    first is taken.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UnreadableImage: as for `open_image`, or damaged or truncated pixels.
    """
    with open_image(path) as image:
        try:
            return np.asarray(converted(ImageOps.exif_transpose(image), "RGB"), dtype=np.uint8)
        except Exception as error:  # Pillow's decoders raise nearly any exception on damaged bytes
            raise UnreadableImage(path, reason(error)) from error


ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
"""Formats whose further pictures are frames in time; those of a TIFF or an MPO are other pages or views."""


def frame_count(path: str | os.PathLike[str]) -> int:
    """How many frames a picture file has: 1 for all but animations.

    Raises:
        UnreadableImage: as for `open_image`.
    """
    with open_image(path) as image:
        if image.format not in ANIMATED:
            return 1
        try:
            return int(getattr(image, "n_frames", 1))
        except Exception as error:
            raise UnreadableImage(path, reason(error)) from error


def read_animation(path: str | os.PathLike[str]) -> Iterator[tuple[float, np.ndarray]]:
    """Frames of an animated GIF, WebP, PNG or AVIF, one at a time: seconds from the start, (H, W, 3) uint8 RGB.

    A frame without a duration lasts 0.1 s, as browsers show it.

    Raises:
        UnreadableImage: as for `read_picture`, when the damaged frame is reached.
    """
    with open_image(path) as image:
        seconds, number = 0.0, 0
        while True:
            try:
                image.seek(number)
                pixels = np.asarray(converted(image, "RGB"), dtype=np.uint8)
            except EOFError:
                return
            except Exception as error:
                raise UnreadableImage(path, reason(error)) from error
            yield seconds, pixels
            seconds += float(image.info.get("duration") or 100.0) / 1000
            number += 1


def converted(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode "L" or "RGB": 16-bit grey scaled, transparent pixels black."""
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


def name_of(image: Image.Image) -> str:
    """The file that an image was opened from."""
    return str(getattr(image, "filename", "")) or "the image"


def reason(error: Exception) -> str:
    """What is wrong with a file, in a few words."""
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


def as_pillow(image: Any) -> Image.Image:
    """A Pillow image from one, or from an (H, W), (H, W, 1) or (H, W, 3) uint8 array.

    Raises:
        UserError: anything else.
    """
    if isinstance(image, Image.Image):
        return image
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise UserError(
            f"image: got an array of shape {array.shape} and type {array.dtype}, expected (H, W), (H, W, 1) or "
            "(H, W, 3) uint8",
            hint="scale floats in [0, 1] by 255 and convert to uint8",
        )
    return Image.fromarray(np.ascontiguousarray(array))


def as_array(image: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright, of a Pillow image or an array as `as_pillow` takes it."""
    return np.asarray(converted(ImageOps.exif_transpose(as_pillow(image)), "RGB"), dtype=np.uint8)
