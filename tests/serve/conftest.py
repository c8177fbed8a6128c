"""What the tests of the service share: pictures and videos with known squares, and a server process."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra serve is not installed")
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def stand_in() -> ModuleType:
    """The module beside this one."""
    spec = importlib.util.spec_from_file_location("stand_in", HERE / "stand_in.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def squares(width: int, height: int, *places: tuple[int, int, int, int]) -> np.ndarray:
    """(H, W, 3) uint8, dark, with squares x, y, side, brightness."""
    picture = np.full((height, width, 3), 20, np.uint8)
    for x, y, side, value in places:
        picture[y : y + side, x : x + side] = value
    return picture


def encoded(picture: np.ndarray | Image.Image, form: str = "PNG", **settings: Any) -> bytes:
    """A picture as bytes of a file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def film(frames: list[np.ndarray], form: str = "mp4", codec: str = "mpeg4", rate: int = 10) -> bytes:
    """Pictures of one size as a video file."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def moving(count: int = 12, width: int = 192, height: int = 144) -> list[np.ndarray]:
    """Frames in which a bright square moves to the right by 2 pixels a frame."""
    return [squares(width, height, (20 + 2 * k, 40, 48, 230)) for k in range(count)]


@dataclass
class Running:
    """A server process."""

    url: str
    port: int
    temporary: Path
    process: subprocess.Popen[str]

    def left(self) -> list[str]:
        """Files that lie in its temporary folder beside the service's own, empty one."""
        return [path.name for path in self.temporary.rglob("*") if path.is_file()]


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the stand-in in a process of its own, with the limits given; all are stopped at the end."""
    running: list[Running] = []

    def go(pause: float = 0.0, **limits: float) -> Running:
        temporary = tmp_path_factory.mktemp("spool")
        environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, str(HERE / "stand_in.py"), json.dumps(limits), str(pause)],
            stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, line + process.stderr.read()
        running.append(Running(f"http://127.0.0.1:{found[1]}", int(found[1]), temporary, process))
        return running[-1]

    yield go
    for one in running:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(20)
        if one.process.stderr is not None:
            one.process.stderr.close()


@pytest.fixture(scope="session")
def server(start: Start) -> Running:
    """One with small limits."""
    return start(
        megabytes=4, megapixels=30, film_megapixels=0.5, film_seconds=5, frames=40, upload_seconds=4, idle_seconds=1,
        photo_seconds=10, work_seconds=10,
    )  # fmt: skip


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above that make pictures and videos."""
    return SimpleNamespace(squares=squares, encoded=encoded, film=film, moving=moving)
