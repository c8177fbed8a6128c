"""Progress lines where there is no terminal: how far, of how many, how long still."""

from __future__ import annotations

import logging

import pytest

from kinesics import progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (75, "1:15"), (3675, "1:01:15"), (-3, "0:00"), (59.7, "1:00")]
)
def test_a_clock(seconds: float, text: str) -> None:
    assert progress.clock(seconds) == text


def test_the_remaining_time_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = iter(range(0, 1000, 5))  # every look at the clock is 5 seconds later
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, "kinesics"):
        assert list(progress.track(range(10), "going")) == list(range(10))
        assert list(progress.track(iter("ab"), "open", every_s=1)) == ["a", "b"]
    # item k is reached after 5 (k + 1) seconds; a line at most every 10: items 1, 3, 5, ...
    assert caplog.messages[0] == "going: 1 of 10, 1:30 left" and caplog.messages[1] == "going: 3 of 10, 0:47 left"
    assert caplog.messages[-1] == "open: 1"
