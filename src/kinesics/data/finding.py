"""One thing that is wrong, or worth knowing, about a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""From what makes training unsound to what is only worth knowing."""

_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        level: "error" (training or its judgement would be unsound), "warning" or "note".
        code: a short name that stays the same, for programs.
        message: for people: what, how much of it, and examples.
        lines: line numbers of the rows that it is about, in order; none where it is about the whole.
    """

    level: Level
    code: str
    message: str
    lines: tuple[int, ...] = ()


def finding(level: Level, code: str, message: str, lines: Iterable[int] = ()) -> Finding:
    """Make a finding, with its lines in order and as plain integers."""
    return Finding(level, code, message, tuple(sorted({int(line) for line in lines})))


def examples(things: Sequence[str]) -> str:
    """The first three of some things, and how many more there are."""
    more = f" and {len(things) - _EXAMPLES} more" if len(things) > _EXAMPLES else ""
    return "; ".join(things[:_EXAMPLES]) + more


def count_of(number: int, thing: str) -> str:
    """A number and a noun that agree: "1 row", "2 rows", "3 classes"."""
    plural = thing + ("es" if thing.endswith("s") else "s")
    return f"{number:,} {thing if number == 1 else plural}"
