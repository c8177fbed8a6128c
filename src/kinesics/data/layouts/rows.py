"""What every layout returns, and what several need: image files of a folder, split names, complaints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kinesics.errors import UserError

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".avif")
)

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "publictest": "valid",
    "test": "test", "testing": "test", "privatetest": "test",
}  # fmt: skip
"""Names of splits in published sets, in lower case, and the manifest's."""


@dataclass
class Rows:
    """The manifest-to-be of a layout.

    Attributes:
        columns: column name -> values of equal length; `path` absolute or relative to the working folder.
        left_out: reason -> how many images or rows were left out for it.
        source: the file that `lines` are of, where there is one.
        lines: each row's line number in `source`.
    """

    columns: dict[str, list[object]]
    left_out: dict[str, int] = field(default_factory=dict)
    source: Path | None = None
    lines: list[int] | None = None


def wrong_tree(layout: str, looked_for: Sequence[Path], tree: str) -> UserError:
    """The complaint that a layout's files are not where they should be."""
    places = " nor ".join(str(path) for path in looked_for)
    return UserError(f"layout {layout}: there is no {places}", hint=f"a right tree: {tree}".replace("\n", "\n    "))


def first_there(layout: str, candidates: Sequence[Path], tree: str) -> Path:
    """The first of some paths that exists."""
    for path in candidates:
        if path.exists():
            return path
    raise wrong_tree(layout, candidates, tree)


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder, by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_in(folder: Path, left_out: dict[str, int]) -> Iterator[Path]:
    """Image files in a folder and below, by name; hidden files are passed over, others of no image suffix
    counted."""
    for top, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(top, name)
            else:
                left_out["files that are no images"] = left_out.get("files that are no images", 0) + 1


def _raise(error: OSError) -> None:
    raise error


def choice(option: str, value: str, known: Sequence[str]) -> str:
    """An option's value, if it is one of those known."""
    if value not in known:
        raise UserError(f"--{option} is {value!r}; it must be one of {', '.join(known)}")
    return value
