"""A few threads with a bounded number of requests waiting for them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from kinesics.serve.refusal import Refusal

T = TypeVar("T")


class Lane:
    """Threads for one kind of work. `take` and `give_back` belong to the event loop.

    Args:
        name: of the work, for messages and metrics.
        workers: threads.
        waiting: requests that may wait beside those that are worked on.
        patience: seconds that a request may be expected to wait; a longer queue takes no more.
    """

    def __init__(self, name: str, workers: int, waiting: int, patience: float = 1e9) -> None:
        self.name, self.workers, self.places = name, workers, workers + waiting
        self.inside, self.patience = 0, patience
        self.seconds = 0.1
        self._pool = ThreadPoolExecutor(workers, name)

    def take(self) -> Place:
        """A place for one request.

        Raises:
            Refusal: 429 where all are taken, with a guess of when one will be free.
        """
        late = self.inside >= self.workers and self.inside * self.seconds / self.workers > self.patience
        if late or self.inside >= self.places:
            raise Refusal(
                429, "busy", f"{self.inside} requests ({self.name}) are being answered or wait already",
                "try again later", self.retry_after,
            )  # fmt: skip
        self.inside += 1
        return Place(self)

    @property
    def retry_after(self) -> int:
        """Seconds in which half of the places will probably be free, 1 to 60."""
        return min(max(math.ceil(self.inside * self.seconds / self.workers / 2), 1), 60)

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return max(self.inside - self.workers, 0)

    def in_every_thread(self, work: Callable[[], object]) -> None:
        """Do `work` once in each thread, before any request, and wait for it."""
        together = threading.Barrier(self.workers)

        def held() -> None:
            work()
            together.wait()

        for future in [self._pool.submit(held) for _ in range(self.workers)]:
            future.result()

    def close(self) -> None:
        """Let running work end; waiting work is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Place:
    """One request's place in a lane. It is given back when the request is over and its work has ended, too: work that
    nobody waits for any more still holds its thread."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._loop = asyncio.get_running_loop()
        self._running = 1

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Do `work` in one of the lane's threads."""
        began = time.monotonic()

        def timed() -> T:
            nonlocal began
            began = time.monotonic()
            try:
                return work()
            finally:
                # an average over about ten requests
                self.lane.seconds += 0.1 * (time.monotonic() - began - self.lane.seconds)

        self._running += 1
        future = self.lane._pool.submit(timed)
        future.add_done_callback(lambda _: self._soon())
        return future

    def done(self) -> None:
        """The request is over."""
        self._running -= 1
        if not self._running:
            self.lane.inside -= 1

    def _soon(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.done)
