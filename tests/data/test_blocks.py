from __future__ import annotations

import threading
import time

import pytest

from kinesics.data.blocks import in_blocks


def test_results_come_in_order_whatever_finishes_first() -> None:
    def work(part: slice) -> list[int]:
        time.sleep(0.02 if part.start == 0 else 0)
        return list(range(part.start, part.stop))

    found = list(in_blocks(work, 23, 5, "counting"))
    assert [value for _, block in found for value in block] == list(range(23))
    assert [(part.start, part.stop) for part, _ in found][-1] == (20, 23)


def test_only_a_few_blocks_are_ahead_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    done: list[int] = []
    results = in_blocks(lambda part: done.append(part.start), 1000, 1, "counting")
    next(results)
    time.sleep(0.05)
    assert len(done) <= 6
    results.close()
    assert len(done) < 10


def test_an_error_in_a_block_reaches_the_reader_and_ends_the_threads() -> None:
    def work(part: slice) -> int:
        if part.start == 30:
            raise ValueError("block 30")
        return part.start

    with pytest.raises(ValueError, match="block 30"):
        list(in_blocks(work, 1000, 1, "counting"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kinesics")]
