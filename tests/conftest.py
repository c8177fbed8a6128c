"""Fixtures that several test folders use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell starts what it runs in the background so; processes that tests start and interrupt would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden values and real data beside the repository; tests that need it skip without it."""
    folder = Path(os.environ.get("KINESICS_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no golden values or real data at {folder.name}/ beside the repository")
    return folder
