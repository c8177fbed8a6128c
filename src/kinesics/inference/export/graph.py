"""A trained run as one file that runs without kinesics: ONNX or torch.export, checked against the run itself."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinesics.data.decode import RESIZING
from kinesics.engine.prediction import Prediction
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.inference.export.description import KEY, Description
from kinesics.inference.export.parity import Answer
from kinesics.inference.onnx import open_session, run_graph
from kinesics.inference.predictor import Predictor

OPSET = 20
"""Version of ONNX operators that is written; onnxruntime reads it from 1.17 on."""


def describe(predictor: Predictor, sha256: str) -> Description:
    """What the exported file will say of itself.

    Args:
        predictor: of the task whose `export_module` is written.
        sha256: of its weights file.
    """
    task, form = predictor.task, predictor.form
    spec = task.spec
    return Description(
        system=predictor.system,
        answer=task.answer_kind,
        classes=tuple(spec.classes),
        input={
            **asdict(form), "mean": spec.mean, "std": spec.std,
            "dtype": "uint8", "layout": "batch, height, width, channel", "resizing": RESIZING,
        },
        inputs={name: list(example.shape[1:]) for name, example in task.export_inputs().items()},
        calibration=dict(task.calibration),
        kinesics=metadata.version("kinesics"),
        sha256=sha256,
    )  # fmt: skip


def write_onnx(task: Task, description: Description, path: Path) -> None:
    """Write the task's graph as ONNX, its weights inside, its batch of any size, batch normalisation folded.

    Args:
        task: in evaluation mode.
        description: goes into the file's metadata_props.
        path: to write; the caller makes it atomic.

    Raises:
        UserError: the `export` extra is missing, the system has no exported form, or its graph can't be traced.
    """
    onnx = need("onnx", "onnxscript", "onnxruntime")
    module, examples = traceable(task)
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module,
                tuple(examples.values()),
                dynamo=True,
                input_names=list(examples),
                output_names=list(description.kind.outputs),
                dynamic_shapes={"inputs": tuple({0: torch.export.Dim("batch")} for _ in examples)},
                opset_version=OPSET,
                optimize=True,
                verbose=False,
            )
        except Exception as error:  # tracing fails with exceptions of many kinds
            raise _untraceable(task, error) from error
    assert program is not None
    model = program.model_proto
    set_description(model, description)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def write_torch(task: Task, description: Description, path: Path) -> None:
    """Write the task's graph by torch.export (.pt2), with the description as the extra file kinesics.json.

    Args, Raises: as `write_onnx`; it needs no extra.
    """
    module, examples = traceable(task)
    with _quiet(), torch.no_grad():
        try:
            shapes = {"inputs": tuple({0: torch.export.Dim("batch")} for _ in examples)}
            program = torch.export.export(module, tuple(examples.values()), dynamic_shapes=shapes)
            buffer = io.BytesIO()
            torch.export.save(program, buffer, extra_files={f"{KEY}.json": description.to_json()})
        except Exception as error:  # as above
            raise _untraceable(task, error) from error
    path.write_bytes(buffer.getvalue())


class _Positional(nn.Module):
    """A module called by position, whatever its own arguments are called; always gives a tuple."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The module's outputs."""
        found = self.module(*inputs)
        return found if isinstance(found, tuple) else (found,)


def traceable(task: Task) -> tuple[nn.Module, dict[str, Tensor]]:
    """A copy of the task's graph on the CPU in fp32 and evaluation mode, and example inputs.

    Weights get the usual memory order: channels_last ones leave needless steps in the graph.
    """
    module = copy.deepcopy(_Positional(task.export_module())).cpu().float().eval()
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.contiguous()
        tensor.requires_grad_(False)
    return module, task.export_inputs()


def onnx_answers(path: Path, description: Description) -> Answer:
    """A function that answers by an ONNX file."""
    session = open_session(path, threads=1)

    def answer(inputs: dict[str, np.ndarray]) -> list[Prediction]:
        return description.kind.decode(run_graph(session, inputs), description.classes)

    return answer


def torch_answers(path: Path, description: Description) -> Answer:
    """A function that answers by a .pt2 file that was written a moment ago (loading one may run its pickles)."""
    with _quiet():
        module = torch.export.load(path).module()

    @torch.inference_mode()
    def answer(inputs: dict[str, np.ndarray]) -> list[Prediction]:
        outputs = module(*(torch.from_numpy(values) for values in inputs.values()))
        return description.kind.decode([output.numpy() for output in outputs], description.classes)

    return answer


def set_description(model: Any, description: Description) -> None:
    """Put the description into an `onnx.ModelProto`'s metadata_props, which lose all else."""
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=description.to_json())
    model.producer_name, model.producer_version = "kinesics", description.kinesics


def need(first: str, *others: str) -> Any:
    """Import the packages of the `export` extra; the first one is handed back.

    Raises:
        UserError: one of them is missing.
    """
    import importlib

    try:
        for name in others:
            importlib.import_module(name)
        return importlib.import_module(first)
    except ImportError as error:
        raise UserError(
            f"exporting to ONNX needs {', '.join((first, *others))}: {error}", hint="pip install 'kinesics[export]'"
        ) from error


def _untraceable(task: Task, error: Exception) -> Exception:
    if isinstance(error, UserError):
        return error
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"{type(task).__name__} can't be exported: {reason[:300]}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters' own progress and warnings concern their developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
