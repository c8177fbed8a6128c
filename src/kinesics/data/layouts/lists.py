"""Layouts that are a CSV file already: any with its columns renamed, and that of the released LDLVA code."""

from __future__ import annotations

from pathlib import Path

from kinesics.data.emotions import ORDERS, number_to_name
from kinesics.data.layouts.rows import SPLIT_NAMES, Rows, choice, wrong_tree
from kinesics.data.tables import at_lines, csv_columns, whole_number
from kinesics.errors import UserError

CSV_TREE = """
SRC.csv                 (a header, then one row an image)"""

LDLVA_TREE = """
SRC.csv                 (subDirectory_filePath,expression,valence,arousal,knn)"""

LDLVA_COLUMNS = ("subDirectory_filePath", "expression", "valence", "arousal", "knn")


def csv_list(
    source: Path,
    out: Path,
    *,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    target_column: str = "target",
    valence_column: str = "valence",
    arousal_column: str = "arousal",
    group_column: str = "group",
    order: str | None = None,
    root: str | None = None,
) -> Rows:
    """Any CSV: columns are renamed to the manifest's names, all others are carried along.

    Args:
        path_column, label_column, split_column, target_column, valence_column, arousal_column, group_column:
            what the CSV calls them. One that is not there is an error if it was named, except by the
            manifest's own name.
        order: the set whose numbers its labels are (fer2013, ferplus, rafdb, affectnet, sfew); default: as
        they stand.
        root: the folder that its paths are relative to; default: the CSV's.
    """
    if not source.is_file():
        raise wrong_tree("csv", [source / "*.csv" if source.is_dir() else source], CSV_TREE)
    renamed = {
        path_column: "path",
        label_column: "label",
        split_column: "split",
        target_column: "target",
        valence_column: "valence",
        arousal_column: "arousal",
        group_column: "group",
    }
    named = [name for name, own in renamed.items() if name != own or own == "path"]
    lines, cells = csv_columns(source, named)
    columns: dict[str, list[object]] = {}
    for name, values in cells.items():
        own = renamed.get(name, name)
        if own in columns:
            raise UserError(f"{source}: line 1: two columns would be called {own}", hint="rename one of them")
        columns[own] = list(values)
    if "split" in columns:
        columns["split"] = [SPLIT_NAMES.get(str(cell).strip().lower(), cell) for cell in columns["split"]]
    if order is not None and "label" in columns:
        columns["label"] = list(_names(source, order, lines, cells[label_column]))
    _place(columns, Path(root) if root is not None else source.parent)
    return Rows(columns, source=source, lines=lines)


def ldlva_csv(
    source: Path, out: Path, *, order: str = "affectnet", root: str | None = None, split: str = "train"
) -> Rows:
    """The released LDLVA code's CSV: `subDirectory_filePath, expression, valence, arousal, knn`.

    `knn`, a text that lists the rows of the nearest neighbours, is carried along; `csv_row` (from 0) is the
    row that it counts by, also after rows were left out. AffectNet's numbers 8 to 10 (none, uncertain, no
    face) are left out, and its -2 (no valence, no arousal) becomes blank.

    Args:
        order: the set whose numbers `expression` holds: affectnet, rafdb, fer2013, ferplus or sfew.
        root: the folder that the paths are relative to; default: the CSV's.
        split: what its rows are, train, valid or test: the code has a file for each.
    """
    choice("split", split, ("train", "valid", "test"))
    choice("order", order, tuple(ORDERS))
    if not source.is_file():
        raise wrong_tree("ldlva-csv", [source / "*.csv" if source.is_dir() else source], LDLVA_TREE)
    lines, cells = csv_columns(source, LDLVA_COLUMNS)
    kept = list(range(len(lines)))
    rows = Rows({}, source=source)
    if order == "affectnet":
        kept = [k for k in kept if whole_number(cells["expression"][k]) not in (8, 9, 10)]
        rows.left_out["rows of expression 8, 9 or 10 (none, uncertain, no face)"] = len(lines) - len(kept)
    rows.lines = [lines[k] for k in kept]
    own = {"subDirectory_filePath": "path", "expression": "label"}
    rows.columns = {own.get(name, name): [values[k] for k in kept] for name, values in cells.items()}
    rows.columns["label"] = list(_names(source, order, rows.lines, [cells["expression"][k] for k in kept]))
    for name in ("valence", "arousal"):
        rows.columns[name] = ["" if whole_number(str(cell)) == -2 else cell for cell in rows.columns[name]]
    rows.columns["split"] = [split] * len(kept)
    rows.columns["csv_row"] = [*kept]
    _place(rows.columns, Path(root) if root is not None else source.parent)
    return rows


def _names(source: Path, order: str, lines: list[int], cells: list[str]) -> list[str]:
    """Class numbers as the vocabulary's words; blank cells stay blank."""
    choice("order", order, tuple(ORDERS))
    numbers = [whole_number(cell) for cell in cells]
    bad = [
        line
        for line, number, cell in zip(lines, numbers, cells, strict=True)
        if cell.strip() and number not in ORDERS[order]
    ]
    if bad:
        known = ", ".join(f"{number} {name}" for number, name in ORDERS[order].items())
        raise UserError(f"{source}: {at_lines(bad)}: not a class number of {order}", hint=f"its classes: {known}")
    return ["" if number is None else number_to_name(order, number) for number in numbers]


def _place(columns: dict[str, list[object]], root: Path) -> None:
    columns["path"] = [root / str(cell) if str(cell).strip() else "" for cell in columns["path"]]
