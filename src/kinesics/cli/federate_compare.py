"""kinesics federate compare: finished federations side by side, error against modelled wall-clock."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kinesics.cli.arguments import Parser

EPILOG = """Error is the metric itself where lower is better, 1 - the metric where higher is. The common level is the
lowest error that every run reaches; the time to it is the modelled clock at a run's first judged round at or below it.
--out gets compare.csv (a row each run), clock.csv (a row each judged round), clock.png and clock.svg."""


def main(argv: Sequence[str]) -> int:
    """Run the verb.

    Raises:
        UserError: bad input; the command line turns it into exit code 2.
    """
    parser = Parser(
        prog="kinesics federate compare",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directory that kinesics federate finished")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where tables and figure go")
    given = parser.parse_args(list(argv))
    from kinesics.cli.tables import print_table
    from kinesics.engine.run import Run
    from kinesics.errors import UserError
    from kinesics.federated import comparison
    from kinesics.federated.clock_figures import bits, compared_clocks, error_title

    if (given.out / "run.json").exists():
        raise UserError(f"--out {given.out} is a run directory", hint="give another folder")
    runs = [comparison.read_federation(folder) for folder in given.runs]
    comparison.check_comparable(runs)
    metric, better, level = runs[0].metric, runs[0].better, comparison.common_level(runs)
    rows, title = comparison.results(runs), error_title(metric, better)
    figure = compared_clocks(comparison.lines(runs), metric, better, level)
    results = Run(given.out)
    results.write_table("compare.csv", rows)
    results.write_table("clock.csv", comparison.clock_rows(runs))
    for kind in ("png", "svg"):
        figure.savefig(given.out / f"clock.{kind}", dpi=110)
    shown = ("run", "system", "mode", "overlay", "seed", "rounds", metric, "own_models")
    print_table(
        f"{metric} on {len(runs[0].judged)} samples of {runs[0].split}; all reach {title} {level:.4f}",
        [
            "run",
            "system",
            "mode",
            "overlay",
            "seed",
            "rounds",
            metric,
            "own models",
            "modelled s",
            "s to level",
            "sent",
        ],
        [
            [
                *(row[name] for name in shown),
                f"{row['modelled_s']:,.4g}",
                f"{row['modelled_s_to_level']:,.4g}",
                bits(row["message_bits"]),
            ]
            for row in rows
        ],
    )
    print(f"written: {given.out}/compare.csv, clock.csv, clock.png, clock.svg")
    return 0
