"""FER2013 (I. J. Goodfellow et al., "Challenges in Representation Learning", ICONIP 2013) and FER+ (E.
Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution", ICMI 2016): faces as
text in one CSV, and ten votes for each in another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kinesics.data.emotions import ORDERS, number_to_name
from kinesics.data.layouts.ferplus_votes import leading_emotions, majority_of_half, without_single_votes
from kinesics.data.layouts.rows import SPLIT_NAMES, Rows, choice, first_there
from kinesics.data.tables import at_lines, csv_columns, csv_rows, whole_number
from kinesics.errors import UserError
from kinesics.progress import track

FER_TREE = """
SRC/fer2013.csv        (emotion,pixels,Usage), or SRC is that file"""

FERPLUS_TREE = """
SRC/fer2013.csv        (emotion,pixels,Usage)
SRC/fer2013new.csv     (Usage,Image name,neutral,happiness,...,contempt,unknown,NF; row by row the same
faces)"""

SIDE = 48
"""Height and width of FER2013's faces in pixels."""

EMOTIONS = tuple(ORDERS["ferplus"].values())
VOTED = (*EMOTIONS, "unknown", "NF")
VOTE_COLUMNS = (*(f"p_{name}" for name in EMOTIONS), "votes_unknown", "votes_nf")


def fer2013(source: Path, out: Path) -> Rows:
    """fer2013.csv with `emotion,pixels,Usage`; the faces are written as PNG into the folder OUT_images beside
    OUT.

    Training becomes train, PublicTest valid and PrivateTest test. The column `fer2013_row` counts the file's
    rows from 0.
    """
    table = first_there("fer2013", [source / "fer2013.csv"] if source.is_dir() else [source], FER_TREE)
    rows = Rows({"path": [], "label": [], "split": [], "fer2013_row": []}, source=table, lines=[])
    for face in _faces(table):
        _append(rows, face, out, {"label": face.label})
    return rows


def ferplus(source: Path, out: Path, *, labels: str = "majority") -> Rows:
    """A folder with fer2013.csv and FER+'s fer2013new.csv, whose rows are of the same faces in the same
    order.

    `p_` columns hold the votes for the eight emotions; `votes_unknown` and `votes_nf` (not a face) the other
    two. Faces without a name in FER+, without votes, or with most votes for unknown or NF are left out.
    Further columns: `fer2013_row`, `fer2013_label` and `ferplus_name`.

    Args:
        labels: majority (the emotion with most votes; of equals the first in FER+'s order), fer2013 (the original
            label, which agrees with the majority for about two faces in three) or published (the protocol of the
            FER+ paper: votes of a single rater are removed; training faces have the votes of their leading emotions
            in `p_`, the others are those of which one emotion has more than half of the votes; see
            `ferplus_votes`).
    """
    choice("labels", labels, ("majority", "fer2013", "published"))
    table = first_there("ferplus", [source / "fer2013.csv"], FERPLUS_TREE)
    votes_table = first_there("ferplus", [source / "fer2013new.csv"], FERPLUS_TREE)
    lines, columns = csv_columns(votes_table, ("Usage", "Image name", *VOTED))
    votes = _votes(votes_table, lines, columns)
    majority = votes.argmax(axis=1)
    named = np.array([bool(name.strip()) for name in columns["Image name"]], dtype=bool)
    voted = votes.sum(axis=1) > 0
    unknown, no_face = majority == len(EMOTIONS), majority == len(EMOTIONS) + 1
    left_out = {
        "faces without a name in FER+": int((~named).sum()),
        "faces without votes": int((named & ~voted).sum()),
        "faces with most votes for unknown": int((named & unknown).sum()),
        "faces with most votes for not a face": int((named & no_face).sum()),
    }
    wanted = named & voted & ~unknown & ~no_face
    shown = votes
    if labels == "published":
        training = np.array([usage.strip() == "Training" for usage in columns["Usage"]], dtype=bool)
        majority, shown, usable = _published(votes, training)
        left_out["faces without a clear majority, by the published rule"] = int((wanted & ~usable).sum())
        wanted &= usable
    extra = ("fer2013_row", "fer2013_label", "ferplus_name")
    names = ("path", "label", "split", *VOTE_COLUMNS, *extra)
    rows = Rows({name: [] for name in names}, left_out, table, [])
    count = 0
    for face in _faces(table):
        count += 1
        if count > len(votes):
            continue
        if face.usage != columns["Usage"][face.row].strip():
            raise UserError(
                f"{table}: line {face.line} is of {face.usage}, but line {lines[face.row]} of "
                f"{votes_table} is of {columns['Usage'][face.row].strip()}",
                hint="both files must list the same faces in the same order",
            )
        if wanted[face.row]:
            values: dict[str, object] = dict(zip(VOTE_COLUMNS, shown[face.row].tolist(), strict=True))
            values["label"] = face.label if labels == "fer2013" else EMOTIONS[majority[face.row]]
            values["fer2013_label"] = face.label
            values["ferplus_name"] = columns["Image name"][face.row].strip()
            _append(rows, face, out, values)
    if count != len(votes):
        raise UserError(
            f"{table} has {count} faces, but {votes_table} {len(votes)} rows",
            hint="both must be complete (35,887)",
        )
    return rows


def _published(votes: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class (N,), what the vote columns show (N, 10), and which faces are used (N,), by the published protocol."""
    leading = leading_emotions(votes)
    learned = training & np.isfinite(leading).all(1)
    judged = majority_of_half(votes)
    shown = without_single_votes(votes)
    shown[learned] = np.column_stack([leading[learned], np.zeros((int(learned.sum()), 2))])
    label = np.where(training, np.nan_to_num(leading).argmax(1), judged)
    return label, shown.astype(np.int64), learned | (~training & (judged >= 0))


@dataclass(frozen=True)
class _Face:
    row: int
    line: int
    label: str
    usage: str
    pixels: np.ndarray


def _faces(table: Path) -> Iterator[_Face]:
    """The faces of fer2013.csv, one at a time; rows at fault are complained about together at the end."""
    reader = csv_rows(table)
    _, header = next(reader)
    missing = {"emotion", "pixels", "Usage"} - set(header)
    if missing:
        raise UserError(
            f"{table}: no column {', '.join(sorted(missing))}; its columns are: {', '.join(header)[:200]}",
            hint=f"a right tree: {FER_TREE}".replace("\n", "\n    "),
        )
    emotion, pixels, usage = (header.index(name) for name in ("emotion", "pixels", "Usage"))
    faults: dict[str, list[int]] = {}
    for row, (line, cells) in enumerate(track(reader, "converting faces")):
        number = whole_number(cells[emotion])
        side = cells[usage].strip()
        image = _image(cells[pixels])
        if number is None or number not in ORDERS["fer2013"]:
            faults.setdefault("emotion is not a number from 0 to 6", []).append(line)
        elif side.lower() not in SPLIT_NAMES:
            faults.setdefault("Usage is not Training, PublicTest or PrivateTest", []).append(line)
        elif image is None:
            faults.setdefault(f"pixels are not {SIDE} x {SIDE} numbers from 0 to 255", []).append(line)
        else:
            yield _Face(row, line, number_to_name("fer2013", number), side, image)
    for what, lines in faults.items():
        raise UserError(f"{table}: {at_lines(lines)}: {what}")


def _image(text: str) -> np.ndarray | None:
    """(48, 48) uint8 from 2,304 numbers in a text, or None."""
    try:
        values = np.array([int(word) for word in text.split()])
    except (ValueError, OverflowError):
        return None
    if len(values) != SIDE * SIDE or values.dtype.kind != "i" or values.min() < 0 or values.max() > 255:
        return None
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _append(rows: Rows, face: _Face, out: Path, values: dict[str, object]) -> None:
    """Write a face beside OUT and add its row."""
    folder = out.with_name(f"{out.stem}_images")
    path = folder / f"{face.row:05d}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.pixels).save(path)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}", hint="give another OUT") from error
    values = {**values, "path": path, "split": SPLIT_NAMES[face.usage.lower()], "fer2013_row": face.row}
    for name, column in rows.columns.items():
        column.append(values[name])
    assert rows.lines is not None
    rows.lines.append(face.line)


def _votes(table: Path, lines: list[int], columns: dict[str, list[str]]) -> np.ndarray:
    """(N, 10) int64 votes in the order of `VOTED`."""
    cells = [[whole_number(cell) for cell in columns[name]] for name in VOTED]
    rows = zip(lines, zip(*cells, strict=True), strict=True)
    bad = [line for line, row in rows if any(cell is None or cell < 0 for cell in row)]
    if bad:
        raise UserError(f"{table}: {at_lines(bad)}: votes are not whole numbers of 0 or more")
    return np.array(cells, dtype=np.int64).T
