"""The functions behind the verbs, for use from Python."""

from __future__ import annotations

import os
from typing import Any

from kinesics.engine.evaluate import Judgement, judge
from kinesics.engine.run import Run
from kinesics.engine.session import train_run
from kinesics.inference.predictor import load
from kinesics.systems import get_system
from kinesics.systems.recipe import make_recipe


def train(system: str, data: str | os.PathLike[str], resume: bool = False, **settings: Any) -> Run:
    """Train a system on a manifest.

    Args:
        system: name of a registered system.
        data: manifest file.
        resume: go on with the run in `out`.
        settings: as on the command line, dots written as double underscores: fit__epochs=5, task__k=16, out="runs/a".

    Returns:
        The finished run.
    """
    flags = {key.replace("__", "."): value for key, value in settings.items()}
    recipe = make_recipe(system, {"data": str(data), **flags})
    return train_run(get_system(system).task_class, recipe, resume=resume)


def evaluate(
    run: str | os.PathLike[str],
    data: str | os.PathLike[str],
    split: str = "test",
    by: str | None = None,
    last: bool = False,
) -> Judgement:
    """Judge a run on one split of a manifest; `by` adds a row for each value of that column."""
    return judge(load(run, last=last).task, str(data), split=split, by=by)
