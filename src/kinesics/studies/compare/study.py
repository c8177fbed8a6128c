"""A whole study: manifests -> cells -> results.csv -> table, plots and page."""

from __future__ import annotations

import dataclasses
import functools
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kinesics.data.manifest import read as read_manifest
from kinesics.engine.config import Recipe
from kinesics.engine.run import Run
from kinesics.errors import UserError
from kinesics.files import atomic_write, make_folder
from kinesics.studies.compare import results, table
from kinesics.studies.compare.cells import Cell, CellKey, cells, recipe_of, settings_of
from kinesics.studies.compare.config import Study
from kinesics.studies.compare.execution import (
    Job,
    check_cells,
    locked,
    only_one,
    run_jobs,
    shared_trainings,
    threads_each,
)
from kinesics.studies.compare.manifests import Derived, contents, derive, source_of

log = logging.getLogger("kinesics")


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Args:
        study: read.
        folder: of the study.
        jobs: the chosen cells.
        derived: (condition, seed) -> what its cells are trained on.
        recorded: cells that only a row is left of, which are not run again.
        trainings: cell -> fingerprint of its training.
    """

    study: Study
    folder: Path
    jobs: list[Job]
    derived: dict[tuple[str, int], Derived]
    recorded: set[Cell]
    trainings: dict[Cell, str]

    def state(self, job: Job) -> str:
        """finished, begun, recorded or new."""
        state = job.state
        return "recorded" if state == "new" and job.cell in self.recorded else state

    def states(self) -> list[str]:
        """The state of each job, and where a training comes from that is not its own."""
        shared = self.shared
        return [
            self.state(job) + (f", trained in {shared[job.cell].cell.name}" if job.cell in shared else "")
            for job in self.jobs
        ]

    @property
    def waiting(self) -> list[Job]:
        """What is to be run."""
        return [job for job in self.jobs if self.state(job) in ("new", "begun")]

    @property
    def shared(self) -> dict[Cell, Job]:
        """Waiting cells that are only judged, as another's training is theirs, too -> whose."""
        jobs = [job for job in self.jobs if self.state(job) != "recorded"]
        waiting = {job.cell for job in self.waiting}
        found = shared_trainings(jobs, self.trainings)
        return {cell: leader for cell, leader in found.items() if cell in waiting}


def plan_study(
    study: Study,
    folder: Path,
    results_file: Path,
    drafts: Path,
    only: Mapping[str, Sequence[str]] | None = None,
    fresh: bool = False,
    jobs: int = 1,
) -> Plan:
    """Work out every chosen cell, with its manifest and recipe checked, before anything is trained or written.

    Args:
        study: read.
        folder: of the study.
        results_file: earlier results.
        drafts: folder for derived manifests until they are put in their place; it can go when the plan goes.
        only: see `cells`.
        fresh: leave earlier results out.
        jobs: cells at a time, which share the threads.

    Raises:
        UserError: manifests that are missing or unfit, settings that a system doesn't have, a changed definition.
    """
    chosen = cells(study, only)
    _check_sources(study, chosen)
    earlier = [] if fresh else results.read_results(results_file)
    recorded = results.recorded(study, earlier, chosen)
    read = functools.cache(read_manifest)
    derived: dict[tuple[str, int], Derived] = {}
    recipes: dict[tuple[str, str], Recipe] = {}
    found = []
    for cell in chosen:
        key = (cell.condition, cell.seed)
        if key not in derived:
            derived[key] = derive(study, cell.condition, cell.seed, folder / "manifests", drafts, read)
        data = derived[key]
        out = folder / "runs" / cell.name
        alike = (cell.method, repr((settings_of(study, cell), data.classes)))
        if alike not in recipes:  # checking settings takes a tenth of a second, and a study has hundreds of cells
            recipes[alike] = recipe_of(study, cell, data.path, data.classes, out, threads_each(jobs))
        recipe = dataclasses.replace(recipes[alike], seed=cell.seed, data=str(data.path), out=str(out))
        found.append(Job(cell, recipe))
    trainings = check_cells(found, {str(data.path): data for data in derived.values()}, recorded)
    left = [job.cell for job in found if job.cell in recorded and job.state == "new"]
    data_now = functools.cache(lambda condition, seed: contents(derived[condition, seed].read()))
    results.refuse_other_data(earlier, left, lambda cell: data_now(cell.condition, cell.seed))
    return Plan(study, folder, found, derived, recorded, trainings)


def _check_sources(study: Study, chosen: Sequence[Cell]) -> None:
    """All missing manifests in one complaint."""
    names = dict.fromkeys(cell.condition for cell in chosen)
    missing: dict[Path, list[str]] = {}
    for name in names:
        condition = study.conditions[name]
        if not condition.data and not study.data:
            raise UserError("the study names no manifest", hint="kinesics compare STUDY.yaml --data MANIFEST.csv")
        for part in (condition.data, condition.test_data)[: 2 if condition.test_data else 1]:
            path = source_of(study, part)
            if not path.is_file():
                missing.setdefault(path, []).append(name)
    if missing:
        told = "; ".join(f"{path} (condition {', '.join(users)})" for path, users in missing.items())
        named = ", ".join(name for name in study.data if name)
        raise UserError(
            f"there is no such manifest: {told}",
            hint=f"--data NAME=MANIFEST.csv says where one is (names: {named})" if named
            else "--data MANIFEST.csv says where it is",
        )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came of a study.

    Args:
        failed: cell that failed -> the last line that it printed.
        heads: of the table for people, the short one.
        rows: of it; none where no cell is finished.
        caption: what its numbers are.
    """

    failed: dict[Cell, str]
    heads: list[str]
    rows: list[list[str]]
    caption: str


def run_study(
    study: Study,
    folder: Path,
    results_file: Path,
    only: Mapping[str, Sequence[str]] | None = None,
    fresh: bool = False,
    jobs: int = 1,
) -> Outcome:
    """Run what is waiting and write everything down; also when some cells fail. results.csv grows with every cell.

    Args:
        study, folder, results_file, only, fresh, jobs: see `plan_study`.

    Raises:
        UserError: as `plan_study`; files can't be written, or another study is at work in the folder.
    """
    with only_one(folder), tempfile.TemporaryDirectory() as drafts:
        plan = plan_study(study, folder, results_file, Path(drafts), only, fresh, jobs)
        for derived in plan.derived.values():
            derived.write()
        waiting, shared = plan.waiting, plan.shared
        ours = {job.cell.key for job in plan.jobs}
        if waiting:
            told = f", {len(shared)} of them only judged" if shared else ""
            log.info("%d of %d cells to run, %d at a time%s", len(waiting), len(plan.jobs), jobs, told)
        rows, order, leave_out = list[dict[str, Any]](), cells(study), fresh

        def record(*finished: Job) -> None:
            nonlocal rows, leave_out
            new = [results.row_of(study, job) for job in finished]
            make_folder(results_file.parent)
            with locked(results_file.with_name(f".{results_file.name}.lock")):  # other studies may write there, too
                earlier = _readable(results_file) if leave_out else results.read_results(results_file)
                if leave_out:
                    others = {results.key_of(row) for row in earlier} - ours if only else set()
                    earlier = [row for row in earlier if results.key_of(row) in others or results.run_of(folder, row)]
                rows = results.merged(earlier, new, order)
                if rows:
                    Run(results_file.parent).write_table(results_file.name, rows)
                    leave_out = False

        record(*(job for job in plan.jobs if job.state == "finished"))
        failed = run_jobs(waiting, jobs, threads_each(jobs), record, plan.trainings, shared) if waiting else {}
        return _write(plan, rows, failed)


def _write(plan: Plan, rows: list[dict[str, Any]], failed: dict[Cell, str]) -> Outcome:
    """table.csv, table.md, the plots and report.html, out of what is finished."""
    from kinesics.studies.compare.page import write_page

    study = plan.study
    rows = results.of_study(study, rows)
    if not rows:
        return Outcome(failed, [], [], "")
    kept = {str(row.get("kept", "")) for row in rows} - {""}
    which = "last" if kept == {"last"} else "selected"
    metric = table.tested_metric(rows, which)
    chosen = {job.cell.key for job in plan.jobs}
    histories, answers = dict[CellKey, Path](), dict[CellKey, pd.Series]()
    for row in rows:
        key = results.key_of(row)
        try:
            if run := results.run_of(plan.folder, row):
                histories[key] = run.folder / "metrics.csv"
                if row.get("kept", "") in ("", which):
                    answers[key] = answers_of(run)
        except UserError as error:
            if key in chosen:
                raise
            log.warning("no tests over samples for %s: %s", Cell(*key).name, error.message)
    _tell_unpaired(study, answers)
    found = table.study_table(study, rows, answers, metric)
    Run(plan.folder).write_table("table.csv", table.records(found.astype(object).where(found.notna(), "")))
    heads, lines = table.people_rows(study, found, metric)
    caption = table.caption_of(study, metric)
    if on_valid := dict.fromkeys(str(row["condition"]) for row in rows if row.get("split") == "valid"):
        caption += (
            f" Without test rows, and judged on the validation rows that epochs were selected on, which is too kind: "
            f"{', '.join(on_valid)}."
        )
    with atomic_write(plan.folder / "table.md", "w") as stream:
        stream.write(table.markdown(study, heads, lines, caption))
    notes = _notes(plan, {str(row["condition"]) for row in rows})
    write_page(plan.folder, study, notes, rows, found, metric, (heads, lines, caption), histories)
    return Outcome(failed, *table.people_rows(study, found, metric, brief=True), caption)


def _tell_unpaired(study: Study, answers: Mapping[CellKey, pd.Series]) -> None:
    """Say of which cells there are no tests over samples, as they answered to others than the baseline's cell."""
    for key, own in answers.items():
        base = answers.get((key[0], study.baseline, *key[2:]))
        if base is not None and set(base.index) != set(own.index):
            log.warning(
                "no tests over samples for %s: it was judged by other samples than %s", Cell(*key).name, study.baseline
            )


def _notes(plan: Plan, conditions: set[str]) -> dict[str, list[str]]:
    """Condition -> what was done to its manifest; of those that aren't among the chosen cells, as they were told of
    before."""
    folder = Run(plan.folder / "manifests")
    try:
        found = {name: [str(note) for note in told] for name, told in folder.read_json("notes.json").items()}
    except (UserError, AttributeError, TypeError):
        found = {}
    found |= {condition: list(derived.notes) for (condition, _), derived in plan.derived.items()}
    make_folder(folder.folder)
    folder.write_json("notes.json", found)
    return {name: found[name] for name in plan.study.conditions if name in conditions & set(found)}


def _readable(path: Path) -> list[dict[str, Any]]:
    """Rows of an earlier results.csv, or none where it is damaged."""
    try:
        return results.read_results(path)
    except UserError:
        return []


def answers_of(run: Run) -> pd.Series:
    """By path and occurrence: 1.0 where the kept weights' answer to a test sample is right, 0.0 where not; squared
    errors of numbers.

    Raises:
        UserError: predictions.csv is missing or damaged.
    """
    path = run.folder / "predictions.csv"
    try:
        rows = pd.read_csv(path, dtype={"path": str, "split": str}, keep_default_na=False)
        rows = rows[rows["split"] == ("test" if (rows["split"] == "test").any() else "valid")]
        if "predicted" in rows:
            value = (rows["predicted"].astype(str) == rows["label"].astype(str)).to_numpy(dtype=float)
        else:
            value = (pd.to_numeric(rows["predicted_angle"]) - pd.to_numeric(rows["target"])).to_numpy() ** 2
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        told = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise UserError(f"{path} can't be read: {told}", hint=f"delete {run.folder} to run the cell anew") from error
    data = run.read_json("run.json").get("data")
    judged = data.get(str(rows["split"].iloc[0]) if len(rows) else "test") if isinstance(data, dict) else None
    if isinstance(judged, int) and judged != len(rows):
        raise UserError(
            f"{path} holds answers to {len(rows)} samples; the run judged {judged}",
            hint=f"delete {run.folder} to run the cell anew",
        )
    return pd.Series(np.asarray(value, dtype=float), index=results.by_occurrence(rows["path"]))


def with_data(study: Study, given: Sequence[str]) -> Study:
    """The study with manifests from the command line: MANIFEST, or NAME=MANIFEST for each of several.

    Raises:
        UserError: a name that the study doesn't have.
    """
    data = dict(study.data)
    for text in given:
        name, sign, path = text.partition("=")
        if not sign:
            name, path = "", text
        if name not in data and (sign or any(data)):
            known = ", ".join(filter(None, data)) or "none"
            raise UserError(f"--data {text}: expected NAME=MANIFEST with one of the study's names: {known}")
        data[name] = path
    return dataclasses.replace(study, data=data)
