"""Pictures to check an exported graph on and to calibrate its integers with: of a manifest, or drawn."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesics.data.decode import load_image
from kinesics.data.manifest import read as read_manifest
from kinesics.data.samples import Samples
from kinesics.engine.config import InputConfig
from kinesics.engine.loading import load_splits
from kinesics.engine.run import Run
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.vision.crop import CropRule


@dataclass(frozen=True)
class Pictures:
    """Images as the graph takes them.

    Args:
        learn: (N, size, size, channels) uint8 to calibrate with.
        check: (M, size, size, channels) uint8, others, to compare answers on.
        truth: the samples of `check` with their labels or targets; None where nothing true is known.
        source: where they are from, for people.
    """

    learn: np.ndarray
    check: np.ndarray
    truth: Samples | None
    source: str


def takes_one_image(task: Task) -> bool:
    """Whether the exported graph takes one image and nothing else."""
    spec = task.spec
    form = (spec.size, spec.size, spec.channels)
    return {name: tuple(e.shape[1:]) for name, e in task.export_inputs().items()} == {"image": form}


def of_manifest(task: Task, data: str, learn: int, seed: int = 0) -> Pictures:
    """Up to `learn` training images to calibrate with, and all test (else validation) images to compare on.

    Args:
        task: what the pictures are for.
        data: manifest.
        learn: how many, by chance.
        seed: of the choice.

    Raises:
        UserError: the task takes more than one image; unreadable data.
    """
    if not takes_one_image(task):
        takes = ", ".join(task.export_inputs())
        raise UserError(
            f"--data: this system takes {takes}, of which a manifest gives no pictures", hint="leave it out"
        )
    spec = task.spec
    manifest = read_manifest(data, list(spec.classes) or None)
    if task.truth == "target":
        manifest = manifest.without_classes()
    config = InputConfig(
        size=spec.size, crop=spec.crop, face=spec.face or CropRule(), channels=spec.channels, mean=spec.mean,
        std=spec.std,
    )  # fmt: skip
    splits = load_splits(manifest, config, seed=0)
    held = [part for part in (splits.test, splits.valid, splits.train) if part is not None]
    fitting = [part for part in (splits.train, splits.valid, splits.test) if part is not None]
    rng = np.random.default_rng(seed)
    positions = np.sort(rng.permutation(len(fitting[0]))[:learn])
    check = held[0]
    return Pictures(
        fitting[0].pixels(positions), check.pixels(np.arange(len(check))), check, f"{Path(data).name} ({len(check)})"
    )


def manifest_of(run: Run) -> str | None:
    """The manifest that a run was trained on, where it still lies there."""
    try:
        data = run.read_json("run.json").get("data")
    except UserError:  # a shipped or a pulled model has none
        return None
    path = data.get("manifest") if isinstance(data, dict) else None
    return str(path) if isinstance(path, str) and Path(path).is_file() else None


def drawn(task: Task, learn: int, check: int, seed: int = 0) -> Pictures:
    """Faces for what learns labels, views of drawn roads for what learns a target.

    Raises:
        UserError: the task takes more than one image.
    """
    if not takes_one_image(task):
        raise UserError(f"--int8 is for systems that take one image; this one takes {', '.join(task.export_inputs())}")
    from kinesics.data.synthetic.faces import write_faces
    from kinesics.data.synthetic.roads import write_roads

    spec, count = task.spec, learn + check
    with tempfile.TemporaryDirectory() as folder:
        if task.truth == "target":
            write_roads(folder, count, 0, 0, seed=seed, silos=4)
        else:
            write_faces(Path(folder), count, 0, 0, seed=seed, size=max(spec.size, 48))
        files = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".png", ".jpg"))
        order = np.random.default_rng(seed).permutation(len(files))[:count]
        images = np.stack([load_image(files[k], spec.size, spec.channels, square=spec.crop) for k in order])
    return Pictures(images[:learn], images[learn:], None, f"drawn ({check})")
