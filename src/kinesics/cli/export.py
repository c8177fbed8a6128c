"""kinesics export: write a trained run as one file that runs elsewhere, and check that it answers the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesics.cli.arguments import Parser

EPILOG = """The graph takes pixels as bytes, (batch, size, size, channels), normalises them itself and gives calibrated
probabilities, or an angle. What it takes and gives is written into the file. Exit code 1, and no file, where the graph
does not answer as the run does."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics export", description=__doc__, epilog=EPILOG)
    parser.add_argument("run", help="run directory or the name of a shipped model")
    parser.add_argument("--format", choices=("onnx", "torch-export"), default="onnx", help="onnx by default")
    parser.add_argument(
        "--int8", action="store_true", help="8-bit integers in place of floats: smaller and faster; ONNX only"
    )
    parser.add_argument(
        "--out", type=Path, help="file to write (default: model.onnx, model-int8.onnx or model.pt2 in RUN)"
    )
    parser.add_argument("--data", help="manifest of real images for the check and for --int8 (default: the run's own)")
    parser.add_argument("--last", action="store_true", help="export the last epoch's weights instead of the kept ones")
    given = parser.parse_args(list(argv))
    from kinesics.inference.export.session import export_run

    done = export_run(given.run, given.format, given.int8, given.out, given.data, given.last)
    for line in done.lines:
        print(line)
    return 0 if done.sound else 1
