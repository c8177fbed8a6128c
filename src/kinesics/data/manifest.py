"""The manifest: one table (CSV or Parquet) that says what every sample of a data set is.

Columns: `path` (image, clip or motion, relative to the manifest's folder or absolute); `label` and/or
`p_<class>` (a distribution or votes) and/or `target` (a number); `split` in train, valid, test (all train
where the column is missing); optional `valence` and `arousal` in [-1, 1], `box_x`, `box_y`, `box_w`, `box_h`
in pixels, `start` and `end`, `audio`, `style`, `scene`, `group` (subject, source video, song: never crosses
splits), `silo`. Other columns are carried along.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from kinesics.data.emotions import VOCABULARY
from kinesics.data.reading import BOX, NUMERIC, SPLITS, as_class, as_text, read_file, read_table, write_parquet
from kinesics.data.tables import at_lines, number_cells, whole_number, write_rows
from kinesics.errors import UserError
from kinesics.files import atomic_write

log = logging.getLogger("kinesics")

SUM_TOLERANCE = 1e-3
"""How far from 1 a row of `p_` columns may sum and still be a distribution."""

FILE_COLUMNS = ("path", "audio")
"""Columns that name files, relative to the manifest's folder or absolute."""

COLUMNS = ("path", "label", "split", *NUMERIC, "audio", "style", "scene", "group", "silo")
"""Columns with a meaning, beside `p_<class>`."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """A table of samples and the order of its classes.

    Attributes:
        table: one row a sample. Numbers (`p_*`, `target`, `valence`, `arousal`, `box_*`, `start`, `end`) are
            float64 with NaN where the cell is blank; all else is text, "" where blank.
        path: the file it was read from; paths in it are relative to that file's folder (None: to the working
        folder).
        classes: class names; their positions are the class indices.
        lines: (N,) int64 line numbers in the file, header = line 1 (counted likewise where there is no file).
    """

    table: pd.DataFrame
    path: Path | None = None
    classes: tuple[str, ...] = ()
    lines: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if len(self.lines) != len(self.table):
            object.__setattr__(self, "lines", np.arange(len(self.table), dtype=np.int64) + 2)

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Sequence[object]],
        path: Path | None = None,
        source: Path | None = None,
        lines: Sequence[int] | None = None,
    ) -> Manifest:
        """Make a manifest from columns of equal length, under the rules of `read` (numbers, words, splits are
        checked).

        Args:
            columns: `path` and any others; None and NaN are blank cells.
            path: the file that it is meant for; it is not written.
            source: the file that complaints are about, where the columns come from another one.
            lines: each row's line number in that file, for complaints.
        """
        texts = [[as_text(value) for value in values] for values in columns.values()]
        cells = list(zip(*texts, strict=True))
        numbered = range(2, len(cells) + 2) if lines is None else lines
        rows = ((line, list(row)) for line, row in zip(numbered, cells, strict=True))
        table, _ = read_table(list(columns), rows, source or path or Path("the new manifest"))
        return cls(table, path, _found_classes(table))

    def write(self, path: str | os.PathLike[str], folder: Path | None = None) -> Path:
        """Write as CSV or Parquet (by the suffix), atomically; file paths are made relative to where it now
        lies.

        Args:
            path: of the file.
            folder: where it will lie, if not there.

        Raises:
            UserError: the disk is full, the folder can't be written to, or Parquet's library is missing.
        """
        target = Path(path)
        columns: dict[str, list[str]] = {}
        for name in self.table.columns:
            values = self.table[name].to_numpy()
            columns[name] = number_cells(values) if values.dtype == np.float64 else list(values)
        for name in set(FILE_COLUMNS) & set(columns):
            columns[name] = rebased(columns[name], self.folder, folder or target.parent)
        if target.suffix.lower() in (".parquet", ".pq"):
            frame = self.table.assign(**{name: columns[name] for name in FILE_COLUMNS if name in columns})
            write_parquet(frame, target)
            return target
        try:
            with atomic_write(target, "w") as stream:
                write_rows(stream, list(columns), list(columns.values()))
        except UnicodeEncodeError as error:
            raise UserError(
                f"can't write {target}: {error.object[:80]!r} is not valid Unicode", hint="rename that file"
            ) from error
        return target

    @property
    def folder(self) -> Path:
        """What paths in the table are relative to."""
        return self.path.parent if self.path is not None else Path()

    def take(self, positions: np.ndarray) -> Manifest:
        """The rows at `positions` ((M,) int, or (N,) bool), with their line numbers."""
        index = np.asarray(positions)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        table = self.table.iloc[index].reset_index(drop=True)
        return Manifest(table, self.path, self.classes, self.lines[index])

    def rows(self, split: str | Iterable[str]) -> Manifest:
        """The rows of one split or of several; there may be none."""
        wanted = [split] if isinstance(split, str) else list(split)
        unknown = [name for name in wanted if name not in SPLITS]
        if unknown:
            raise UserError(f"unknown split {unknown[0]!r}; known: {', '.join(SPLITS)}")
        return self.take(np.flatnonzero(self.table["split"].isin(wanted).to_numpy()))

    def with_classes(self, classes: Sequence[str]) -> Manifest:
        """Select and order the classes; rows of other classes are dropped, and the log says how many.

        A row goes by its label; without one, by whether its `p_` columns give anything to the chosen classes.
        Rows with neither are kept.

        Raises:
            UserError: a class given twice, none of them in the manifest, or one misspelt.
        """
        chosen = tuple(as_class(name) for name in classes)
        found = _found_classes(self.table)
        if len(set(chosen)) != len(chosen) or "" in chosen:
            raise UserError(f"classes must be different names, got {', '.join(map(repr, classes))}")
        if found and not set(chosen) & set(found):
            raise UserError(f"{self._name} has none of the classes {', '.join(chosen)}; it has {', '.join(found)}")
        absent = [name for name in chosen if name not in found]
        for name in absent:
            close = difflib.get_close_matches(name, set(found) - set(chosen), n=1)
            if close:
                raise UserError(f"{self._name} has no class {name!r}", hint=f"did you mean {close[0]}?")
        if absent and found:
            log.info("%s: no row of class %s", self._name, ", ".join(absent))
        keep = np.ones(len(self), dtype=bool)
        labelled = np.zeros(len(self), dtype=bool)
        if "label" in self.table:
            labelled = (self.table["label"] != "").to_numpy()
            keep = ~labelled | self.table["label"].isin(chosen).to_numpy()
        chosen_only = Manifest(self.table, self.path, chosen, self.lines)
        p = chosen_only.p_values()
        if p is not None:
            keep &= labelled | (p.sum(axis=1) != 0)
        if not keep.all():
            log.info(
                "%s: %d of %d rows dropped: their class is not in %s",
                self._name,
                (~keep).sum(),
                len(keep),
                ", ".join(chosen),
            )
        return chosen_only if keep.all() else chosen_only.take(keep)

    def without_classes(self) -> Manifest:
        """The same rows without labels and `p_` columns being read as classes, for what learns `target`."""
        kept = [name for name in self.table.columns if name != "label" and not name.startswith("p_")]
        return Manifest(self.table[kept], self.path, (), self.lines)

    def files(self) -> list[Path]:
        """Each row's file, with relative paths taken from the manifest's folder, which need not be there yet."""
        folder = self.folder
        if folder.is_dir():
            return [folder / name for name in self.table["path"]]
        real = os.path.realpath(folder)  # the system finds nothing by a path that leads through what isn't there
        return [Path(os.path.normpath(os.path.join(real, name))) for name in self.table["path"]]

    def labels(self) -> np.ndarray:
        """(N,) int64 index into `classes`, -1 where a row has no label."""
        if "label" not in self.table:
            return np.full(len(self), -1, dtype=np.int64)
        index = {name: position for position, name in enumerate(self.classes)}
        return np.fromiter((index.get(name, -1) for name in self.table["label"]), dtype=np.int64, count=len(self))

    def decided_labels(self) -> np.ndarray:
        """As `labels`; a row with a distribution and no label has its most probable class.

        Raises:
            UserError: rows that are neither a distribution nor votes.
        """
        label, distribution = self.labels(), self.distributions()
        if distribution is None:
            return label
        known = np.isfinite(distribution).all(1)
        return np.where((label < 0) & known, np.nan_to_num(distribution).argmax(1), label)

    def distributions(self) -> np.ndarray | None:
        """(N, C) float32 in [0, 1], rows sum to 1 over `classes`, NaN in rows without one; None without `p_`
        columns.

        Votes are divided by their sum. What a row gives to classes outside of `classes` is left out before
        that.

        Raises:
            UserError: rows that are neither a distribution nor votes.
        """
        raw = self.p_values()
        if raw is None:
            return None
        neither = self.faulty_distributions()
        if len(neither):
            raise UserError(
                f"{self._name}: {at_lines(self.lines[neither])}: p_ columns neither sum to 1 nor are votes "
                f"(whole numbers); the first sums to {np.nansum(self._all_p()[neither[0]]):.6g}",
                hint="divide each row by its sum",
            )
        total = raw.sum(axis=1, keepdims=True)
        return np.divide(raw, total, out=np.full_like(raw, np.nan), where=total > 0).astype(np.float32)

    def votes(self) -> np.ndarray | None:
        """(N, C) float32 raw vote counts, NaN in rows without votes; None where no row has any.

        A row holds votes when its `p_` columns are whole numbers whose sum exceeds 1; in a manifest that has
        such rows, a single 1 among zeros is one vote.
        """
        raw = self.p_values()
        if raw is None:
            return None
        p = self._all_p()
        whole = np.all(p == np.round(p), axis=1) & (p.sum(axis=1) >= 1)
        if not np.any(whole & (p.sum(axis=1) > 1)):
            return None
        return np.where(whole[:, None], raw, np.nan).astype(np.float32)

    def faulty_distributions(self) -> np.ndarray:
        """(M,) int64 positions of rows whose `p_` values neither sum to 1 (within 1e-3) nor are votes."""
        p = self._all_p()
        if not p.shape[1]:
            return np.zeros(0, dtype=np.int64)
        total = p.sum(axis=1)
        votes = np.all(p == np.round(p), axis=1) & (total > 1)
        return np.flatnonzero(~(np.isnan(total) | (np.abs(total - 1) <= SUM_TOLERANCE) | votes))

    def valence_arousal(self) -> np.ndarray | None:
        """(N, 2) float32 valence and arousal, NaN where missing; None without both columns."""
        if not {"valence", "arousal"} <= set(self.table.columns):
            return None
        return self.table[["valence", "arousal"]].to_numpy(dtype=np.float32)

    def targets(self) -> np.ndarray | None:
        """(N,) float32 regression targets, NaN where missing; None without the column."""
        return self.table["target"].to_numpy(dtype=np.float32) if "target" in self.table else None

    def boxes(self) -> np.ndarray | None:
        """(N, 4) float64 x, y, width, height in pixels of the upright image, NaN where missing; None without
        them."""
        if BOX[0] not in self.table:
            return None
        return self.table[list(BOX)].to_numpy(dtype=np.float64)

    def column(self, name: str) -> np.ndarray:
        """(N,) any column: float64 for the numeric ones, else objects of type str.

        Raises:
            UserError: there is no such column.
        """
        if name not in self.table:
            raise UserError(f"{self._name} has no column {name!r}; it has: {', '.join(self.table.columns)}")
        return self.table[name].to_numpy()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the columns, whatever their order in the file, and the rows in order."""
        digest = hashlib.sha256()
        for name in sorted(self.table.columns):
            values = self.table[name].to_numpy()
            digest.update(f"\n{name}\n{len(values)}\n".encode())
            if values.dtype == np.float64:
                digest.update(np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes())
            else:
                digest.update("\0".join(values).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    @property
    def _name(self) -> str:
        return str(self.path) if self.path is not None else "the manifest"

    def _all_p(self) -> np.ndarray:
        names = [name for name in self.table.columns if name.startswith("p_")]
        return self.table[names].to_numpy(dtype=np.float64)

    def p_values(self) -> np.ndarray | None:
        """(N, C) float64 `p_` columns as they stand, in the order of `classes`; 0 for a class without a
        column.

        NaN in rows where they are blank; None without such columns.
        """
        if not any(name.startswith("p_") for name in self.table.columns):
            return None
        missing = np.isnan(self._all_p()).any(axis=1)
        raw = np.zeros((len(self), len(self.classes)))
        for position, name in enumerate(self.classes):
            if f"p_{name}" in self.table:
                raw[:, position] = self.table[f"p_{name}"].to_numpy()
        raw[missing] = np.nan
        return raw


def read(path: str | os.PathLike[str], classes: Sequence[str] | None = None) -> Manifest:
    """Read a manifest.

    Args:
        path: a CSV (UTF-8, commas) or Parquet file.
        classes: selects and orders the classes, in any known spelling; rows of other classes are dropped, and
            the log says how many. Default: the classes found, those of the emotion vocabulary first in its
            order, then numbers by value, then others by alphabet.

    Raises:
        UserError: what is wrong, with the numbers of the first five lines and how many there are.
    """
    source = Path(path)
    table, lines = read_file(source)
    manifest = Manifest(table, source, _found_classes(table), lines)
    return manifest if classes is None else manifest.with_classes(classes)


def rebased(cells: Iterable[str], old: Path, new: Path) -> list[str]:
    """Paths relative to folder `old` as paths relative to folder `new`; absolute ones stay, and so do blanks.

    Links to folders are followed first: ".." leads out of the folder that a link points to.
    """
    before, now = os.path.realpath(old), os.path.realpath(new)
    if before == now:
        return list(cells)
    there: dict[str, str] = {}
    found = []
    for cell in cells:
        folder, name = os.path.split(cell)
        if not cell or os.path.isabs(cell):
            found.append(cell)
            continue
        if name in ("", os.curdir, os.pardir):
            folder, name = cell, ""
        if folder not in there:  # many files share a folder, and the way to it is what takes time
            there[folder] = os.path.relpath(os.path.join(before, folder), now)
        found.append(os.path.normpath(os.path.join(there[folder], name)))
    return found


def _found_classes(table: pd.DataFrame) -> tuple[str, ...]:
    """The classes of labels and `p_` columns: vocabulary first in its order, then numbers by value, then by
    alphabet."""
    found = {name[2:] for name in table.columns if name.startswith("p_")}
    if "label" in table:
        found |= set(table["label"].unique()) - {""}
    return tuple(sorted(found, key=_class_order))


def _class_order(name: str) -> tuple[int, int, str]:
    if name in VOCABULARY:
        return 0, VOCABULARY.index(name), name
    number = whole_number(name)
    return (2, 0, name) if number is None else (1, number, name)
