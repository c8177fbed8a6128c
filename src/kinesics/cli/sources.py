"""What `kinesics predict` is given: which model, and pictures, videos, folders and manifests one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesics.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from kinesics.data.manifest import Manifest

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif")
TABLES = (".csv", ".parquet", ".pq")


@dataclass(frozen=True)
class Item:
    """One picture or video to answer for."""

    path: Path
    video: bool = False
    """Whether it is read frame by frame."""
    box: tuple[float, float, float, float] | None = None
    """Of the face, where a manifest knows it."""
    target: float = float("nan")
    """What a steering manifest says is right."""


def choose_model(words: Sequence[str], model: str | None) -> tuple[str | None, list[str]]:
    """The model and the words that are left: --model, else the first word where it is a run, an exported file or a
    shipped model's name, else None for the model that ships.

    Raises:
        UserError: the first word is a folder with neither a model nor anything to answer for, and others follow.
    """
    if model is not None or not words:
        return model, list(words)
    from kinesics.inference.loading import is_exported

    first = Path(words[0])
    if is_exported(first):
        return words[0], list(words[1:])
    if (first / "model.json").is_file() or (first / "run.json").is_file() or first.name == "model.json":
        return words[0], list(words[1:])
    if not first.exists():
        from kinesics.engine.transfer import shipped_models

        if words[0] in shipped_models():
            return words[0], list(words[1:])
    if first.is_dir() and len(words) > 1 and not _inside(first):
        raise UserError(
            f"no trained model in {first}: expected model.json and model.safetensors there, or pictures and videos",
            hint="give the run directory that kinesics train wrote",
        )
    return None, list(words)


def items_of(words: Sequence[str], where: Sequence[str]) -> list[Item]:
    """Files as given, folders by the pictures and videos in them, sorted, manifests by their rows.

    Raises:
        UserError: a file or folder that isn't there, an empty folder, a manifest that can't be read, --where without
        one.
    """
    from kinesics.vision.video import is_video

    found: list[Item] = []
    if where and not any(Path(word).suffix.lower() in TABLES for word in words):
        raise UserError(f"--where {where[0]} chooses rows of a manifest, but none is given", hint="name its .csv file")
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = _inside(path)
            if not inside:
                raise UserError(f"{path} holds no image files and no videos ({', '.join(PICTURES)}, .mp4 ..)")
            found += [Item(item, is_video(item)) for item in inside]
        elif path.is_file():
            found += _rows(path, where) if path.suffix.lower() in TABLES else [Item(path, is_video(path))]
        else:
            raise UserError(f"{path}: there is no such file or folder")
    return found


def _inside(folder: Path) -> list[Path]:
    from kinesics.vision.video import SUFFIXES

    return sorted(item for item in folder.rglob("*") if item.suffix.lower() in PICTURES + SUFFIXES and item.is_file())


def _rows(path: Path, where: Sequence[str]) -> list[Item]:
    """The rows of a manifest that `where` names."""
    from kinesics.data.manifest import read

    manifest = read(path)
    for condition in where:
        manifest = manifest.take(_chosen(manifest, path, condition))
    boxes, targets = manifest.boxes(), manifest.targets()
    items = []
    for k, file in enumerate(manifest.files()):
        box: Any = None
        if boxes is not None and not any(number != number for number in boxes[k]):
            box = tuple(float(number) for number in boxes[k])
        items.append(Item(file, box=box, target=float("nan") if targets is None else float(targets[k])))
    return items


def _chosen(manifest: Manifest, path: Path, condition: str) -> np.ndarray:
    """(N,) bool: the rows that one --where chooses."""
    import numpy as np

    name, sign, value = condition.partition("=")
    if not sign:
        raise UserError(f"--where must be COLUMN=VALUE; got {condition!r}", hint="for example --where silo=lake")
    cells = manifest.column(name)
    if cells.dtype == np.float64:
        try:
            chosen = cells == float(value)
        except ValueError:
            raise UserError(f"--where {condition}: the column {name} holds numbers") from None
    else:
        chosen = cells == value
    if not chosen.any():
        known = list(dict.fromkeys(str(cell) for cell in cells))
        listed = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
        raise UserError(f"--where {condition}: {path} has no such row; {name} is {listed or 'empty'}")
    return np.asarray(chosen)
