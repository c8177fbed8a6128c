"""From a folder of images to a trained recogniser: convert, check, train.

python examples/own_folder.py FOLDER --epochs 20

FOLDER/happiness/*.png, FOLDER/sadness/*.png, ... or the same below FOLDER/train and FOLDER/test.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import kinesics
from kinesics.data.check import check_manifest
from kinesics.data.layouts import convert


def main() -> int:
    """Convert, check, train; 1 where the check finds that training would be unsound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/own"), help="folder for manifest and run")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=48, help="side of the input in pixels")
    given = parser.parse_args()

    manifest = convert("image-folder", given.folder, given.out / "manifest.csv")
    print(f"{len(manifest)} images of {', '.join(manifest.classes)}")

    findings = check_manifest(manifest)
    for found in findings:
        print(f"{found.level}: {found.message}")
    if any(found.level == "error" for found in findings):
        print("mend these first: training on such data, or judging by it, would be unsound")
        return 1

    run = kinesics.train(
        "ldlva",
        data=given.out / "manifest.csv",
        out=given.out / "run",
        input__size=given.size,
        fit__epochs=given.epochs,
        input__augment__rotate=8.0,
        input__augment__shift=0.06,
    )
    print(f"report: {run.folder / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
