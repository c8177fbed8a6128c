"""report.html of a run and of a comparison of several runs: what was measured, drawn, shown and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kinesics.engine import figures
from kinesics.engine.evaluation import Evaluation
from kinesics.engine.metric_names import CALIBRATED, describe
from kinesics.engine.page import Picture, Section, details, escape, table_html, write_report
from kinesics.metrics import calibration, classification
from kinesics.metrics.distribution import MEASURES

__all__ = [
    "ComparedRun",
    "Picture",
    "Section",
    "comparison_report",
    "run_report",
    "table_html",
    "write_report",
]

Pixels = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Positions (M,) in the evaluation -> their images (M, H, W, C) uint8, C = 1 or 3."""

DEVIATION = "_std"
"""Ending of a comparison table's column that holds the deviation of the column before it."""

_HEADLINES = (
    "accuracy",
    "uar",
    "macro_f1",
    "ece_calibrated",
    "kl_calibrated",
    "nll_calibrated",
    "rmse",
    "mae",
)
_SUBGROUP_COLUMNS = (
    "accuracy", "uar", "macro_f1", "ece", "ece_calibrated", "kl", "kl_calibrated", "ccc_valence", "ccc_arousal",
)  # fmt: skip
_FOOTER = (
    "A face shows an expression, not what a person feels. These numbers hold for data like those named above and for no "
    "others; don't decide about people with them."
)
_EXAMPLES = 6


@dataclass(frozen=True)
class ComparedRun:
    """One method of a comparison.

    Args:
        name: of the method, as in the table.
        history: one row an epoch, as `figures.learning_curves` takes it.
        evaluation: adds its reliability diagram; or None.
    """

    name: str
    history: pd.DataFrame
    evaluation: Evaluation | None = None


def run_report(
    path: str | os.PathLike[str],
    run_info: Mapping[str, Any],
    history: pd.DataFrame,
    evaluation: Evaluation | Mapping[str, float],
    examples: Pixels | None = None,
    extra: Sequence[Section] = (),
) -> None:
    """Write the report of one run.

    Args:
        path: of the HTML file.
        run_info: what run.json holds, in any nesting; "system", "data", "split", "seed" and "git_commit" also go under
            the title, "selected_epoch" (from 1) is marked in the curves.
        history: one row an epoch: "epoch", "train/<loss>", "valid/<metric>"; may be empty.
        evaluation: of the split that is reported; or named metrics alone.
        examples: gives the images of samples; without it no faces are shown.
        extra: sections of the system's own, shown before the provenance.

    Raises:
        UserError: the file can't be written.
    """
    metrics = evaluation.metrics if isinstance(evaluation, Evaluation) else dict(evaluation)
    sections = []
    if len(history):
        sections.append(_training(history, run_info.get("selected_epoch")))
    if isinstance(evaluation, Evaluation):
        if evaluation.labelled.any():
            sections += [_confusion(evaluation), _calibration(evaluation), _classes(evaluation)]
        if "kl" in metrics:
            sections.append(_distances(metrics))
        if evaluation.subgroups is not None:
            sections.append(_subgroups(evaluation.subgroups))
        if examples is not None and len(evaluation.label):
            sections += _examples(evaluation, examples)
    sections += [*extra, _all_metrics(metrics), _provenance(run_info)]
    headlines = {
        describe(name).title: (describe(name).format(metrics[name]), describe(name).meaning)
        for name in _HEADLINES
        if not np.isnan(metrics.get(name, np.nan))
    }
    title = (
        f"{run_info.get('system', 'Run')} on {run_info['data']}"
        if "data" in run_info
        else str(run_info.get("system"))
    )
    facts = [
        f"{name.replace('_', ' ')} {str(run_info[name])[:12] if name == 'git_commit' else run_info[name]}"
        for name in ("split", "seed", "kinesics", "git_commit")
        if run_info.get(name) is not None
    ]
    write_report(path, title, headlines, sections, subtitle=facts, footer=_FOOTER)


def comparison_report(
    path: str | os.PathLike[str],
    title: str,
    intro: str,
    table: pd.DataFrame,
    runs: Sequence[ComparedRun],
    extra: Sequence[Section] = (),
) -> None:
    """Write the report of several methods side by side.

    Args:
        path: of the HTML file.
        title: plain text.
        intro: plain text; an empty line starts a new paragraph.
        table: index = methods, columns = metrics, each with its deviation in a column `<metric>_std` or without one.
            Other columns that aren't numbers are shown as they are.
        runs: each method's curves.
        extra: sections shown at the end.

    Raises:
        UserError: the file can't be written.
    """
    values, deviations = _split_deviations(table)
    sections = [
        Section("Results", _comparison_table(table, values, deviations), "In bold: the best of each column."),
        Section("Side by side", [_bars(values, deviations, name) for name in values]),
    ]
    histories = {run.name: run.history for run in runs if len(run.history)}
    if histories:
        sections.append(_compared_training(histories))
    judged = [
        (run.name, run.evaluation)
        for run in runs
        if run.evaluation is not None and run.evaluation.labelled.any()
    ]
    if judged:
        pictures = [_reliability(e, e.probability, "ece", f"{name}, before scaling") for name, e in judged]
        pictures += [
            _reliability(e, e.calibrated, "ece_calibrated", f"{name}, T = {e.temperature:.2f}")
            for name, e in judged
        ]
        sections.append(Section("Calibration of each method", pictures, _RELIABILITY_NOTE))
    write_report(path, title, {}, [*sections, *extra], intro=intro, footer=_FOOTER)


def pick_examples(evaluation: Evaluation, count: int = _EXAMPLES) -> dict[str, NDArray[np.int64]]:
    """Positions of telling samples.

    Args:
        evaluation: N samples, some labelled.
        count: samples a kind, at most.

    Returns:
        "right": for each predicted class in turn the most confident right answer, then the next ones; "wrong": the most
        confident wrong answers; "ambiguous": the most uncertain ones (by `uncertainty`, else by entropy). (M,) each.
    """
    confidence = evaluation.calibrated.max(axis=1)
    correct = evaluation.labelled & (evaluation.predicted == evaluation.label)
    by_confidence = np.argsort(-confidence, kind="stable")
    right = by_confidence[correct[by_confidence]]
    turn = pd.Series(evaluation.predicted[right]).groupby(evaluation.predicted[right]).cumcount().to_numpy()
    wrong = by_confidence[(evaluation.labelled & ~correct)[by_confidence]]
    return {
        "right": right[np.argsort(turn, kind="stable")][:count],
        "wrong": wrong[:count],
        "ambiguous": np.argsort(-doubt(evaluation), kind="stable")[:count],
    }


def doubt(evaluation: Evaluation) -> NDArray[np.float64]:
    """(N,) the evaluation's uncertainty; without one the calibrated entropy as a share of its maximum ln C."""
    if evaluation.uncertainty is not None:
        return np.asarray(evaluation.uncertainty, dtype=np.float64)
    p = evaluation.calibrated
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1) / np.log(max(p.shape[1], 2))


def _training(history: pd.DataFrame, selected_epoch: int | None) -> Section:
    pictures = []
    for panel, columns in (
        ("losses", figures.loss_columns(history)),
        ("metrics", figures.metric_columns(history)),
    ):
        if columns:
            ends = "; ".join(f"{describe(n).title} {_ends(history[n], n)}" for n in columns)
            figure = figures.learning_curves(history, (panel,), selected_epoch)
            pictures.append(Picture(figure, f"Curves over {len(history)} epochs, first to last: {ends}."))
    note = (
        ""
        if selected_epoch is None
        else f"The dotted line marks epoch {selected_epoch}, whose weights were kept."
    )
    return Section("Training", pictures, note)


def _ends(values: pd.Series, name: str) -> str:
    metric = describe(name)
    return f"{metric.format(float(values.iloc[0]))} to {metric.format(float(values.iloc[-1]))}"


def _confusion(evaluation: Evaluation) -> Section:
    counts, classes = evaluation.confusion, evaluation.classes
    table = pd.DataFrame(counts, columns=list(classes))
    table.insert(0, "true \\ predicted", list(classes))
    off = counts * (1 - np.eye(len(classes), dtype=np.int64))
    row, column = np.unravel_index(int(off.argmax()), off.shape)
    worst = (
        f" Most often confused: {classes[row]} taken for {classes[column]}, {off[row, column]} times."
        if off.any()
        else ""
    )
    alt = f"Confusion matrix of {counts.sum()} samples, {int(np.trace(counts))} on the diagonal.{worst} Counts follow as a table."
    return Section(
        "Confusion matrix",
        [
            Picture(figures.confusion_heatmap(counts, classes), alt),
            details(
                "The counts as a table", table_html(table, "Samples by true class (row) and predicted class")
            ),
        ],
        f"Percentages are shares of a row, that is of a true class; under them the number of samples.{worst}",
    )


_RELIABILITY_NOTE = (
    "A bar shows how often answers of that confidence are right. On the dashed line, confidence is what it says; hatched "
    "is the gap. ECE is the mean gap."
)


def _reliability(evaluation: Evaluation, probability: NDArray[Any], metric: str, title: str) -> Picture:
    known = evaluation.labelled
    table = calibration.reliability_table(probability[known], evaluation.label[known])
    ece = calibration.expected_calibration_error(probability[known], evaluation.label[known])
    alt = f"Reliability diagram, {title}: expected calibration error {describe(metric).format(ece)}."
    return Picture(figures.reliability_diagram(table, ece_before=ece, titles=(title, "")), alt)


def _calibration(evaluation: Evaluation) -> Section:
    known = evaluation.labelled
    y = evaluation.label[known]
    parts: list[str | Picture] = [
        _reliability(evaluation, evaluation.probability, "ece", "Before temperature scaling")
    ]
    tables = [("before", calibration.reliability_table(evaluation.probability[known], y))]
    note = _RELIABILITY_NOTE
    if evaluation.temperature != 1:
        title = f"After, T = {evaluation.temperature:.2f}"
        parts.append(_reliability(evaluation, evaluation.calibrated, "ece_calibrated", title))
        tables.append(("after", calibration.reliability_table(evaluation.calibrated[known], y)))
        note += f" The temperature T = {evaluation.temperature:.3f} was fitted on validation data; the answers shown elsewhere are after it."
    frame = pd.DataFrame(
        {
            "confidence": [
                f"{100 * a:.0f}–{100 * b:.0f} %"
                for a, b in zip(tables[0][1]["lower"], tables[0][1]["upper"], strict=True)
            ]
        }
    )
    formats: dict[str, Callable[[Any], str]] = {"confidence": str}
    for when, table in tables:
        for name, form in (("count", "{:.0f}".format), ("confidence", _percent), ("accuracy", _percent)):
            frame[f"{name} {when}"] = table[name]
            formats[f"{name} {when}"] = form
    parts.append(
        details("The bins as a table", table_html(frame, "Bins of the reliability diagrams", formats=formats))
    )
    return Section("Calibration", parts, note)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _classes(evaluation: Evaluation) -> Section:
    table = classification.per_class(evaluation.confusion)
    frame = pd.DataFrame(
        {"class": list(evaluation.classes), **{n: table[n] for n in ("support", "recall", "precision", "f1")}}
    )
    names = ("support", "recall", "precision", "f1")
    worst = evaluation.classes[int(np.nanargmin(table["recall"]))]
    picture = Picture(
        figures.per_class_bars(table, evaluation.classes),
        f"Bars of recall, precision and F1 for {len(evaluation.classes)} classes; the lowest recall is that of {worst}. "
        "The numbers follow as a table.",
    )
    return Section(
        "Classes",
        [
            picture,
            table_html(
                frame,
                "Recall, precision and F1 of each class",
                titles={n: describe(n).title for n in names} | {"class": "Class"},
                formats={n: describe(n).format for n in names},
            ),
        ],
    )


def _distances(metrics: Mapping[str, float]) -> Section:
    frame = pd.DataFrame(
        {
            "measure": [describe(name).title for name in MEASURES],
            "before": [describe(name).format(metrics[name]) for name in MEASURES],
            "after": [describe(name).format(metrics[name + CALIBRATED]) for name in MEASURES],
            "better": ["higher" if describe(name).better > 0 else "lower" for name in MEASURES],
            "meaning": [describe(name).meaning for name in MEASURES],
        }
    )
    titles = {
        "measure": "Measure",
        "before": "Before scaling",
        "after": "After scaling",
        "better": "Better",
        "meaning": "What it is",
    }
    content = table_html(
        frame, "Means over the samples", titles=titles, formats={"before": str, "after": str}
    )
    return Section(
        "Distance to the true distributions",
        content,
        "Predicted distributions against the votes of the raters.",
    )


def _subgroups(subgroups: pd.DataFrame) -> Section:
    shown = [name for name in _SUBGROUP_COLUMNS if name in subgroups and subgroups[name].notna().any()]
    content = table_html(
        subgroups[["subgroup", "n", *shown]],
        "Each subgroup measured alone",
        titles={name: describe(name).title for name in ("n", *shown)} | {"subgroup": "Subgroup"},
        formats={name: describe(name).format for name in shown},
    )
    return Section("Subgroups", content, "Small subgroups make uncertain numbers: mind the sample counts.")


def _examples(evaluation: Evaluation, examples: Pixels) -> list[Section]:
    wanted = pick_examples(evaluation)
    by = "its own uncertainty" if evaluation.uncertainty is not None else "the entropy of its answer"
    true = "" if evaluation.distribution is None else " Hatched: the votes."
    texts = {
        "right": ("Most confident and right", f"The surest right answer of each class.{true}"),
        "wrong": (
            "Most confident and wrong",
            f"Either the model errs here, or the label does: look before you blame one of them.{true}",
        ),
        "ambiguous": ("Most ambiguous", f"The samples of which the model is least certain, by {by}.{true}"),
    }
    sections = [
        Section(texts[kind][0], [_example(evaluation, int(p), examples) for p in positions], texts[kind][1])
        for kind, positions in wanted.items()
        if len(positions)
    ]
    order = np.argsort(doubt(evaluation), kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, 9).round().astype(np.int64))]
    u = doubt(evaluation)[chosen]
    captions = [evaluation.classes[c] for c in evaluation.predicted[chosen]]
    strip = Picture(
        figures.uncertainty_strip(examples(chosen), u, captions),
        f"{len(chosen)} images from the most certain ({u.min():.2f}) to the least ({u.max():.2f}), with the answers: "
        + ", ".join(captions)
        + ".",
    )
    return [
        *sections,
        Section(
            "From certain to uncertain", strip, "Evenly spread over the samples, with the answers given."
        ),
    ]


def _example(evaluation: Evaluation, position: int, examples: Pixels) -> Picture:
    p = evaluation.calibrated[position]
    answer = f"{evaluation.classes[int(p.argmax())]} {100 * p.max():.0f} %"
    label = evaluation.classes[evaluation.label[position]] if evaluation.label[position] >= 0 else None
    true = None if evaluation.distribution is None else evaluation.distribution[[position]]
    figure = figures.distribution_bars(
        examples(np.array([position])), p[None], evaluation.classes, true, columns=1
    )
    caption = f"answer: {answer}" + (f", label: {label}" if label else "")
    told = ", ".join(
        f"{name} {100 * v:.0f} %" for name, v in zip(evaluation.classes, p, strict=True) if v >= 0.05
    )
    return Picture(figure, f"Face; {caption}. Predicted: {told}.", f"{caption}\n{evaluation.names[position]}")


def _all_metrics(metrics: Mapping[str, float]) -> Section:
    frame = pd.DataFrame(
        {
            "name": list(metrics),
            "value": [describe(name).format(value) for name, value in metrics.items()],
            "title": [describe(name).title for name in metrics],
            "meaning": [describe(name).meaning for name in metrics],
        }
    )
    titles = {"name": "Name in metrics.csv", "value": "Value", "title": "Metric", "meaning": "What it is"}
    content = table_html(frame, "Every number measured", titles=titles, formats={"value": str})
    return Section("All numbers", details(f"{len(metrics)} metrics", content))


def _provenance(run_info: Mapping[str, Any]) -> Section:
    rows = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th><td>{escape(_flat(value))}</td></tr>'
        for name, value in run_info.items()
    )
    return Section(
        "Where this comes from",
        f'<div class="scroll"><table class="facts"><tbody>{rows}</tbody></table></div>',
    )


def _flat(value: Any) -> str:
    """A nested value of run.json on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_flat(part) for part in value)
    return "–" if value is None else str(value)


def _split_deviations(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numeric columns without the deviations, and the deviations under the same names (NaN where there are none)."""
    numeric = table.select_dtypes("number").astype(float)
    names = [
        name
        for name in numeric
        if not str(name).removesuffix(DEVIATION) in numeric or not str(name).endswith(DEVIATION)
    ]
    values = numeric[names]
    deviations = pd.DataFrame(
        {name: numeric.get(f"{name}{DEVIATION}", np.nan) for name in names}, index=table.index
    )
    return values, deviations


def _comparison_table(table: pd.DataFrame, values: pd.DataFrame, deviations: pd.DataFrame) -> str:
    shown = pd.DataFrame({"Method": [str(name) for name in table.index]})
    for name in table:
        if name in values:
            shown[name] = [
                _with_deviation(str(name), v, d) for v, d in zip(values[name], deviations[name], strict=True)
            ]
        elif not pd.api.types.is_numeric_dtype(table[name]):
            shown[name] = list(table[name])
    return table_html(
        shown,
        "Mean ± deviation over the seeds" if deviations.notna().any(axis=None) else "",
        titles={str(name): describe(str(name)).title for name in values},
        formats=dict.fromkeys(map(str, values), str),
        best={str(n): figures.best_rows(values[n].to_numpy(), describe(str(n)).better) for n in values},
    )


def _with_deviation(name: str, value: float, deviation: float) -> str:
    metric = describe(name)
    if np.isnan(value) or np.isnan(deviation):
        return metric.format(value)
    scale = 100 if metric.percent else 1
    unit = " %" if metric.percent else f" {metric.unit}".rstrip()
    return f"{value * scale:.{metric.digits}f} ± {deviation * scale:.{metric.digits}f}{unit}"


def _bars(values: pd.DataFrame, deviations: pd.DataFrame, name: str) -> Picture:
    metric = describe(name)
    told = ", ".join(f"{method} {metric.format(value)}" for method, value in values[name].items())
    return Picture(
        figures.comparison_bars(values[[name]], deviations[[name]]), f"Bars of {metric.title}: {told}."
    )


def _compared_training(histories: Mapping[str, pd.DataFrame]) -> Section:
    columns = list(dict.fromkeys(name for h in histories.values() for name in figures.metric_columns(h)))
    pictures = [
        Picture(
            figures.compared_curves(histories, name),
            f"{describe(name).title} over the epochs: "
            + "; ".join(f"{run} {_ends(h[name], name)}" for run, h in histories.items() if name in h)
            + ".",
        )
        for name in columns
    ]
    for run, history in histories.items():
        if figures.loss_columns(history):
            figure = figures.learning_curves(history, ("losses",))
            pictures.append(
                Picture(figure, f"Losses of {run} over {len(history)} epochs.", f"Losses of {run}")
            )
    return Section("Training of each method", pictures, "Losses of different methods are not on one scale.")
