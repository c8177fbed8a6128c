"""Static quantisation of an exported graph to 8-bit integers by onnxruntime, calibrated on pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kinesics.errors import UserError
from kinesics.inference.export.description import Description
from kinesics.inference.export.graph import need, set_description
from kinesics.inference.export.samples import Pictures

OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "Concat")
"""What is computed in integers; all else stays in floats."""

WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Operators that have weights."""

BATCH = 32
"""Pictures in one forward pass of the calibration."""


def quantise(source: Path, description: Description, pictures: Pictures) -> tuple[Path, Description]:
    """An int8 graph: bytes for activations, signed weights with a scale for each output channel (QDQ form).

    Ranges are the extremes over `pictures.learn`. Weights use 7 of their 8 bits: processors without VNNI add pairs of
    products in 16 bits, which overflow with 8. Normalisation, the first convolution (whose few channels integers make
    slower), the last layer and the softmax stay in floats.

    Args:
        source: an fp32 graph that `write_onnx` wrote.
        description: of it.
        pictures: to calibrate with.

    Returns:
        The int8 file, beside the source, and its description.

    Raises:
        UserError: a graph with nothing to quantise, or one that onnxruntime can't.
    """
    onnx = need("onnx", "onnxruntime")
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, target = source.with_name("prepared.onnx"), source.with_name("int8.onnx")
    with _quiet():
        try:
            nodes = list(onnx.load(source).graph.node)
            if not any(node.op_type in WEIGHTED and node.name not in float_nodes(nodes) for node in nodes):
                raise UserError(
                    f"--int8: {description.system} has nothing to quantise between its first and last layer",
                    hint="export it without --int8",
                )
            quant_pre_process(source, prepared)
            kept = float_nodes(list(onnx.load(prepared).graph.node))
            quantize_static(
                prepared,
                target,
                _Reader(pictures.learn),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(kept),
            )
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"--int8: onnxruntime can't quantise this graph: {reason[:300]}") from error
    made = dataclasses.replace(
        description,
        precision="int8",
        quantisation={
            "form": "QDQ", "activations": "uint8", "weights": "int8 per channel, 7 bits", "calibration": "extremes",
            "pictures": f"{len(pictures.learn)} of {pictures.source}", "float_nodes": len(kept),
        },
    )  # fmt: skip
    model = onnx.load(target)
    set_description(model, made)
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString())
    return target, made


def float_nodes(nodes: list[Any]) -> set[str]:
    """Names of the nodes that stay in floats: all up to the first convolution (where there is one), and from the last
    weighted layer on.

    Args:
        nodes: of an ONNX graph, in topological order.
    """
    weighted = [k for k, node in enumerate(nodes) if node.op_type in WEIGHTED]
    convolutions = [k for k in weighted if nodes[k].op_type == "Conv"]
    start = convolutions[0] + 1 if convolutions else 0
    stop = weighted[-1] if weighted else len(nodes)
    return {node.name for k, node in enumerate(nodes) if k < start or k >= stop}


class _Reader:
    """Batches of pictures, as onnxruntime's calibration asks for them.

    Args:
        images: (N, H, W, C) uint8.
    """

    def __init__(self, images: np.ndarray) -> None:
        self.parts = iter([images[k : k + BATCH] for k in range(0, len(images), BATCH)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; None after the last."""
        part = next(self.parts, None)
        return None if part is None else {"image": part}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's advice goes through the root logger; it doesn't concern users."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
