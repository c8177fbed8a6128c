"""Tubs of donkeycar, the small self-driving car: version 1 (a JSON file a record) and version 2 (catalogs)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kinesics.data.layouts.driving import Frames
from kinesics.data.layouts.rows import Rows, folders_in, wrong_tree
from kinesics.errors import UserError

TREE = """
SRC/manifest.json, SRC/catalog_0.catalog, SRC/images/*.jpg      (version 2)
SRC/record_1.json, SRC/1_cam-image_array_.jpg                   (version 1)
                                                                (or SRC/TUB/... , one folder a tub)"""

IMAGE, ANGLE, MODE = "cam/image_array", "user/angle", "user/mode"


def donkeycar(source: Path, out: Path, *, block: int = 100) -> Rows:
    """A tub or a folder of tubs; `target` is user/angle, in [-1, 1], negative to the left.

    Records that were deleted in the tub and those that a pilot drove are left out.

    Args:
        block: consecutive records that make a `group`; 0: no groups.
    """
    if block < 0:
        raise UserError(f"--block is {block}; it must be 0 or more")
    tubs = [folder for folder in (source, *folders_in(source)) if _is_tub(folder)] if source.is_dir() else []
    if not tubs:
        raise wrong_tree("donkeycar", [source / "manifest.json", source / "record_*.json"], TREE)
    frames = Frames()
    left_out = {"deleted records": 0, "records that a pilot drove": 0}
    for tub in tubs:
        second = (tub / "manifest.json").is_file()
        deleted = _deleted(tub / "manifest.json") if second else set()
        for place, (where, record) in enumerate(_catalogs(tub) if second else _records(tub)):
            if record.get("_index") in deleted:
                left_out["deleted records"] += 1
            elif str(record.get(MODE, "user")) not in ("user", ""):
                left_out["records that a pilot drove"] += 1
            else:
                picture, angle = _checked(where, record)
                group = f"{tub.name}-{place // block:04d}" if block else ""
                frames.add((tub / "images" if second else tub) / picture, angle, tub.name, group)
    return frames.rows(source, left_out)


def _is_tub(folder: Path) -> bool:
    return (folder / "manifest.json").is_file() or next(folder.glob("record_*.json"), None) is not None


def _catalogs(tub: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each record of a version 2 tub stands, and the record."""
    catalogs = sorted(tub.glob("*.catalog"), key=_number)
    if not catalogs:
        raise wrong_tree("donkeycar", [tub / "catalog_0.catalog"], TREE)
    for catalog in catalogs:
        for line, text in enumerate(_text(catalog).splitlines(), start=1):
            if text.strip("\0 \t"):
                yield f"{catalog}: line {line}", _object(f"{catalog}: line {line}", text)


def _records(tub: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of a version 1 tub."""
    for path in sorted(tub.glob("record_*.json"), key=_number):
        yield str(path), _object(str(path), _text(path))


def _deleted(manifest: Path) -> set[int]:
    """Numbers of the records that were deleted: in the last of the file's lines of JSON."""
    lines = [line for line in _text(manifest).splitlines() if line.strip()]
    if not lines:
        return set()
    try:
        last = json.loads(lines[-1])
        return {int(number) for number in last.get("deleted_indexes", [])} if isinstance(last, dict) else set()
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{manifest}: line {len(lines)}: {error}") from error


def _checked(where: str, record: dict[str, Any]) -> tuple[str, float]:
    """A record's picture and angle."""
    picture, angle = record.get(IMAGE), record.get(ANGLE)
    number = isinstance(angle, int | float) and not isinstance(angle, bool) and math.isfinite(angle)
    if not isinstance(picture, str) or not picture or not number:
        raise UserError(f"{where}: expected {IMAGE} (a file) and {ANGLE} (a number), got {picture!r} and {angle!r}")
    assert isinstance(angle, int | float)
    return Path(picture).name, float(angle)


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(found).__name__}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error


def _number(path: Path) -> tuple[int, str]:
    """Sorts record_2 before record_10."""
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1, path.name)
