"""Progress bars on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger("kinesics")


def setup_logging(verbose: bool = False) -> None:
    """Send the package's log to standard error, one line a message (idempotent)."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)


def track(iterable: Iterable[T], description: str, total: int | None = None, every_s: float = 10.0) -> Iterator[T]:
    """Pass items through, showing how far along the loop is.

    On a terminal: a rich bar. Otherwise a log line at most every `every_s` seconds, so that log files stay short.

    Args:
        iterable: what to loop over.
        description: shown before the bar.
        total: number of items, where the iterable has no length.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(
            iterable, description=description, total=total, console=Console(stderr=True), transient=True
        )
        return
    began = last = time.monotonic()
    for done, item in enumerate(iterable):
        now = time.monotonic()
        if now - last >= every_s:
            left = ""
            if total is not None and total > done > 0:
                left = f", {clock((now - began) / done * (total - done))} left"
            log.info("%s: %d%s%s", description, done, f" of {total}" if total is not None else "", left)
            last = now
        yield item


def clock(seconds: float) -> str:
    """`75` -> 1:15, `3675` -> 1:01:15."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
