"""What tests of exported files share: small untrained runs of every system, exported once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from kinesics.engine.run import Run
from kinesics.engine.task import DataSpec
from kinesics.systems import get_system
from kinesics.systems.recipe import make_recipe
from kinesics.vision.crop import CropRule

if TYPE_CHECKING:
    from kinesics.inference.export.session import Export

torch.set_num_threads(1)
CLASSES = ("anger", "happiness", "sadness")
SIZE = 32
SPREAD = {f"uncertainty_{10 * k}": k / 10 for k in range(1, 10)}


def write_run(
    folder: Path, system: str, preset: str = "default", channels: int = 1, face: CropRule | None = None
) -> Run:
    """A run of untrained weights whose batch normalisation has statistics of its own, with a temperature."""
    task_class = get_system(system).task_class
    known = {item.name for item in fields(task_class.config_class)}
    small = {"task.backbone": "compact"} if "backbone" in known else {}
    config = make_recipe(system, {"data": "-", "preset": preset, **small}).task
    torch.manual_seed(0)
    spec = DataSpec(CLASSES if task_class.truth == "label" else (), SIZE, channels, 0.45, 0.25, 4, crop=0.9, face=face)
    task = task_class.build(config, spec)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in task.shared_state().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1, generator=generator)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
    task.calibration = {"temperature": 1.7, **SPREAD} if spec.classes else {}
    Run(folder).write_model(task, system, task.shared_state())
    return Run(folder)


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """`write_run` in a new folder."""

    def make(system: str, preset: str = "default", channels: int = 1, face: CropRule | None = None) -> Run:
        return write_run(tmp_path_factory.mktemp(system), system, preset, channels, face)

    return make


@pytest.fixture(scope="session")
def exported(run_of: Callable[..., Run]) -> Callable[[str], tuple[Run, Export]]:
    """A run of a system and its ONNX export, made once; not to be changed."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from kinesics.inference.export.session import export_run

    made: dict[str, tuple[Run, Export]] = {}

    def export(system: str) -> tuple[Run, Export]:
        if system not in made:
            run = run_of(system)
            made[system] = run, export_run(run.folder)
        return made[system]

    return export
