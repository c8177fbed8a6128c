"""results.csv: a row a finished cell, taken from its run directory; earlier rows whose run is gone are kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kinesics.data.manifest import read as read_manifest
from kinesics.engine.run import Run
from kinesics.errors import UserError
from kinesics.metrics.classification import auroc
from kinesics.studies.compare.cells import KEY, Cell, CellKey, cells, definition
from kinesics.studies.compare.config import Study
from kinesics.studies.compare.execution import Job
from kinesics.studies.compare.manifests import TRUTH, contents

log = logging.getLogger("kinesics")

MEASURES = {
    "accuracy": "accuracy", "uar": "uar", "macro_f1": "macro_f1", "kl": "kl_calibrated", "ece": "ece_calibrated",
    "nll": "nll_calibrated", "rmse": "rmse", "mae": "mae",
}  # fmt: skip
"""Stem of a column -> the metric that it holds, of `selected` and `last` weights."""

SCORES = ("label_doubt", "uncertainty")
"""Columns of samples.csv that are judged by how well they find wrong training labels."""

WORDS = (*KEY[:3], "kept", "split", "trained_in", "machine", "precision", "commit", "data", "definition")
"""Columns of results.csv that are no numbers, though a name or hexadecimal digits may look like one."""


def row_of(study: Study, job: Job) -> dict[str, Any]:
    """The row of a finished cell: what it is, its scores on the test split (else validation), doubt, cost, commit.

    Raises:
        UserError: files of the run are missing or damaged.
    """
    content = job.run.read_json("run.json")
    cell, recipe = job.cell, job.recipe
    row: dict[str, Any] = dict(zip(KEY, cell.key, strict=True))
    row["noise_share"] = study.conditions[cell.condition].noise.share
    try:
        row["n_train"] = content["data"]["train"]
        rounds = getattr(getattr(recipe, "federation", None), "rounds", None)
        row["epochs"] = recipe.fit.epochs if rounds is None else rounds
        row["selected_epoch"] = content.get("selected_epoch", "")
        for which in ("selected", "last"):
            judged = content.get(which, content["last"])  # a federation keeps the last average and selects none
            split = "test" if "test" in judged else "valid"
            row["split"] = split
            for stem, metric in MEASURES.items():
                if metric in judged.get(split, {}):
                    row[f"{stem}_{which}"] = round(float(judged[split][metric]), 6)
            if "temperature" in judged["calibration"]:
                row[f"temperature_{which}"] = round(float(judged["calibration"]["temperature"]), 4)
        row["kept"] = recipe.fit.keep if rounds is None else ""
        row |= doubt_scores(job.run, Path(recipe.data))
        row["seconds"] = content["seconds"]
        if job.trained_in:
            row["trained_in"] = job.trained_in
        machine = content["environment"]["machine"]
        on_gpu = content.get("device", "cuda") == "cuda" and machine["gpu"]
        row["machine"] = machine["gpu"] if on_gpu else machine["processor"]
        row["precision"] = content.get("precision", "")
        row["commit"] = content["environment"]["git_commit"] or ""
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{job.run.folder}/run.json doesn't describe a finished run: {error!r}") from error
    row["data"] = contents(read_manifest(Path(recipe.data)))
    row["definition"] = definition(study, cell)
    return row


def doubt_scores(run: Run, manifest: Path) -> dict[str, float]:
    """AUROC of finding wrong training labels, where the manifest keeps the true ones and some labels are wrong."""
    path = run.folder / "samples.csv"
    if not path.is_file():
        return {}
    rows = read_manifest(manifest).rows("train").table
    if TRUTH not in rows:
        return {}
    samples = pd.read_csv(path, dtype={"path": str, "label": str}, keep_default_na=False)
    truth_of = pd.Series(rows[TRUTH].to_numpy(), index=by_occurrence(rows["path"]))
    true = truth_of.reindex(by_occurrence(samples["path"])).reset_index(drop=True)
    # some rows of one path were not trained on, such as those held out: which ones can't be told
    listed, trained = rows["path"].value_counts(), samples["path"].value_counts()
    counted = samples["path"].map(listed)
    true[((counted > 1) & (counted != samples["path"].map(trained))).to_numpy()] = ""
    known = (true.fillna("") != "").to_numpy()
    wrong = (samples["label"] != true).to_numpy()[known]
    if not wrong.any() or wrong.all():
        return {}
    return {
        f"auroc_{name}": round(auroc(pd.to_numeric(samples[name]).to_numpy()[known], wrong), 6)
        for name in SCORES
        if name in samples
    }


def by_occurrence(paths: pd.Series) -> pd.MultiIndex:
    """What rows are known by: path, and how often that came before, as several faces may lie in one file."""
    return pd.MultiIndex.from_arrays([paths.to_numpy(), paths.groupby(paths).cumcount().to_numpy()])


def read_results(path: Path) -> list[dict[str, Any]]:
    """Rows of an earlier results.csv; none where there is no file.

    Raises:
        UserError: it is no such table.
    """
    if not path.is_file():
        return []
    try:
        whole = ("n_train", "epochs", "selected_epoch")
        kinds: dict[str, Any] = {**dict.fromkeys(WORDS, str), **dict.fromkeys(whole, "Int64")}
        table = pd.read_csv(path, dtype=kinds)
        as_they_are = pd.read_csv(path, dtype=str, keep_default_na=False)  # a condition may be called None
        for name in set(WORDS) & set(table):
            table[name] = as_they_are[name]
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} can't be read as CSV: {error}", hint="move it away, or give --fresh") from error
    if missing := [name for name in KEY if name not in table]:
        raise UserError(f"{path} has no column {', '.join(missing)}: is it a results.csv?", hint="give another file")
    odd = pd.to_numeric(table["seed"], errors="coerce")
    if not (odd % 1 == 0).all():
        raise UserError(f"{path}: a seed is no whole number", hint="mend it, move it away, or give --fresh")
    rows: list[dict[str, Any]] = table.astype(object).where(table.notna(), "").to_dict("records")  # type: ignore[assignment]
    return rows


def key_of(row: Mapping[str, Any]) -> CellKey:
    """Which cell a row is of."""
    return str(row["condition"]), str(row["method"]), str(row["schedule"]), int(row["seed"])


def run_of(folder: Path, row: Mapping[str, Any]) -> Run | None:
    """The finished run that a row was read out of, if it is still in the study's folder.

    Raises:
        UserError: run.json is damaged.
    """
    run = Run(folder / "runs" / Cell(*key_of(row)).name)
    if not (run.folder / "run.json").is_file():
        return None
    content = run.read_json("run.json")
    same = content.get("status") == "finished" and content.get("seconds") == row.get("seconds")
    return run if same else None


def of_study(study: Study, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the study's cells as it defines them now, in its order; others are passed over, and the log says so
    of those that another definition made."""
    by_key = {key_of(row): row for row in rows}
    found, outdated = list[dict[str, Any]](), list[str]()
    for cell in cells(study):
        row = by_key.get(cell.key)
        if row is None:
            continue
        if row.get("definition", "") in ("", definition(study, cell)):
            found.append(dict(row))
        else:
            outdated.append(cell.name)
    if outdated:
        log.warning(
            "left out of the table, as another definition of the cell made the row: %s%s",
            ", ".join(outdated[:5]),
            f" and {len(outdated) - 5} more" if len(outdated) > 5 else "",
        )
    return found


def recorded(study: Study, rows: Sequence[Mapping[str, Any]], chosen: Sequence[Cell]) -> set[Cell]:
    """The cells that earlier rows already tell of.

    Raises:
        UserError: a row was made by another definition of its cell.
    """
    by_key = {cell.key: cell for cell in chosen}
    found = set()
    for row in rows:
        cell = by_key.get(key_of(row))
        if cell is None:
            continue
        made_by = row.get("definition", "")
        if made_by and made_by != definition(study, cell):
            raise UserError(
                f"results.csv has a row of {cell.name} that was made by another definition of this cell",
                hint="--fresh leaves earlier rows out; or give another --out folder",
            )
        found.add(cell)
    return found


def refuse_other_data(rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell], data_of: Callable[[Cell], str]) -> None:
    """Make sure that rows whose runs are gone are of the data as they are now.

    Args:
        rows: earlier ones; those from before rows told their data are taken as they are.
        cells: of which only a row is left.
        data_of: cell -> `contents` of its manifest.

    Raises:
        UserError: a row was made from other data.
    """
    by_key = {cell.key: cell for cell in cells}
    for row in rows:
        cell = by_key.get(key_of(row))
        if cell is not None and row.get("data") and row["data"] != data_of(cell):
            raise UserError(
                f"results.csv has a row of {cell.name} that was made from other data than the manifest holds now",
                hint="--fresh runs cells anew whose run directories are gone; or give another --out folder",
            )


def merged(
    earlier: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], order: Sequence[Cell]
) -> list[dict[str, Any]]:
    """Earlier rows and new ones, which replace those of the same cell, in the study's order; rows of cells that the
    study doesn't have come last."""
    rows = {key_of(row): dict(row) for row in earlier} | {key_of(row): dict(row) for row in new}
    known = {cell.key: place for place, cell in enumerate(order)}
    keys = sorted(rows, key=lambda key: known.get(key, len(known)))
    names = dict.fromkeys(name for row in rows.values() for name in row)
    columns = [name for name in _ORDER if name in names] + [name for name in names if name not in _ORDER]
    return [{name: rows[key].get(name, "") for name in columns} for key in keys]


_ORDER = (
    *KEY, "noise_share", "n_train", "epochs", "selected_epoch", "kept", "split",
    *(f"{stem}_{which}" for which in ("selected", "last") for stem in (*MEASURES, "temperature")),
    *(f"auroc_{name}" for name in SCORES), "seconds", "trained_in", "machine", "precision",
    "commit", "data", "definition",
)  # fmt: skip
