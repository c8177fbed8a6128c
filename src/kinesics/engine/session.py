"""A whole training run, from a recipe to a finished run directory: setup -> fit -> judge -> write."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from kinesics.data.decode import RESIZING
from kinesics.data.samples import Samples
from kinesics.engine import distributed
from kinesics.engine.checkpoint import list_checkpoints
from kinesics.engine.config import Recipe
from kinesics.engine.device import PRECISIONS, choose_device, choose_precision
from kinesics.engine.fit import FitResult, fit, predict_all, step_seed
from kinesics.engine.loading import RunData, load_data
from kinesics.engine.prediction import Prediction
from kinesics.engine.resume import History
from kinesics.engine.run import Run, choose_folder, environment, write_config
from kinesics.engine.task import Task
from kinesics.engine.transfer import start_from
from kinesics.errors import UserError

log = logging.getLogger("kinesics")


def train_run(task_class: type[Task], recipe: Recipe, resume: bool = False, shown: bool = True) -> Run:
    """Train by the recipe and leave a complete run directory.

    Args:
        task_class: the system.
        recipe: everything that decides the run.
        resume: continue what is in the run directory; without it an existing run is not touched.
        shown: whether progress is shown.

    Raises:
        UserError: anything wrong with data, settings or files.
    """
    device = choose_device(recipe.fit.device)
    distributed.start(device.type)
    folder = distributed.from_main(lambda: choose_folder(recipe.out, recipe.system))
    recipe = dataclasses.replace(recipe, out=str(folder))
    run = Run(folder)
    began = time.time()
    existing = (folder / "run.json").is_file()
    if existing and not resume and distributed.is_main():
        raise UserError(
            f"{folder} already holds a run", hint="add --resume to continue it, or choose another --out folder"
        )
    if resume:
        check_settings(run, recipe)
    data = load_data(recipe, task_class.truth)
    if existing:
        check_data(run, data)

    torch.manual_seed(step_seed(recipe.seed, 0))
    task = task_class.build(recipe.task, data.spec(recipe.input, len(data.train)), recipe.input.augment)
    if recipe.weights and not (resume and list_checkpoints(run.checkpoints)):
        start_from(task, recipe.weights)
    distributed.barrier()
    if distributed.is_main():
        run.remove_halves()
        write_config(run, recipe)
        run.write_json("run.json", describe(recipe, data, "running"))

    def on_epoch(history: History) -> None:
        run.write_table("metrics.csv", history)

    result = fit(
        task,
        data.train,
        data.valid,
        recipe.fit,
        seed=recipe.seed,
        folder=run.checkpoints,
        resume=resume,
        name=recipe.system if shown else "",
        on_epoch=on_epoch,
    )
    judged, answers = finish(run, task, recipe, result, data)
    if distributed.is_main():
        on_epoch(result.history)  # once more, for a run that was killed after its last checkpoint
        content = describe(recipe, data, "finished")
        content |= judged
        content["notes"] = task.notes
        content["seconds"] = round(time.time() - began, 1)
        content["finished"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        run.write_json("run.json", content)
        for split, samples in (("test", data.test), ("valid", data.valid)):
            if samples is not None:
                write_report(run, task, content, result.history, split, samples, answers[split])
                break
        log.info("%s", folder)
    distributed.barrier()
    return run


def finish(
    run: Run,
    task: Task,
    recipe: Recipe,
    result: FitResult,
    data: RunData,
) -> tuple[dict[str, Any], dict[str, list[Prediction]]]:
    """Calibrate and judge the selected and the last weights, write models, predictions and samples.

    Returns:
        What run.json says of both, and the kept weights' uncalibrated answers by split.
    """
    size = 2 * recipe.fit.batch_size
    train, valid, test = data.train, data.valid, data.test
    judged: dict[str, Any] = {"selected_epoch": result.selected_epoch + 1, "compute_share": result.compute_share}
    order = ("selected", "last") if recipe.fit.keep == "last" else ("last", "selected")
    for which in order:  # the kept weights come second and stay in the task
        state = result.selected if which == "selected" else result.last
        task.load_shared_state(state)
        task.calibration = {}
        answers: dict[str, list[Prediction]] = {}
        if valid is not None:
            answers["valid"] = predict_all(task, valid, size)
            task.calibrate(answers["valid"], valid)
        if test is not None:
            answers["test"] = predict_all(task, test, size)
        scores = {}
        for split, samples in (("valid", valid), ("test", test)):
            if samples is not None:
                scores[split] = task.metrics(answers[split], samples)
        judged[which] = {"calibration": task.calibration, **scores}
        if distributed.is_main():
            kept = which == recipe.fit.keep
            run.write_model(task, recipe.system, state, "model" if kept else f"model_{which}")
    rows = []
    for split, samples in (("valid", valid), ("test", test)):
        if samples is not None:
            rows += prediction_rows(answers[split], samples, split)
    predictions = predict_all(task, train, size)
    scores_by_sample = task.sample_scores(train, predictions)
    if distributed.is_main():
        if rows:
            run.write_table("predictions.csv", rows)
        run.write_table("samples.csv", sample_rows(train, scores_by_sample))
    return judged, answers


def write_report(
    run: Run,
    task: Task,
    description: dict[str, Any],
    history: History,
    split: str,
    samples: Samples,
    predictions: Sequence[Prediction],
) -> None:
    """Write report.html about the answers to one split."""
    from kinesics.engine.report import run_report

    run_report(
        run.folder / "report.html",
        report_info(description, split),
        pd.DataFrame(history),
        task.evaluation(predictions, samples),
        samples.pixels,
        task.report(predictions, samples),
    )


def report_info(description: dict[str, Any], split: str) -> dict[str, Any]:
    """What a report says of its run: what run.json holds, and what makes its title and first line."""
    return {
        **description,
        "split": split,
        "data": Path(description["data"]["manifest"]).name,
        "data set": description["data"],
        "git_commit": description["environment"]["git_commit"],
    }


_DERIVED = ("time", "confidence", "uncertainty")
"""Fields of an answer that predictions.csv leaves out: they follow from the distribution, once it is calibrated."""


def prediction_rows(predictions: Sequence[Prediction], samples: Samples, split: str) -> list[dict[str, Any]]:
    """Rows of predictions.csv: what was given and the uncalibrated answer in full precision."""
    rows = []
    label = samples.columns.get("label")
    target = samples.columns.get("target")
    truth = samples.columns.get("distribution")
    for i, prediction in enumerate(predictions):
        row: dict[str, Any] = {"path": samples.names[i], "split": split}
        if label is not None:
            row["label"] = samples.classes[label[i]] if label[i] >= 0 else ""
        if target is not None:
            row["target"] = float(target[i])
        answer = prediction.to_dict()
        shares = answer.pop("distribution", {})
        if "label" in answer:
            row["predicted"] = answer["label"]
        row.update({f"p_{name}": share for name, share in shares.items()})
        numbers = {key: value for key, value in answer.items() if isinstance(value, float) and key not in _DERIVED}
        row.update({f"predicted_{key}": value for key, value in numbers.items()})
        if truth is not None:
            row.update({f"true_{name}": float(truth[i, j]) for j, name in enumerate(samples.classes)})
        rows.append(row)
    return rows


def sample_rows(train: Samples, scores: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Rows of samples.csv: what training learned about each training sample."""
    rows = []
    label = train.columns.get("label")
    for i in range(len(train)):
        row: dict[str, Any] = {"path": train.names[i]}
        if label is not None:
            row["label"] = train.classes[label[i]]
        for name, values in scores.items():
            if values.ndim == 2:
                row.update({f"{name}_{c}": float(values[i, j]) for j, c in enumerate(train.classes)})
            else:
                row[name] = float(values[i])
        rows.append(row)
    return rows


def check_settings(run: Run, recipe: Recipe) -> None:
    """Refuse to resume with other settings than those the run was started with.

    Where the run and the data lie may change, and so may threads and device; the data themselves are compared apart.
    """
    if changed := changed_settings(run, recipe):
        raise UserError(
            f"--resume with other settings than {run.folder} was started with: "
            f"{', '.join('--' + name for name in changed[:6])}",
            hint=f"kinesics train --resume {run.folder} goes on with its own; or choose another --out folder",
        )


def changed_settings(run: Run, recipe: Recipe) -> list[str]:
    """Dotted names of the settings that the run was started with otherwise; none where nothing was started.

    Raises:
        UserError: the run's config.yaml can't be read.
    """
    stored = run.folder / "config.yaml"
    if not stored.is_file():
        return []
    try:
        before = yaml.safe_load(stored.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{stored} can't be read: {error}", hint="start anew in another --out folder") from error
    changed = differences(before, dataclasses.asdict(recipe))
    return [name for name in changed if name not in WHERE_IT_RUNS]


WHERE_IT_RUNS = ("out", "data", "fit.threads", "fit.device")
"""Settings that say where a run and its data lie and what it runs on, not what it is."""


def differences(before: object, now: object, name: str = "") -> list[str]:
    """Dotted names of the settings that differ; those that an older version did not know are passed over."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [d for key in before for d in differences(before[key], now.get(key), f"{name}.{key}".lstrip("."))]
    return [] if before == now else [name]


def check_data(run: Run, data: RunData) -> None:
    """Refuse to resume on another manifest, or with other images left out, than the run was started with."""
    now = {"fingerprint": data.splits.fingerprint, **data.sizes}
    before = run.read_json("run.json").get("data", {})
    if changed := [name for name, value in now.items() if before.get(name, value) != value]:
        raise UserError(
            f"the data are not those that {run.folder} was started with (changed: {', '.join(changed)})",
            hint="restore the manifest and its images, or start anew in another --out folder",
        )


def describe(recipe: Recipe, data: RunData, status: str) -> dict[str, Any]:
    """What run.json says of a run at its start."""
    device = choose_device(recipe.fit.device)
    return {
        "status": status,
        "system": recipe.system,
        "preset": recipe.preset,
        "seed": recipe.seed,
        "classes": list(data.classes),
        "data": {
            "manifest": str(recipe.data),
            "fingerprint": data.splits.fingerprint,
            **data.sizes,
            "valid_from": data.splits.valid_from,
            "left_out": [dataclasses.asdict(bad) for bad in data.splits.bad],
        },
        "preprocessing": {
            **{key: value for key, value in dataclasses.asdict(recipe.input).items() if key != "augment"},
            "resizing": RESIZING,
        },
        "processes": distributed.world_size(),
        "device": device.type,
        "precision": PRECISIONS[choose_precision(recipe.fit, device)],
        "environment": environment(),
    }
