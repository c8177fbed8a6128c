"""From a manifest to the samples of each split, decoded."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesics.data.cache import BadImage, open_cache
from kinesics.data.manifest import FILE_COLUMNS, Manifest
from kinesics.data.manifest import read as read_manifest
from kinesics.data.samples import Samples
from kinesics.data.splits import split_by_group
from kinesics.engine.config import InputConfig, Recipe
from kinesics.engine.task import DataSpec
from kinesics.errors import UserError

log = logging.getLogger("kinesics")


@dataclass(frozen=True)
class Splits:
    """A manifest's samples by split; a split without rows is None.

    Args:
        train, valid, test: decoded samples.
        fingerprint: SHA-256 over the manifest's table and the sizes of its files.
        valid_from: "manifest", "train" (held out by the seed) or "none".
        bad: unreadable images that were left out.
    """

    train: Samples | None
    valid: Samples | None
    test: Samples | None
    fingerprint: str
    valid_from: str
    bad: list[BadImage]


@dataclass(frozen=True)
class RunData:
    """What a run trains on and is judged by: the samples that have what its system learns.

    Args:
        train, valid, test: the last two None where the manifest has none.
        classes: of the manifest; none for what learns "target".
        splits: before samples without truth were left out.
    """

    train: Samples
    valid: Samples | None
    test: Samples | None
    classes: tuple[str, ...]
    splits: Splits

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each split."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: len(part) if part else 0 for name, part in parts.items()}

    def spec(self, config: InputConfig, n_train: int) -> DataSpec:
        """What a model must know of these data.

        Args:
            config: size, channels and normalisation.
            n_train: training samples of the model's own.
        """
        return DataSpec(
            classes=self.classes,
            size=config.size,
            channels=config.channels,
            mean=config.mean,
            std=config.std,
            n_train=n_train,
            crop=config.crop,
            face=config.face if _boxed(self.train) else None,
        )


def load_data(recipe: Recipe, truth: str) -> RunData:
    """Everything that a run of the recipe needs of its manifest.

    Args:
        recipe: its data, classes, input and seed.
        truth: the column that the system learns (`Task.truth`).

    Raises:
        UserError: nothing to learn, fewer than two classes, no training rows, unreadable images.
    """
    manifest = learnable_rows(recipe, truth)
    splits = load_splits(manifest, recipe.input, recipe.seed)
    train = labelled(splits.train, "training", manifest.path, truth)
    valid = labelled(splits.valid, "validation", manifest.path, truth)
    test = labelled(splits.test, "test", manifest.path, truth)
    if train is None:
        raise UserError(f"{manifest.path} has no training rows", hint="give rows split=train")
    return RunData(train, valid, test, manifest.classes, splits)


def learnable_rows(recipe: Recipe, truth: str, given: Manifest | None = None) -> Manifest:
    """The recipe's manifest, checked for what the system learns; nothing is decoded.

    Args:
        recipe: its data and classes.
        truth: the column that the system learns.
        given: the manifest with all its classes, where it isn't to be read.

    Raises:
        UserError: nothing to learn, fewer than two classes.
    """
    manifest = read_rows(recipe, truth, given)
    if manifest.targets() is None and (not manifest.classes or truth == "target"):
        columns = "no column target" if truth == "target" else "none of the columns label, p_<class> and target"
        raise UserError(f"{manifest.path} has nothing to learn: {columns}")
    if len(manifest.classes) == 1:
        raise UserError(f"{manifest.path} has one class only ({manifest.classes[0]}); 2 or more are needed")
    return manifest


def read_rows(recipe: Recipe, truth: str, given: Manifest | None = None) -> Manifest:
    """The recipe's manifest as a system that learns `truth` sees it; nothing is decoded."""
    manifest = read_manifest(recipe.data) if given is None else given
    manifest = manifest if recipe.classes is None else manifest.with_classes(recipe.classes)
    return manifest.without_classes() if truth == "target" else manifest


def load_splits(
    manifest: Manifest, config: InputConfig, seed: int, splits: Sequence[str] = ("train", "valid", "test")
) -> Splits:
    """Decode the wanted splits through the cache.

    Where the manifest has no `valid` rows, `config.valid_fraction` of the training rows becomes it, stratified by
    label, groups whole, by the seed.

    Args:
        manifest: read with the classes of the run.
        config: size, channels, and what to do with unreadable images.
        seed: of the hold-out.
        splits: names wanted.

    Raises:
        UserError: unreadable images (unless skipped), nothing left to train on.
    """
    chosen = manifest.rows(splits)
    if not len(chosen):
        raise UserError(
            f"{manifest.path} has no rows in split {' or '.join(splits)}",
            hint="kinesics data check shows what is in it",
        )
    cache = open_cache(
        chosen, config.size, config.channels, on_bad_image=config.on_bad_image, square=config.crop, face=config.face
    )
    for bad in cache.bad:
        log.warning("left out, line %d: %s: %s", bad.line, bad.path, bad.reason)
    chosen = chosen.take(cache.kept)
    samples = to_samples(chosen, cache.images)
    split = chosen.column("split").astype(str)
    valid_from = "manifest" if (split == "valid").any() else "none"
    if valid_from == "none" and config.valid_fraction and "valid" in splits and "train" in splits:
        label = samples.columns.get("label", np.zeros(len(samples), dtype=np.int64))
        split = hold_out(split, label, samples.extra.get("group"), config.valid_fraction, seed)
        valid_from = "train" if (split == "valid").any() else "none"
    found: dict[str, Samples | None] = {}
    for name in ("train", "valid", "test"):
        rows = np.flatnonzero(split == name)
        found[name] = samples.subset(rows) if len(rows) else None
    found_as = fingerprint(manifest)
    return Splits(found["train"], found["valid"], found["test"], found_as, valid_from, cache.bad)


def to_samples(manifest: Manifest, images: np.ndarray) -> Samples:
    """The manifest's rows and their decoded images (N, H, W, C) as samples; text columns go to `extra`."""
    n = len(manifest)
    columns: dict[str, np.ndarray] = {}
    distribution = manifest.distributions() if manifest.classes else None
    if manifest.classes:
        columns["label"] = manifest.decided_labels()
    optional = {
        "distribution": distribution,
        "votes": manifest.votes() if manifest.classes else None,
        "valence_arousal": manifest.valence_arousal(),
        "target": manifest.targets(),
    }
    columns.update({name: values for name, values in optional.items() if values is not None})
    extra = {
        name: manifest.table[name].to_numpy()
        for name in manifest.table.columns
        if name not in ("path", "label", "split")
    }
    extra["line"] = manifest.lines
    names = manifest.table["path"].to_numpy() if n else np.array([], dtype=object)
    return Samples(images, np.arange(n, dtype=np.int64), columns, names, manifest.classes, extra)


def labelled(samples: Samples | None, what: str, path: Path | None, truth: str = "label") -> Samples | None:
    """The samples that have a label (or what else `truth` names); the log says how many have none."""
    if samples is None or truth not in samples.columns:
        return samples
    values = samples.columns[truth]
    known = values >= 0 if truth == "label" else np.isfinite(values)
    if known.all():
        return samples
    if not known.any():
        column = "label column, or p_<class> columns" if truth == "label" else f"{truth} column"
        raise UserError(f"no {what} row of {path} has a {truth}", hint=f"fill the {column}")
    log.warning("%d %s rows without a %s are left out", int((~known).sum()), what, truth)
    return samples.subset(np.flatnonzero(known))


def _boxed(samples: Samples) -> bool:
    boxes = samples.extra.get("box_x")
    return boxes is not None and bool(np.isfinite(boxes.astype(np.float64)).any())


def fingerprint(manifest: Manifest) -> str:
    """The table and every file's size in bytes: stays the same when a data set is copied, or a manifest moved whose
    files all lie elsewhere ("../faces/a.png"); changes when they are edited."""
    digest = hashlib.sha256(_without_way(manifest).fingerprint.encode())
    sizes = np.array([_size(name) for name in manifest.files()], dtype="<i8")
    digest.update(sizes.tobytes())
    return digest.hexdigest()


def _without_way(manifest: Manifest) -> Manifest:
    """The rows without the way to the folder that all files share, where it leads out of the manifest's own."""
    columns = [name for name in FILE_COLUMNS if name in manifest.table]
    names = [name for column in columns for name in manifest.table[column] if name]
    folders = set(map(os.path.dirname, names))
    if not folders or any(map(os.path.isabs, folders)):
        return manifest
    way = os.path.join(os.path.commonpath(folders), "")
    if not way.startswith(os.path.join(os.pardir, "")) or not all(name.startswith(way) for name in names):
        return manifest
    short = {column: [name[len(way) :] for name in manifest.table[column]] for column in columns}
    return Manifest(manifest.table.assign(**short), manifest.path, manifest.classes, manifest.lines)


def _size(path: Path) -> int:
    """Of a file, in bytes; -1 where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def hold_out(split: np.ndarray, label: np.ndarray, group: np.ndarray | None, fraction: float, seed: int) -> np.ndarray:
    """Make a share of the training rows the validation split, stratified by label, groups whole; none of fewer than 10.

    Args:
        split: (N,) names.
        label: (N,) int64.
        group: (N,) or None.
        fraction: in (0, 1).
        seed: of the draw.

    Returns:
        (N,) names; there may be no "valid" among them.

    Raises:
        UserError: the groups can't be parted so.
    """
    train = np.flatnonzero(split == "train")
    if len(train) < 10:
        return split
    parts = {"train": 1 - fraction, "valid": fraction}
    try:
        assigned = split_by_group(None if group is None else group[train], label[train], parts, seed)
    except UserError as error:
        raise UserError(
            f"no validation rows can be held out of train: {error.message}",
            hint="give rows split=valid, or --input.valid_fraction 0 for none",
        ) from error
    changed = split.copy()
    changed[train[assigned == "valid"]] = "valid"
    return changed
