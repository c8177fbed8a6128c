"""What decisions make of a manifest."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesics.data.manifest import Manifest
from kinesics.data.tables import at_lines
from kinesics.errors import UserError
from kinesics.studies.audit.decisions import Decision

BEFORE = "label_before_review"
"""Column that keeps the labels as they were before the first review."""

REVIEW = "review"
"""Column that says keep or relabel in rows that were decided on."""


@dataclass(frozen=True)
class Applied:
    """A corrected manifest, and what was done.

    Args:
        manifest: not written yet.
        relabelled: rows whose label changed.
        kept: rows whose label was confirmed, relabelled to what they had included.
        dropped: rows left out.
        votes_against: relabelled rows whose p_ columns stay and have another class in front.
        votes_cleared: relabelled rows whose p_ columns were made blank.
    """

    manifest: Manifest
    relabelled: int
    kept: int
    dropped: int
    votes_against: int
    votes_cleared: int


def apply_decisions(
    manifest: Manifest, decisions: Mapping[str, Decision], source: Path, clear_votes: bool = False
) -> Applied:
    """Relabel and drop rows of a manifest.

    Votes and distributions (`p_` columns) of relabelled rows are left alone by default: they say what several people
    saw, and one review is no reason to forget it. What learns `p_` columns then doesn't see the correction of such a
    row; `clear_votes` makes them blank, so that the label counts.

    Args:
        manifest: as read.
        decisions: by path, as the manifest has it or as it leads to the same file from the folder of `source`: those
            on a study's derived manifest serve the one that it was derived from.
        source: the file they came from.
        clear_votes: whether relabelled rows lose their `p_` columns.

    Raises:
        UserError: a path that the manifest doesn't have or has in several rows; nothing would be left.
    """
    decisions = _as_in(manifest, decisions, source)
    places = _places(manifest)
    refuse_shared(manifest, decisions)
    table = manifest.table.copy()
    label = table["label"].to_numpy().copy() if "label" in table else np.full(len(table), "", dtype=object)
    before = table[BEFORE].to_numpy() if BEFORE in table else label.copy()
    review = table[REVIEW].to_numpy().copy() if REVIEW in table else np.full(len(table), "", dtype=object)
    kept_rows, changed = np.ones(len(table), dtype=bool), np.zeros(len(table), dtype=bool)
    confirmed = 0
    for name, decision in decisions.items():
        place = places[name][0]
        if decision.kind == "drop":
            kept_rows[place] = False
        elif decision.kind == "relabel" and decision.label != label[place]:
            label[place], changed[place], review[place] = decision.label, True, "relabel"
        else:
            confirmed, review[place] = confirmed + 1, "keep"
    if not kept_rows.any():
        raise UserError(f"{source} drops every row of {manifest.path}")
    against, cleared = _votes(manifest, label, changed)
    if clear_votes:
        table.loc[cleared, [name for name in table.columns if name.startswith("p_")]] = np.nan
    table["label"], table[BEFORE], table[REVIEW] = label, before, review
    corrected = Manifest(table, manifest.path, manifest.classes, manifest.lines).take(kept_rows)
    return Applied(
        corrected,
        relabelled=int(changed.sum()),
        kept=confirmed,
        dropped=int((~kept_rows).sum()),
        votes_against=0 if clear_votes else int(against.sum()),
        votes_cleared=int(cleared.sum()) if clear_votes else 0,
    )


def _as_in(manifest: Manifest, decisions: Mapping[str, Decision], source: Path) -> dict[str, Decision]:
    """The decisions by the path that the manifest has for their file.

    Raises:
        UserError: a file that it doesn't have, or two decisions on one.
    """
    places = _places(manifest)
    foreign = [name for name in decisions if name not in places]
    if not foreign:
        return dict(decisions)
    own = dict(zip(_files(places, manifest.folder), places, strict=True))
    there = dict(zip(foreign, map(own.get, _files(foreign, source.parent)), strict=True))
    if unknown := [name for name, found in there.items() if found is None]:
        raise UserError(
            f"{source}: {at_lines([decisions[name].line for name in unknown])}: {manifest.path} has no such path: "
            f"{', '.join(unknown[:3])}",
            hint="paths must be written as in the manifest that was audited, or lead to its files from the folder of "
            "the decisions",
        )
    found: dict[str, Decision] = {}
    for name, decision in decisions.items():
        before = found.setdefault(there.get(name) or name, decision)
        if (before.kind, before.label) != (decision.kind, decision.label):
            raise UserError(
                f"{source}: {at_lines([before.line, decision.line])}: {before.path} and {name} are one file, and "
                "decide differently on it",
                hint="leave one of them",
            )
    return found


def _files(names: Iterable[str], folder: Path) -> list[str]:
    """Absolute paths of files that are named relative to a folder, links of folders followed."""
    real = functools.cache(os.path.realpath)
    parts = [os.path.split(os.path.join(folder, name)) for name in names]
    return [os.path.join(real(head), tail) for head, tail in parts]


def refuse_shared(manifest: Manifest, paths: Iterable[str]) -> None:
    """Refuse to decide by path on images that stand in several rows, such as faces in boxes of one photograph.

    Args:
        manifest: that the decisions are for.
        paths: that are decided on.

    Raises:
        UserError: one of them stands in several rows.
    """
    places = _places(manifest)
    if several := [name for name in dict.fromkeys(paths) if len(places.get(name, ())) > 1]:
        lines = [int(line) for name in several for line in manifest.lines[places[name]]]
        raise UserError(
            f"{manifest.path}: {at_lines(lines)}: {several[0]} stands in several rows; a decision goes by path and "
            "can't say which",
            hint="cut the faces out into files of their own, or leave one row per image, and train on that manifest",
        )


def _places(manifest: Manifest) -> dict[str, list[int]]:
    """Positions of the rows that each path stands in."""
    places: dict[str, list[int]] = {}
    for position, name in enumerate(manifest.column("path")):
        places.setdefault(str(name), []).append(position)
    return places


def _votes(manifest: Manifest, label: np.ndarray, changed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool each: relabelled rows whose p_ columns favour another class than the new label; that have any."""
    p = manifest.p_values()
    if p is None:
        return np.zeros(len(label), dtype=bool), np.zeros(len(label), dtype=bool)
    known = changed & np.isfinite(p).all(axis=1)
    front = np.array(manifest.classes, dtype=object)[np.nan_to_num(p).argmax(axis=1)]
    return known & (front != label), known
