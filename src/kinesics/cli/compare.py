"""kinesics compare: methods x conditions x schedules x seeds under one protocol, each cell a resumable run."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kinesics.cli.arguments import Parser
from kinesics.errors import UserError

EPILOG = """A study that was stopped goes on when it is started again: finished cells are not run twice, begun ones go
on where they were. In the study's folder: runs/ (a run directory a cell), manifests/ (derived ones), results.csv (a row
a cell), table.csv, table.md, the plots and report.html. Rows of results.csv whose run directory is gone are kept, and
their cells are not run again, unless --fresh. docs/studies.md describes STUDY.yaml; configs/studies/ has examples."""


def main(argv: Sequence[str]) -> int:
    """Run the verb: 0 done, 1 some cells failed."""
    parser = Parser(
        prog="kinesics compare",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, metavar="STUDY.yaml", help="what is compared, on what")
    parser.add_argument(
        "--data", action="append", default=[], metavar="[NAME=]MANIFEST", help="in place of the study's own; repeatable"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder of the study (its own `out`, else runs/NAME)"
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="in place of results.csv in that folder")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cells at a time; they share the CPU's threads (1)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD=NAME[,NAME]", help="condition=, method=, schedule= or seed="
    )
    parser.add_argument("--dry-run", action="store_true", help="list the cells and what would be done")
    parser.add_argument("--fresh", action="store_true", help="leave rows of earlier results without a run out")
    given = parser.parse_args(list(argv))
    if given.jobs < 1:
        raise UserError(f"--jobs must be at least 1; got {given.jobs}")
    from kinesics.cli.tables import print_table
    from kinesics.studies.compare import study as compare
    from kinesics.studies.compare.reading import read_study

    study = compare.with_data(read_study(given.study), given.data)
    folder = given.out or Path(study.out or f"runs/{study.name}")
    if (folder / "run.json").exists():
        raise UserError(f"--out {folder} is a run directory", hint="give another folder")
    results_file = given.results or folder / "results.csv"
    if results_file.is_dir():
        raise UserError(f"--results {results_file} is a folder", hint=f"name a file in it: {results_file}/results.csv")
    only = _only(given.only)
    if given.dry_run:
        with tempfile.TemporaryDirectory() as drafts:
            plan = compare.plan_study(study, folder, results_file, Path(drafts), only, given.fresh, given.jobs)
        states = plan.states()
        rows = [[*job.cell.key, state, str(job.recipe.data)] for job, state in zip(plan.jobs, states, strict=True)]
        print_table(
            f"{study.title}: {len(plan.jobs)} cells, {len(plan.waiting)} to run",
            ["condition", "method", "schedule", "seed", "state", "manifest"],
            rows,
        )
        return 0
    outcome = compare.run_study(study, folder, results_file, only, given.fresh, given.jobs)
    if outcome.rows:
        print_table(study.title, outcome.heads, outcome.rows)
        print(outcome.caption)
        print(f"written: {results_file}, {folder}/table.csv, table.md, report.html")
    else:
        print("no cell is finished")
    for cell, told in outcome.failed.items():
        print(f"failed: {cell.name}: {told}")
        print(f"  see {folder / 'runs' / cell.name}.log")
    return 1 if outcome.failed else 0


def _only(words: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        name, sign, values = word.partition("=")
        if not sign or not values:
            raise UserError(f"--only {word}: expected WORD=NAME, such as condition=natural or method=a,b or seed=0")
        found.setdefault(name, []).extend(values.split(","))
    return found
