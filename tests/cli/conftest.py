"""What the command line's tests share: drawn faces, a run trained by the real command, and ways to call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from kinesics.cli import main
from kinesics.data.synthetic.faces import write_faces
from kinesics.progress import log

torch.set_num_threads(1)

FLAGS = (
    "--input.size", "32", "--fit.epochs", "2", "--fit.batch_size", "8", "--fit.precision", "fp32",
    "--fit.checkpoint_every", "2", "--fit.threads", "1", "--task.source", "teacher", "--task.teacher_epochs", "1",
)  # fmt: skip
"""A training of LDLVA with two teachers; a few seconds on drawn faces."""


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images go to a folder of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINESICS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 60 training, 20 validation and 20 test faces."""
    folder = tmp_path_factory.mktemp("faces")
    return write_faces(folder, 60, 20, 20, seed=0, size=32, faces_per_person=4)


def start(*words: object) -> subprocess.Popen[str]:
    """Start the real command in a process of its own."""
    command = [sys.executable, "-m", "kinesics", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="session")
def flags() -> tuple[str, ...]:
    """`FLAGS`."""
    return FLAGS


@pytest.fixture(scope="session")
def started() -> Callable[..., subprocess.Popen[str]]:
    """`start`."""
    return start


@pytest.fixture(scope="session")
def command() -> Callable[..., Answer]:
    """Run the real command in a process of its own."""

    def run(*words: object) -> Answer:
        process = start(*words)
        out, err = process.communicate(timeout=600)
        return Answer(process.returncode, out, err)

    return run


@pytest.fixture
def kinesics(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run the command in this process, which has imported everything already."""

    def run(*words: object) -> Answer:
        capfd.readouterr()
        log.handlers.clear()
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:  # --help and --print_config
            code = int(left.code or 0)
        finally:
            log.handlers.clear()
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """A run of LDLVA that nothing stopped, not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", "ldlva", "--data", str(faces), "--out", str(folder), *FLAGS]) == 0
    log.handlers.clear()
    return folder
