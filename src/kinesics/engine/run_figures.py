"""Figures of a finished run that show its answers beside the annotators' and what it learned of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kinesics.data.samples import Samples
from kinesics.engine import image_figures
from kinesics.engine.classifier import probabilities
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.engine.run import Run
from kinesics.errors import UserError

DOUBTS = {"uncertainty": "learned uncertainty", "label_doubt": "doubt about the label, 1 - p(label)"}
"""Columns of samples.csv that order training images, the first that is there, and what they are called."""


@dataclass(frozen=True)
class RunFigure:
    """A figure and the table behind it.

    Args:
        figure: drawn.
        table: a row an image: path, and what is shown of it.
    """

    figure: Figure
    table: pd.DataFrame


def vote_entropy(distribution: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, C) shares of the votes -> (N,) entropy in nats; NaN where a row has no votes."""
    d = np.asarray(distribution, dtype=np.float64)
    return -(d * np.log(np.where(d > 0, d, 1.0))).sum(axis=1)


def beside_the_votes(samples: Samples, predictions: Sequence[Prediction], count: int = 12) -> RunFigure:
    """The images on which annotators agree least, each with the model's distribution and the votes.

    Args:
        samples: with votes (`p_<class>` columns).
        predictions: calibrated answers, one a sample.
        count: images shown.

    Raises:
        UserError: no votes, or answers without distributions.
    """
    truth = samples.columns.get("distribution")
    if truth is None or not np.isfinite(truth).any():
        raise UserError(
            "the model can't be shown beside annotators' votes: the manifest has no p_<class> columns",
            hint="give a manifest with votes by --data",
        )
    if not all(isinstance(p, Emotion) and p.distribution for p in predictions):
        raise UserError("the model answers with no distribution over classes, so there is nothing to set beside votes")
    entropy = np.nan_to_num(vote_entropy(truth), nan=-1.0)
    chosen = np.argsort(-entropy, kind="stable")[: min(count, int((entropy >= 0).sum()))]
    answer = probabilities([predictions[i] for i in chosen])
    captions = [f"entropy of the votes {entropy[i]:.2f}" for i in chosen]
    figure = image_figures.distribution_bars(
        samples.pixels(chosen), answer, samples.classes, truth[chosen], captions, columns=3
    )
    figure.suptitle("Filled: the model. Hatched: the annotators' votes.", x=0.01, ha="left", fontsize=9)
    table = pd.DataFrame({"path": samples.names[chosen], "entropy": entropy[chosen]})
    for place, name in enumerate(samples.classes):
        table[f"p_{name}"] = answer[:, place]
        table[f"votes_{name}"] = truth[chosen][:, place]
    return RunFigure(figure, table)


def by_uncertainty(run: Run, train: Samples, rows: int = 6) -> RunFigure:
    """Training images of each given label in order of what the run learned of them, the least certain at the top.

    The rows are spread evenly over all images of a label, from the least certain to the most certain one.

    Args:
        run: finished; its samples.csv has a column of `DOUBTS`.
        train: training samples, found by the paths in samples.csv.
        rows: images of each label.

    Raises:
        UserError: the run learned nothing of single samples, or its samples aren't among those given.
    """
    path = run.folder / "samples.csv"
    try:
        table = pd.read_csv(path, dtype={"path": str, "label": str}, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing", hint="is this a finished run?") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} can't be read as CSV: {error}") from error
    column = next((name for name in DOUBTS if name in table), None)
    if column is None or "label" not in table:
        raise UserError(
            f"{run.folder} learned nothing of single training labels: samples.csv has no {' or '.join(DOUBTS)}",
            hint="systems that classify faces write one",
        )
    place_of = {str(name): place for place, name in enumerate(train.names)}
    table["place"] = table["path"].map(place_of)
    if table["place"].isna().any():
        raise UserError(
            f"{int(table['place'].isna().sum())} of {len(table)} training samples of {run.folder} are not in the "
            f"manifest, the first is {table['path'][table['place'].isna()].iloc[0]}",
            hint="give the manifest that the run was trained on by --data",
        )
    table[column] = pd.to_numeric(table[column])
    labels, chosen = [], []
    for label in train.classes:
        own = table[table["label"] == label].sort_values(column, ascending=False, kind="stable")
        if len(own) >= rows:
            labels.append(label)
            chosen.append(own.iloc[np.linspace(0, len(own) - 1, rows).round().astype(int)])
    if not chosen:
        raise UserError(f"no label of {run.folder} has {rows} training images to show")
    shown = pd.concat(chosen, ignore_index=True)
    figure = image_figures.uncertainty_columns(
        train.pixels(shown["place"].to_numpy(dtype=np.int64)), shown[column].to_numpy(), labels, rows, DOUBTS[column]
    )
    return RunFigure(figure, shown.drop(columns="place"))
