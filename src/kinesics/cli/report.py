"""kinesics report: write a run's report.html anew, or the figures of its answers and its training labels."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinesics.cli.arguments import Parser
from kinesics.errors import UserError

EPILOG = """--figures writes, each as PNG, SVG and CSV: votes (the answers beside the annotators' votes, for
the images of the judged split on which they agree least) and uncertainty (training images of each given label, from the
least certain at the top to the most certain: by learned uncertainty, else by the doubt about the label)."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(
        prog="kinesics report",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", help="run directory")
    parser.add_argument("--figures", action="store_true", help="write the figures instead of report.html")
    parser.add_argument("--data", metavar="MANIFEST", help="where the run's manifest lies now")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the figures; RUN/figures by default")
    given = parser.parse_args(list(argv))
    from kinesics.engine.fit import predict_all
    from kinesics.engine.loading import load_data
    from kinesics.engine.run import Run
    from kinesics.inference.predictor import load

    if given.out is not None and not given.figures:
        raise UserError("--out says where figures go", hint="add --figures; report.html lies in the run directory")
    run = Run.find(given.run)
    recipe = _recipe(run.folder, given.data)
    task = load(run.folder).task
    if given.figures and task.spec.classes:  # a manifest with votes may have more classes than the run knows
        recipe = dataclasses.replace(recipe, classes=list(task.spec.classes))
    data = load_data(recipe, task.truth)
    split, samples = ("valid", data.valid) if data.test is None else ("test", data.test)
    if given.figures:
        return _figures(run, task, data.train, samples, given.out or run.folder / "figures")
    if samples is None:
        raise UserError(f"{recipe.data} has neither test nor validation rows to report on")
    description = run.read_json("run.json")
    if run.data_fingerprint() != data.splits.fingerprint:
        raise UserError(
            f"the manifest is not the one that {run.folder} was trained on",
            hint="--data says where that one lies; kinesics evaluate judges a run on another",
        )
    calibration, task.calibration = task.calibration, {}
    predictions = predict_all(task, samples, 256)
    task.calibration = calibration
    _rewrite(run, task, recipe, description, split, samples, predictions)
    print(f"written: {run.folder}/report.html")
    return 0


def _recipe(folder: Path, data: str | None) -> Any:
    from kinesics.federated.config import FederatedRecipe, add_flags
    from kinesics.systems.recipe import parse_recipe, read_recipe

    config = folder / "config.yaml"
    try:
        federated = "\nfederation:" in config.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{config} can't be read: {error}", hint="is this a run that was trained here?") from error
    if federated:
        recipe = parse_recipe(None, ["--config", str(config)], FederatedRecipe, add_flags)
    else:
        recipe = read_recipe(config)
    return recipe if data is None else dataclasses.replace(recipe, data=data)


def _rewrite(
    run: Any, task: Any, recipe: Any, description: dict[str, Any], split: str, samples: Any, predictions: Any
) -> None:
    import pandas as pd

    from kinesics.engine.session import write_report
    from kinesics.federated.report import write_report as write_federated

    def table(name: str) -> list[dict[str, Any]]:
        try:
            rows = pd.read_csv(run.folder / name).to_dict("records")
        except (OSError, ValueError) as error:
            raise UserError(f"{run.folder / name} can't be read: {error}") from error
        return [{str(key): value for key, value in row.items()} for row in rows]

    history = table("metrics.csv")
    if "silos" in description:
        silos = table("silos.csv")
        write_federated(run, task, recipe, description, history, silos, split, samples, predictions)
    else:
        write_report(run, task, description, history, split, samples, predictions)


def _figures(run: Any, task: Any, train: Any, samples: Any, out: Path) -> int:
    from kinesics.engine.fit import predict_all
    from kinesics.engine.run import Run
    from kinesics.engine.run_figures import RunFigure, beside_the_votes, by_uncertainty
    from kinesics.files import make_folder

    found: dict[str, RunFigure] = {}
    told = []
    for name in ("votes", "uncertainty"):
        try:
            if name == "uncertainty":
                found[name] = by_uncertainty(run, train)
            elif samples is not None:
                found[name] = beside_the_votes(samples, predict_all(task, samples, 256))
        except UserError as error:
            told.append(error)
    if not found:
        raise told[0] if told else UserError(f"{run.folder} has no judged samples and no training labels to show")
    make_folder(out)
    for name, drawn in found.items():
        for kind in ("png", "svg"):
            drawn.figure.savefig(out / f"{name}.{kind}", dpi=130, facecolor="white")
        rows = [{str(key): value for key, value in row.items()} for row in drawn.table.to_dict("records")]
        Run(out).write_table(f"{name}.csv", rows)
        print(f"written: {out}/{name}.png, {name}.svg, {name}.csv")
    for reason in told:
        print(f"left out: {reason.message}")
    return 0
