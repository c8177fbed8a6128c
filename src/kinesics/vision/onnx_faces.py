"""YuNet and SCRFD face detectors from an ONNX file of the user's, run by onnxruntime; no such file ships.

YuNet: W. Wu, H. Peng and S. Yu, "YuNet: A tiny millisecond-level face detector", Machine Intelligence Research 2023,
the form of 2023 with twelve outputs. SCRFD: J. Guo, J. Deng, A. Lattas and S. Zafeiriou, "Sample and computation
redistribution for efficient face detection", ICLR 2022, with or without landmarks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinesics.errors import UserError
from kinesics.vision.faces import Face, suppress

STRIDES = (8, 16, 32)
"""Pixels between neighbouring cells of the three output grids."""

LONGEST = 640
"""Pixels to which a larger picture's longer side is shrunk, where the network takes any size."""

SQUARE, DOWN = 0.82, 0.06
"""From these networks' boxes (hair line to chin) to the square of `vision.faces`: its side as a share of the box's
height, and how far the middle moves down. Judged by eye; no such network could be measured."""


class OnnxFaces:
    """Runs a network with the output layout of YuNet or SCRFD.

    Args:
        path: .onnx file.
        threshold: least score, in [0, 1].

    Raises:
        UserError: onnxruntime or the file is missing, or the outputs are of neither layout.
    """

    def __init__(self, path: Path, threshold: float = 0.5) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError("an ONNX face detector needs onnxruntime", hint="pip install onnxruntime") from None
        if not path.is_file():
            raise UserError(f"{path}: there is no such face detector")
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise UserError(f"{path} is not a network that onnxruntime can run: {str(error)[:200]}") from error
        self.threshold = threshold
        inputs, names = self._session.get_inputs(), [item.name for item in self._session.get_outputs()]
        self._input = inputs[0].name
        self._names = names
        self.yunet = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES} <= set(names)
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or not (self.yunet or len(names) in (6, 9)):
            raise UserError(
                f"{path} has {len(inputs)} inputs and the outputs {', '.join(names)}",
                hint="expected YuNet's cls_8 .. kps_32, or SCRFD's: scores, boxes, landmarks of three strides",
            )
        self._fixed = tuple(shape[2:]) if all(isinstance(side, int) and side > 0 for side in shape[2:]) else None

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Faces of (H, W, 3) uint8 RGB, surest first, with landmarks where the network has them."""
        pixels, scale = self._input_of(image)
        try:
            outputs = self._session.run(None, {self._input: pixels})
        except Exception as error:  # as above
            raise UserError(f"the face detector can't run on {pixels.shape}: {str(error)[:200]}") from error
        faces: list[Face] = []
        for level, stride in enumerate(STRIDES):
            if self.yunet:
                by_name = dict(zip(self._names, outputs, strict=True))
                parts = [by_name[f"{kind}_{stride}"] for kind in ("cls", "obj", "bbox", "kps")]
                faces += self._decoded(*_yunet(parts, stride, pixels.shape[3] // stride), scale)
            else:
                levels = [outputs[level + 3 * kind] for kind in range(len(outputs) // 3)]
                faces += self._decoded(*_scrfd(levels, stride, pixels.shape[3] // stride), scale)
        return suppress(faces)

    def _input_of(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """(1, 3, H', W') float32 as the network wants it, and how much larger than `image` it is."""
        from PIL import Image

        height, width = image.shape[:2]
        scale = min(LONGEST / max(height, width), 1.0)
        if self._fixed:
            scale = min(self._fixed[0] / height, self._fixed[1] / width)
        inner = (max(round(width * scale), 1), max(round(height * scale), 1))
        rows, columns = self._fixed or (-(-inner[1] // 32) * 32, -(-inner[0] // 32) * 32)
        canvas = np.zeros((rows, columns, 3), dtype=np.float32)
        resized = Image.fromarray(image).resize(inner, Image.Resampling.BILINEAR) if scale != 1.0 else image
        canvas[: inner[1], : inner[0]] = np.asarray(resized)
        # YuNet: blue first, bytes as they are
        canvas = canvas[:, :, ::-1] if self.yunet else (canvas - 127.5) / 128.0
        return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), scale

    def _decoded(self, score: np.ndarray, box: np.ndarray, marks: np.ndarray | None, scale: float) -> list[Face]:
        """Scores (N,), corners (N, 4) and landmarks (N, 5, 2) in input pixels -> faces in the picture's."""
        faces = []
        for k in np.flatnonzero(score >= self.threshold):
            x0, y0, x1, y1 = box[k] / scale
            side = SQUARE * (y1 - y0)
            middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2 + DOWN * (y1 - y0)
            found = (float(middle_x - side / 2), float(middle_y - side / 2), float(side), float(side))
            if side > 0:
                faces.append(Face(found, float(score[k]), None if marks is None else marks[k] / scale))
        return faces


def _cells(count: int, columns: int, anchors: int) -> np.ndarray:
    """(count, 2) column and row of each prediction, row by row, `anchors` to a cell."""
    number = np.arange(count) // anchors
    return np.stack([number % columns, number // columns], axis=1).astype(np.float64)


def _yunet(parts: list[np.ndarray], stride: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One stride of YuNet: score sqrt(cls obj); middle (cell + offset) stride, size exp(.) stride."""
    cls, obj, raw, marks = (
        np.asarray(part, np.float64).reshape(-1, width) for part, width in zip(parts, (1, 1, 4, 10), strict=True)
    )
    score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
    cell = _cells(len(score), columns, 1)
    middle, size = (cell + raw[:, :2]) * stride, np.exp(np.clip(raw[:, 2:], -20, 20)) * stride
    corners = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return score, corners, (marks.reshape(-1, 5, 2) + cell[:, None]) * stride


def _scrfd(parts: list[np.ndarray], stride: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """One stride of SCRFD, two anchors a cell: distances from the cell's corner to the box's sides, in strides."""
    score, raw = np.asarray(parts[0], np.float64).reshape(-1), np.asarray(parts[1], np.float64).reshape(-1, 4)
    cell = _cells(len(score), columns, 2)
    corners = np.concatenate([cell - raw[:, :2], cell + raw[:, 2:]], axis=1) * stride
    if len(parts) < 3:
        return score, corners, None
    return score, corners, (np.asarray(parts[2], np.float64).reshape(-1, 5, 2) + cell[:, None]) * stride
