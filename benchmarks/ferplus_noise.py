"""LDLVA against plain and smoothed cross-entropy on FER+ under natural and synthetic label noise.

    python benchmarks/ferplus_noise.py SHEETS WORK --jobs 2

Cells are condition x method x schedule x seed, each a resumable run directory under WORK; finished cells are skipped,
a killed benchmark goes on where it was. Results: benchmarks/ferplus_noise.csv, one row a cell.

Conditions: natural (original FER2013 labels), flip30 (FER+ majority, 30 % symmetric flips), clean (FER+ majority).
Training and validation labels carry the noise; test images are judged against majority and votes. Each run is made with
one thread. `kl` is the mean KL from the votes' shares (seven emotions) to the answer after temperature scaling, fitted
on the noisy validation labels; `auroc_label_doubt` says how well `label_doubt` of samples.csv finds training
labels that differ from the majority.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from ferplus_manifest import read_table, write_condition, write_images

from kinesics.metrics.classification import auroc

HERE = Path(__file__).resolve().parent
FIRST = ["--task.uncertainty_start", "constant"]
"""Lambda starts at .5: benchmarks/noise_study.py has the fitted start, which came after this benchmark."""
METHODS = {
    "cross_entropy": ["cross_entropy"],
    "smoothed": ["cross_entropy", "--preset", "smoothed"],
    "ldlva": ["ldlva", *FIRST],
}
ASIDE = {
    "ldlva_forward": ["ldlva", *FIRST, "--task.neighbours", "forward"],
    "ldlva_votes": ["ldlva", *FIRST, "--task.source", "votes"],
}
"""Shown beside the comparison, not part of it: forwarded neighbours against the bank (short schedule), and on natural
labels LDLVA that is told valence-arousal by half of the training images' votes, which cross-entropy never sees."""
SCHEDULES = {"short": 10, "long": 30}
COMMON = ["--config", str(HERE.parent / "configs" / "ferplus_common.yaml"), "--fit.threads", "1"]


def cells(seeds: list[int], schedules: list[str]) -> list[tuple[str, str, str, int]]:
    """(condition, method, schedule, seed); clean training with plain cross-entropy only, as the reference."""
    grid = itertools.product(schedules, seeds, ("natural", "flip30"), METHODS)
    found = [(condition, method, schedule, seed) for schedule, seed, condition, method in grid]
    found += [("clean", "cross_entropy", schedule, seed) for schedule in schedules for seed in seeds]
    found += [("natural", "ldlva_votes", schedule, seed) for schedule in schedules for seed in seeds]
    if "short" in schedules:
        found += [(condition, "ldlva_forward", "short", seed) for seed in seeds for condition in ("natural", "flip30")]
    return found


def run_cell(cell: tuple[str, str, str, int], table: pd.DataFrame, work: Path, n_train: int) -> None:
    """Train one cell unless it is finished; its log lies beside it."""
    condition, method, schedule, seed = cell
    out = work / "runs" / "-".join(map(str, (*cell, n_train)))
    if (out / "run.json").exists() and json.loads((out / "run.json").read_text())["status"] == "finished":
        return
    manifest = write_condition(table, work, condition, seed, n_train)
    command = [sys.executable, "-m", "kinesics", "train", *(METHODS | ASIDE)[method], *COMMON, "--data", str(manifest)]
    command += ["--out", str(out), "--seed", str(seed), "--fit.epochs", str(SCHEDULES[schedule])]
    command += ["--resume"] if out.exists() else []
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KINESICS_CACHE": str(work / "cache")}
    with Path(f"{out}.log").open("a") as log:
        done = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
    print(out.name, "done" if done.returncode == 0 else f"FAILED, see {out}.log", flush=True)


def collect(work: Path, n_train: int, chosen: list[tuple[str, str, str, int]]) -> list[dict[str, object]]:
    """One row a finished cell."""
    rows: list[dict[str, object]] = []
    for cell in chosen:
        out = work / "runs" / "-".join(map(str, (*cell, n_train)))
        if not (out / "run.json").exists():
            continue
        run = json.loads((out / "run.json").read_text())
        if run["status"] != "finished":
            continue
        condition, method, schedule, seed = cell
        row: dict[str, object] = {
            "condition": condition, "method": method, "schedule": schedule, "seed": seed,
            "n_train": run["data"]["train"], "epochs": SCHEDULES[schedule], "selected_epoch": run["selected_epoch"],
        }  # fmt: skip
        for which in ("selected", "last"):
            test = run[which]["test"]
            row[f"accuracy_{which}"] = round(test["accuracy"], 5)
            row[f"kl_{which}"] = round(test["kl_calibrated"], 5)
            row[f"uar_{which}"] = round(test["uar"], 5)
            row[f"ece_{which}"] = round(test["ece_calibrated"], 5)
            row[f"temperature_{which}"] = round(run[which]["calibration"]["temperature"], 4)
        samples = pd.read_csv(out / "samples.csv")
        truth = pd.read_csv(work / f"{condition}-{seed}-{n_train or 'all'}.csv").set_index("path")["majority"]
        wrong = (samples["label"] != truth.loc[samples["path"]].to_numpy()).to_numpy()
        for name in ("label_doubt", "uncertainty"):
            value = auroc(samples[name].to_numpy(), wrong) if wrong.any() and name in samples else float("nan")
            row[f"auroc_{name}"] = round(value, 4)
        row["seconds"] = run["seconds"]
        row["commit"] = run["environment"]["git_commit"]
        rows.append(row)
    return rows


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--n-train", type=int, default=10000, help="training images; 0 for all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=[*METHODS, *ASIDE], choices=[*METHODS, *ASIDE])
    parser.add_argument("--schedules", nargs="+", default=list(SCHEDULES), choices=list(SCHEDULES))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only-collect", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "ferplus_noise.csv")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    chosen = [cell for cell in cells(given.seeds, given.schedules) if cell[1] in given.methods]
    if not given.only_collect:
        table = read_table(given.sheets)
        write_images(given.sheets, given.work, table["index"].tolist())
        with ThreadPoolExecutor(given.jobs) as pool:
            list(pool.map(lambda cell: run_cell(cell, table, given.work, given.n_train), chosen))
    rows = collect(given.work, given.n_train, chosen)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else ["condition"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} of {len(chosen)} cells in {given.out}")


if __name__ == "__main__":
    main()
