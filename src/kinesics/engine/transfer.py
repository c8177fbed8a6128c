"""Starting from trained weights: a run, a file of one's own or in torchvision's format, or a shipped model."""

from __future__ import annotations

import json
import logging
from importlib import resources
from pathlib import Path

from torch import Tensor

from kinesics.engine.run import read_weights
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.nn.weights import LoadReport, fit_state, read_state

log = logging.getLogger("kinesics")


def shipped_models() -> dict[str, Path]:
    """Models inside the package by name -> their model.json."""
    folder = resources.files("kinesics") / "weights"
    if not folder.is_dir():
        return {}
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".json")}


def start_from(task: Task, source: str) -> LoadReport:
    """Load into `task` what fits of the weights that `source` names; the log says what did not.

    Own runs carry over everything shared, the classifier's rows by class name where both have names. Foreign files in
    torchvision's format go into the backbone `task.model`.

    Args:
        task: built for the new data.
        source: run directory, weights file, or shipped model's name.

    Returns:
        What was loaded into `task.model`.

    Raises:
        UserError: nothing there, a damaged file, or nothing in it fits.
    """
    state, classes = _read(source)
    own = {name: tensor for name, tensor in state.items() if name.startswith("model.")}
    model = task.get_submodule("model")
    target = task.spec.classes
    stripped = {name.removeprefix("model."): tensor for name, tensor in own.items()} or state
    report = fit_state(model, stripped, classes_from=classes, classes_to=target if classes else None)
    log.info("--weights %s: %s", source, report.summary())
    rest = {name: tensor for name, tensor in state.items() if name not in own} if own else {}
    shared = task.shared_state()
    matching = {n: t for n, t in rest.items() if n in shared and shared[n].shape == t.shape}
    if matching and classes == target:
        task.load_shared_state(matching)
    return report


def _read(source: str) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """State and, where known, the class names of `source`."""
    path = Path(source)
    shipped = shipped_models()
    description: Path | None = None
    if path.is_dir():
        description = path / "model.json"
        if not description.is_file():
            raise UserError(f"--weights {source}: no model.json in that folder", hint="give a finished run directory")
    elif source in shipped:
        description = shipped[source]
    elif path.is_file():
        beside = path.with_suffix(".json")
        if path.suffix == ".safetensors" and beside.is_file():
            description = beside
    else:
        known = f"; shipped models: {', '.join(sorted(shipped))}" if shipped else ""
        raise UserError(f"--weights {source}: no such run, file or shipped model{known}")
    if description is None:
        return read_state(path), None
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        classes = tuple(str(name) for name in content["spec"]["classes"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{description} is not a model description: {error!r}") from error
    return read_weights(description.with_suffix(".safetensors"), content), classes
