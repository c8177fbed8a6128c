"""The table of a study: a row each condition, schedule and method; means over seeds, and the baseline beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kinesics.engine.metric_names import describe
from kinesics.studies.compare.cells import CellKey
from kinesics.studies.compare.config import Study
from kinesics.studies.compare.results import MEASURES, SCORES, WORDS, key_of
from kinesics.studies.compare.statistics import holm, mcnemar, paired_bootstrap, paired_t

Answers = Mapping[CellKey, pd.Series]
"""Cell -> whether each test sample was answered rightly, by path and occurrence (or squared errors)."""

NAN = float("nan")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows by column name."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def tested_metric(rows: Sequence[Mapping[str, Any]], which: str) -> str:
    """What differences are tested by: accuracy, or rmse where numbers are learned.

    Args:
        rows: of results.csv.
        which: weights, "selected" or "last"; the others where a row has none of those.
    """
    names = {name for row in rows for name, value in row.items() if value != ""}
    wanted = [f"{stem}_{w}" for stem in ("accuracy", "rmse") for w in (which, "selected", "last")]
    return next((name for name in wanted if name in names), wanted[0])


def study_table(study: Study, rows: Sequence[Mapping[str, Any]], answers: Answers, metric: str) -> pd.DataFrame:
    """Means, errors and tests.

    Args:
        study: read.
        rows: of results.csv, of the study's cells.
        answers: of the cells whose run directories are there, by the weights of the tested metric.
        metric: that differences are tested by; see `tested_metric`.

    Returns:
        condition, method, schedule, seeds; `<column>` and `<column>_se` for every number of results.csv; for the
        tested metric, and for kl: `<column>_difference`, `_difference_se`, `_p`, `_p_holm`, of seeds in common with the
        baseline; `mcnemar_p`, `bootstrap_low`, `bootstrap_high`, `bootstrap_p`, each p with `_holm`, of test samples.
        NaN where there is nothing to tell.
    """
    by_key = {key_of(row): row for row in rows}
    compared = [metric] + [metric.replace("accuracy", "kl")] * metric.startswith("accuracy")
    measured = [c for c in columns_of(rows) if c not in ("seed", "noise_share", "epochs")]
    found: list[dict[str, Any]] = []
    for condition in study.conditions:
        for schedule in study.schedules:
            base = {k[3]: r for k, r in by_key.items() if k[:3] == (condition, study.baseline, schedule)}
            for method in study.methods:
                own = {k[3]: r for k, r in by_key.items() if k[:3] == (condition, method, schedule)}
                if not own:
                    continue
                row: dict[str, Any] = {"condition": condition, "schedule": schedule, "method": method}
                row["seeds"] = len(own)
                for name in measured:
                    values = pd.Series([_number(r.get(name)) for r in own.values()]).dropna()
                    row[name] = values.mean() if len(values) else NAN
                    row[f"{name}_se"] = values.sem() if len(values) > 1 else NAN
                if method != study.baseline:
                    for name in compared:
                        row |= _over_seeds(name, own, base)
                    seeds = sorted(set(own) & set(base))
                    row |= _over_samples(answers, (condition, method, schedule), study.baseline, seeds, metric)
                found.append(row)
    table = pd.DataFrame(found)
    for tested in [str(name) for name in table if str(name).endswith("_p")]:
        table[f"{tested}_holm"] = holm(table[tested].tolist())
    return table


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns of results.csv that hold a number in some row, in its order."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [n for n in names if any(not np.isnan(_number(row.get(n))) for row in rows) and n not in WORDS]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return NAN


def _over_seeds(name: str, own: Mapping[int, Any], base: Mapping[int, Any]) -> dict[str, float]:
    pairs = [(_number(own[s].get(name)), _number(base[s].get(name))) for s in sorted(set(own) & set(base))]
    pairs = [pair for pair in pairs if not np.isnan(pair).any()]
    if not pairs:
        return {}
    found = paired_t([a for a, _ in pairs], [b for _, b in pairs])
    return {f"{name}_difference": found.mean, f"{name}_difference_se": found.error, f"{name}_p": found.p}


def _over_samples(
    answers: Answers, key: tuple[str, str, str], baseline: str, seeds: Sequence[int], metric: str
) -> dict[str, float]:
    condition, method, schedule = key
    pairs = []
    for seed in seeds:
        own, base = answers.get((condition, method, schedule, seed)), answers.get((condition, baseline, schedule, seed))
        if own is None or base is None or set(own.index) != set(base.index):
            continue
        pairs.append((own, base.loc[own.index]))
    if not pairs or any(set(own.index) != set(pairs[0][0].index) for own, _ in pairs):
        return {}
    order = pairs[0][0].index
    first = np.stack([own.loc[order].to_numpy(dtype=float) for own, _ in pairs])
    second = np.stack([base.loc[order].to_numpy(dtype=float) for _, base in pairs])
    low, high, p = paired_bootstrap(first, second, root=metric.startswith("rmse"))
    found = {"bootstrap_low": low, "bootstrap_high": high, "bootstrap_p": p}
    if metric.startswith("accuracy"):
        found = {"mcnemar_p": mcnemar(first.ravel() > 0.5, second.ravel() > 0.5)} | found
    return found


SHOWN = (*(f"{m}_{w}" for m in ("accuracy", "kl", "ece", "uar", "rmse", "mae") for w in ("selected", "last")),)
"""Columns of the table for people, as far as they are known."""


def heads(table: pd.DataFrame) -> dict[str, str]:
    """Column -> its head, for the columns that people are shown."""
    found = {}
    for name in (*SHOWN, *(f"auroc_{score}" for score in SCORES)):
        if name in table and table[name].notna().any():
            found[name] = title_of(name)
    return found


def title_of(name: str) -> str:
    """ "accuracy_selected" -> "Accuracy, %, selected"."""
    for score, told in zip(SCORES, ("AUROC of doubt", "AUROC of uncertainty"), strict=True):
        if name == f"auroc_{score}":
            return told
    stem, _, which = name.rpartition("_")
    metric = describe(MEASURES.get(stem, stem))
    return f"{describe(stem).title}{', %' if metric.percent else ''}, {which}"


def cell_text(table_row: Mapping[str, Any], name: str) -> str:
    """ "71.23 ± 0.41"; without the error for one seed, an en dash for none."""
    value, error = _number(table_row.get(name)), _number(table_row.get(f"{name}_se"))
    return with_error(value, error, name)


def with_error(value: float, error: float, name: str, sign: str = "") -> str:
    """A value and its standard error in the digits and the unit (percent or plain) of the metric."""
    if np.isnan(value):
        return "–"
    stem = name.rpartition("_")[0]
    percent = stem in MEASURES and describe(MEASURES[stem]).percent
    factor, digits = (100.0, 2) if percent else (1.0, 4)
    text = f"{factor * value:{sign}.{digits}f}"
    return text if np.isnan(error) else f"{text} ± {factor * error:.{digits}f}"


def people_rows(
    study: Study, table: pd.DataFrame, metric: str, brief: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table for people: every number with its error, the difference and its p-values.

    Args:
        study: read.
        table: of `study_table`.
        metric: that was tested.
        brief: leave columns out, for a terminal.
    """
    shown = heads(table)
    if brief:
        shown = {name: head for name, head in shown.items() if not name.startswith(("ece", "uar", "mae"))}
    several = len(study.schedules) > 1
    top = ["condition", *(["schedule"] if several else []), "method", *shown.values(), "seeds"]
    tests = {f"{metric}_p": "p, seeds", f"{metric}_p_holm": "Holm, seeds", "mcnemar_p": "p, McNemar"}
    tests |= {"mcnemar_p_holm": "Holm, McNemar", "bootstrap_p": "p, bootstrap", "bootstrap_p_holm": "Holm, bootstrap"}
    if brief:
        tests = {name: head for name, head in tests.items() if name.endswith("holm") and "mcnemar" not in name}
    tests = {name: head for name, head in tests.items() if name in table and table[name].notna().any()}
    if f"{metric}_difference" in table:
        top += ["difference", *tests.values()]
    rows = []
    for row in records(table):
        condition, method = study.conditions[row["condition"]], study.methods[row["method"]]
        cells = [condition.text or row["condition"], *([row["schedule"]] if several else [])]
        cells += [method.text or row["method"], *(cell_text(row, name) for name in shown), str(row["seeds"])]
        if f"{metric}_difference" in table:
            difference = (_number(row.get(f"{metric}_difference")), _number(row.get(f"{metric}_difference_se")))
            cells.append(with_error(*difference, metric, "+"))
            cells += [p_text(_number(row.get(name))) for name in tests]
        rows.append([str(cell) for cell in cells])
    return top, rows


def p_text(p: float) -> str:
    """ "0.034", "< 0.001", an en dash for none."""
    if np.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def markdown(study: Study, top: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """The table as a Markdown page."""
    left = 3 if len(study.schedules) > 1 else 2
    rule = ["---" if place < left else "---:" for place in range(len(top))]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (top, rule, *rows)]
    return f"# {study.title}\n\n" + "\n".join(lines) + f"\n\n{caption}\n"


def caption_of(study: Study, metric: str) -> str:
    """What the numbers of the table are."""
    which = metric.rpartition("_")[2]
    base = study.methods[study.baseline].text or study.baseline
    return (
        f"Mean ± standard error over seeds. Differences and tests: {describe(metric.rpartition('_')[0]).title}, "
        f"{which} weights, against {base}, paired by seed. p, seeds: paired t-test over seeds; McNemar and bootstrap: "
        "over the test samples of all seeds. Holm: corrected over all comparisons of this table by the same test. "
        "selected: the epoch that is best on the validation labels of the condition, noise and all; last: the last "
        "epoch. KL, ECE and NLL are measured after each run's own temperature."
    )
