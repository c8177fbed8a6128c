"""What is wrong with a manifest, row by row, before any training: labels, distributions, splits, numbers,
files."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import numpy as np

from kinesics.data.check_files import check_files
from kinesics.data.emotions import ALIASES, VOCABULARY, canonical
from kinesics.data.finding import LEVELS, Finding, count_of, examples, finding
from kinesics.data.manifest import SPLITS, Manifest

MOST_IMBALANCE = 20.0
"""How many times larger than the smallest class the largest may be before it is a warning."""

FEWEST = 10
"""A class with fewer training samples is a warning."""

_TIE = 1e-9


def check_manifest(manifest: Manifest, images: bool = True) -> list[Finding]:
    """Look for all that would make training on a manifest, or judging its result, unsound.

    Args:
        manifest: as read.
        images: decode every image, to find unreadable and duplicate ones. Otherwise files only have to be
            there, and duplicates are rows of the same file and box.

    Returns:
        Findings, errors first. Codes: `missing-file`, `unreadable-image`, `box-outside`, `identical-images`,
        `identical-across-splits`, `identical-different-labels`, `near-identical-images`,
        `near-identical-across-splits`, `nothing-to-learn`, `no-label`, `label-misspelt`, `label-unknown`,
        `distribution-sum`, `label-argmax`, `no-training`, `no-validation`, `group-across-splits`,
        `one-class`, `class-missing-in-train`, `tiny-class`, `imbalance`, `valence-arousal-range`.
    """
    findings = [
        *check_files(manifest, images),
        *_labels(manifest),
        *_distributions(manifest),
        *_splits(manifest),
        *_classes(manifest),
        *_valence_arousal(manifest),
    ]
    return sorted(findings, key=lambda found: LEVELS.index(found.level))


def _labels(manifest: Manifest) -> Iterator[Finding]:
    label = _column(manifest, "label")
    if not manifest.classes:
        if manifest.targets() is None and _column(manifest, "audio") is None:
            yield finding("error", "nothing-to-learn", "there is no `label`, no `p_<class>` and no `target` column")
        return
    if label is not None and manifest.p_values() is None and (blank := label == "").any():
        message = f"{count_of(int(blank.sum()), 'row')} without a label"
        yield finding("warning", "no-label", message, manifest.lines[blank])
    own = []
    for name in manifest.classes:
        if name in VOCABULARY:
            continue
        lines = manifest.lines[label == name] if label is not None else np.zeros(0)
        lines = lines if len(lines) else np.ones(1)  # a p_ column: the header's line
        close = difflib.get_close_matches(name.lower(), [*VOCABULARY, *ALIASES], n=1, cutoff=0.75)
        if close:
            message = f"class {name!r} is not in the vocabulary; is {canonical(close[0])} meant?"
            yield finding("warning", "label-misspelt", message, lines)
        else:
            own.append((name, lines))
    if own:
        names = ", ".join(name for name, _ in own[:10]) + (", ..." if len(own) > 10 else "")
        message = f"{count_of(len(own), 'class')} not in the emotion vocabulary, kept as they are: {names}"
        yield finding("note", "label-unknown", message, np.concatenate([lines for _, lines in own]))


def _distributions(manifest: Manifest) -> Iterator[Finding]:
    p = manifest.p_values()
    if p is None:
        return
    faulty = manifest.faulty_distributions()
    if len(faulty):
        rows = count_of(len(faulty), "row")
        message = f"{rows} whose p_ columns neither sum to 1 nor are votes (whole numbers)"
        yield finding("error", "distribution-sum", message, manifest.lines[faulty])
    label = manifest.labels()
    known = np.flatnonzero((label >= 0) & ~np.isnan(p).any(axis=1))
    other = known[p[known, label[known]] < p[known].max(axis=1, initial=0) - _TIE]
    if len(other):
        shown = [
            f"line {manifest.lines[k]}: {manifest.classes[label[k]]}, not {manifest.classes[p[k].argmax()]}"
            for k in other
        ]
        rows = f"{count_of(len(other), 'row')} ({len(other) / len(known):.0%})"
        message = f"{rows} whose label is not the largest p_: {examples(shown)}"
        yield finding("warning", "label-argmax", message, manifest.lines[other])


def _splits(manifest: Manifest) -> Iterator[Finding]:
    split = manifest.column("split")
    if not (split == "train").any():
        yield finding("error", "no-training", "no row is in split train")
    if not (split == "valid").any():
        message = "no row is in split valid; training will split some off from train by itself"
        yield finding("note", "no-validation", message)
    group = _column(manifest, "group")
    if group is None:
        return
    sides: dict[str, set[str]] = {}
    for name, side in zip(group, split, strict=True):
        if name:
            sides.setdefault(name, set()).add(side)
    crossing = [name for name, found in sides.items() if len(found) > 1]
    if crossing:
        shown = examples([f"{name} ({', '.join(sorted(sides[name], key=SPLITS.index))})" for name in crossing])
        message = f"{count_of(len(crossing), 'group')} in more than one split: {shown}"
        wanted = set(crossing)
        lines = manifest.lines[np.array([name in wanted for name in group])]
        yield finding("error", "group-across-splits", message, lines)


def _classes(manifest: Manifest) -> Iterator[Finding]:
    if not manifest.classes:
        return
    label = _hard_labels(manifest)
    split = manifest.column("split")
    train = np.bincount(label[(split == "train") & (label >= 0)], minlength=len(manifest.classes))
    if not train.any():
        return
    for index, name in enumerate(manifest.classes):
        elsewhere = (label == index) & (split != "train")
        if train[index] == 0 and elsewhere.any():
            message = f"class {name} is in {_sides(split[elsewhere])} but not in train"
            yield finding("error", "class-missing-in-train", message, manifest.lines[elsewhere])
        elif 0 < train[index] < FEWEST:
            message = f"class {name} has only {count_of(int(train[index]), 'row')} in train"
            lines = manifest.lines[(label == index) & (split == "train")]
            yield finding("warning", "tiny-class", message, lines)
    present = np.flatnonzero(train)
    if len(present) == 1:
        message = f"all of train is of one class, {manifest.classes[present[0]]}"
        yield finding("error", "one-class", message)
        return
    most, least = present[train[present].argmax()], present[train[present].argmin()]
    ratio = train[most] / train[least]
    large, small = (f"{manifest.classes[index]}, {train[index]:,}" for index in (most, least))
    message = f"in train the largest class ({large}) is {ratio:.1f} times the smallest ({small})"
    yield finding("warning" if ratio > MOST_IMBALANCE else "note", "imbalance", message)


def _valence_arousal(manifest: Manifest) -> Iterator[Finding]:
    for name in ("valence", "arousal"):
        values = _column(manifest, name)
        if values is None:
            continue
        outside = np.flatnonzero(np.abs(values.astype(np.float64)) > 1)
        if len(outside):
            message = f"{count_of(len(outside), 'row')} with {name} outside of [-1, 1], as {values[outside[0]]:g}"
            yield finding("error", "valence-arousal-range", message, manifest.lines[outside])


def _hard_labels(manifest: Manifest) -> np.ndarray:
    """(N,) label, or the largest p_ where a row has none, or -1."""
    label = manifest.labels()
    p = manifest.p_values()
    if p is None:
        return label
    given = ~np.isnan(p).any(axis=1) & (p.sum(axis=1) > 0)
    return np.where((label < 0) & given, np.nan_to_num(p).argmax(axis=1), label)


def _sides(split: np.ndarray) -> str:
    return " and ".join(sorted(set(split.tolist()), key=SPLITS.index))


def _column(manifest: Manifest, name: str) -> np.ndarray | None:
    return manifest.column(name) if name in manifest.table else None
