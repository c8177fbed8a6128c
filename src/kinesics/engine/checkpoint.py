"""Resume state on disk: one file a checkpoint, written atomically, with its SHA-256 in front of the bytes.

Layout: 8 bytes `KNSCKPT1`, 32 bytes SHA-256 of the rest, then what torch.save wrote. Only tensors and plain
containers go in, so that `weights_only=True` reads them back and nothing in the file is ever executed.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from kinesics.errors import UserError
from kinesics.files import atomic_write
from kinesics.progress import log

MAGIC = b"KNSCKPT1"
_NAME = re.compile(r"step-(\d{9})\.ckpt$")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `state` as folder/step-NNNNNNNNN.ckpt and delete all but the newest `keep`.

    Files of later steps go too: they are damaged, or the training would not have gone on from before them. So do
    halves of files that a killed process left.

    Raises:
        UserError: the disk is full; earlier checkpoints are intact.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    path = folder / f"step-{step:09d}.ckpt"
    with atomic_write(path) as stream:
        stream.write(MAGIC)
        stream.write(hashlib.sha256(payload).digest())
        stream.write(payload)
    found = list_checkpoints(folder)
    last = found.index(path) + 1
    for old in (*found[: max(last - keep, 0)], *found[last:], *folder.glob(".step-*.tmp")):
        old.unlink(missing_ok=True)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files, oldest first."""
    return sorted(path for path in folder.glob("step-*.ckpt") if _NAME.search(path.name))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint file.

    Raises:
        UserError: the file is truncated, altered, unreadable or no checkpoint, or asks for code to be run.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    head = len(MAGIC)
    if content[:head] != MAGIC or len(content) < head + 32:
        raise UserError(f"{path} is not a complete kinesics checkpoint")
    payload = content[head + 32 :]
    if hashlib.sha256(payload).digest() != content[head : head + 32]:
        raise UserError(f"{path} is damaged: its bytes don't match the checksum they were written with")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file under a right checksum can raise nearly anything
        raise UserError(f"{path} holds more than tensors and plain containers; it was not read") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds {type(state).__name__}, expected the state of a training")
    return state


def latest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that is whole; a damaged one is named in the log and the one before it is used.

    Raises:
        UserError: there are checkpoints but every one is damaged.
    """
    paths = list_checkpoints(folder)
    for path in reversed(paths):
        try:
            return read_checkpoint(path)
        except UserError as error:
            log.warning("%s; trying the one before it", error.message)
    if paths:
        raise UserError(
            f"every checkpoint in {folder} is damaged ({', '.join(path.name for path in paths)})",
            hint="start the run anew in another --out folder",
        )
    return None
