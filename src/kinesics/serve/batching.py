"""One forward pass for the faces of several requests."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from kinesics.engine.prediction import Prediction

Answer = Callable[[np.ndarray], Sequence[Prediction]]
_Item = tuple[np.ndarray, "Future[list[Prediction]]"]


class Batcher:
    """A thread that collects crops for a few milliseconds and recognises them together.

    Args:
        answer: (N, S, S, C) uint8 crops -> N answers; only ever called from this thread.
        largest: faces at which a batch is not waited for any longer.
        wait: seconds that the first face of a batch waits for others.
        seen: told the number of faces of each forward pass.
    """

    def __init__(
        self, answer: Answer, largest: int = 64, wait: float = 0.004, seen: Callable[[int], object] | None = None
    ) -> None:
        self.answer, self.largest, self.wait = answer, largest, wait
        self._seen = seen or (lambda count: None)
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="recognise", daemon=True)
        self._thread.start()

    def submit(self, crops: np.ndarray | Sequence[np.ndarray]) -> Future[list[Prediction]]:
        """The answers for (N, S, S, C) uint8 crops, N of at least 1, as soon as they are known."""
        future: Future[list[Prediction]] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.put((np.asarray(crops), future))
        return future

    def __call__(self, crops: np.ndarray) -> list[Prediction]:
        """The same, waited for."""
        return self.submit(crops).result()

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            item = self._waiting.get()
            if item is None:
                return
            batch, count, until = [item], len(item[0]), time.monotonic() + self.wait
            while count < self.largest:
                try:
                    item = self._waiting.get(timeout=max(until - time.monotonic(), 0.0))
                except queue.Empty:
                    break
                if item is None:
                    going = False
                    break
                batch.append(item)
                count += len(item[0])
            self._answer([one for one in batch if one[1].set_running_or_notify_cancel()])

    def _answer(self, batch: Sequence[_Item]) -> None:
        if not batch:
            return
        sizes = [len(crops) for crops, _ in batch]
        try:
            found = list(self.answer(np.concatenate([crops for crops, _ in batch])))
        except Exception as error:  # whatever goes wrong belongs to those who asked, not to this thread
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for item in batch:  # the fault of one is not to be the others'
                self._answer([item])
            return
        self._seen(sum(sizes))
        ends = np.cumsum(sizes)
        for (_, future), end, size in zip(batch, ends, sizes, strict=True):
            future.set_result(found[end - size : end])
