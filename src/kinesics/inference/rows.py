"""Answers written as they come: CSV, JSON lines or Parquet, one row a face, in memory that does not grow."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from kinesics.engine.prediction import Emotion, Prediction, to_row
from kinesics.errors import UserError
from kinesics.files import atomic_write

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""Endings of names -> formats."""

_BLOCK = 4096


def columns_of(classes: Sequence[str], found: bool, smooth: bool = False) -> list[str]:
    """Columns of a table of faces.

    Args:
        classes: names in label order.
        found: whether faces are searched (or videos read), with columns for frame, time, track and box.
        smooth: whether there are averaged distributions.
    """
    where = ["frame", "time", "track", "box_x", "box_y", "box_w", "box_h"] if found else []
    shares = [f"p_{name}" for name in classes]
    extra = [f"smooth_{name}" for name in classes] if smooth else []
    return ["source", *where, "label", "confidence", "uncertainty", *shares, "valence", "arousal", *extra]


class RowWriter:
    """Writes answers to a file, which appears when it is complete, or to standard output; a context manager.

    A Ctrl-C inside it keeps what was written; any other error leaves the old file, or none.

    Args:
        path: None prints.
        kind: "csv", "jsonl" or "parquet".
        columns: of CSV and Parquet; JSON lines hold what an answer holds (`Prediction.to_dict`).

    Raises:
        UserError: Parquet to standard output, or without pyarrow.
    """

    def __init__(self, path: Path | None, kind: str, columns: Sequence[str]) -> None:
        if kind == "parquet" and path is None:
            raise UserError("--format parquet can't be printed", hint="give --out FILE.parquet")
        self.path, self.kind, self.columns, self.count = path, kind, list(columns), 0
        self._stack = ExitStack()
        self._stream: IO[Any] = sys.stdout
        self._csv: Any = None
        self._parquet: Any = None
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> RowWriter:
        # never entered as a context itself: how it is left decides whether the file appears
        self._file = atomic_write(self.path, "wb" if self.kind == "parquet" else "w") if self.path else None
        if self._file is not None:
            self._stream = self._file.__enter__()
        if self.kind == "csv":
            self._csv = csv.DictWriter(self._stream, self.columns, restval="", lineterminator="\n")
            self._csv.writeheader()
        return self

    def add(self, answers: Sequence[Prediction]) -> None:
        """Append answers."""
        self.count += len(answers)
        if self.kind == "jsonl":
            self._stream.writelines(json.dumps(_plain(answer)) + "\n" for answer in answers)
            return
        self._rows += [to_row(answer) for answer in answers]
        if len(self._rows) >= _BLOCK or self.path is None:
            self._flush()

    def _flush(self) -> None:
        if self.kind == "csv":
            self._csv.writerows(self._rows)
        elif self.kind == "parquet" and (self._rows or self._parquet is None):
            try:
                import pyarrow as pa
                import pyarrow.parquet as pq
            except ImportError:
                raise UserError("writing Parquet needs pyarrow", hint="pip install 'kinesics[parquet]'") from None
            kinds = {"source": pa.string(), "label": pa.string(), "frame": pa.int64(), "track": pa.int64()}
            schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in self.columns])
            if self._parquet is None:
                self._parquet = pq.ParquetWriter(self._stream, schema)
            rows = [{name: row.get(name) for name in self.columns} for row in self._rows]
            self._parquet.write_table(pa.Table.from_pylist(rows, schema=schema))
        self._rows = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._flush()
            if self._parquet is not None:
                self._parquet.close()
            kind = error = where = None
        if self._file is not None:
            self._file.__exit__(kind, error, where)
        else:
            self._stream.flush()


def _plain(answer: Prediction) -> dict[str, Any]:
    """A dictionary for JSON; an empty answer has no confidence and no uncertainty."""
    content = answer.to_dict()
    if isinstance(answer, Emotion) and answer.empty:
        content = {name: value for name, value in content.items() if name not in ("confidence", "uncertainty")}
    return content
