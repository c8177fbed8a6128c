"""Decoded images, kept: one memory-mapped uint8 array that is made once for a manifest, a size and a colour.

What is stored lies in the cache folder (`$KINESICS_CACHE`) under a key that changes with any file, box or
option. `KEY.npy` holds the pixels and, after them, a JSON text that lists the images that could not be read;
it is renamed into place when it is complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesics.data.blocks import in_blocks
from kinesics.data.decode import load_image
from kinesics.data.manifest import Manifest
from kinesics.data.tables import SHOWN
from kinesics.errors import UserError
from kinesics.files import atomic_write, cache_folder
from kinesics.vision.crop import CropRule
from kinesics.vision.media import UnreadableImage

log = logging.getLogger("kinesics")

VERSION = 1
"""Part of the key: to be raised whenever the same file would give other pixels."""

_MOST_IMAGES = 64
_BLOCK_BYTES = 1 << 22
_STALE_S = 24 * 3600.0


@dataclass(frozen=True)
class BadImage:
    """An image that could not be read: its line in the manifest, its file, and why."""

    line: int
    path: str
    reason: str


@dataclass(frozen=True)
class ImageCache:
    """Decoded images of a manifest.

    Attributes:
        images: (N, H, W, C) uint8, read-only memory map.
        kept: (N,) int64 position in the manifest of each image; all positions, in order, unless some were
        skipped.
        bad: the images that were skipped.
    """

    images: np.ndarray
    kept: np.ndarray
    bad: list[BadImage]


def open_cache(
    manifest: Manifest,
    size: int,
    channels: int,
    folder: Path | None = None,
    on_bad_image: str = "error",
    square: float = 0.0,
    face: CropRule | None = None,
) -> ImageCache:
    """Open the decoded images of a manifest, decoding them first where that has not been done.

    Images are turned upright, cropped to `box_*` where present and to a square, made grey or RGB and resized (see
    `decode.load_image`). Several processes may call this at once: where the system has file locks one builds
    and the others wait.

    Args:
        manifest: each row with its file and, perhaps, its box.
        size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        folder: where to keep it; default: the package's cache folder.
        on_bad_image: "error", or "skip" to leave unreadable images out; the log says how many.
        square: share of the shorter side that the centred square has which is cut out; 0: none is.
        face: what is cut out around boxes; None: the boxes themselves.

    Raises:
        UserError: unreadable images (with "error": the first five and how many; with "skip": if nothing is
            left), no rows, a value out of range, or a full disk.
    """
    if channels not in (1, 3):
        raise UserError(f"channels is {channels}; it must be 1 (grey) or 3 (RGB)")
    if not 1 <= size <= 4096:
        raise UserError(f"image size is {size}; it must be 1 to 4096 pixels")
    if on_bad_image not in ("error", "skip"):
        raise UserError(f"--on-bad-image is {on_bad_image!r}; it must be error or skip")
    if not len(manifest):
        raise UserError(f"{manifest.path or 'the manifest'} has no rows to read images for")
    target = (folder or cache_folder()) / f"{cache_key(manifest, size, channels, square, face)}.npy"
    found = _opened(target, manifest, size, channels, square, face)
    if found is None:
        with _lock(target):
            found = _opened(target, manifest, size, channels, square, face)
            if found is None:
                _build(target, manifest, size, channels, square, face)
                found = _opened(target, manifest, size, channels, square, face)
    if found is None:
        raise UserError(f"the cache {target} can't be read back", hint="give another folder in KINESICS_CACHE")
    _judge(found, len(manifest), on_bad_image)
    return found


def cache_key(manifest: Manifest, size: int, channels: int, square: float = 0.0, face: CropRule | None = None) -> str:
    """SHA-256 (hex) over the version, the size, the channels, the square that is cut out, the crop rule of faces, and
    each row's resolved path, file size, time and box."""
    cut = f" {square!r}" if square else ""
    if face is not None and face.key and manifest.boxes() is not None:
        cut += f" face {face.key}"
    digest = hashlib.sha256(f"{VERSION} {size} {channels}{cut}".encode())
    boxes = manifest.boxes()
    folders: dict[str, str] = {}
    for position, path in enumerate(_paths(manifest)):
        parent, name = os.path.split(path)
        if parent not in folders:  # resolving each file on its own would cost a system call for every folder above it
            folders[parent] = os.path.realpath(parent)
        try:
            information = os.stat(path)
            state = f"{information.st_size} {information.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        digest.update(f"\n{folders[parent]}/{name}\0{state}".encode("utf-8", "surrogateescape"))
        if boxes is not None:
            digest.update(boxes[position].tobytes())
    return digest.hexdigest()


def _paths(manifest: Manifest) -> Iterator[str]:
    folder = os.fspath(manifest.folder)
    return (os.path.join(folder, name) for name in manifest.table["path"])


def _opened(
    target: Path, manifest: Manifest, size: int, channels: int, square: float, face: CropRule | None
) -> ImageCache | None:
    """The cache at `target` if it is there, whole, and what was unreadable still is."""
    try:
        images = np.load(target, mmap_mode="r", allow_pickle=False)
        with target.open("rb") as stream:
            stream.seek(images.offset + images.nbytes)
            listed = json.loads(stream.read())["bad"]
        bad_at = np.array([int(position) for position, _ in listed], dtype=np.int64)
        reasons = [str(reason) for _, reason in listed]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        log.info("%s: damaged cache (%s), made again", target, error)
        return None
    kept = np.delete(np.arange(len(manifest), dtype=np.int64), bad_at)
    if images.dtype != np.uint8 or images.shape != (len(kept), size, size, channels):
        log.info("%s: cache of shape %s does not fit, made again", target, images.shape)
        return None
    paths = manifest.column("path")
    bad = [
        BadImage(int(manifest.lines[position]), paths[position], reason)
        for position, reason in zip(bad_at, reasons, strict=True)
    ]
    if len(bad_at) and _mended(manifest, bad_at, size, channels, square, face):
        log.info("%s: images that were unreadable can be read now: cache made again", target)
        return None
    return ImageCache(images, kept, bad)


def _mended(
    manifest: Manifest, positions: np.ndarray, size: int, channels: int, square: float, face: CropRule | None
) -> bool:
    """Whether any of these images can be read after all (permissions and mounts leave size and time as they
    are)."""
    broken = manifest.take(positions)
    reasons = _decode_block(list(_paths(broken)), broken.boxes(), size, channels, square, face)[1]
    return len(reasons) < len(positions)


def _judge(cache: ImageCache, rows: int, on_bad_image: str) -> None:
    if not cache.bad:
        return
    first = [f"line {bad.line}: {bad.path}: {bad.reason}" for bad in cache.bad[:SHOWN]]
    count = f"{len(cache.bad)} of {rows} images can't be read"
    if on_bad_image == "error" or not len(cache.kept):
        more = [f"... and {len(cache.bad) - SHOWN} more"] if len(cache.bad) > SHOWN else []
        raise UserError(
            "\n  ".join([f"{count}:", *first, *more]),
            hint="mend or remove them, or leave them out with --on-bad-image skip (train: --input.on_bad_image skip)"
            if len(cache.kept)
            else None,
        )
    log.warning("%s and are skipped", count)


def _build(target: Path, manifest: Manifest, size: int, channels: int, square: float, face: CropRule | None) -> None:
    header = _header((len(manifest), size, size, channels))
    needed = len(header) + len(manifest) * size * size * channels
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise UserError(
            f"the decoded images need {needed / 1e9:.2f} GB, but {target.parent} has {free / 1e9:.2f} free",
            hint="free some space, or give another folder in KINESICS_CACHE",
        )
    _remove_stale(target)
    started = time.monotonic()
    bad: list[tuple[int, str]] = []
    with atomic_write(target, "wb") as stream:
        stream.write(header)
        for first, images, reasons in _decoded(manifest, size, channels, square, face):
            bad += [(first + offset, reason) for offset, reason in reasons.items()]
            stream.write(images.tobytes())
        shorter = _header((len(manifest) - len(bad), size, size, channels))
        assert len(shorter) == len(header)  # NumPy pads headers to a multiple of 64 bytes
        stream.write(json.dumps({"bad": bad}).encode())
        stream.seek(0)
        stream.write(shorter)
    seconds = time.monotonic() - started
    log.info(
        "decoded %d images in %.1f s (%.0f a second) to %s",
        len(manifest),
        seconds,
        len(manifest) / seconds,
        target,
    )


def _decoded(
    manifest: Manifest, size: int, channels: int, square: float, face: CropRule | None
) -> Iterator[tuple[int, np.ndarray, dict[int, str]]]:
    """Blocks in order: the first row's position, (n, H, W, C) uint8, and reasons by their offset in the
    block."""
    paths, boxes = list(_paths(manifest)), manifest.boxes()

    def decode(part: slice) -> tuple[np.ndarray, dict[int, str]]:
        return _decode_block(paths[part], None if boxes is None else boxes[part], size, channels, square, face)

    block = max(1, min(_MOST_IMAGES, _BLOCK_BYTES // (size * size * channels)))
    for part, (images, reasons) in in_blocks(decode, len(paths), block, "decoding images"):
        yield part.start, images, reasons


def _decode_block(
    paths: list[str],
    boxes: np.ndarray | None,
    size: int,
    channels: int,
    square: float,
    face: CropRule | None,
) -> tuple[np.ndarray, dict[int, str]]:
    """(n, H, W, C) uint8 of the readable ones, in order, and the reason for each other by its offset."""
    images = []
    reasons: dict[int, str] = {}
    for offset, path in enumerate(paths):
        box = None if boxes is None or np.isnan(boxes[offset]).any() else boxes[offset]
        try:
            images.append(load_image(path, size, channels, box, square, face))
        except UnreadableImage as error:
            reasons[offset] = error.reason
    stacked = np.stack(images) if images else np.zeros((0, size, size, channels), dtype=np.uint8)
    return stacked, reasons


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, description)
    return stream.getvalue()


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Let one process at a time build `target`, where the system and the file system know locks."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_suffix(".lock").open("ab") as stream:
            with suppress(ImportError, OSError):
                import fcntl

                fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"can't write to the cache folder {target.parent}: {error.strerror}",
            hint="give another folder in KINESICS_CACHE",
        ) from error


def _remove_stale(target: Path) -> None:
    """Remove what builds that were killed have left behind (a living one writes to its file all the time)."""
    for left in target.parent.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                left.unlink()
