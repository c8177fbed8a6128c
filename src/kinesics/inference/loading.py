"""A model to predict with, from a run or an exported file. PyTorch is imported for runs only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kinesics.errors import UserError

if TYPE_CHECKING:
    from kinesics.inference.reader import Reader


def is_exported(run: str | os.PathLike[str]) -> bool:
    """Whether it names an exported file, there or not: what ends in .onnx and is no folder."""
    return Path(run).suffix.lower() == ".onnx" and not Path(run).is_dir()


def load(run: str | os.PathLike[str] | None = None, last: bool = False, device: str = "cpu") -> Reader:
    """The predictor of a run, of a shipped model, or of an exported ONNX file.

    Args:
        run: run directory, the name of a shipped model, or an .onnx file; None is the model that ships.
        last: of a run, the last epoch's weights instead of the kept ones.
        device: of a run: auto, cpu, cuda or cuda:N. An exported file runs on the CPU.

    Raises:
        UserError: nothing to load there, damaged files, no such device.
    """
    if run is not None and is_exported(run):
        from kinesics.inference.onnx import OnnxPredictor

        if last or device not in ("cpu", "auto"):
            what = "last=True" if last else f"device {device!r}"
            raise UserError(f"{run} is an exported file, which runs on the CPU as it is; got {what}")
        return OnnxPredictor(run)
    from kinesics.inference.predictor import load as load_run

    return load_run(run, last=last, device=device)
