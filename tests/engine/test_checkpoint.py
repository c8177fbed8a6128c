"""Checkpoints: whatever happens to the files, the last good one is found, and nothing in them is run."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import pickle
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesics import files
from kinesics.engine.checkpoint import MAGIC, latest_checkpoint, list_checkpoints, read_checkpoint, save_checkpoint
from kinesics.errors import UserError


def state(step: int, numbers: int = 50) -> dict[str, Any]:
    """Resume state whose content says of which step it is."""
    weights = torch.full((numbers,), float(step))
    return {"state": {"step": step, "history": [{"lr": 0.1 + step}]}, "task": {"w": weights}}


def step_of(found: dict[str, Any] | None) -> int:
    assert found is not None
    assert set(found["task"]["w"].tolist()) == {float(found["state"]["step"])}
    return int(found["state"]["step"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of steps 4 and 8."""
    folder = tmp_path_factory.mktemp("written")
    for step in (4, 8):
        save_checkpoint(folder, step, state(step))
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of `written` to spoil."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    content = {"a": torch.arange(6).view(2, 3), "b": [1, 2.5, "text", None, True], "c": {"d": torch.ones(2).half()}}
    found = read_checkpoint(save_checkpoint(tmp_path, 12, content))
    assert torch.equal(found["a"], content["a"]) and found["b"] == content["b"]
    assert found["c"]["d"].dtype == torch.float16


def test_the_layout_is_the_documented_one(folder: Path) -> None:
    content = (folder / "step-000000008.ckpt").read_bytes()
    assert content[:8] == b"KNSCKPT1"
    assert content[8:40] == hashlib.sha256(content[40:]).digest()
    assert step_of(torch.load(io.BytesIO(content[40:]), weights_only=True)) == 8


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (0, 3, 20, 100, 1000):
        save_checkpoint(tmp_path, step, state(step))
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000100.ckpt", "step-000001000.ckpt"]
    assert step_of(latest_checkpoint(tmp_path)) == 1000


def test_an_empty_or_missing_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "missing") is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_any_changed_byte_is_noticed(folder: Path, place: float, change: int) -> None:
    path = folder / "step-000000008.ckpt"
    original = path.read_bytes()
    spoilt = bytearray(original)
    spoilt[int(place * len(spoilt))] ^= change
    path.write_bytes(spoilt)
    try:
        with pytest.raises(UserError, match=r"damaged|not a complete"):
            read_checkpoint(path)
        assert step_of(latest_checkpoint(folder)) == 4
    finally:
        path.write_bytes(original)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_noticed(folder: Path, share: float) -> None:
    path = folder / "step-000000008.ckpt"
    original = path.read_bytes()
    path.write_bytes(original[: int(share * len(original))])
    try:
        with pytest.raises(UserError, match=r"damaged|not a complete"):
            read_checkpoint(path)
        assert step_of(latest_checkpoint(folder)) == 4
    finally:
        path.write_bytes(original)


def test_the_head_alone_is_checked_at_every_byte(folder: Path) -> None:
    path = folder / "step-000000008.ckpt"
    original = path.read_bytes()
    for place in range(48):
        path.write_bytes(original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :])
        with pytest.raises(UserError, match=r"damaged|not a complete"):
            read_checkpoint(path)


def test_the_log_says_which_checkpoint_is_damaged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = folder / "step-000000008.ckpt"
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING, logger="kinesics"):
        assert step_of(latest_checkpoint(folder)) == 4
    (message,) = [record.getMessage() for record in caplog.records]
    assert "step-000000008.ckpt is damaged" in message and "the one before it" in message


def test_all_damaged_is_an_error(folder: Path) -> None:
    for path in list_checkpoints(folder):
        path.write_bytes(b"KNSCKPT0" + path.read_bytes()[8:])
    with pytest.raises(UserError, match=r"every checkpoint .* is damaged .*000000004.*000000008"):
        latest_checkpoint(folder)


def test_an_unreadable_checkpoint_counts_as_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == "step-000000008.ckpt":
            raise OSError(errno.EIO, "Input/output error")
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert step_of(latest_checkpoint(folder)) == 4


def test_damaged_later_files_do_not_crowd_out_good_ones(folder: Path) -> None:
    """Going on from step 4 past two damaged later files, the new checkpoint must not be the one that is deleted."""
    for step in (8, 9):
        (folder / f"step-{step:09d}.ckpt").write_bytes(b"spoilt")
    save_checkpoint(folder, 5, state(5))
    assert [path.name for path in list_checkpoints(folder)] == ["step-000000004.ckpt", "step-000000005.ckpt"]
    assert step_of(latest_checkpoint(folder)) == 5


def test_halves_left_by_a_kill_are_removed(folder: Path) -> None:
    (folder / ".step-000000008.ckpt.abcd.tmp").write_bytes(b"half")
    save_checkpoint(folder, 9, state(9))
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000008.ckpt", "step-000000009.ckpt"]


class Payload:
    """Unpickled, it would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_nothing_in_a_checkpoint_is_run(how: str, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "harm"
    buffer = io.BytesIO()
    (torch.save if how == "torch.save" else pickle.dump)({"state": Payload(target)}, buffer)
    payload = buffer.getvalue()
    path = folder / "step-000000009.ckpt"
    path.write_bytes(MAGIC + hashlib.sha256(payload).digest() + payload)
    with pytest.raises(UserError, match="more than tensors"):
        read_checkpoint(path)
    assert step_of(latest_checkpoint(folder)) == 8
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))
    assert target.exists()  # the payload is a real one


def test_a_checkpoint_that_is_no_dictionary_is_refused(folder: Path) -> None:
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    path = folder / "step-000000009.ckpt"
    path.write_bytes(MAGIC + hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    with pytest.raises(UserError, match="list"):
        read_checkpoint(path)


@pytest.mark.parametrize("failing", ["fsync", "write", "replace", "mkstemp"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_last_good_one(
    failing: str, code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*arguments: Any, **named: Any) -> Any:
        raise OSError(code, os.strerror(code))

    class FullStream(io.FileIO):
        write = full  # type: ignore[assignment]

    with monkeypatch.context() as patch:
        if failing == "write":
            patch.setattr(files.os, "fdopen", lambda handle, mode, **named: FullStream(handle, "wb"))
        elif failing == "mkstemp":
            patch.setattr(files.tempfile, "mkstemp", full)
        else:
            patch.setattr(files.os, failing, full)
        with pytest.raises(UserError, match=r"disk is full.*step-000000012") as caught:
            save_checkpoint(folder, 12, state(12))
    assert caught.value.hint and "--resume" in caught.value.hint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert step_of(latest_checkpoint(folder)) == 8


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; where none can be mounted the test is skipped."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("this user can't mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_really_fills_up(tiny_disk: Path) -> None:
    save_checkpoint(tiny_disk, 1, state(1, numbers=30_000))  # 120 kB
    with pytest.raises(UserError, match="disk is full"):
        save_checkpoint(tiny_disk, 2, state(2, numbers=60_000))
    assert [path.name for path in tiny_disk.iterdir()] == ["step-000000001.ckpt"]
    assert step_of(latest_checkpoint(tiny_disk)) == 1


def test_stopped_between_writing_and_renaming(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(folder, 8, state(99))
    assert step_of(latest_checkpoint(folder)) == 8
    assert len(list(folder.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_there_is_always_a_whole_checkpoint(tmp_path: Path) -> None:
    chance, newest = random.Random(3), 0
    for _ in range(6):
        child = os.fork()
        if not child:
            step = newest
            while True:
                step += 1
                save_checkpoint(tmp_path, step, state(step, numbers=100_000))
        while not any(int(path.stem[5:]) > newest for path in list_checkpoints(tmp_path)):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        names = [path.name for path in list_checkpoints(tmp_path)]
        assert 1 <= len(names) <= 3
        for name in names:
            read_checkpoint(tmp_path / name)
        found = step_of(latest_checkpoint(tmp_path))
        assert found > newest and f"step-{found:09d}.ckpt" == names[-1]
        newest = found
