"""Work on many files by threads, a block at a time, with results in order and little waiting in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from kinesics.progress import track

Result = TypeVar("Result")

_MOST_THREADS = 32


def in_blocks(
    work: Callable[[slice], Result], count: int, block: int, description: str
) -> Iterator[tuple[slice, Result]]:
    """Call `work` for each block of positions 0 .. count - 1 in several threads and yield the results in
    order.

    Threads pay off where `work` reads files or is inside Pillow, which lets go of the interpreter while it
    decodes and resizes. At most twice as many blocks as threads are under way or waiting.

    Args:
        work: takes the positions of a block.
        count: number of positions.
        block: positions in a block.
        description: shown with the progress.
    """
    workers = min(os.cpu_count() or 1, _MOST_THREADS)
    waiting: deque[tuple[slice, Future[Result]]] = deque()
    starts = range(0, count, block)
    with ThreadPoolExecutor(workers, thread_name_prefix="kinesics") as pool:
        try:
            for start in track(starts, description, total=len(starts)):
                part = slice(start, min(start + block, count))
                waiting.append((part, pool.submit(work, part)))
                if len(waiting) > 2 * workers:
                    done, result = waiting.popleft()
                    yield done, result.result()
            while waiting:
                done, result = waiting.popleft()
                yield done, result.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
