"""The part of `check` that looks at the files: missing, unreadable, duplicate, boxes that lie outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from PIL import ImageOps

from kinesics.data.blocks import in_blocks
from kinesics.data.decode import load_image
from kinesics.data.duplicates import (
    THUMBNAIL,
    Duplicates,
    group_duplicates,
    identical_groups,
    pixel_digest,
    thumbnail,
)
from kinesics.data.finding import Finding, Level, count_of, examples, finding
from kinesics.data.manifest import Manifest
from kinesics.vision.media import UnreadableImage, open_image

_MEDIA = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".wav", ".mp3", ".flac")
NOT_IMAGES = frozenset((*_MEDIA, ".ogg", ".m4a", ".npy", ".npz", ".pkl", ".json", ".csv", ".bvh"))
"""Suffixes of clips, sounds and motions, which are not decoded here."""

_BLOCK = 32
_OUTSIDE = 0.5
"""A box may go beyond the image by this many pixels, for rounding."""


@dataclass
class _Looked:
    """What was seen of a block of rows; a row that has no digest was not compared."""

    digests: np.ndarray
    thumbnails: np.ndarray
    missing: dict[int, str]
    unreadable: dict[int, str]
    outside: dict[int, str]


def check_files(manifest: Manifest, images: bool) -> Iterator[Finding]:
    """Yield findings about files and duplicates; see `check.check_manifest`."""
    count = len(manifest)
    paths = [str(path) for path in manifest.files()]
    boxes = manifest.boxes()
    digests = np.zeros(count, dtype="S32")
    thumbnails = np.zeros((count if images else 0, THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    missing: dict[int, str] = {}
    unreadable: dict[int, str] = {}
    outside: dict[int, str] = {}

    def look(part: slice) -> _Looked:
        return _look(paths[part], None if boxes is None else boxes[part], images)

    for part, seen in in_blocks(look, count, _BLOCK, "looking at files"):
        digests[part] = seen.digests
        if images:
            thumbnails[part] = seen.thumbnails
        for found, block in ((missing, seen.missing), (unreadable, seen.unreadable), (outside, seen.outside)):
            found.update({part.start + offset: reason for offset, reason in block.items()})

    yield from _about("error", "missing-file", "file", "missing", manifest, missing)
    yield from _about("error", "unreadable-image", "image", "unreadable", manifest, unreadable)
    yield from _about("warning", "box-outside", "box", "going beyond the image", manifest, outside)
    compared = np.flatnonzero(digests != b"")
    if images:
        duplicates = group_duplicates(digests[compared], thumbnails[compared])
    else:
        same = identical_groups(digests[compared])
        duplicates = Duplicates(same, same, np.zeros((0, 2), dtype=np.int64))
    yield from _duplicates(manifest.take(compared), duplicates)


def _look(paths: list[str], boxes: np.ndarray | None, images: bool) -> _Looked:
    seen = _Looked(
        np.zeros(len(paths), dtype="S32"),
        np.zeros((len(paths), THUMBNAIL, THUMBNAIL), dtype=np.uint8),
        missing={},
        unreadable={},
        outside={},
    )
    for offset, path in enumerate(paths):
        box = None if boxes is None or np.isnan(boxes[offset]).any() else boxes[offset]
        if not os.path.exists(path):
            seen.missing[offset] = path
        elif not images or PurePath(path).suffix.lower() in NOT_IMAGES:
            name = f"{os.path.realpath(path)} {None if box is None else box.tolist()}"
            seen.digests[offset] = pixel_digest(np.frombuffer(os.fsencode(name), np.uint8)[None])
        else:
            try:
                pixels = load_image(path, None, 3, box)
                if box is not None and (beyond := _beyond(path, box)):
                    seen.outside[offset] = beyond
            except UnreadableImage as error:
                seen.unreadable[offset] = f"{path} {error.reason}"
                continue
            seen.digests[offset] = pixel_digest(pixels)
            seen.thumbnails[offset] = thumbnail(pixels)
    return seen


def _beyond(path: str, box: np.ndarray) -> str:
    """How a box goes beyond its image, or "" if it doesn't."""
    with open_image(path) as image:
        width, height = ImageOps.exif_transpose(image).size
    x, y, w, h = box.tolist()
    if min(x, y) >= -_OUTSIDE and x + w <= width + _OUTSIDE and y + h <= height + _OUTSIDE:
        return ""
    return f"{x:g},{y:g} to {x + w:g},{y + h:g} in {width} x {height} pixels"


def _about(
    level: Level, code: str, thing: str, what: str, manifest: Manifest, found: dict[int, str]
) -> Iterator[Finding]:
    if found:
        shown = examples([f"line {manifest.lines[position]}: {reason}" for position, reason in found.items()])
        message = f"{count_of(len(found), thing)} {what}: {shown}"
        yield finding(level, code, message, manifest.lines[list(found)])


def _duplicates(manifest: Manifest, found: Duplicates) -> Iterator[Finding]:
    split = manifest.column("split")
    alone = np.flatnonzero(found.identical < 0)
    picture = found.identical.copy()
    picture[alone] = found.identical.max(initial=-1) + 1 + np.arange(len(alone))

    identical = _members(found.identical)
    yield from _pairs_found(manifest, identical, "identical", "identical images")
    if "label" in manifest.table:
        label = manifest.column("label")
        differing = [group for group in identical if len({name for name in label[group] if name}) > 1]
        if differing:
            shown = examples([_list(manifest, group, label) for group in differing])
            message = f"{count_of(len(differing), 'group')} of identical images with different labels: {shown}"
            lines = manifest.lines[np.concatenate(differing)]
            yield finding("warning", "identical-different-labels", message, lines)
    # Of a near-identical group, only what is not already identical: one member for each picture and split.
    near = []
    for group in _members(found.near):
        _, first = np.unique([f"{picture[k]} {split[k]}" for k in group], return_index=True)
        if len(set(picture[group].tolist())) > 1:
            near.append(group[np.sort(first)])
    yield from _pairs_found(manifest, near, "near-identical", "near-identical images")


def _pairs_found(manifest: Manifest, groups: list[np.ndarray], code: str, what: str) -> Iterator[Finding]:
    split = manifest.column("split")
    sign = "=" if code == "identical" else "~"
    across = [group for group in groups if len(set(split[group])) > 1]
    inside = [group for group in groups if len(set(split[group])) < len(group)]
    if across:
        shown = examples([_list(manifest, group, split, sign) for group in across])
        message = f"{count_of(len(across), 'group')} of {what} in more than one split: {shown}"
        yield finding("error", f"{code}-across-splits", message, manifest.lines[np.concatenate(across)])
    if inside:
        shown = examples([_list(manifest, group, split, sign) for group in inside])
        message = f"{count_of(len(inside), 'group')} of {what} inside a split: {shown}"
        yield finding("warning", f"{code}-images", message, manifest.lines[np.concatenate(inside)])


def _members(group_of: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(group_of, kind="stable")
    order = order[group_of[order] >= 0]
    cuts = np.flatnonzero(np.diff(group_of[order])) + 1
    return [group for group in np.split(order, cuts) if len(group)]


def _list(manifest: Manifest, group: np.ndarray, column: np.ndarray, sign: str = "=") -> str:
    """The first lines of a group, each with its split or label; members of different ones come first."""
    _, first = np.unique(column[group].astype(str), return_index=True)
    lead = group[np.sort(first)]
    chosen = np.concatenate([lead, np.setdiff1d(group, lead)])[:4]
    shown = [f"{manifest.lines[k]} ({column[k]})" for k in np.sort(chosen)]
    return "lines " + f" {sign} ".join(shown) + (f" {sign} ..." if len(group) > len(chosen) else "")
