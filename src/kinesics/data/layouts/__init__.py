"""From the published layouts of data sets to one manifest: `convert`, and one module for each family of
layouts.

A layout is a function of the source that returns `Rows`; its keyword arguments are its options.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kinesics.data.layouts.affectnet import affectnet
from kinesics.data.layouts.arrays import fadnet_npz
from kinesics.data.layouts.donkeycar import donkeycar
from kinesics.data.layouts.driving import udacity_ch2, udacity_sessions, udacity_sim
from kinesics.data.layouts.fer import fer2013, ferplus
from kinesics.data.layouts.folders import image_folder, sfew
from kinesics.data.layouts.lists import csv_list, ldlva_csv
from kinesics.data.layouts.rafdb import rafdb
from kinesics.data.layouts.rows import Rows
from kinesics.data.manifest import Manifest
from kinesics.data.splits import split_by_group
from kinesics.errors import UserError

__all__ = ["LAYOUTS", "convert", "options_of"]

log = logging.getLogger("kinesics")

LAYOUTS: dict[str, Callable[..., Rows]] = {
    "image-folder": image_folder,
    "csv": csv_list,
    "fer2013": fer2013,
    "ferplus": ferplus,
    "rafdb": rafdb,
    "affectnet": affectnet,
    "sfew": sfew,
    "ldlva-csv": ldlva_csv,
    "udacity-sim": udacity_sim,
    "udacity-ch2": udacity_ch2,
    "udacity-sessions": udacity_sessions,
    "donkeycar": donkeycar,
    "fadnet-npz": fadnet_npz,
}
"""Layout name -> what reads it: `(source, out, **options) -> Rows`."""


def convert(
    layout: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    valid_fraction: float = 0.0,
    seed: int = 0,
    **options: Any,
) -> Manifest:
    """Make a manifest of a published layout and write it.

    Args:
        layout: a key of `LAYOUTS`.
        source: the data set's folder or file.
        out: the manifest to write, .csv or .parquet. Files below its folder are named relative to it, others
            by their absolute path.
        valid_fraction: share of the training rows that becomes split valid, stratified, by `group` where
        there is one.
        seed: of that choice.
        options: the layout's own; see its function.

    Returns:
        The manifest as written.

    Raises:
        UserError: unknown layout or option, or a source that is not laid out so: what was looked for and what
            a right tree looks like.
    """
    if layout not in LAYOUTS:
        close = difflib.get_close_matches(layout, LAYOUTS, n=1)
        hint = f"did you mean {close[0]}?" if close else None
        raise UserError(f"unknown layout {layout!r}; known: {', '.join(LAYOUTS)}", hint=hint)
    unknown = [name for name in options if name not in options_of(layout)]
    if unknown:
        flags = ", ".join("--" + name.replace("_", "-") for name in options_of(layout)) or "none"
        raise UserError(f"layout {layout} has no option --{unknown[0].replace('_', '-')}", hint=f"its options: {flags}")
    if not 0 <= valid_fraction < 1:
        raise UserError(f"--valid-fraction is {valid_fraction}; it must be at least 0 and below 1")
    origin, target = Path(source), Path(out)
    if target.suffix.lower() not in (".csv", ".parquet", ".pq"):
        raise UserError(f"{target}: a manifest is written as .csv or .parquet", hint=f"{target.stem or 'out'}.csv")
    if not origin.exists():
        raise UserError(f"there is no {origin}", hint=f"give the {layout} data's folder or file")
    try:
        rows = LAYOUTS[layout](origin, target, **options)
    except OSError as error:
        raise UserError(f"can't read {error.filename or origin}: {error.strerror or error}") from error
    for reason, count in rows.left_out.items():
        if count:
            log.info("%s: %d left out: %s", origin, count, reason)
    columns = dict(rows.columns)
    if "path" in columns:
        folder = os.path.abspath(target.parent)
        columns["path"] = [_named_from(str(path), folder) for path in columns["path"]]
    if not any(len(column) for column in columns.values()):
        raise UserError(f"{origin}: nothing is left to put into a manifest", hint="is it the right folder?")
    manifest = Manifest.from_columns(columns, target, source=rows.source, lines=rows.lines)
    if valid_fraction:
        manifest = _with_valid(manifest, valid_fraction, seed)
    manifest.write(target)
    return manifest


def options_of(layout: str) -> tuple[str, ...]:
    """Names of a layout's options."""
    parameters = inspect.signature(LAYOUTS[layout]).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def _named_from(path: str, folder: str) -> str:
    """A path as the manifest in `folder` names it; blank cells stay, for the manifest to complain about."""
    if not path.strip():
        return path
    whole = os.path.abspath(path)
    return os.path.relpath(whole, folder) if os.path.commonpath([whole, folder]) == folder else whole


def _with_valid(manifest: Manifest, fraction: float, seed: int) -> Manifest:
    split = manifest.column("split").copy()
    if (split == "valid").any():
        raise UserError(
            f"there is a validation split of {(split == 'valid').sum()} rows already",
            hint="leave --valid-fraction out",
        )
    train = np.flatnonzero(split == "train")
    groups = manifest.column("group")[train] if "group" in manifest.table else None
    shares = {"train": 1 - fraction, "valid": fraction}
    split[train] = split_by_group(groups, manifest.labels()[train], shares, seed)
    return Manifest(manifest.table.assign(split=split), manifest.path, manifest.classes, manifest.lines)
