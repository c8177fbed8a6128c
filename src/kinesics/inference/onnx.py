"""Answers of an exported ONNX file on onnxruntime, without PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinesics.engine.prediction import Prediction
from kinesics.errors import UserError
from kinesics.inference.export.description import KEY, Description
from kinesics.inference.reader import Reader, portions

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_BYTES = 2**31
"""Larger files aren't read (the limit of an ONNX file with its weights inside)."""


class OnnxPredictor(Reader):
    """An exported model that answers for pictures and videos as `Predictor` does.

    >>> predictor = kinesics.load("model.onnx")             # doctest: +SKIP
    >>> predictor("photo.jpg").to_frame()                   # doctest: +SKIP

    Args:
        path: a file that `kinesics export --format onnx` wrote.
        threads: of onnxruntime; 0 lets it choose.

    Raises:
        UserError: no such file, not ONNX, not exported by kinesics, not for images, or no onnxruntime.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0) -> None:
        self.path = Path(path)
        self.session = open_session(self.path, threads)
        properties = self.session.get_modelmeta().custom_metadata_map
        self.description = Description.from_json(properties.get(KEY), str(self.path))
        form = self.description.form
        super().__init__(form, self.description.classes, self.description.calibration, self.description.system)
        size, channels = form.size, form.channels
        told = {item.name: item.shape[1:] for item in self.session.get_inputs()}
        if told != {"image": [size, size, channels]} or self.session.get_inputs()[0].type != "tensor(uint8)":
            raise UserError(
                f"{self.path} takes {told}, not one image of {size} x {size} pixels in {channels} channels",
                hint="kinesics predict answers for images; run this file by onnxruntime (docs/deploy.md)",
            )
        if tuple(item.name for item in self.session.get_outputs()) != self.description.kind.outputs:
            raise UserError(f"{self.path} doesn't give {' and '.join(self.description.kind.outputs)} as it says")

    def answer(self, pixels: np.ndarray) -> list[Prediction]:
        """One calibrated answer for each of (N, size, size, channels) uint8 crops, at most 64 in one forward pass."""
        decode = self.description.kind.decode
        found: list[Prediction] = []
        for part in portions(pixels):
            found += decode(run_graph(self.session, {"image": part}), self.classes)
        return found


def open_session(path: Path, threads: int = 0) -> InferenceSession:
    """An onnxruntime session on the CPU.

    Raises:
        UserError: no onnxruntime, no such file, or one that it can't load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"{path}: reading ONNX models needs onnxruntime, which is not installed",
            hint="pip install 'kinesics[export]', or pip install onnxruntime",
        ) from error
    if not path.is_file():
        raise UserError(f"{path}: there is no such file", hint="kinesics export RUN --format onnx makes one")
    if not 0 < path.stat().st_size < MAX_BYTES:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes; an ONNX model has 1 to {MAX_BYTES:,}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"{path} can't be read as an ONNX model: {reason}") from error


def run_graph(session: InferenceSession, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The graph's outputs in order.

    Raises:
        UserError: the graph fails on these inputs.
    """
    try:
        found: Any = session.run(None, inputs)
    except Exception as error:  # as above
        raise UserError(f"the ONNX model fails: {str(error).splitlines()[0][:200]}") from error
    return list(found)
