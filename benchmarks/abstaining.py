"""Risk and coverage: how right the shipped model is where `kinesics predict --abstain SHARE` lets it answer.

    OMP_NUM_THREADS=1 python benchmarks/abstaining.py FERPLUS

FER+ PublicTest (whose uncertainties the model's deciles come from) and PrivateTest faces (see ferplus_manifest.py; near
duplicates of training images are not dropped here) whose majority of ten votes is one of seven emotions, as cropped
faces. Accuracy against the majority. Results: benchmarks/abstaining.csv.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kinesics.files import atomic_write
from kinesics.inference.abstaining import ABSTAINED, abstain, threshold_of
from kinesics.inference.predictor import load

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Measure and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ferplus", type=Path)
    given = parser.parse_args()
    model, rows = load(), []
    for usage in ("PublicTest", "PrivateTest"):
        faces, labels = read(given.ferplus, usage)
        answers = model(faces, faces="whole")
        for share in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7):
            above = threshold_of(model.calibration, share)
            said = np.array([abstain(answer, above).to_dict()["label"] for answer in answers])
            kept = said != ABSTAINED
            accuracy = (said == labels)[kept].mean()
            rows.append(
                {"split": usage, "abstain": share, "above": round(above, 3), "faces": len(said),
                 "withheld": round(float((~kept).mean()), 4), "accuracy": round(float(accuracy), 4)}
            )  # fmt: skip
            print(rows[-1], flush=True)
    with atomic_write(HERE / "abstaining.csv", "w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(folder: Path, usage: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Faces (48, 48) uint8 of a part of FER+, and the name of the majority."""
    table = pd.read_csv(folder / "labels.csv")
    names = [name for name in table if name.startswith("v_")]
    votes = table[names].to_numpy()
    chosen = np.flatnonzero((table["usage"] == usage) & (votes.argmax(1) < 7))
    sheets: dict[int, np.ndarray] = {}
    faces = []
    for index in chosen:
        number, tile = divmod(int(index), 1024)
        if number not in sheets:
            with Image.open(folder / f"sheet_{number:02d}.png") as sheet:
                sheets = {number: np.asarray(sheet)}
        top, left = tile // 32 * 48, tile % 32 * 48
        faces.append(sheets[number][top : top + 48, left : left + 48].copy())
    return faces, np.array([names[k].removeprefix("v_") for k in votes[chosen].argmax(1)])


if __name__ == "__main__":
    main()
