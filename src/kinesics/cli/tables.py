"""Tables on the terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a title; numbers right-aligned with four digits, NaN as a dash."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for place, name in enumerate(columns):
        numeric = all(isinstance(row[place], int | float) for row in rows)
        table.add_column(str(name), justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    console.print(table, markup=False)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4f}"
    return str(value)
