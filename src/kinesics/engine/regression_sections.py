"""The report's sections about answers that are numbers: scatter, errors by silo, the largest errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kinesics.data.samples import Samples
from kinesics.engine.figure_style import styled
from kinesics.engine.image_figures import image_grid
from kinesics.engine.page import Picture, Section, table_html
from kinesics.engine.palette import light
from kinesics.metrics import regression

_WORST = 12


def regression_sections(predicted: np.ndarray, samples: Samples) -> list[Section]:
    """Sections about one split.

    Args:
        predicted: (N,) answers.
        samples: with the column "target", at least one of them finite; "silo" in `extra` gives a table.
    """
    known = np.flatnonzero(np.isfinite(samples.columns["target"]))
    judged, answer = samples.subset(known), np.asarray(predicted, dtype=np.float64)[known]
    target = judged.columns["target"].astype(np.float64)
    scores = f"RMSE {regression.rmse(answer, target):.4f}, correlation {regression.pearson(answer, target):.3f}"
    alt = f"Answers over targets of {len(target)} samples: {scores}."
    note = "A point is a sample; on the dashed line, answer and target agree."
    sections = [Section("Answers and targets", [Picture(answers_over_targets(answer, target), alt)], note)]
    silos = judged.extra.get("silo")
    if silos is not None and len(set(silos.tolist())) > 1:
        sections.append(Section("By silo", table_html(errors_by(silos, answer, target), "Errors in each silo")))
    return [*sections, _largest_errors(judged, answer, target)]


@styled
def answers_over_targets(predicted: np.ndarray, target: np.ndarray) -> Figure:
    """Scatter of (N,) answers over (N,) targets, with the line on which they agree."""
    figure = Figure(figsize=(4.2, 3.6))
    ax = figure.subplots()
    low, high = float(min(predicted.min(), target.min())), float(max(predicted.max(), target.max()))
    ax.plot((low, high), (low, high), color=light("muted"), linestyle="--", linewidth=1)
    opacity = min(1.0, max(0.15, 60 / len(target)))
    ax.scatter(target, predicted, s=9, color=light("blue"), alpha=opacity, linewidths=0, rasterized=True)
    ax.set_xlabel("target")
    ax.set_ylabel("answer")
    return figure


def errors_by(values: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """One row for each of `values` (N,): samples, RMSE, mean absolute error, correlation, the target's deviation."""
    rows = []
    for value in sorted(set(values.tolist()), key=str):
        inside = values == value
        p, t = predicted[inside], target[inside]
        row = {"silo": str(value) or "(none)", "n": int(inside.sum()), "rmse": regression.rmse(p, t)}
        rows.append(row | {"mae": regression.mae(p, t), "pearson": regression.pearson(p, t), "std of target": t.std()})
    return pd.DataFrame(rows)


def _largest_errors(samples: Samples, predicted: np.ndarray, target: np.ndarray) -> Section:
    worst = np.argsort(-np.abs(predicted - target), kind="stable")[:_WORST]
    captions = [f"{predicted[i]:+.3f}\ntarget {target[i]:+.3f}" for i in worst]
    figure = image_grid(samples.pixels(worst), captions)
    first = worst[0]
    told = f"the largest is {predicted[first]:+.3f} for {target[first]:+.3f} ({samples.names[first]})"
    return Section("Largest errors", [Picture(figure, f"The {len(worst)} pictures with the largest errors; {told}.")])
