"""Judging a trained task on a manifest it was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kinesics.data.manifest import read as read_manifest
from kinesics.data.samples import Samples
from kinesics.engine.config import InputConfig
from kinesics.engine.evaluation import Evaluation
from kinesics.engine.fit import predict_all
from kinesics.engine.loading import load_splits
from kinesics.engine.prediction import Prediction
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.vision.crop import CropRule


@dataclass(frozen=True)
class Judgement:
    """What came of it.

    Args:
        metrics: name -> value, over all samples.
        subgroups: one row a value of the asked column: the column, `n`, then the metrics; or None.
        evaluation: confusion matrix and more for classifiers; the bare metrics for others.
        samples: what was judged.
        predictions: uncalibrated answers, in order.
    """

    metrics: dict[str, float]
    subgroups: pd.DataFrame | None
    evaluation: Evaluation | dict[str, float]
    samples: Samples
    predictions: list[Prediction]


def judge(task: Task, data: str, split: str = "test", by: str | None = None, on_bad_image: str = "error") -> Judgement:
    """Answer for one split of a manifest and compare with its columns.

    Args:
        task: trained; its temperature was fitted on the validation split of its own training.
        data: manifest; classes that the task does not know are left out.
        split: train, valid or test.
        by: column whose values make subgroups, e.g. age or scene.
        on_bad_image: "error" or "skip".

    Raises:
        UserError: no such column or split, unreadable data, nothing in the manifest to compare with.
    """
    spec = task.spec
    manifest = read_manifest(data, list(spec.classes) or None)
    if task.truth == "target":
        manifest = manifest.without_classes()
    config = InputConfig(
        size=spec.size,
        crop=spec.crop,
        face=spec.face or CropRule(),
        channels=spec.channels,
        mean=spec.mean,
        std=spec.std,
        on_bad_image=on_bad_image,
    )
    splits = load_splits(manifest, config, seed=0, splits=(split,))
    samples = getattr(splits, split)
    assert samples is not None
    if by is not None and by not in samples.extra:
        known = [name for name in samples.extra if name != "line" and not name.startswith("p_")]
        raise UserError(f"--by {by}: the manifest has no such column; it has {', '.join(known) or 'no extra columns'}")
    predictions = predict_all(task, samples, 256)
    rows: list[dict[str, Any]] = []
    if by is not None:
        values = samples.extra[by]
        for value in sorted(set(values.tolist()), key=str):
            place = np.flatnonzero(values == value)
            part = [predictions[i] for i in place]
            name = value if str(value) not in ("", "nan") else "(none)"
            rows.append({by: name, "n": len(place), **task.metrics(part, samples.subset(place))})
    table = pd.DataFrame(rows) if by is not None else None
    evaluation = task.evaluation(predictions, samples)
    metrics = evaluation.metrics if isinstance(evaluation, Evaluation) else evaluation
    wanted = "a target" if task.truth == "target" else "one of the model's labels"
    if not any(math.isfinite(value) for value in metrics.values()):
        raise UserError(
            f"{data} has nothing to compare the answers with: no row of split {split} has {wanted}",
            hint="fill label, p_<class>, target, or valence and arousal; kinesics predict needs none of them",
        )
    return Judgement(metrics, table, evaluation, samples, predictions)
