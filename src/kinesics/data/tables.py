"""Reading and writing CSV so that every complaint names the lines of the file it is about."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from kinesics.errors import UserError

SHOWN = 5
"""How many line numbers a message gives before it only counts."""

_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$')


def at_lines(lines: Sequence[int]) -> str:
    """Line numbers as a message gives them: the first five, then how many there are in all."""
    first = ", ".join(str(int(line)) for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        return f"lines {first}, ... ({len(lines)} lines in all)"
    return f"line{'s' if len(lines) > 1 else ''} {first}"


def csv_rows(path: Path, header_like: str = "path,label,split") -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of a UTF-8, comma-separated file; the header comes first and names are
    stripped.

    Blank lines are passed over. The first line of the file is line 1; a row that spans lines has its first
    line's number.

    Args:
        path: of the file.
        header_like: the first line as it may be, for the hint where the file is empty.

    Raises:
        UserError: no such file, empty, not UTF-8, NUL bytes, broken quotes, nameless or repeated columns.
            Rows with too many or too few cells are left out and complained about together when the others
            have been read.
    """
    nul_lines: list[int] = []
    ragged: list[int] = []
    header: list[str] | None = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(_without_nul(stream, nul_lines), strict=True)
            before = 0
            for cells in reader:
                line, before = before + 1, reader.line_num
                if not cells:
                    continue
                if header is None:
                    header = _checked_header(path, [cell.strip() for cell in cells])
                    yield line, header
                elif len(cells) != len(header):
                    ragged.append(line)
                else:
                    yield line, cells
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: {at_lines(_undecodable_lines(path))}: not UTF-8 text", hint="save the file as UTF-8 CSV"
        ) from error
    except csv.Error as error:
        raise UserError(
            f"{path}: line {before + 1}: not well-formed CSV ({error})",
            hint='a cell with commas or quotes must be in quotes, and each quote in it doubled: "a ""b"", c"',
        ) from error
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}") from error
    if nul_lines:
        raise UserError(
            f"{path}: {at_lines(nul_lines)}: NUL bytes",
            hint="save the file as UTF-8 CSV (is it UTF-16, or a picture?)",
        )
    if header is None:
        raise UserError(f"{path} is empty", hint=f"the first line must name the columns: {header_like}")
    if ragged:
        raise UserError(
            f"{path}: {at_lines(ragged)}: not {len(header)} cells, as the header has",
            hint="put cells that contain a comma in quotes",
        )


def csv_columns(
    path: Path, required: Sequence[str], header_like: str = "path,label,split"
) -> tuple[list[int], dict[str, list[str]]]:
    """Line numbers of the rows of a CSV, and its columns as text.

    Args:
        path: of the file.
        required: columns that must be there.
        header_like: as of `csv_rows`.

    Raises:
        UserError: as `csv_rows`, and when a required column is not there.
    """
    rows = csv_rows(path, header_like)
    _, header = next(rows)
    missing = [name for name in required if name not in header]
    if missing:
        raise UserError(
            f"{path}: no column {', '.join(map(repr, missing))}; its columns are: {', '.join(header)[:300]}"
        )
    read = list(rows)
    columns = zip(*(cells for _, cells in read), strict=True) if read else ([] for _ in header)
    return [line for line, _ in read], {name: list(column) for name, column in zip(header, columns, strict=True)}


def numbers(cells: Iterable[str]) -> tuple[np.ndarray, list[int]]:
    """Parse cells as numbers.

    Returns:
        (N,) float64 with NaN for blank and "nan" cells, and the positions of cells that are no finite number.
    """
    texts = list(cells)
    bad: list[int] = []
    try:  # nearly every column
        values = np.array([float(text) if text else np.nan for text in texts], dtype=np.float64)
        if not np.isinf(values).any():
            return values, bad
    except ValueError:
        pass
    values = np.full(len(texts), np.nan)
    for position, text in enumerate(texts):
        if not text or text.isspace():
            continue
        try:
            value = float(text)
        except ValueError:
            bad.append(position)
            continue
        if value in (np.inf, -np.inf):
            bad.append(position)
        else:
            values[position] = value
    return values, bad


def whole_number(text: str) -> int | None:
    """The integer that a cell holds ("3", "-1", "3.0"), or None."""
    match = re.fullmatch(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*", text)
    return int(match.group(1)) if match else None


def write_rows(stream: IO[str], header: Sequence[str], columns: Sequence[Sequence[str]]) -> None:
    """Write columns of equal length as CSV, one row a line, quoting where `csv_rows` would misread."""
    stream.write(",".join(map(_quoted, header)) + "\n")
    buffer = io.StringIO()
    for row in zip(*columns, strict=True):
        buffer.write(",".join(map(_quoted, row)))
        buffer.write("\n")
        if buffer.tell() > 1 << 20:
            stream.write(buffer.getvalue())
            buffer = io.StringIO()
    stream.write(buffer.getvalue())


def number_cells(values: np.ndarray) -> list[str]:
    """Numbers as cells: whole ones without a point, others to the last bit of float64, NaN blank."""
    return [
        "" if value != value else str(int(value)) if value == int(value) else repr(float(value))
        for value in values.tolist()
    ]


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES.search(cell) else cell


def _without_nul(stream: IO[str], nul_lines: list[int]) -> Iterator[str]:
    for line, text in enumerate(stream, start=1):
        if "\0" in text:
            nul_lines.append(line)
            text = text.replace("\0", "")
        yield text


def _undecodable_lines(path: Path) -> list[int]:
    found = []
    with path.open("rb") as stream:
        for line, raw in enumerate(stream, start=1):
            with suppress(UnicodeDecodeError):
                raw.decode("utf-8")
                continue
            found.append(line)
    return found or [1]


def _checked_header(path: Path, names: list[str]) -> list[str]:
    if len(names) == 1 and re.search(r"[;\t|]", names[0]):
        raise UserError(
            f"{path}: line 1: cells are not separated by commas: {names[0][:60]!r}",
            hint="save it with commas",
        )
    if "" in names:
        raise UserError(
            f"{path}: line 1: column {names.index('') + 1} has no name",
            hint="name it (pandas: to_csv(..., index=False))",
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{path}: line 1: column(s) named twice: {', '.join(repeated)}", hint="rename or remove one")
    return names
