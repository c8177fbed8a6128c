"""What a finished run, its folds and its neighbours say of each of its training samples."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kinesics.data.samples import TRUTH, Samples
from kinesics.engine.classifier import Classifier
from kinesics.engine.config import Recipe
from kinesics.engine.device import choose_device, place
from kinesics.engine.loading import load_data
from kinesics.engine.run import Run, load_model
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.progress import track
from kinesics.studies.crossval import OutOfFold, out_of_fold, views
from kinesics.systems import get_system
from kinesics.systems.recipe import read_recipe

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of N training samples of C classes.

    Args:
        samples: of the run, in its order.
        model: (N, C) answers of the finished model, which has learned from these labels. As the features, the mean
            over each picture and its mirror image, where the run has learned from mirrored pictures.
        feature: (N, D) of the run's own backbone.
        uncertainty: (N,) in [0, 1] learned by the run for each label, or None.
        constructed: (N, C) the distributions that the run built and learned instead of the labels, or None.
        folds: out-of-fold answers, or None.
    """

    samples: Samples
    model: Floats
    feature: Floats
    uncertainty: Floats | None = None
    constructed: Floats | None = None
    folds: OutOfFold | None = None

    @property
    def label(self) -> NDArray[np.int64]:
        """(N,) given labels as class numbers."""
        return np.asarray(self.samples.columns["label"], dtype=np.int64)

    @property
    def classes(self) -> tuple[str, ...]:
        """C names in label order."""
        return self.samples.classes


def gather(folder: Path, data: str, n_folds: int, out: Path, device: str | None = None) -> Evidence:
    """Read the run, answer for its training samples, and train its folds where they are asked for.

    Args:
        folder: run directory of a classifier.
        data: its manifest, wherever it lies now.
        n_folds: K of the cross-validation, 0 for none.
        out: where the folds' answers are kept.
        device: auto, cpu, cuda or cuda:N, for the run's answers and the folds; None for cpu and the run's own.

    Raises:
        UserError: no finished run, no classifier, or a manifest whose training samples are not the run's.
    """
    run = Run.find(folder)
    task, system = load_model(run, _task_class)
    if not isinstance(task, Classifier):
        raise UserError(f"{folder} is a run of {system}, which learns no labels", hint="audit a run of a classifier")
    recipe = _recipe(run, data)
    if device:
        recipe = replace(recipe, fit=replace(recipe.fit, device=device))
    loaded = load_data(recipe, task.truth)
    train = loaded.train
    if "label" not in train.columns:
        raise UserError(f"{data} has no labels to audit", hint="give the manifest that the run was trained on")
    if loaded.classes != task.spec.classes:
        raise UserError(
            f"{data} has the classes {', '.join(loaded.classes)}; {folder} knows {', '.join(task.spec.classes)}",
            hint="give the manifest that the run was trained on, with all its rows, also those of valid and test",
        )
    learned = _learned(run, train)
    place(task, choose_device(device or "cpu", "--device"))
    model, feature = answers(task, views(recipe, train), 2 * recipe.fit.batch_size)
    return Evidence(
        samples=train,
        model=model,
        feature=feature,
        uncertainty=learned.get("uncertainty"),
        constructed=_distribution(learned, train.classes),
        folds=out_of_fold(type(task), recipe, loaded, n_folds, out) if n_folds else None,
    )


@torch.inference_mode()
def answers(task: Classifier, views: Sequence[Samples], batch_size: int) -> tuple[Floats, Floats]:
    """(N, C) uncalibrated distributions and (N, D) features of all samples, in order; labels are not shown to it.

    Args:
        task: put into evaluation mode.
        views: the same N samples, once or also mirrored; the mean over them is returned.
        batch_size: samples in one forward pass.

    Raises:
        UserError: an answer is not finite.
    """
    probability, feature = [], []
    task.eval()
    n = len(views[0])
    for start in track(range(0, n, batch_size), "answers of the run"):
        positions = np.arange(start, min(start + batch_size, n))
        found = []
        for samples in views:
            batch = samples.batch(positions)
            visible = {name: tensor.to(task.device) for name, tensor in batch.items() if name not in TRUTH}
            v, logits = task.features_and_logits(task.transform(visible, None)["image"])
            found.append((torch.softmax(logits.double(), 1).cpu().numpy(), v.double().cpu().numpy()))
        probability.append(np.mean([p for p, _ in found], axis=0))
        feature.append(np.mean([v for _, v in found], axis=0))
    answered, seen = np.concatenate(probability), np.concatenate(feature)
    broken = ~(np.isfinite(answered).all(axis=1) & np.isfinite(seen).all(axis=1))
    if broken.any():
        raise UserError(
            f"the run answers with numbers that are not finite for {int(broken.sum())} of {n} samples, "
            f"{views[0].names[int(broken.argmax())]} among them",
            hint="its weights are damaged, or its training diverged: train it anew",
        )
    return answered, seen


def _task_class(name: str) -> type[Task]:
    return get_system(name).task_class


def _recipe(run: Run, data: str) -> Recipe:
    """The run's recipe, for the manifest where it lies now."""
    path = run.folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"{path} is missing: a run that was trained here is needed", hint="kinesics train makes one")
    try:
        recipe = read_recipe(path)
    except UserError as error:
        raise UserError(
            f"{path} is no recipe of kinesics train: {error.message}", hint="only runs of kinesics train are audited"
        ) from error
    return replace(recipe, data=data, out="")


def _learned(run: Run, train: Samples) -> dict[str, Floats]:
    """Columns of samples.csv as numbers, after a look at whether its rows are the given samples.

    Raises:
        UserError: the file is missing or damaged, or its paths or labels are not those of the manifest.
    """
    path = run.folder / "samples.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise UserError(f"{path} is missing", hint="resume the run to write it again") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} can't be read: {error}") from error
    given = [(str(name), train.classes[k]) for name, k in zip(train.names, train.columns["label"], strict=True)]
    stored = [(row.get("path"), row.get("label")) for row in rows]
    if stored != given:
        different = sum(a != b for a, b in zip(stored, given, strict=False))
        raise UserError(
            f"the training samples of the manifest are not those of {run.folder}: {len(given)} against {len(stored)}, "
            f"{different} of them with another path or label",
            hint="give the manifest that the run was trained on",
        )
    names = [name for name in (rows[0] if rows else ()) if name not in ("path", "label")]
    try:
        return {name: np.array([float(row[name]) for row in rows]) for name in names}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}", hint="resume the run to write it again") from error


def _distribution(learned: Mapping[str, Floats], classes: tuple[str, ...]) -> Floats | None:
    """(N, C) of the columns target_<class>, where the run has them."""
    names = [f"target_{name}" for name in classes]
    if not all(name in learned for name in names):
        return None
    return np.stack([learned[name] for name in names], axis=1)
