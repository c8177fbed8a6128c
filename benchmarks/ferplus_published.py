"""FER+ by its own paper's protocol: eight classes, from scratch, on vote distributions.

    python benchmarks/ferplus_published.py SHEETS WORK [--recipes NAME ...] [--seeds 0] [--only-collect]

Labels follow E. Barsoum et al. (ICMI 2016; `kinesics.data.layouts.ferplus_votes`): training faces have the votes of
their leading emotions, validation and test faces one emotion with more than half of the votes. Their VGG13 reached
84.99 % on the test faces. Training faces that are identical or nearly so to a validation or test face are left out
here, so all 3,152 test faces count.

Each recipe is `configs/ferplus_published.yaml` with the flags in RECIPES, a resumable run under WORK. Results:
benchmarks/ferplus_published.csv, one row a recipe and seed; rows whose run is not under WORK stay as they are.
`accuracy_flipped` averages the answers for a face and its mirror image.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from ferplus_manifest import SPLITS, read_images, write_images

import kinesics
from kinesics.data.duplicates import find_duplicates
from kinesics.data.layouts.fer import EMOTIONS, VOTED
from kinesics.data.layouts.ferplus_votes import leading_emotions, majority_of_half
from kinesics.nn.backbones import count_parameters

HERE = Path(__file__).resolve().parent
SHIPPED = [
    "--fit.epochs", "40", "--input.augment.scale", "0.2", "--input.augment.shift", "0.12",
    "--input.face.margin", "0.087", "--input.face.shift", "-0.072", "--input.face.square", "true",
]  # fmt: skip
"""Of the model in the package, which is `shipped-wide`: crops of a detector are not FER+'s own, so zoom and shift vary
more than in the others; the face rule is `kinesics.vision.crop.DETECTED`."""
RECIPES: dict[str, list[str]] = {
    "shipped": SHIPPED,
    "shipped-wide": [*SHIPPED, "--task.backbone", "compact_wide"],
    "compact-20": ["--fit.epochs", "20"],
    "compact-40": ["--fit.epochs", "40"],
    "wide-40": ["--task.backbone", "compact_wide", "--fit.epochs", "40"],
    "wide-80": ["--task.backbone", "compact_wide", "--fit.epochs", "80"],
    "resnet18-40": ["--task.backbone", "resnet18", "--fit.epochs", "40"],
}


def write_manifest(sheets: Path, work: Path) -> Path:
    """WORK/published.csv and its pictures."""
    path = work / "published.csv"
    if path.exists():
        return path
    table = pd.read_csv(sheets / "labels.csv")
    votes = table[[f"v_{name}" for name in VOTED]].to_numpy()
    leading, judged = leading_emotions(votes), majority_of_half(votes)
    training = (table["usage"] == "Training").to_numpy()
    near = pd.Series(find_duplicates(read_images(sheets, len(table))).near)
    elsewhere = set(near[~training]) - {-1}
    kept = np.where(training, np.isfinite(leading).all(1) & ~near.isin(elsewhere), judged >= 0)
    shown = np.where(training[:, None], leading, votes[:, : len(EMOTIONS)])
    number = np.where(training, np.nan_to_num(leading).argmax(1), judged)
    found = pd.DataFrame({"path": [f"images/{i:05d}.png" for i in table["index"]], "split": table["usage"].map(SPLITS)})
    found["label"] = np.array(EMOTIONS)[np.maximum(number, 0)]
    rows = np.flatnonzero(kept)
    write_images(sheets, work, table["index"].to_numpy()[rows].tolist())
    found = found.iloc[rows]
    for place, name in enumerate(EMOTIONS):
        found[f"p_{name}"] = shown[rows, place].astype(int)
    found.to_csv(path, index=False)
    return path


def run_cell(recipe: str, seed: int, manifest: Path, out: Path, threads: int) -> None:
    """Train one recipe into `out` unless it is finished; its log lies beside it."""
    if (out / "run.json").exists() and json.loads((out / "run.json").read_text())["status"] == "finished":
        return
    command = [
        sys.executable,
        "-m",
        "kinesics",
        "train",
        "--config",
        str(HERE.parent / "configs/ferplus_published.yaml"),
    ]
    command += [*RECIPES[recipe], "--data", str(manifest), "--out", str(out), "--seed", str(seed)]
    command += ["--fit.threads", str(threads), *(["--resume"] if out.exists() else [])]
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "KINESICS_CACHE": str(manifest.parent / "cache")}
    with Path(f"{out}.log").open("a") as log:
        done = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
    print(out.name, "done" if done.returncode == 0 else f"FAILED, see {out}.log", flush=True)


def row_of(recipe: str, seed: int, out: Path, manifest: Path) -> dict[str, object]:
    """What one finished run reached on the test faces."""
    run = json.loads((out / "run.json").read_text())
    table = pd.read_csv(manifest)
    table = table[table["split"] == "test"]
    predictor = kinesics.load(out)
    pixels = [predictor.pixels(manifest.parent / path) for path in table["path"]]
    both = np.array(
        [
            [list(answer.distribution.values()) for answer in predictor(view)]
            for view in (pixels, [np.ascontiguousarray(picture[:, ::-1]) for picture in pixels])
        ]
    )
    number = table["label"].map(list(predictor.classes).index).to_numpy()
    accuracy, flipped = (float((p.argmax(1) == number).mean()) for p in (both[0], both.mean(0)))
    return {
        "recipe": recipe, "seed": seed, "train": run["data"]["train"], "test": len(table),
        "parameters": count_parameters(predictor.task), "selected_epoch": run["selected_epoch"],
        "accuracy": round(accuracy, 5), "accuracy_flipped": round(flipped, 5),
        "accuracy_last": round(run["last"]["test"]["accuracy"], 5),
        "uar": round(run["selected"]["test"]["uar"], 5),
        "kl": round(run["selected"]["test"]["kl_calibrated"], 5),
        "ece": round(run["selected"]["test"]["ece_calibrated"], 5),
        "seconds": run["seconds"], "commit": run["environment"]["git_commit"],
    }  # fmt: skip


def main() -> None:
    """Run what is missing, then bring the table up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only-collect", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "ferplus_published.csv")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    manifest = write_manifest(given.sheets, given.work)
    rows: dict[tuple[str, int], dict[str, object]] = {}
    if given.out.exists():
        for row in pd.read_csv(given.out).to_dict("records"):
            rows[row["recipe"], row["seed"]] = {str(name): value for name, value in row.items()}
    for recipe in given.recipes:
        for seed in given.seeds:
            out = given.work / "published" / f"{recipe}-{seed}"
            if not given.only_collect:
                run_cell(recipe, seed, manifest, out, given.threads)
            if (out / "model.json").exists():
                rows[recipe, seed] = row_of(recipe, seed, out, manifest)
    if rows:
        with given.out.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(next(iter(rows.values()))), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[key] for key in sorted(rows))
    print(f"{len(rows)} rows in {given.out}")


if __name__ == "__main__":
    main()
