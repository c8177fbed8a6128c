"""The manifest of a condition and seed: fewer samples, other label columns, flips, another set's test rows.

The draws follow one documented rule, so that a study can be repeated by anyone: the training subset is the first
`n_train` of `numpy.random.default_rng([seed, 11]).permutation(training rows)`, kept in the manifest's order; labels are
flipped by `data.noise.flip_labels`, seed 2 s in the training split and 2 s + 1 in the validation split.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kinesics.data.manifest import COLUMNS, FILE_COLUMNS, Manifest, rebased
from kinesics.data.manifest import read as read_manifest
from kinesics.data.noise import flip_labels
from kinesics.data.reading import as_class
from kinesics.data.splits import split_by_group
from kinesics.errors import UserError
from kinesics.files import atomic_write
from kinesics.studies.compare.cells import classes_of
from kinesics.studies.compare.config import VOTES, Noise, Study

log = logging.getLogger("kinesics")

TRUTH = "true_label"
"""Column of a derived manifest with the labels as they were before they were made wrong."""


@dataclass(frozen=True)
class Derived:
    """What the cells of one condition and seed are trained on.

    Args:
        path: of the manifest.
        classes: that cells are restricted to; None for the manifest's own.
        notes: what was done, a sentence each.
        draft: where its content lies for now; None where `path` holds it already.
    """

    path: Path
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]
    draft: Path | None = None

    def read(self) -> Manifest:
        """The manifest as it will be read from `path`."""
        there = read_manifest(self.draft or self.path)
        return Manifest(there.table, self.path, there.classes, there.lines)

    def write(self) -> None:
        """Put a draft in its place."""
        if self.draft is not None:
            with atomic_write(self.path) as stream:
                stream.write(self.draft.read_bytes())


def source_of(study: Study, name: str) -> Path:
    """The manifest that a condition names: a name under the study's `data`, a path, or "" for the only one."""
    if not name and "" not in study.data:
        name = next(iter(study.data))
    return Path(study.data.get(name, name))


def derive(
    study: Study,
    condition_name: str,
    seed: int,
    folder: Path,
    drafts: Path | None = None,
    read: Callable[[Path], Manifest] = read_manifest,
) -> Derived:
    """Make a condition's manifest for a seed, or name the given one where nothing is changed.

    Args:
        study: read.
        condition_name: one of its conditions.
        seed: of the draws.
        folder: of derived manifests; an equal file there is left alone.
        drafts: where a changed one is written for now, in place of `folder`.
        read: reads a given manifest, which is left as it is; one that remembers serves many seeds.

    Raises:
        UserError: the manifest can't be read, or lacks what the condition needs.
    """
    condition = study.conditions[condition_name]
    source = source_of(study, condition.data)
    classes = classes_of(study, condition)
    manifest, notes = read(source), list[str]()
    if not condition.derived:
        sizes = f"{source.name} as it is: {_sizes(manifest.table['split'])}"
        return Derived(source, None if classes is None else tuple(classes), (sizes,))
    known = manifest.classes
    if classes is not None:
        manifest = manifest.with_classes(classes)
    if condition.test_data:
        if unknown := sorted({*condition.class_map.values()} - {*known, *manifest.classes}):
            raise UserError(
                f"condition {condition_name}: class_map gives {', '.join(unknown)}; {source} has {', '.join(known)}",
                hint="class_map goes from classes of test_data to classes of data",
            )
        manifest, told = _with_test_of(manifest, source_of(study, condition.test_data), condition.class_map, read)
        notes.append(told)
    table = manifest.table.copy()
    if condition.n_train:
        rows = _subset(manifest, condition.n_train, condition.sampling, seed)
        table = table.iloc[rows].reset_index(drop=True)
        notes.append(f"{condition.n_train} training samples, {condition.sampling}")
    split = table["split"].to_numpy()
    if manifest.classes:
        truth = _labels(table, manifest, condition.truth_column)
        label, kept = _labels(table, manifest, "label"), np.ones(len(table), dtype=bool)
        for column, which, place in (
            (condition.label_column, "training and validation", split != "test"),
            (condition.test_label_column, "test", split == "test"),
        ):
            if column:
                label = np.where(place, _labels(table, manifest, column), label)
                without = place & (label == "")
                kept &= ~without
                left = f"; {without.sum()} rows without one are left out" if without.any() else ""
                notes.append(f"{which} labels from {column}{left}")
                if left:
                    log.info("condition %s, seed %d: %s", condition_name, seed, notes[-1])
        table = table.assign(**{TRUTH: truth, "label": label})[kept].reset_index(drop=True)
        split = split[kept]
        if condition.noise.kind != "none":
            for number, name in enumerate(("train", "valid")):
                place = (split == name) & (table["label"] != "").to_numpy()
                table.loc[place, "label"] = _flipped(
                    table.loc[place, "label"].tolist(), manifest.classes, condition.noise, 2 * seed + number
                )
            notes.append(f"{100 * condition.noise.share:g} % {condition.noise.kind} flips")
        if condition.truth_column != "label":
            notes.append(f"the true labels, which wrong ones are told by, from {condition.truth_column}")
    elif condition.label_column or condition.test_label_column or condition.noise.kind != "none":
        raise UserError(f"condition {condition_name}: {source} has no labels that could be changed")
    notes.append(f"of {source.name}: {_sizes(table['split'])}")
    path = folder / f"{condition_name}-{seed}.csv"
    derived = Manifest(table, manifest.path, manifest.classes)
    draft = None
    if not _same(path, derived):
        written = derived.write((drafts or folder) / path.name, folder)
        draft = written if drafts else None
    return Derived(path, manifest.classes or None, tuple(notes), draft)


def _sizes(split: pd.Series) -> str:
    """ "10,000 training, 2,949 validation and 2,874 test samples"."""
    train, valid, test = (f"{(split == name).sum():,}" for name in ("train", "valid", "test"))
    return f"{train} training, {valid} validation and {test} test samples"


def _same(path: Path, derived: Manifest) -> bool:
    """Whether the file holds these rows already; what can't be read is written anew."""
    if not path.is_file():
        return False
    try:
        there = read_manifest(path)
    except UserError:
        return False
    return by_file(there).fingerprint == by_file(derived).fingerprint


def contents(manifest: Manifest) -> str:
    """Twelve hex digits that change with the rows: files by name, splits, labels, numbers, votes and groups, wherever
    they lie; other columns don't count."""
    table = manifest.table
    names = [name for name in map(str, table) if name in COLUMNS or name.startswith("p_") or name == TRUTH]
    bare = {name: table[name].map(os.path.basename) for name in FILE_COLUMNS if name in table}
    text = table[sorted(names)].assign(**bare).to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def by_file(manifest: Manifest) -> Manifest:
    """The same rows with absolute paths of images and sounds, links of folders followed."""
    folder = os.path.realpath(manifest.folder)
    absolute = {
        column: [name and os.path.normpath(os.path.join(folder, name)) for name in manifest.table[column]]
        for column in FILE_COLUMNS
        if column in manifest.table
    }
    return Manifest(manifest.table.assign(**absolute))


def _labels(table: pd.DataFrame, manifest: Manifest, column: str) -> np.ndarray:
    """(N,) class names out of a column, or of most votes; "" where there is none."""
    part = Manifest(table, manifest.path, manifest.classes)
    if column == VOTES or (column == "label" and "label" not in table):
        shares = part.distributions()
        if shares is None:
            raise UserError(f"{manifest.path} has no p_<class> columns to take labels from")
        known = np.isfinite(shares).all(1)
        names = np.array(manifest.classes, dtype=object)[np.nan_to_num(shares).argmax(1)]
        return np.where(known, names, "")
    if column not in table:
        raise UserError(f"{manifest.path} has no column {column!r}; it has {', '.join(table.columns)}")
    if column == "label":
        number = part.decided_labels()  # a row with a distribution and no label has its most probable class
        return np.where(number >= 0, np.array([*manifest.classes, ""], dtype=object)[number], "")
    names = np.array([as_class(str(name)) if str(name).strip() else "" for name in table[column]], dtype=object)
    if not set(names) & set(manifest.classes):
        raise UserError(
            f"column {column!r} of {manifest.path} holds none of the classes {', '.join(manifest.classes)}; its values "
            f"are {', '.join(sorted(set(map(str, names)))[:8])}"
        )
    return np.where(np.isin(names, manifest.classes), names, "")


def _subset(manifest: Manifest, n_train: int, sampling: str, seed: int) -> np.ndarray:
    """Positions kept: `n_train` of the training rows by the module's rule, and all others, in the manifest's order."""
    split = manifest.table["split"].to_numpy()
    train = np.flatnonzero(split == "train")
    if n_train > len(train):
        raise UserError(f"{manifest.path} has {len(train)} training rows, n_train asks for {n_train}")
    if sampling == "stratified" and n_train < len(train):
        share = n_train / len(train)
        label = manifest.take(train).decided_labels() if manifest.classes else np.zeros(len(train), dtype=np.int64)
        side = split_by_group(None, label, {"kept": share, "left": 1 - share}, seed)
        # the split is exact to within a sample a class: the surplus goes, or is made up for, at random
        order = np.random.default_rng([seed, 11]).permutation(len(train))
        order = order[np.argsort(side[order] != "kept", kind="stable")]
        chosen = train[order[:n_train]]
    else:
        chosen = np.random.default_rng([seed, 11]).permutation(train)[:n_train]
    return np.sort(np.concatenate([chosen, np.flatnonzero(split != "train")]))


def _flipped(labels: Sequence[str], classes: tuple[str, ...], noise: Noise, seed: int) -> list[str]:
    """The labels with the condition's flips, as `data.noise.flip_labels` draws them."""
    if not labels:
        return []
    transition = None
    if noise.kind == "class_dependent":
        foreign = sorted(({*noise.transition} | {c for row in noise.transition.values() for c in row}) - {*classes})
        absent = [name for name in classes if name not in noise.transition]
        if foreign or absent:
            raise UserError(
                f"noise.transition must have a row for each class, {', '.join(classes)}; "
                + (f"it names {', '.join(foreign)}, which is none" if foreign else f"it lacks {', '.join(absent)}")
            )
        transition = [[noise.transition[a].get(b, 0.0) for b in classes] for a in classes]
    number = np.array([classes.index(name) for name in labels], dtype=np.int64)
    flipped, _ = flip_labels(number, noise.share, len(classes), seed, transition)
    return [classes[k] for k in flipped]


def _with_test_of(
    manifest: Manifest, other_path: Path, class_map: dict[str, str] | object, read: Callable[[Path], Manifest]
) -> tuple[Manifest, str]:
    """Training and validation rows of one manifest with the test rows of another, classes in common only."""
    other = read(other_path)
    renamed = dict(class_map) if isinstance(class_map, dict) else {}
    theirs = other.table[other.table["split"] == "test"].reset_index(drop=True)
    if not len(theirs):
        raise UserError(f"{other_path} has no rows in split test", hint="kinesics data check shows what is in it")
    ours = manifest.table[manifest.table["split"] != "test"].reset_index(drop=True)
    told = f"test rows of {other_path.name}"
    common: tuple[str, ...] = ()
    if manifest.classes:
        if unknown := sorted(set(renamed) - set(other.classes)):
            raise UserError(f"class_map names {', '.join(unknown)}; {other_path} has {', '.join(other.classes)}")
        to = {name: renamed.get(name, name) for name in other.classes}
        common = tuple(name for name in manifest.classes if name in to.values())
        if len(common) < 2:
            raise UserError(
                f"{manifest.path} ({', '.join(manifest.classes)}) and {other_path} ({', '.join(other.classes)}) have "
                f"{len(common)} classes in common; 2 or more are needed",
                hint="class_map says which classes of test_data are which",
            )
        theirs = _renamed(theirs, other, to)
        left = [n for n in manifest.classes if n not in common] + [n for n, own in to.items() if own not in common]
        pairs = ", ".join(own if name == own else f"{name} as {own}" for name, own in to.items() if own in common)
        told += f"; classes compared: {pairs}" + (f"; left out: {', '.join(dict.fromkeys(left))}" if left else "")
    for column in FILE_COLUMNS:
        if column not in theirs:
            continue
        theirs[column] = rebased(theirs[column], other.folder, manifest.folder)
    table = pd.concat([ours, theirs], ignore_index=True)
    for column in map(str, table.columns):
        if table[column].dtype == object:
            table[column] = table[column].fillna("")
    shares = [str(name) for name in table if str(name).startswith("p_")]
    some = table[shares].notna().any(axis=1)
    table.loc[some, shares] = table.loc[some, shares].fillna(0.0)  # a class that the other set doesn't know
    joined = Manifest(table, manifest.path, manifest.classes)
    return (joined.with_classes(common) if common else joined), told


def _renamed(table: pd.DataFrame, other: Manifest, to: dict[str, str]) -> pd.DataFrame:
    """The other set's labels and shares under our class names; several of its classes may become one."""
    found = table.copy()
    if "label" in found:
        found["label"] = [to.get(name, name) for name in found["label"]]
    shares = [str(name) for name in found if str(name).startswith("p_")]
    summed = found[shares].T.groupby(lambda name: f"p_{to.get(name[2:], name[2:])}").sum(min_count=1).T
    return pd.concat([found.drop(columns=shares), summed], axis=1) if shares else found
