"""The released FADNet's data: one .npz a silo, with its pictures (`imgs`) or their names, and `ground_truths`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from kinesics.data.layouts.rows import Rows, wrong_tree
from kinesics.errors import UserError
from kinesics.progress import log

TREE = """
SRC/train/0.npz ...     (one a silo, each with ground_truths (N,) and either imgs (N, H, W), (N, H, W, C) or
                        (N, C, H, W), or file_names (N,) of pictures, from SRC or a folder above it)
                        (train/train.npz beside others holds them all, and is left out)
SRC/test/test.npz       (or all .npz files in one folder)"""


def fadnet_npz(source: Path, out: Path, *, block: int = 100) -> Rows:
    """One .npz file, or all below a folder; pictures that lie in them are written as PNG beside OUT.

    A file with "test" in its path is split test, with "valid" split valid, as the released code has it. `silo` is the
    file's name: 0.npz is the first place of the topology. A file named after its folder (train/train.npz) is all others
    of the folder once more; it is left out where there are others.

    Args:
        block: consecutive pictures that make a `group`; 0: no groups.
    """
    if block < 0:
        raise UserError(f"--block is {block}; it must be 0 or more")
    files = [source] if source.is_file() else sorted(source.rglob("*.npz"))
    if not files:
        raise wrong_tree("fadnet-npz", [source / "*.npz"], TREE)
    files = [file for file in files if not _is_union(file, files)]
    rows = Rows({name: [] for name in ("path", "target", "split", "silo", "group")})
    top = out.with_name(f"{out.stem}_images")
    for file in files:
        name = file.relative_to(source).with_suffix("") if source.is_dir() else Path(file.stem)
        words = str(name).lower()
        split = "test" if "test" in words else "valid" if "valid" in words else "train"
        pictures, targets = _read(file)
        paths = _find(file, pictures) if pictures.dtype.kind in "US" else _write(pictures, top / name)
        for place, (path, target) in enumerate(zip(paths, targets, strict=True)):
            group = f"{name.as_posix()}-{place // block:04d}" if block else ""
            values = (path, float(target), split, file.stem, group)
            for column, value in zip(rows.columns.values(), values, strict=True):
                column.append(value)
    return rows


def _is_union(file: Path, files: list[Path]) -> bool:
    """Whether a file is named after its folder and not alone in it."""
    union = file.stem == file.parent.name and any(other.parent == file.parent for other in files if other != file)
    if union:
        log.info("%s is left out: by its name it holds what the other files of %s hold", file, file.parent)
    return union


def _write(images: np.ndarray, folder: Path) -> list[Path]:
    """Write (N, H, W) or (N, H, W, 3) uint8 pictures as PNG."""
    paths = [folder / f"{place:06d}.png" for place in range(len(images))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image).save(path)
    except OSError as error:
        raise UserError(f"can't write to {folder}: {error.strerror or error}", hint="give another OUT") from error
    return paths


def _find(file: Path, names: np.ndarray) -> list[Path]:
    """The pictures of these names in the first folder above the file that has the first of them."""
    texts = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names.tolist()]
    above = file.resolve().parents
    folder = next((folder for folder in above if texts and (folder / texts[0]).is_file()), above[0])
    paths = [folder / text for text in texts]
    if absent := [path for path in paths if not path.is_file()]:
        raise UserError(
            f"{file}: {len(absent)} of {len(paths)} pictures of file_names aren't there; the first is {absent[0]}",
            hint="put the pictures where file_names says, counted from a folder above the .npz file",
        )
    return paths


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) or (N, H, W, 3) uint8 pictures, or (N,) their names; and (N,) float64 targets."""
    try:
        with np.load(file, allow_pickle=False) as content:
            images = content["imgs"] if "imgs" in content or "file_names" not in content else content["file_names"]
            targets = np.asarray(content["ground_truths"], dtype=np.float64).reshape(-1)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: no arrays imgs and ground_truths ({error})", hint=f"a right tree: {TREE}") from error
    if not np.isfinite(targets).all():
        raise UserError(f"{file}: {int((~np.isfinite(targets)).sum())} of its ground_truths are not finite")
    if images.dtype.kind in "US" and images.shape == targets.shape:
        return images, targets
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
    return np.ascontiguousarray(images), targets
