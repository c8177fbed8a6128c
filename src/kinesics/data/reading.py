"""From the cells of a file to a manifest's columns: every cell checked, every complaint with its line
numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kinesics.data.emotions import VOCABULARY, canonical
from kinesics.data.tables import at_lines, csv_rows, numbers, whole_number
from kinesics.errors import UserError
from kinesics.files import atomic_write

SPLITS = ("train", "valid", "test")
BOX = ("box_x", "box_y", "box_w", "box_h")
NUMERIC = ("target", "valence", "arousal", "start", "end", *BOX)
"""Numeric columns, besides those that begin with `p_`."""

_BLOCK = 4096


def read_file(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Read a manifest's table and line numbers; see `read_table`."""
    if path.suffix.lower() in (".parquet", ".pq"):
        header, rows = parquet_rows(path)
    else:
        rows = csv_rows(path)
        _, header = next(rows)
    return read_table(header, rows, path)


def read_table(
    header: Sequence[str], rows: Iterable[tuple[int, list[str]]], source: Path
) -> tuple[pd.DataFrame, np.ndarray]:
    """Turn rows of cells into typed columns under the manifest's rules.

    Args:
        header: column names.
        rows: (line number, cells) of each row.
        source: named in messages.

    Returns:
        The table (numeric columns float64, others object of str, `split` always present) and (N,) int64 line
        numbers.

    Raises:
        UserError: what is wrong, with the first five line numbers and how many there are.
    """
    names = [_column_name(name) for name in header]
    _check_columns(names, source)
    faults: dict[tuple[str, str | None], list[int]] = {}
    parts: list[list[np.ndarray]] = [[] for _ in names]
    words: list[dict[str, str]] = [{} for _ in names]
    line_parts: list[np.ndarray] = []
    for lines, block in _blocks(rows):
        line_parts.append(np.array(lines, dtype=np.int64))
        for position, (name, cells) in enumerate(zip(names, zip(*block, strict=True), strict=True)):
            if _is_numeric(name):
                values, bad = numbers(cells)
                _note(
                    faults,
                    f"{name} is not a number",
                    "leave a cell blank where there is no value",
                    lines,
                    bad,
                )
                parts[position].append(values)
            else:
                parts[position].append(_texts(name, cells, lines, words[position], faults))
    if not line_parts:
        raise UserError(f"{source} has no rows below its header", hint="one row a sample is needed")
    table = pd.DataFrame(
        {name: pd.Series(np.concatenate(part), dtype=part[0].dtype) for name, part in zip(names, parts, strict=True)}
    )
    del parts
    line_numbers = np.concatenate(line_parts)
    _check_values(table, line_numbers, faults)
    _raise_first(faults, source)
    if "split" not in table:
        table["split"] = pd.Series(np.full(len(table), "train", dtype=object), dtype=object)
    return table, line_numbers


def parquet_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Header and rows of a Parquet file as text, with the line numbers that they would have in a CSV."""
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise UserError(
            f"reading {path} needs pyarrow, which is not installed", hint="pip install pyarrow, or use CSV"
        ) from error
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise UserError(f"can't read {path} as Parquet: {error}") from error
    header = [str(name) for name in frame.columns]
    rows = frame.itertuples(index=False, name=None)
    return header, ((line, [as_text(value) for value in row]) for line, row in enumerate(rows, start=2))


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, atomically."""
    try:
        with atomic_write(path, "wb") as stream:
            frame.to_parquet(stream, index=False)
    except ImportError as error:
        raise UserError(
            f"writing {path} needs pyarrow, which is not installed", hint="pip install pyarrow, or use CSV"
        ) from error


def as_text(value: object) -> str:
    """A value of a column as a cell: "" for None and NaN, whole floats without a point."""
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return str(int(value)) if value == int(value) else repr(float(value))
    return str(value)


def as_class(name: str) -> str:
    """A class name as the manifest keeps it: the vocabulary's word, a whole number without a point, else
    unchanged."""
    word = name.strip()
    if (known := canonical(word)) in VOCABULARY:
        return known
    number = whole_number(word)
    return word if number is None else str(number)


def _column_name(name: str) -> str:
    return "p_" + as_class(name[2:]) if name.startswith("p_") else name


def _is_numeric(name: str) -> bool:
    return name in NUMERIC or name.startswith("p_")


def _check_columns(names: list[str], source: Path) -> None:
    if "path" not in names:
        close = difflib.get_close_matches("path", [name.lower() for name in names], n=1, cutoff=0.5)
        raise UserError(
            f"{source}: no column `path`; its columns are: {', '.join(names)[:300]}",
            hint=f"rename {close[0]!r} to path" if close else "name the column that holds the image files `path`",
        )
    if "p_" in names:
        raise UserError(f"{source}: line 1: column `p_` names no class", hint="name it p_<class>, as in p_happiness")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{source}: line 1: two columns mean {repeated[0]}", hint="rename or remove one")
    if 0 < len(set(BOX) & set(names)) < len(BOX):
        raise UserError(f"{source}: line 1: a box needs all of {', '.join(BOX)}", hint="add the missing columns")


def _blocks(rows: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[list[int], list[list[str]]]]:
    """Rows in blocks, so that the cells of a large file are never all in memory as text."""
    lines: list[int] = []
    block: list[list[str]] = []
    for line, cells in rows:
        lines.append(line)
        block.append(cells)
        if len(block) == _BLOCK:
            yield lines, block
            lines, block = [], []
    if block:
        yield lines, block


def _texts(
    name: str,
    cells: tuple[str, ...],
    lines: list[int],
    words: dict[str, str],
    faults: dict[tuple[str, str | None], list[int]],
) -> np.ndarray:
    """Text cells of a column as objects; equal words share one object."""
    if name == "path":
        blank = [k for k, cell in enumerate(cells) if cell.strip().lower() in ("", "nan")]
        _note(faults, "the path is blank", "remove these rows or fill the cells in", lines, blank)
    elif name in ("label", "split"):
        for cell in set(cells) - words.keys():
            words[cell] = _label(cell) if name == "label" else cell.strip().lower()
        cells = tuple([words[cell] for cell in cells])
        if name == "split":
            bad = [k for k, cell in enumerate(cells) if cell not in SPLITS]
            if bad:
                close = difflib.get_close_matches(cells[bad[0]], SPLITS, n=1, cutoff=0.4)
                hint = f"did you mean {close[0]}?" if close else "write one of them in each row"
                _note(faults, f"split {cells[bad[0]]!r} is not one of {', '.join(SPLITS)}", hint, lines, bad)
    else:
        cells = tuple([words.setdefault(cell, cell) for cell in cells])
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return values


def _label(cell: str) -> str:
    return "" if cell.strip().lower() == "nan" else as_class(cell)


def _check_values(table: pd.DataFrame, lines: np.ndarray, faults: dict[tuple[str, str | None], list[int]]) -> None:
    p = table[[name for name in table.columns if name.startswith("p_")]].to_numpy(dtype=np.float64)
    if p.shape[1]:
        missing = np.isnan(p)
        some = missing.any(axis=1) & ~missing.all(axis=1)
        _note(
            faults,
            "some p_ cells are blank and some are not",
            "write 0 for none",
            lines,
            np.flatnonzero(some),
        )
        _note(
            faults,
            "a p_ value is negative",
            "votes and shares are 0 or more",
            lines,
            np.flatnonzero((p < 0).any(axis=1)),
        )
    if BOX[0] in table:
        box = table[list(BOX)].to_numpy(dtype=np.float64)
        missing = np.isnan(box)
        some = missing.any(axis=1) & ~missing.all(axis=1)
        _note(
            faults,
            "a box lacks some of its four numbers",
            "fill in all four or none",
            lines,
            np.flatnonzero(some),
        )
        empty = (box[:, 2:] <= 0).any(axis=1)
        _note(
            faults,
            "a box's width or height is not above 0",
            "leave all four blank for no box",
            lines,
            np.flatnonzero(empty),
        )


def _note(
    faults: dict[tuple[str, str | None], list[int]],
    what: str,
    hint: str | None,
    lines: Sequence[int] | np.ndarray,
    positions: Iterable[int],
) -> None:
    found = [int(lines[position]) for position in positions]
    if found:
        faults.setdefault((what, hint), []).extend(found)


def _raise_first(faults: dict[tuple[str, str | None], list[int]], source: Path) -> None:
    if faults:
        (what, hint), lines = next(iter(faults.items()))
        raise UserError(f"{source}: {at_lines(lines)}: {what}", hint=hint)
