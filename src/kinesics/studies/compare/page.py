"""report.html of a study, and its plots as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kinesics.engine import figures as engine_figures
from kinesics.engine.figures import best_rows
from kinesics.engine.metric_names import describe
from kinesics.engine.page import Picture, Section, details, table_html, write_report
from kinesics.engine.report import FOOTER, FOOTER_OF_NUMBERS
from kinesics.engine.report_sections import facts_table, first_and_last
from kinesics.studies.compare import figures
from kinesics.studies.compare.cells import CellKey
from kinesics.studies.compare.config import Condition, Study
from kinesics.studies.compare.results import MEASURES
from kinesics.studies.compare.table import cell_text, heads, p_text, records, title_of, with_error

PeopleTable = tuple[list[str], list[list[str]], str]
"""Heads, rows and caption of the table for people."""


def write_page(
    folder: Path,
    study: Study,
    notes: Mapping[str, Sequence[str]],
    rows: Sequence[Mapping[str, Any]],
    table: pd.DataFrame,
    metric: str,
    people: PeopleTable,
    histories: Mapping[CellKey, Path],
) -> None:
    """Write report.html and the plots.

    Args:
        folder: of the study.
        study: read.
        notes: condition -> what was done to its manifest.
        rows: of results.csv.
        table: of `study_table`.
        metric: that differences are tested by.
        people: the table for people.
        histories: cell key -> metrics.csv, of finished cells.

    Raises:
        UserError: a file can't be written.
    """
    pictures = draw(study, table, metric)
    for name, picture in pictures.items():
        for kind in ("png", "svg"):
            picture.figure.savefig(folder / f"{name}.{kind}", dpi=110, facecolor="white")
    sections = [
        _results(study, table, condition) for condition in study.conditions if (table["condition"] == condition).any()
    ]
    sections.append(Section("Plots", list(pictures.values()), "Means over seeds; bars are standard errors."))
    if f"{metric}_difference" in table:
        sections.append(_tests(study, table, metric, people[2]))
    if curves := _curves(study, histories):
        sections.append(curves)
    sections += [_protocol(study, notes), _cells(rows)]
    numbers = metric.startswith("rmse")
    write_report(
        folder / "report.html",
        study.title,
        {"Cells": str(len(rows)), "Seeds": str(int(table["seeds"].max())), "Methods": str(table["method"].nunique())},
        sections,
        intro="\n\n".join(filter(None, (study.text, study.source))),
        footer=FOOTER_OF_NUMBERS if numbers else FOOTER,
    )


def draw(study: Study, table: pd.DataFrame, metric: str) -> dict[str, Picture]:
    """File stem -> plot: a dot plot of conditions, and noise where two shares of flips or more were measured of the
    same data; noise_1, noise_2, ... where of several.
    """
    there = set(table["condition"])
    names = {name: m.text or name for name, m in study.methods.items() if (table["method"] == name).any()}
    columns = [c for c in (metric, metric.replace("accuracy", "kl")) if c in table and table[c].notna().any()]
    columns = list(dict.fromkeys(columns))
    found = {}
    called = {name: c.text or name for name, c in study.conditions.items()}
    curves = noise_curves({name: c for name, c in study.conditions.items() if name in there})
    for number, share in enumerate(curves):
        part = table[table["condition"].isin(list(share))]
        told = "; ".join(
            f"{called[row['condition']]}: {names[row['method']]}, {row['schedule']}, "
            f"{100 * share[row['condition']]:g} %: {cell_text(row, columns[0])}"
            for row in records(part)
        )
        ends = [called[name] for name in (min(share, key=share.__getitem__), max(share, key=share.__getitem__))]
        title = " to ".join(ends) if len(curves) > 1 else ""
        figure = figures.against_noise(table, share, columns, names, title)
        stem = f"noise_{number + 1}" if len(curves) > 1 else "noise"
        found[stem] = Picture(figure, f"{title_of(columns[0])} against the share of flipped labels. {told}.")
    drawn = {name for curve in curves for name in curve}
    others = {name: text for name, text in called.items() if name in there and name not in drawn}
    for column in columns if others else []:
        part = table[table["condition"].isin(list(others))]
        told = "; ".join(
            f"{others[row['condition']]}, {names[row['method']]}, {row['schedule']}: {cell_text(row, column)}"
            for row in records(part)
        )
        figure = figures.by_condition(table, others, column, names)
        found[f"conditions_{column}"] = Picture(figure, f"{title_of(column)} by condition and method. {told}.")
    return found


def noise_curves(conditions: Mapping[str, Condition]) -> list[dict[str, float]]:
    """Conditions that differ in the share of flipped labels alone, name -> share; only where there are two shares.

    A condition without flips belongs to every curve that is the same but for its flips, whatever their kind.
    """
    curves = []
    flipped = {name: c for name, c in conditions.items() if c.noise.kind != "none"}
    for kind in unique(replace(c, text="", noise=replace(c.noise, share=0.0)) for c in flipped.values()):
        share = {
            name: c.noise.share
            for name, c in conditions.items()
            if replace(c, text="", noise=replace(kind.noise if c.noise.kind == "none" else c.noise, share=0.0)) == kind
        }
        if len(set(share.values())) > 1:
            curves.append(share)
    return curves


def unique(conditions: Iterable[Condition]) -> list[Condition]:
    """Each once, in order of first appearance."""
    found: list[Condition] = []
    for condition in conditions:
        if condition not in found:
            found.append(condition)
    return found


_KINDS = {"selected": "Selected epoch", "last": "Last epoch", "": "Finding wrong training labels"}
"""Tables of a condition, by the end of a column's name."""


def _results(study: Study, table: pd.DataFrame, condition: str) -> Section:
    """A table each schedule and kind of weights: with both kinds side by side it would be wider than the page."""
    parts: list[str | Picture] = []
    shown = heads(table[table["condition"] == condition])
    for schedule in study.schedules:
        part = table[(table["condition"] == condition) & (table["schedule"] == schedule)]
        for kind, told in _KINDS.items() if len(part) else ():
            names = [name for name in shown if _kind(name) == kind]
            if not names:
                continue
            frame = pd.DataFrame({"Method": [study.methods[m].text or m for m in part["method"]]})
            best = {}
            for name in names:
                title = shown[name].removesuffix(f", {kind}")
                frame[title] = [cell_text(row, name) for row in records(part)]
                stem = name.rpartition("_")[0] if kind else "auroc"
                best[title] = best_rows(part[name].to_numpy(dtype=float), describe(MEASURES.get(stem, stem)).better)
            frame["Seeds"] = part["seeds"].to_numpy()
            caption = f"{told}, schedule {schedule}" if len(study.schedules) > 1 else told
            parts.append(table_html(frame, caption, formats=dict.fromkeys(best, str), best=best))
    note = "Mean ± standard error over seeds. In bold: the best of each column."
    return Section(study.conditions[condition].text or condition, parts, note)


def _kind(column: str) -> str:
    end = column.rpartition("_")[2]
    return end if end in _KINDS else ""


def _tests(study: Study, table: pd.DataFrame, metric: str, caption: str) -> Section:
    tests = {f"{metric}_p": "p, seeds", "mcnemar_p": "p, McNemar", "bootstrap_p": "p, bootstrap"}
    tests = {name: head for name, head in tests.items() if name in table and table[name].notna().any()}
    rows = [row for row in records(table) if row["method"] != study.baseline]
    frame = pd.DataFrame(
        {
            "Condition": [study.conditions[row["condition"]].text or row["condition"] for row in rows],
            "Schedule": [row["schedule"] for row in rows],
            "Method": [study.methods[row["method"]].text or row["method"] for row in rows],
            f"Difference, {title_of(metric)}": [
                with_error(row[f"{metric}_difference"], row[f"{metric}_difference_se"], metric, "+") for row in rows
            ],
        }
    )
    for name, head in tests.items():
        both = [(float(row[name]), float(row[f"{name}_holm"])) for row in rows]
        frame[f"{head} (Holm)"] = ["–" if np.isnan(p) else f"{p_text(p)} ({p_text(holm)})" for p, holm in both]
    if "bootstrap_low" in table:
        ends = [(row["bootstrap_low"], row["bootstrap_high"]) for row in rows]
        frame["95 % interval, samples"] = [
            "–"
            if np.isnan(low)
            else f"{with_error(low, np.nan, metric, '+')} to {with_error(high, np.nan, metric, '+')}"
            for low, high in ends
        ]
    if len(study.schedules) == 1:
        frame = frame.drop(columns="Schedule")
    base = study.methods[study.baseline].text or study.baseline
    formats = dict.fromkeys([str(c) for c in frame.columns if c not in ("Condition", "Schedule", "Method")], str)
    content = table_html(frame, f"Against {base}, paired by seed", formats=formats)
    return Section("Differences and tests", content, caption)


def _curves(study: Study, histories: Mapping[CellKey, Path]) -> Section | None:
    """Validation over the epochs, the first finished seed of each method."""
    pictures: list[str | Picture] = []
    for condition in study.conditions:
        for schedule in study.schedules:
            keys = sorted(key for key in histories if (key[0], key[2]) == (condition, schedule))
            found: dict[str, pd.DataFrame] = {}
            for name, method in study.methods.items():
                own = [key for key in keys if key[1] == name]
                if own and histories[own[0]].is_file():
                    found[method.text or name] = pd.read_csv(histories[own[0]])
            column = next((c for h in found.values() for c in engine_figures.metric_columns(h)), "")
            found = {name: history for name, history in found.items() if column in history}
            if not found:
                continue
            title = f"{study.conditions[condition].text or condition}, {schedule}"
            told = "; ".join(f"{name} {first_and_last(history, column)}" for name, history in found.items())
            figure = engine_figures.compared_curves(found, column)
            pictures.append(Picture(figure, f"{describe(column).title}, {title}, first to last: {told}.", title))
    note = "The first seed of each method, judged by the labels of the condition, noise and all."
    return Section("Training", pictures, note) if pictures else None


def _protocol(study: Study, notes: Mapping[str, Sequence[str]]) -> Section:
    conditions = {name: "; ".join(told) or "the manifest as it is" for name, told in notes.items()}
    methods = {
        name: {"system": m.system, "preset": m.preset, **m.config, **m.settings, **(m.federate or {})}
        for name, m in study.methods.items()
    }
    schedules = {name: dict(settings) or "as the methods have it" for name, settings in study.schedules.items()}
    parts: list[tuple[str, dict[str, Any]]] = [
        ("Conditions", conditions),
        ("Methods", methods),
        ("Schedules", schedules),
        ("Common", dict(study.common)),
    ]
    return Section("Protocol", [details(title, facts_table(facts)) for title, facts in parts if facts])


def _cells(rows: Sequence[Mapping[str, Any]]) -> Section:
    frame = pd.DataFrame([dict(row) for row in rows]).drop(columns=["definition"], errors="ignore")
    if "commit" in frame:
        frame["commit"] = [str(commit)[:12] for commit in frame["commit"]]
    frame = frame.astype(object).where(frame.notna() & (frame != ""), None)
    return Section("Cells", details(f"Show {len(frame)} rows of results.csv", table_html(frame)))
