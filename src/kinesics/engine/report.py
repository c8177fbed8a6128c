"""report.html of a run and of a comparison: what was measured, drawn and shown, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kinesics.engine import figures, report_sections
from kinesics.engine.evaluation import Evaluation
from kinesics.engine.metric_names import describe
from kinesics.engine.page import Picture, Section, table_html, write_report
from kinesics.engine.report_sections import Pixels, pick_examples

__all__ = [
    "ComparedRun",
    "Picture",
    "Section",
    "comparison_report",
    "pick_examples",
    "run_report",
    "table_html",
    "write_report",
]

DEVIATION = "_std"
"""Ending of a comparison table's column that holds the deviation of the column without it."""

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
FOOTER = (
    "A face shows an expression, not what a person feels. These numbers hold for data like those named above "
    "and for no others; don't decide about people with them."
)
"""Under every page about faces."""

FOOTER_OF_NUMBERS = "These numbers hold for data like those named above and for no others."
"""Under every other page."""


@dataclass(frozen=True)
class ComparedRun:
    """One method of a comparison.

    Args:
        name: of the method, as in the table.
        history: one row an epoch, as `figures.learning_curves` takes it.
        evaluation: adds the method's reliability diagram; or None.
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
    *,
    lead: Sequence[Section] = (),
    headlines: Mapping[str, str | tuple[str, str]] | None = None,
    title: str = "",
) -> None:
    """Write the report of one run.

    Args:
        path: of the HTML file.
        run_info: what run.json holds, in any nesting; all of it is shown. "system" and "data" make the usual title,
            "split", "seed", "kinesics" and "git_commit" the line under it, "selected_epoch" (from 1) is
            marked in the curves.
        history: one row an epoch or round, as `figures.learning_curves` takes it; may be empty.
        evaluation: of the split that is reported; or named metrics alone.
        examples: gives the images of samples; without it none are shown.
        extra: sections of the system's own, shown before the full list of numbers.
        lead: sections shown between the curves and the judgement.
        headlines: shown behind the headline metrics: name -> value as text, or (value, what it means).
        title: plain text, in place of the usual one.

    Raises:
        UserError: the file can't be written.
    """
    metrics = evaluation.metrics if isinstance(evaluation, Evaluation) else dict(evaluation)
    sections = []
    if len(history):
        sections.append(report_sections.training(history, run_info.get("selected_epoch")))
    sections += lead
    if isinstance(evaluation, Evaluation):
        sections += _judgement(evaluation)
        if examples is not None and len(evaluation.label):
            sections += report_sections.examples(evaluation, examples)
    sections += [*extra, report_sections.all_metrics(metrics), report_sections.provenance(run_info)]
    tiles = _headlines(metrics) | dict(headlines or {})
    footer = FOOTER if isinstance(evaluation, Evaluation) else FOOTER_OF_NUMBERS
    write_report(path, title or _title(run_info), tiles, sections, subtitle=_facts(run_info), footer=footer)


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
        table: index = methods, columns = metrics, the deviation of each, if known, in `<metric>_std`.
            Columns that aren't numbers are shown as they are.
        runs: each method's curves.
        extra: sections shown at the end.

    Raises:
        UserError: the file can't be written.
    """
    values, deviations = _split_deviations(table)
    sections = [
        Section("Results", _comparison_table(table, values, deviations), "In bold: the best of each column."),
        Section("Side by side", [_bars(values, deviations, name) for name in values.columns.astype(str)]),
    ]
    if histories := {run.name: run.history for run in runs if len(run.history)}:
        sections.append(_compared_training(histories))
    judged = [(r.name, r.evaluation) for r in runs if r.evaluation is not None and r.evaluation.labelled.any()]
    if judged:
        pictures = []
        for name, evaluation in judged:
            pictures.append(report_sections.reliability(evaluation, f"{name}, before", calibrated=False))
            after = f"{name}, T = {evaluation.temperature:.2f}"
            pictures.append(report_sections.reliability(evaluation, after, calibrated=True))
        note = f"Before and after temperature scaling. {report_sections.RELIABILITY_NOTE}"
        sections.append(Section("Calibration of each method", pictures, note))
    write_report(path, title, {}, [*sections, *extra], intro=intro, footer=FOOTER)


def _judgement(evaluation: Evaluation) -> list[Section]:
    sections = []
    if evaluation.labelled.any():
        sections += [
            report_sections.confusion(evaluation),
            report_sections.calibrated(evaluation),
            report_sections.classes(evaluation),
        ]
    if "kl" in evaluation.metrics:
        sections.append(report_sections.distances(evaluation.metrics))
    if evaluation.subgroups is not None:
        sections.append(report_sections.subgroups(evaluation.subgroups))
    return sections


def _title(run_info: Mapping[str, Any]) -> str:
    system = str(run_info.get("system", "Run"))
    return f"{system} on {run_info['data']}" if isinstance(run_info.get("data"), str) else system


def _facts(run_info: Mapping[str, Any]) -> list[str]:
    facts = {name: run_info.get(name) for name in ("split", "seed", "kinesics", "git_commit")}
    if isinstance(facts["git_commit"], str):
        facts["git_commit"] = facts["git_commit"][:12]
    return [f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value is not None]


def _headlines(metrics: Mapping[str, float]) -> dict[str, str | tuple[str, str]]:
    shown = [name for name in _HEADLINES if not np.isnan(metrics.get(name, np.nan))]
    return {describe(n).title: (describe(n).format(metrics[n]), describe(n).meaning) for n in shown}


def _split_deviations(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The metrics, and their deviations under the same names (NaN where there are none)."""
    numbers = table.select_dtypes("number").astype(float)
    of = {name: str(name).removesuffix(DEVIATION) for name in numbers}
    values = numbers[[name for name in numbers if of[name] == name or of[name] not in numbers]]
    columns = {name: numbers.get(f"{name}{DEVIATION}", pd.Series(np.nan, table.index)) for name in values}
    return values, pd.DataFrame(columns, index=table.index)


def _comparison_table(table: pd.DataFrame, values: pd.DataFrame, deviations: pd.DataFrame) -> str:
    shown = pd.DataFrame({"Method": [str(name) for name in table.index]})
    for name in table:
        if name in values:
            pairs = zip(values[name], deviations[name], strict=True)
            shown[name] = [_with_deviation(str(name), value, deviation) for value, deviation in pairs]
        elif not pd.api.types.is_numeric_dtype(table[name]):
            shown[name] = list(table[name])
    names = [str(name) for name in values]
    return table_html(
        shown,
        "Mean ± standard deviation" if deviations.notna().to_numpy().any() else "",
        titles={name: describe(name).title for name in names},
        formats=dict.fromkeys(names, str),
        best={name: figures.best_rows(values[name].to_numpy(), describe(name).better) for name in names},
    )


def _with_deviation(name: str, value: float, deviation: float) -> str:
    metric = describe(name)
    if np.isnan(value) or np.isnan(deviation):
        return metric.format(value)
    number, _, unit = metric.format(value).partition(" ")
    return f"{number} ± {metric.format(deviation).partition(' ')[0]} {unit}".rstrip()


def _bars(values: pd.DataFrame, deviations: pd.DataFrame, name: str) -> Picture:
    metric = describe(name)
    told = ", ".join(f"{method} {metric.format(value)}" for method, value in values[name].items())
    return Picture(figures.comparison_bars(values[[name]], deviations[[name]]), f"Bars of {metric.title}: {told}.")


def _compared_training(histories: Mapping[str, pd.DataFrame]) -> Section:
    pictures = []
    for name in dict.fromkeys(n for history in histories.values() for n in figures.metric_columns(history)):
        there = {run: history for run, history in histories.items() if name in history}
        told = "; ".join(f"{run} {report_sections.first_and_last(h, name)}" for run, h in there.items())
        figure = figures.compared_curves(there, name)
        pictures.append(Picture(figure, f"{describe(name).title} over the epochs: {told}."))
    for run, history in histories.items():
        if figures.loss_columns(history):
            figure = figures.learning_curves(history, ("losses",), name=run)
            pictures.append(Picture(figure, f"Losses of {run} over {len(history)} epochs."))
    return Section("Training of each method", pictures, "Losses of different methods are not on one scale.")
