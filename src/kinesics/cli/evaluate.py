"""kinesics evaluate: judge a trained run on a manifest."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from kinesics.cli.arguments import Parser

EPILOG = """Models that steer are judged by RMSE and mean absolute error in the unit of the targets. For classifiers,
the temperature was fitted on the validation data of the run's own training; metrics ending in
_calibrated apply it.
--out writes evaluation.json, predictions.csv, classes.csv, confusion.csv and, with --by, subgroups.csv."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(
        prog="kinesics evaluate",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", help="run directory or the name of a shipped model")
    parser.add_argument("--data", required=True, help="manifest")
    parser.add_argument("--split", default="test", choices=("train", "valid", "test"), help="rows to judge (test)")
    parser.add_argument("--by", help="manifest column whose values make subgroups")
    parser.add_argument("--last", action="store_true", help="judge the last epoch's weights instead of the kept ones")
    parser.add_argument(
        "--on-bad-image", default="error", choices=("error", "skip"), help="stop, or leave it out (error)"
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (cpu)")
    parser.add_argument("--out", type=Path, help="folder for the results")
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    given = parser.parse_args(list(argv))
    from kinesics.cli.tables import print_table
    from kinesics.engine.evaluate import judge
    from kinesics.engine.run import Run
    from kinesics.engine.session import prediction_rows
    from kinesics.errors import UserError
    from kinesics.inference.predictor import load

    if given.out is not None and (given.out / "model.json").exists():
        raise UserError(f"--out {given.out} is a run directory, whose own files would be lost", hint="give another one")
    predictor = load(given.run, last=given.last, device=given.device)
    found = judge(predictor.task, given.data, given.split, given.by, given.on_bad_image)
    if given.json:
        print(json.dumps(found.metrics, indent=2))
    else:
        title = f"{given.run} on {given.split} of {given.data}, {len(found.samples)} samples"
        print_table(title, ["metric", "value"], [[n, v] for n, v in found.metrics.items() if "/" not in n])
        for name, columns, rows in _class_tables(found.evaluation):
            print_table(name, columns, rows)
        if found.subgroups is not None:
            wanted = [c for c in found.subgroups.columns if "/" not in c][:9]
            print_table(f"by {given.by}", wanted, found.subgroups[wanted].to_numpy().tolist())
    if given.out is not None:
        results = Run(given.out)
        results.write_json("evaluation.json", {"run": given.run, "split": given.split, "metrics": found.metrics})
        results.write_table("predictions.csv", prediction_rows(found.predictions, found.samples, given.split))
        for name, columns, table_rows in _class_tables(found.evaluation):
            named = [dict(zip(columns, row, strict=True)) for row in table_rows]
            results.write_table(f"{name.split()[0]}.csv", named)
        if found.subgroups is not None:
            names = [str(name) for name in found.subgroups.columns]
            values = found.subgroups.to_numpy().tolist()
            results.write_table("subgroups.csv", [dict(zip(names, row, strict=True)) for row in values])
    return 0


def _class_tables(evaluation: object) -> list[tuple[str, list[str], list[list[object]]]]:
    """Title, columns and rows of the per-class table and the confusion matrix of a classifier."""
    from kinesics.engine.evaluation import Evaluation
    from kinesics.metrics.classification import per_class

    if not isinstance(evaluation, Evaluation):
        return []
    counts = evaluation.confusion
    scores = per_class(counts)
    names = ["recall", "precision", "f1"]
    by_class = [
        [c, int(scores["support"][i]), *(float(scores[n][i]) for n in names)] for i, c in enumerate(evaluation.classes)
    ]
    confusion = [[c, *(int(n) for n in counts[i])] for i, c in enumerate(evaluation.classes)]
    return [
        ("classes", ["class", "samples", *names], by_class),
        ("confusion (rows: truth)", ["truth", *evaluation.classes], confusion),
    ]
