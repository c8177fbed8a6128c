"""What it costs the shipped model to be shown a face by another crop than that of its training.

    OMP_NUM_THREADS=1 python benchmarks/crop_jitter.py FERPLUS [--faces 1500]

FER+ PrivateTest faces (see ferplus_manifest.py) are laid, three times as large, on their mean grey. The model answers
for the true square, for squares that are larger or smaller and shifted by a share of its side in a random direction,
and for what the crop rule cuts out around the box that the default detector finds (`detected`; the row `detected, true
square` judges the same faces by their true square). Accuracy against the majority of the votes. Results:
benchmarks/crop_jitter.csv.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kinesics.files import atomic_write
from kinesics.inference.predictor import load
from kinesics.vision.crop import CropRule, cut_faces
from kinesics.vision.detectors import make_detector

HERE = Path(__file__).resolve().parent
SIDE, EDGE = 144, 48


def main() -> None:
    """Measure and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("--faces", type=int, default=1500)
    given = parser.parse_args()
    model, rng = load(), np.random.default_rng(0)
    pictures, labels = read(given.ferplus, given.faces, rng)

    def judge(crops: list[np.ndarray], truth: np.ndarray) -> float:
        answers = model.answer(np.concatenate(crops))
        return round(float(np.mean([answer.label == name for answer, name in zip(answers, truth, strict=True)])), 4)

    def cut(picture: np.ndarray, box: tuple[float, ...], rule: CropRule) -> np.ndarray:
        return cut_faces(picture, np.array([box]), rule, model.form.size, model.form.channels)

    rows: list[dict[str, object]] = []
    for scale in (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4):
        for shift in (0.0, 0.05, 0.1, 0.15):
            crops = []
            for picture in pictures:
                angle, side = rng.uniform(0, 2 * np.pi), SIDE * scale
                x = EDGE + SIDE / 2 + shift * SIDE * np.cos(angle) - side / 2
                y = EDGE + SIDE / 2 + shift * SIDE * np.sin(angle) - side / 2
                crops.append(cut(picture, (x, y, side, side), CropRule()))
            accuracy = judge(crops, labels)
            rows.append(
                {"crop": "true square", "scale": scale, "shift": shift, "faces": len(crops), "accuracy": accuracy}
            )
            print(rows[-1], flush=True)
    detector = make_detector()
    found = [(k, faces[0].box) for k, picture in enumerate(pictures) if (faces := detector(picture))]
    chosen = [k for k, _ in found]
    square = (EDGE, EDGE, SIDE, SIDE)
    for name, crops in (
        ("detected", [cut(pictures[k], box, model.rule) for k, box in found]),
        ("detected, true square", [cut(pictures[k], square, CropRule()) for k in chosen]),
    ):
        accuracy = judge(crops, labels[chosen])
        rows.append({"crop": name, "scale": "", "shift": "", "faces": len(crops), "accuracy": accuracy})
        print(rows[-1], flush=True)
    with atomic_write(HERE / "crop_jitter.csv", "w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(folder: Path, count: int, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """`count` faces of PrivateTest with an emotion as majority, enlarged on grey (240, 240, 3), and the majority's
    name."""
    table = pd.read_csv(folder / "labels.csv")
    names = [name for name in table if name.startswith("v_")]
    votes = table[names].to_numpy()
    usable = np.flatnonzero((table["usage"] == "PrivateTest") & (votes.argmax(1) < 7))
    chosen = np.sort(rng.choice(usable, min(count, len(usable)), replace=False))
    sheets: dict[int, Image.Image] = {}
    pictures = []
    for index in chosen:
        if index // 1024 not in sheets:
            sheets = {index // 1024: Image.open(folder / f"sheet_{index // 1024:02d}.png").convert("RGB")}
        left, top = index % 1024 % 32 * 48, index % 1024 // 32 * 48
        face = sheets[index // 1024].crop((left, top, left + 48, top + 48))
        canvas = np.full((SIDE + 2 * EDGE, SIDE + 2 * EDGE, 3), int(np.asarray(face).mean()), dtype=np.uint8)
        canvas[EDGE : EDGE + SIDE, EDGE : EDGE + SIDE] = face.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        pictures.append(canvas)
    return pictures, np.array([names[k].removeprefix("v_") for k in votes[chosen].argmax(1)])


if __name__ == "__main__":
    main()
