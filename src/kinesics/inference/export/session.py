"""Exporting a run from start to end: the graph, its integers, the check, and the file."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesics.engine.prediction import Prediction
from kinesics.engine.run import Run
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.files import atomic_write
from kinesics.inference.export.description import Description
from kinesics.inference.export.graph import describe, onnx_answers, torch_answers, write_onnx, write_torch
from kinesics.inference.export.parity import TOLERANCE, Answer, Parity, compare, eager_answers, random_inputs
from kinesics.inference.export.samples import Pictures, drawn, manifest_of, of_manifest
from kinesics.inference.predictor import load, locate

RANDOM = 64
"""Random inputs that every graph is checked on."""
LEARN = 512
"""Images that the ranges of integers are calibrated with."""
DRAWN = 256
"""Drawn images that an int8 graph is compared on where there are no real ones."""


@dataclass(frozen=True)
class Export:
    """What came of it.

    Args:
        path: the file; it exists where `sound`.
        description: what it says of itself.
        sound: whether it answers as the run does.
        lines: the check, for people.
        parity: the comparisons behind them by name: "random", "images".
        scores: name of the system's own score -> (of the run, of the file), where the truth is known.
    """

    path: Path
    description: Description
    sound: bool
    lines: list[str]
    parity: dict[str, Parity]
    scores: dict[str, tuple[float, float]]


def export_run(
    run: str | os.PathLike[str],
    form: str = "onnx",
    int8: bool = False,
    out: Path | None = None,
    data: str | None = None,
    last: bool = False,
) -> Export:
    """Write a run as one file and check that it answers as the run does.

    Args:
        run: run directory, or the name of a shipped model.
        form: "onnx" or "torch-export".
        int8: 8-bit integers by static quantisation; ONNX only.
        out: file to write; None: beside the weights.
        data: manifest of real images to check on, and to calibrate int8 with.
        last: the last epoch's weights.

    Raises:
        UserError: nothing to export there, a missing package, a system without exported form, unreadable data.
    """
    if int8 and form != "onnx":
        raise UserError(f"--int8 goes with --format onnx; got --format {form}")
    folder, stem = locate(run, last)
    predictor = load(run, last=last)
    task = predictor.task
    target = out or default_path(folder, form, int8)
    if target.is_dir():
        raise UserError(f"--out {target} is a folder", hint=f"name a file in it: {target / 'model.onnx'}")
    description = describe(predictor, str(folder.read_json(f"{stem}.json").get("sha256")))
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / "graph"
        if form == "onnx":
            write_onnx(task, description, made)
        else:
            write_torch(task, description, made)
        answer = (onnx_answers if form == "onnx" else torch_answers)(made, description)
        pictures = of_manifest(task, data, LEARN) if data else None
        export = check(task, target, description, answer, pictures)
        if export.sound and int8:
            from kinesics.inference.export.quantize import quantise

            if pictures is None:
                own = manifest_of(folder)
                pictures = of_manifest(task, own, LEARN) if own else drawn(task, LEARN, DRAWN)
            made, description = quantise(made, description, pictures)
            export = compare_int8(task, target, description, onnx_answers(made, description), pictures, export)
        if export.sound:
            with atomic_write(target) as stream:
                stream.write(made.read_bytes())
            size = target.stat().st_size / 1e6
            export.lines.append(f"{target}: {size:.2f} MB, {description.precision}, answers: {description.answer}")
    return export


def default_path(folder: Run, form: str, int8: bool) -> Path:
    """RUN/model.onnx, RUN/model-int8.onnx or RUN/model.pt2; in the working directory for a shipped model."""
    name = "model.pt2" if form == "torch-export" else "model-int8.onnx" if int8 else "model.onnx"
    return folder.folder / name if (folder.folder / "model.json").is_file() else Path(name)


def check(task: Task, path: Path, description: Description, answer: Answer, pictures: Pictures | None) -> Export:
    """Compare a float graph with the eager task on random inputs, and on pictures where there are some."""
    inputs = {"random inputs": random_inputs(task, RANDOM)}
    if pictures is not None:
        inputs[pictures.source] = {"image": pictures.check}
    parity, lines, sound = {}, [], True
    for name, values in inputs.items():
        found = compare(answer(values), eager_answers(task, values))
        parity["random" if name == "random inputs" else "images"] = found
        within = found.difference <= TOLERANCE
        sound &= within
        verdict = f"within {TOLERANCE:g}" if within else f"beyond {TOLERANCE:g}: NOT the run's answers, nothing written"
        lines.append(f"{name}: {found}; {verdict}")
    return Export(path, description, sound, lines, parity, {})


def compare_int8(
    task: Task, path: Path, description: Description, answer: Answer, pictures: Pictures, fp32: Export
) -> Export:
    """Report how an int8 graph differs; it is unsound only where its answers are not finite numbers."""
    inputs = {"image": pictures.check}
    found, expected = _in_parts(answer, pictures.check), eager_answers(task, inputs)
    parity = compare(found, expected)
    lines = [*fp32.lines, f"int8 against the run, {pictures.source}: {parity}"]
    scores: dict[str, tuple[float, float]] = {}
    if pictures.truth is not None and task.truth in pictures.truth.columns:
        name = task.selection_metric[0]
        both = [task.metrics(answers, pictures.truth)[name] for answers in (expected, found)]
        scores[name] = (both[0], both[1])
        lines.append(f"{name} on them: {both[0]:.4f} of the run, {both[1]:.4f} in int8")
    sound = bool(np.isfinite(parity.difference))
    return dataclasses.replace(
        fp32, path=path, description=description, sound=sound, lines=lines, parity={**fp32.parity, "int8": parity},
        scores=scores,
    )  # fmt: skip


def _in_parts(answer: Answer, images: np.ndarray, size: int = 256) -> list[Prediction]:
    return [item for k in range(0, len(images), size) for item in answer({"image": images[k : k + size]})]
