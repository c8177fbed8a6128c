"""Starting from trained weights: a run, a file of one's own or in torchvision's format, or a shipped model."""

from __future__ import annotations

import json
import logging
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from kinesics.engine.run import read_weights
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.nn.weights import LoadReport, fit_state, read_state

log = logging.getLogger("kinesics")

NETWORK = ("backbone", "stem")
"""Task settings that decide which network weights are of."""


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
        UserError: nothing there, a damaged file, another backbone, or nothing in it fits.
    """
    backbone, wanted = network_of(source).get("backbone"), getattr(task.config, "backbone", None)
    if backbone and wanted and backbone != wanted:
        raise UserError(
            f"--weights {source} is of backbone {backbone}, but --task.backbone is {wanted}",
            hint=f"--task.backbone {backbone}; it is the default with these weights where nothing else is asked for",
        )
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


def network_of(source: str) -> dict[str, str]:
    """The task settings in `NETWORK` with which the weights that `source` names were trained.

    Returns:
        By name; empty where nothing is told: a foreign file, or one that `start_from` will refuse.
    """
    try:
        description = _description(source)
        config = _content(description).get("config") if description else None
    except UserError:
        return {}
    told = config if isinstance(config, dict) else {}
    return {name: told[name] for name in NETWORK if isinstance(told.get(name), str)}


def _description(source: str) -> Path | None:
    """The model.json of `source`; None for a file that has none."""
    path = Path(source)
    shipped = shipped_models()
    if path.is_dir():
        if not (path / "model.json").is_file():
            raise UserError(f"--weights {source}: no model.json in that folder", hint="give a finished run directory")
        return path / "model.json"
    if source in shipped:
        return shipped[source]
    if path.is_file():
        beside = path.with_suffix(".json")
        return beside if path.suffix == ".safetensors" and beside.is_file() else None
    known = f"; shipped models: {', '.join(sorted(shipped))}" if shipped else ""
    raise UserError(f"--weights {source}: no such run, file or shipped model{known}")


def _content(description: Path) -> dict[str, Any]:
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{description} is not a model description: {error!r}") from error
    if not isinstance(content, dict):
        raise UserError(f"{description} is not a model description: it holds {type(content).__name__}")
    return content


def _read(source: str) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """State and, where known, the class names of `source`."""
    description = _description(source)
    if description is None:
        return read_state(Path(source)), None
    content = _content(description)
    try:
        classes = tuple(str(name) for name in content["spec"]["classes"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{description} is not a model description: {error!r}") from error
    return read_weights(description.with_suffix(".safetensors"), content), classes
