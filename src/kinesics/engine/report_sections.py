"""The sections of a run's report, each from an `Evaluation` or a table: figure, text alternative, numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kinesics.engine import figures, image_figures
from kinesics.engine.evaluation import Evaluation
from kinesics.engine.metric_names import CALIBRATED, describe
from kinesics.engine.page import Picture, Section, details, escape, table_html
from kinesics.metrics import calibration, classification
from kinesics.metrics.distribution import MEASURES

Pixels = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Positions (M,) in the evaluation -> their images (M, H, W, C) uint8, C = 1 or 3."""

RELIABILITY_NOTE = (
    "A bar shows how often answers of that confidence are right. On the dashed line, confidence is what "
    "it says; hatched is the gap. ECE is the mean gap."
)
_SUBGROUP_COLUMNS = (
    "accuracy",
    "uar",
    "macro_f1",
    "ece_calibrated",
    "kl_calibrated",
    "ccc_valence",
    "ccc_arousal",
)
_EXAMPLES = 6
_STRIP = 9
_LONGEST_LIST = 20


def training(history: pd.DataFrame, selected_epoch: int | None) -> Section:
    """Losses and metrics over the epochs, or over the rounds of a federation."""
    pictures = []
    for panel, columns in (
        ("losses", figures.loss_columns(history)),
        ("metrics", figures.metric_columns(history)),
    ):
        if columns:
            ends = "; ".join(f"{describe(name).title} {first_and_last(history, name)}" for name in columns)
            figure = figures.learning_curves(history, (panel,), selected_epoch)
            told = f"Curves over {len(history)} {figures.clock(history)}s, first to last: {ends}."
            pictures.append(Picture(figure, told.replace("rounds", "judged rounds")))
    note = "" if selected_epoch is None else f"The dotted line marks epoch {selected_epoch}, the best on validation."
    return Section("Training", pictures, note)


def first_and_last(history: pd.DataFrame, name: str) -> str:
    """A column's first and last value as text."""
    metric = describe(name)
    return f"{metric.format(float(history[name].iloc[0]))} to {metric.format(float(history[name].iloc[-1]))}"


def confusion(evaluation: Evaluation) -> Section:
    """Heatmap and counts."""
    counts, classes = evaluation.confusion, evaluation.classes
    table = pd.DataFrame(counts, columns=list(classes))
    table.insert(0, "true \\ predicted", list(classes), allow_duplicates=True)
    errors = counts * (1 - np.eye(len(classes), dtype=np.int64))
    row, column = np.unravel_index(int(errors.argmax()), errors.shape)
    worst = ""
    if errors.any():
        worst = f" Most frequent error: {classes[row]} taken for {classes[column]}, {errors[row, column]} times."
    alt = f"Confusion matrix of {counts.sum()} samples, {np.trace(counts)} on the diagonal.{worst}"
    counted = table_html(table, "Samples by true class (row) and predicted class (column)")
    return Section(
        "Confusion matrix",
        [Picture(figures.confusion_heatmap(counts, classes), alt), details("The counts as a table", counted)],
        f"Percentages are shares of a row, that is of a true class; below them the number of samples.{worst}",
    )


def reliability(evaluation: Evaluation, title: str, *, calibrated: bool) -> Picture:
    """Reliability diagram before or after temperature scaling."""
    p, y = _judged(evaluation, calibrated)
    ece = calibration.expected_calibration_error(p, y)
    figure = figures.reliability_diagram(calibration.reliability_table(p, y), ece_before=ece, titles=(title, ""))
    return Picture(figure, f"Reliability diagram, {title}: calibration error {describe('ece').format(ece)}.")


def calibrated(evaluation: Evaluation) -> Section:
    """Reliability diagrams, and their bins as a table."""
    scaled = evaluation.temperature != 1
    parts: list[str | Picture] = [reliability(evaluation, "Before temperature scaling", calibrated=False)]
    note = RELIABILITY_NOTE
    if scaled:
        t = evaluation.temperature
        parts.append(reliability(evaluation, f"After, T = {t:.2f}", calibrated=True))
        note += f" The temperature T = {t:.3f} was fitted on validation data; answers shown below are after it."
    frame = pd.DataFrame()
    formats: dict[str, Callable[[Any], str]] = {"confidence": str}
    for when in ("before", "after") if scaled else ("before",):
        table = calibration.reliability_table(*_judged(evaluation, when == "after"))
        edges = zip(table["lower"], table["upper"], strict=True)
        frame["confidence"] = [f"{100 * low:.0f}–{100 * high:.0f} %" for low, high in edges]
        for name, form in (("count", "{:.0f}".format), ("confidence", _percent), ("accuracy", _percent)):
            frame[f"{name} {when}"] = table[name]
            formats[f"{name} {when}"] = form
    bins = table_html(frame, "Bins of the reliability diagrams", formats=formats)
    return Section("Calibration", [*parts, details("The bins as a table", bins)], note)


def _judged(evaluation: Evaluation, calibrated: bool) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Probabilities and labels of the labelled samples."""
    p = evaluation.calibrated if calibrated else evaluation.probability
    return p[evaluation.labelled], evaluation.label[evaluation.labelled]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def classes(evaluation: Evaluation) -> Section:
    """Recall, precision and F1 of each class."""
    table = classification.per_class(evaluation.confusion)
    names = ("support", "recall", "precision", "f1")
    frame = pd.DataFrame({"class": list(evaluation.classes), **{name: table[name] for name in names}})
    lowest = evaluation.classes[int(np.nanargmin(table["recall"]))]
    alt = f"Recall, precision and F1 of {len(frame)} classes, as in the table beside; lowest recall: {lowest}."
    numbers = table_html(
        frame,
        "Recall, precision and F1 of each class",
        titles={name: describe(name).title for name in names} | {"class": "Class"},
        formats={name: describe(name).format for name in names},
    )
    return Section("Classes", Picture(figures.per_class_bars(table, evaluation.classes), alt, aside=numbers))


def distances(metrics: Mapping[str, float]) -> Section:
    """The six measures of label distribution learning, before and after temperature scaling."""
    known = [describe(name) for name in MEASURES]
    frame = pd.DataFrame(
        {
            "Measure": [metric.title for metric in known],
            "Before scaling": [describe(name).format(metrics[name]) for name in MEASURES],
            "After scaling": [describe(name).format(metrics[name + CALIBRATED]) for name in MEASURES],
            "Better": ["higher" if metric.better > 0 else "lower" for metric in known],
            "What it is": [metric.meaning for metric in known],
        }
    )
    content = table_html(frame, "Means over the samples", formats={"Before scaling": str, "After scaling": str})
    note = "Predicted distributions against the true ones, as the manifest gives them (votes of raters, say)."
    return Section("Distance to the true distributions", content, note)


def subgroups(table: pd.DataFrame) -> Section:
    """One row a subgroup."""
    shown = [name for name in _SUBGROUP_COLUMNS if name in table and table[name].notna().any()]
    content = table_html(
        table[["subgroup", "n", *shown]],
        "Each subgroup measured alone; calibrated = after temperature scaling",
        titles={name: describe(name).title for name in ("n", *shown)} | {"subgroup": "Subgroup"},
        formats={name: describe(name).format for name in shown},
    )
    return Section("Subgroups", content, "Small subgroups make uncertain numbers: mind the sample counts.")


def pick_examples(evaluation: Evaluation, count: int = _EXAMPLES) -> dict[str, NDArray[np.int64]]:
    """Positions of telling samples.

    Args:
        evaluation: N samples, some labelled.
        count: samples a kind, at most.

    Returns:
        (M,) each. "right": for each predicted class in turn the most confident right answer, then the next
        ones; "wrong": the most confident wrong answers; "ambiguous": the highest `doubt`.
    """
    correct = evaluation.labelled & (evaluation.predicted == evaluation.label)
    by_confidence = np.argsort(-evaluation.calibrated.max(axis=1), kind="stable")
    right = by_confidence[correct[by_confidence]]
    answer = pd.Series(evaluation.predicted[right])
    turn = answer.groupby(answer).cumcount().to_numpy()
    return {
        "right": right[np.argsort(turn, kind="stable")][:count],
        "wrong": by_confidence[(evaluation.labelled & ~correct)[by_confidence]][:count],
        "ambiguous": np.argsort(-doubt(evaluation), kind="stable")[:count],
    }


def doubt(evaluation: Evaluation) -> NDArray[np.float64]:
    """(N,) the evaluation's uncertainty; without one the calibrated entropy divided by its maximum, ln C."""
    if evaluation.uncertainty is not None:
        return np.asarray(evaluation.uncertainty, dtype=np.float64)
    p = evaluation.calibrated
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1) / np.log(max(p.shape[1], 2))


def examples(evaluation: Evaluation, pixels: Pixels) -> list[Section]:
    """Faces: right, wrong, ambiguous, and a strip from certain to uncertain."""
    by = "its uncertainty" if evaluation.uncertainty is not None else "the entropy of its answer"
    hatched = "" if evaluation.distribution is None else " Hatched: the true distribution, where it is known."
    texts = {
        "right": ("Most confident and right", f"The surest right answers, each class in turn.{hatched}"),
        "wrong": (
            "Most confident and wrong",
            f"Either the model errs here or the label does: look before you blame one of them.{hatched}",
        ),
        "ambiguous": ("Most ambiguous", f"Where the model is least certain, by {by}.{hatched}"),
    }
    sections = [
        Section(texts[kind][0], [_example(evaluation, int(p), pixels) for p in positions], texts[kind][1])
        for kind, positions in pick_examples(evaluation).items()
        if len(positions)
    ]
    return [*sections, _strip(evaluation, pixels, by)]


def _strip(evaluation: Evaluation, pixels: Pixels, by: str) -> Section:
    order = np.argsort(doubt(evaluation), kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, _STRIP).round().astype(np.int64))]
    u = doubt(evaluation)[chosen]
    answers = [evaluation.classes[c] for c in evaluation.predicted[chosen]]
    span = f"from certain ({u.min():.2f}) to uncertain ({u.max():.2f})"
    alt = f"{len(chosen)} images {span}: {', '.join(answers)}."
    picture = Picture(image_figures.uncertainty_strip(pixels(chosen), u, answers), alt)
    note = f"Spread evenly over all samples from where the model is most certain to where it is least, by {by}."
    return Section("From certain to uncertain", picture, note)


def _example(evaluation: Evaluation, position: int, pixels: Pixels) -> Picture:
    names, p = evaluation.classes, evaluation.calibrated[position]
    caption = f"{names[int(p.argmax())]} {100 * p.max():.0f} %"
    if evaluation.label[position] >= 0:
        caption += f" · label: {names[evaluation.label[position]]}"
    true = None if evaluation.distribution is None else evaluation.distribution[[position]]
    figure = image_figures.distribution_bars(pixels(np.array([position])), p[None], names, true, columns=1)
    told = ", ".join(f"{name} {100 * v:.0f} %" for name, v in zip(names, p, strict=True) if v >= 0.05)
    return Picture(
        figure, f"Image with its predicted distribution: {told}.", f"{caption}\n{evaluation.names[position]}"
    )


def all_metrics(metrics: Mapping[str, float]) -> Section:
    """Every number, folded."""
    frame = pd.DataFrame(
        {
            "Metric": [describe(name).title for name in metrics],
            "Value": [describe(name).format(value) for name, value in metrics.items()],
            "Name in files": list(metrics),
            "What it is": [describe(name).meaning for name in metrics],
        }
    )
    content = table_html(frame, "Every number measured", formats={"Value": str})
    return Section("All numbers", details(f"Show {len(metrics)} metrics", content))


def provenance(run_info: Mapping[str, Any]) -> Section:
    """What run.json holds."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th><td>{escape(_flat(value))}</td></tr>'
        for name, value in run_info.items()
    )
    return Section("Where this comes from", f'<table class="facts"><tbody>{rows}</tbody></table>')


def _flat(value: Any) -> str:
    """A nested value of run.json on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(_flat(part) for part in value[:_LONGEST_LIST])
        return shown if len(value) <= _LONGEST_LIST else f"{shown}, … ({len(value)} in all)"
    return "–" if value is None else str(value)
