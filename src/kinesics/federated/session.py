"""A whole federation, from a recipe to a finished run directory: silos -> rounds -> judge -> write."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesics.data.samples import Samples
from kinesics.engine.checkpoint import latest_checkpoint, list_checkpoints
from kinesics.engine.fit import predict_all, step_seed
from kinesics.engine.loading import load_data
from kinesics.engine.run import Run, choose_folder, write_config
from kinesics.engine.session import check_data, check_settings, describe, prediction_rows, sample_rows
from kinesics.engine.task import Task
from kinesics.engine.transfer import start_from
from kinesics.errors import UserError
from kinesics.federated.config import FederatedRecipe
from kinesics.federated.partition import split_by_column, split_dirichlet
from kinesics.federated.simulate import Federated, Network, simulate

log = logging.getLogger("kinesics")

MakeNetwork = Callable[[FederatedRecipe, "list[str] | None"], "tuple[list[str], Network]"]
"""(recipe, silos that the data name or None) -> the silos in the network's order, and the network."""


def federate_run(
    task_class: type[Task], recipe: FederatedRecipe, make_network: MakeNetwork, resume: bool = False, shown: bool = True
) -> Run:
    """Train by the recipe across silos and leave a complete run directory.

    Beside what every run leaves, silos.csv has each silo's size and the scores of its own model on the test split;
    metrics.csv has a row for each judged round.

    Args:
        task_class: the system.
        recipe: everything that decides the run.
        make_network: names the silos and says what a round costs.
        resume: continue what is in the run directory.
        shown: whether progress is shown.

    Raises:
        UserError: anything wrong with data, settings or files.
    """
    recipe.out = str(choose_folder(recipe.out, f"federated-{recipe.system}"))
    run, began = Run(Path(recipe.out)), time.time()
    existing = (run.folder / "run.json").is_file()
    if existing and not resume:
        raise UserError(
            f"{run.folder} already holds a run", hint="add --resume to continue it, or choose another --out folder"
        )
    if resume:
        check_settings(run, recipe)
        latest_checkpoint(run.checkpoints)  # where all are damaged, the run stays as it is
    data = load_data(recipe, task_class.truth)
    split, judged = ("valid", data.valid) if data.test is None else ("test", data.test)
    if judged is None:
        raise UserError(f"{recipe.data} has neither test nor validation rows to judge by")
    if existing:
        check_data(run, data)
    silos, network = _silos(recipe, data.train, make_network)

    def make_task(n_train: int) -> Task:
        return task_class.build(recipe.task, data.spec(recipe.input, n_train), recipe.input.augment)

    torch.manual_seed(step_seed(recipe.seed, 0))
    common = make_task(0)
    if recipe.weights and not (resume and list_checkpoints(run.checkpoints)):
        start_from(common, recipe.weights)
        begin = {name: tensor.clone() for name, tensor in common.shared_state().items()}
    else:
        begin = {}

    def started(n_train: int) -> Task:
        task = make_task(n_train)
        if begin:
            task.load_shared_state(begin)
        return task

    def judge(state: Mapping[str, Tensor]) -> dict[str, float]:
        common.load_shared_state(dict(state))
        common.calibration = {}
        scores = common.metrics(predict_all(common, judged, 2 * recipe.fit.batch_size), judged)
        return {f"{split}/{name}": value for name, value in scores.items()}

    run.remove_halves()
    write_config(run, recipe)
    content = describe(recipe, data, "running")
    content["judged"] = split
    content["silos"] = {name: len(samples) for name, samples in silos.items()}
    run.write_json("run.json", content)
    result = simulate(
        started, silos, network, recipe.federation, recipe.fit, seed=recipe.seed, judge=judge, folder=run.checkpoints,
        resume=resume, name=f"{recipe.system}, {len(silos)} silos" if shown else "",
        on_record=lambda history: run.write_table("metrics.csv", history),
    )  # fmt: skip
    _finish(run, recipe, result, common, data.valid, judged, content, began)
    log.info("%s", run.folder)
    return run


def _silos(recipe: FederatedRecipe, train: Samples, make_network: MakeNetwork) -> tuple[dict[str, Samples], Network]:
    """The silos' samples in the network's order; for training in one place, one silo with everything."""
    if recipe.federation.mode == "cll":
        steps, given = recipe.federation.local_steps, recipe.network.compute_ms
        return {"all": train}, Network(torch.eye(1, dtype=torch.float64), lambda bits, ms: steps * (given or ms))
    if recipe.silos.by == "column":
        rows = split_by_column(train, recipe.silos.column)
        names, network = make_network(recipe, list(rows))
        return {name: train.subset(rows[name]) for name in names}, network
    names, network = make_network(recipe, None)
    dealt = split_dirichlet(train, len(names), recipe.silos.alpha, recipe.seed)
    return {name: train.subset(part) for name, part in zip(names, dealt.values(), strict=True)}, network


def _finish(
    run: Run,
    recipe: FederatedRecipe,
    result: Federated,
    common: Task,
    valid: Samples | None,
    judged: Samples,
    content: dict[str, Any],
    began: float,
) -> None:
    """Judge the average and every silo's own model, and write everything down."""
    from kinesics.federated.report import write_report

    size = 2 * recipe.fit.batch_size
    rows: list[dict[str, Any]] = []
    result.settle()
    for silo in result.silos:
        own = silo.task.metrics(predict_all(silo.task, judged, size), judged)
        rows.append({"silo": silo.name, "n_train": len(silo.train), **own})
    run.write_table("silos.csv", rows)
    samples = []
    for silo in result.silos:
        scores = silo.task.sample_scores(silo.train, predict_all(silo.task, silo.train, size))
        samples += [{**row, "silo": silo.name} for row in sample_rows(silo.train, scores)]
    run.write_table("samples.csv", samples)

    state = {name: tensor.cpu() for name, tensor in result.average().items()}
    common.load_shared_state(state)
    common.calibration = {}
    if valid is not None:
        common.calibrate(predict_all(common, valid, size), valid)
    answers = predict_all(common, judged, size)
    split = content["judged"]
    metric, better = common.selection_metric
    alone = [float(row[metric]) for row in rows]
    run.write_table("predictions.csv", prediction_rows(answers, judged, split))
    run.write_table("metrics.csv", result.history)
    run.write_model(common, recipe.system, common.shared_state())
    content |= {
        "status": "finished",
        "last": {"calibration": common.calibration, split: common.metrics(answers, judged)},
        "silos_alone": {
            "metric": metric, "better": better, "mean": float(np.mean(alone)), "least": min(alone), "most": max(alone),
        },
        "seconds": round(time.time() - began, 1),
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }  # fmt: skip
    if notes := {silo.name: silo.task.notes for silo in result.silos if silo.task.notes}:
        content["notes"] = notes
    run.write_json("run.json", content)
    write_report(run, common, recipe, content, result.history, rows, split, judged, answers)
