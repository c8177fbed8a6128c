"""A model to predict with, from a run or an exported file. PyTorch is imported for runs only."""

from __future__ import annotations

import os
from pathlib import Path

from kinesics.errors import UserError
from kinesics.inference.images import ImagePredictor


def load(run: str | os.PathLike[str], last: bool = False, device: str = "cpu") -> ImagePredictor:
    """The predictor of a run, of a shipped model, or of an exported ONNX file.

    Args:
        run: run directory, the name of a shipped model, or an .onnx file.
        last: of a run, the last epoch's weights instead of the kept ones.
        device: of a run: auto, cpu, cuda or cuda:N. An exported file runs on the CPU.

    Raises:
        UserError: nothing to load there, damaged files, no such device.
    """
    if Path(run).suffix.lower() == ".onnx" and not Path(run).is_dir():
        from kinesics.inference.onnx import OnnxPredictor

        if last or device not in ("cpu", "auto"):
            what = "last=True" if last else f"device {device!r}"
            raise UserError(f"{run} is an exported file, which runs on the CPU as it is; got {what}")
        return OnnxPredictor(run)
    from kinesics.inference.predictor import load as load_run

    return load_run(run, last=last, device=device)
