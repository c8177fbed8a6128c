"""The released FADNet's data: .npz files with `imgs` and `ground_truths`, one a silo."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from kinesics.data.layouts.rows import Rows, wrong_tree
from kinesics.errors import UserError

TREE = """
SRC/*.npz               (each with imgs (N, H, W), (N, H, W, C) or (N, C, H, W) and ground_truths (N,))
                        (or in folders: SRC/train/0.npz, SRC/test/0.npz)"""


def fadnet_npz(source: Path, out: Path, *, block: int = 100) -> Rows:
    """One .npz file, or all below a folder; pictures are written as PNG beside OUT.

    A file with "test" in its path is split test, with "valid" split valid, as the released code has it. `silo` is the
    file's name.

    Args:
        block: consecutive pictures that make a `group`; 0: no groups.
    """
    if block < 0:
        raise UserError(f"--block is {block}; it must be 0 or more")
    files = [source] if source.is_file() else sorted(source.rglob("*.npz"))
    if not files:
        raise wrong_tree("fadnet-npz", [source / "*.npz"], TREE)
    rows = Rows({name: [] for name in ("path", "target", "split", "silo", "group")})
    top = out.with_name(f"{out.stem}_images")
    for file in files:
        name = file.relative_to(source).with_suffix("") if source.is_dir() else Path(file.stem)
        words = str(name).lower()
        split = "test" if "test" in words else "valid" if "valid" in words else "train"
        images, targets = _arrays(file)
        folder = top / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for place, (image, target) in enumerate(zip(images, targets, strict=True)):
                path = folder / f"{place:06d}.png"
                Image.fromarray(image).save(path)
                group = f"{name.as_posix()}-{place // block:04d}" if block else ""
                values = (path, float(target), split, file.stem, group)
                for column, value in zip(rows.columns.values(), values, strict=True):
                    column.append(value)
        except OSError as error:
            raise UserError(f"can't write to {folder}: {error.strerror or error}", hint="give another OUT") from error
    return rows


def _arrays(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) or (N, H, W, 3) uint8 pictures and (N,) float64 targets."""
    try:
        with np.load(file, allow_pickle=False) as content:
            images, targets = content["imgs"], np.asarray(content["ground_truths"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: no arrays imgs and ground_truths ({error})", hint=f"a right tree: {TREE}") from error
    targets = targets.reshape(-1)
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = np.moveaxis(images, 1, 3)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3) or len(images) != len(targets):
        raise UserError(f"{file}: imgs is {images.shape} and ground_truths {targets.shape}", hint=f"a tree: {TREE}")
    if images.dtype != np.uint8:
        if images.dtype.kind not in "fiu" or (images.size and not (images.min() >= 0 and images.max() <= 255)):
            raise UserError(f"{file}: imgs is {images.dtype}; expected grey values or colours from 0 to 255")
        images = np.round(images).astype(np.uint8)
    if not np.isfinite(targets).all():
        raise UserError(f"{file}: {int((~np.isfinite(targets)).sum())} of its ground_truths are not finite")
    return np.ascontiguousarray(images), targets
