"""K-fold training of a recipe: an answer to every training sample by a model that has not seen its label.

No label teaches its own sample, so a wrong one can't vouch for itself. Groups (subject, source video) stay whole: no
face is judged by a model that has seen the same person.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from kinesics.data.samples import Samples
from kinesics.data.splits import folds
from kinesics.engine.classifier import probabilities
from kinesics.engine.config import Recipe
from kinesics.engine.fit import fit, predict_all, step_seed
from kinesics.engine.loading import RunData
from kinesics.engine.session import differences
from kinesics.engine.task import Task
from kinesics.engine.transfer import start_from
from kinesics.errors import UserError
from kinesics.files import atomic_write
from kinesics.progress import log
from kinesics.systems.recipe import read_recipe

_ANCESTORS = 16
"""Runs that started from runs that started from runs ..., as far back as is looked."""

_SEED = 8
"""Keeps the folds' random numbers apart from those that the engine draws from the same seed."""


@dataclass(frozen=True)
class OutOfFold:
    """Answers to N training samples.

    Args:
        probability: (N, C) float64 uncalibrated distributions, each by the model of the sample's fold.
        fold: (N,) int64 in [0, K).
    """

    probability: np.ndarray
    fold: np.ndarray


def out_of_fold(task_class: type[Task], recipe: Recipe, data: RunData, k: int, folder: Path) -> OutOfFold:
    """Train the recipe K times, each time without one fold of the training samples, and answer for that fold.

    The folds are stratified by label, groups whole, by the recipe's seed. A model that has learned from mirrored
    pictures answers for each picture and its mirror image (`views`), and the mean counts. Which epoch's weights answer
    is the recipe's `fit.keep`; "selected" goes by the run's validation samples, which are in no fold.

    Args:
        task_class: a classifier.
        recipe: everything that decides a training; its own `out` is not touched.
        data: of that recipe.
        k: folds, 2 or more.
        folder: keeps each fold's answers; a killed call goes on where it was, a finished one only reads.

    Raises:
        UserError: k is out of range, `folder` holds the folds of another recipe or of other data, or the recipe starts
            from weights that have learned from these samples.
    """
    train = data.train
    fold = folds(len(train), k, train.columns["label"], train.extra.get("group"), recipe.seed)
    _check_start(recipe.weights, train)
    _claim(folder, recipe, data, k)
    probability = np.zeros((len(train), len(data.classes)))
    for part in range(k):
        inside = np.flatnonzero(fold == part)
        kept = folder / f"fold-{part + 1}.npz"
        if not kept.is_file():
            found = _train_fold(task_class, recipe, data, inside, part, k, folder / f"fold-{part + 1}")
            with atomic_write(kept) as stream:
                np.savez(stream, position=inside, probability=found)
        shutil.rmtree(folder / f"fold-{part + 1}", ignore_errors=True)
        probability[inside] = _read_fold(kept, inside, len(data.classes))
    return OutOfFold(probability, fold)


def views(recipe: Recipe, samples: Samples) -> list[Samples]:
    """What is asked of a model about samples that it is to judge: themselves, and mirrored, if it has learned so."""
    return [samples, samples.mirrored()] if recipe.input.augment.flip > 0 else [samples]


def _train_fold(
    task_class: type[Task], recipe: Recipe, data: RunData, inside: np.ndarray, part: int, k: int, folder: Path
) -> np.ndarray:
    """(M, C) answers to the samples at `inside` by a model trained on all others."""
    outside = np.setdiff1d(np.arange(len(data.train)), inside)
    train: Samples = data.train.subset(outside)
    seed = step_seed(recipe.seed, _SEED, part)
    torch.manual_seed(step_seed(seed, 0))
    task = task_class.build(recipe.task, data.spec(recipe.input, len(train)), recipe.input.augment)
    if recipe.weights:
        start_from(task, recipe.weights)
    log.info("fold %d of %d: %d samples to learn, %d to answer for", part + 1, k, len(train), len(inside))
    valid = data.valid if recipe.fit.keep == "selected" else None
    name = f"fold {part + 1} of {k}"
    result = fit(task, train, valid, recipe.fit, seed=seed, folder=folder, resume=True, name=name)
    task.load_shared_state(result.selected if recipe.fit.keep == "selected" else result.last)
    asked = views(recipe, data.train.subset(inside))
    answers = [probabilities(predict_all(task, samples, 2 * recipe.fit.batch_size)) for samples in asked]
    return np.asarray(np.mean(answers, axis=0), dtype=np.float64)


def _read_fold(path: Path, inside: np.ndarray, n_classes: int) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as stored:
            position, probability = stored["position"], stored["probability"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} can't be read: {error}", hint="delete it: the fold is then trained again") from error
    if not np.array_equal(position, inside) or probability.shape != (len(inside), n_classes):
        raise UserError(f"{path} answers for other samples than this fold's", hint="choose another --out folder")
    if not np.isfinite(probability).all():
        raise UserError(f"{path} holds answers that are not finite", hint="delete it: the fold is then trained again")
    return np.asarray(probability, dtype=np.float64)


def _check_start(weights: str | None, train: Samples) -> None:
    """Refuse folds that start from a run which has seen the samples' labels; warn where nobody can tell."""
    given, names = weights, set(map(str, train.names))
    for _ in range(_ANCESTORS):
        if not weights:
            return
        folder = Path(weights).parent if Path(weights).is_file() else Path(weights)
        try:
            seen = pd.read_csv(folder / "samples.csv", dtype=str, usecols=["path"], keep_default_na=False)["path"]
        except (OSError, ValueError):
            log.warning(
                "the folds start from --weights %s: if it has learned from these samples, it has seen the labels that "
                "are judged, and finds too few wrong",
                weights,
            )
            return
        if known := len(names & set(seen)):
            raise UserError(
                f"the run starts from --weights {given}, and {weights} has learned from {known} of these samples: "
                "folds that start there have seen the labels that they are to judge",
                hint="audit with --folds 0, or audit a run that was trained without --weights",
            )
        try:
            weights = read_recipe(folder / "config.yaml").weights
        except UserError:
            return


def _claim(folder: Path, recipe: Recipe, data: RunData, k: int) -> None:
    """Note what the folds in `folder` are of; refuse a folder that holds others."""
    settings = json.loads(json.dumps(dataclasses.asdict(recipe)))
    for name in ("out", "data"):
        settings.pop(name)
    for name in ("threads", "device"):
        settings["fit"].pop(name)
    now: dict[str, Any] = {
        "folds": k,
        "views": len(views(recipe, data.train)),
        "data": data.splits.fingerprint,
        "recipe": settings,
    }
    note = folder / "folds.json"
    if note.is_file():
        try:
            before = {"views": 1, **json.loads(note.read_text(encoding="utf-8"))}  # older folds answered once
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{note} can't be read: {error}", hint=f"delete {folder}, or choose another --out"
            ) from error
        if changed := differences(before, now) + [name for name in now if name not in before]:
            raise UserError(
                f"{folder} holds folds of another training (changed: {', '.join(changed[:6])})",
                hint="give the same --folds and manifest, delete that folder, or choose another --out",
            )
        return
    with atomic_write(note, "w") as stream:
        json.dump(now, stream, indent=1)
        stream.write("\n")
