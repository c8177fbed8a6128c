"""decisions.csv: what a person (or the audit itself) decided about labels. Columns path, decision, label, when."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kinesics.data.emotions import VOCABULARY
from kinesics.data.reading import as_class
from kinesics.data.tables import at_lines, csv_columns, write_rows
from kinesics.errors import UserError
from kinesics.files import atomic_write, locked

COLUMNS = ("path", "decision", "label", "when")

KINDS = ("keep", "drop", "relabel")
"""keep: the given label is right; drop: the sample is of no use; relabel: `label` is right instead."""


@dataclass(frozen=True)
class Decision:
    """What is to become of one sample.

    Args:
        path: as the manifest has it.
        kind: one of `KINDS`.
        label: the right class for relabel, "" otherwise.
        when: ISO 8601, or "".
        line: of the file it was read from, whose header is line 1; 0 for none.
    """

    path: str
    kind: str
    label: str = ""
    when: str = ""
    line: int = 0

    def same_as(self, other: Decision) -> bool:
        """Whether both come to the same, whenever they were made."""
        return (self.path, self.kind, self.label) == (other.path, other.kind, other.label)


def now() -> str:
    """This moment for the column `when`, in UTC to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def known_labels(*classes: Sequence[str]) -> tuple[str, ...]:
    """Labels that decisions may give: the classes of a manifest or a run, and the words for emotions, in which one run
    may have another class than the manifest and the next run."""
    return tuple(dict.fromkeys(name for names in (*classes, VOCABULARY) for name in names))


def read_decisions(path: Path, classes: Sequence[str]) -> dict[str, Decision]:
    """Decisions by path, in the order of the file.

    Args:
        path: CSV with the columns path and decision, for relabel also label; when is optional, others are passed over.
        classes: labels that there are.

    Raises:
        UserError: a missing column, a blank path, an unknown decision or label, or two rows that decide differently on
            one path; with the numbers of the lines.
    """
    lines, columns = csv_columns(path, ("path", "decision"), ",".join(COLUMNS))
    blank = [""] * len(lines)
    labels, whens = columns.get("label", blank), columns.get("when", blank)
    rows = [
        Decision(name, kind.strip().lower(), as_class(label) if label.strip() else "", when.strip(), line)
        for name, kind, label, when, line in zip(
            columns["path"], columns["decision"], labels, whens, lines, strict=True
        )
    ]
    _refuse(path, [row for row in rows if not row.path], "no path")
    odd = [row for row in rows if row.kind not in KINDS]
    _refuse(path, odd, f"decision must be one of {', '.join(KINDS)}; got {_quoted(row.kind for row in odd)}")
    relabels = [row for row in rows if row.kind == "relabel"]
    _refuse(path, [row for row in relabels if not row.label], "relabel needs a label")
    unknown = [row for row in relabels if row.label not in classes]
    hint = "correct it; where it is a class of the run alone, name it to apply-review by --classes"
    got = _quoted(row.label for row in unknown)
    _refuse(path, unknown, f"unknown label; known: {', '.join(classes)}; got {got}", hint)
    first: dict[str, Decision] = {}
    for row in rows:
        before = first.setdefault(row.path, row)
        if not before.same_as(row):
            raise UserError(
                f"{path}: lines {before.line} and {row.line} decide differently on {row.path}: "
                f"{_shown(before)}, {_shown(row)}",
                hint="leave one of them",
            )
    return first


def decisions_text(decisions: Iterable[Decision]) -> str:
    """The text of decisions.csv."""
    rows = list(decisions)
    stream = io.StringIO()
    columns = [[r.path for r in rows], [r.kind for r in rows], [r.label for r in rows], [r.when for r in rows]]
    write_rows(stream, list(COLUMNS), columns)
    return stream.getvalue()


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write decisions.csv atomically."""
    text = decisions_text(decisions)
    with atomic_write(path, "w") as stream:
        stream.write(text)


def change_decision(path: Path, classes: Sequence[str], name: str, decision: Decision | None) -> None:
    """Set or take back the decision on one sample in decisions.csv; all others stay as they stand there now.

    Args:
        path: of the file, which may be missing.
        classes: labels that there are.
        name: path of the sample.
        decision: None takes it back.

    Raises:
        UserError: the file can't be read or written.
    """
    with locked(path):
        found = read_decisions(path, classes) if path.exists() else {}
        found.pop(name, None)
        if decision is not None:
            found[name] = decision
        write_decisions(path, found.values())


def _shown(decision: Decision) -> str:
    return f"{decision.kind} {decision.label}".strip()


def _quoted(words: Iterable[str]) -> str:
    """The first three different ones."""
    found = list(dict.fromkeys(words))
    return ", ".join(repr(word[:40]) for word in found[:3]) + (", ..." if len(found) > 3 else "")


def _refuse(path: Path, faulty: list[Decision], what: str, hint: str | None = None) -> None:
    if faulty:
        raise UserError(f"{path}: {at_lines([row.line for row in faulty])}: {what}", hint)
