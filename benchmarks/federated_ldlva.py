"""LDLVA across eight silos of skewed classes: FER+ with 30 % flipped labels, against one place and each silo alone.

    python benchmarks/federated_ldlva.py SHEETS WORK [--seeds 0 1 2] [--methods dfl dfl_as_one alone] [--jobs 1]

The data are condition flip30 of ferplus_noise.py: 10,000 training images, dealt to eight silos by Dirichlet shares of
every class (alpha 0.5). `dfl`: peers over the complete overlay, by size, 1,170 rounds of one batch of 32 in every
silo, 30 passes over all images. `dfl_as_one`: what brings peers nearest to one place: batches of 16 on average, shared
out by size, so that no silo sees its images more often than another (2,340 rounds of 128 images, the same passes);
teachers trained by all silos together; moments mixed; normalisation by moving averages of all silos in both passes;
running averages with the decay of one place; the rate of lambda by the size of a silo's batch. Its learning rate,
0.0085, is that of one place times the root of 4 (Adam divides by the noise of a batch of 16, not of 64) and the root of
2 (a round takes twice the images). `dfl_renorm`: the same, with moving averages in the forward pass of normalisation
alone.
`alone`: the steps of `dfl` without any exchange (`--network.overlay none`). `central`: the rows of ferplus_noise.csv of
the same seeds and 30 epochs, last epoch; its learning rate is 0.003 with batches of 64, that of `dfl` and `alone`
0.006. Clean test labels and votes judge all.

Results: benchmarks/federated_ldlva.csv, a row a cell. `accuracy` and `kl` (after temperature, fitted on noisy
validation labels): the average of all silos, or the central model; `silos_mean`, `silos_least`, `silos_most`: accuracy
of the silos' own models; `auroc_label_doubt`, `auroc_uncertainty`: how well the doubt about each training label, or
lambda, finds the flipped ones, within all silos together; `auroc_within` is the mean over silos of lambda's AUROC in
each.
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

import numpy as np
import pandas as pd
from ferplus_manifest import read_table, write_condition, write_images

from kinesics.metrics.classification import auroc

HERE = Path(__file__).resolve().parent
IMAGES = 10000
ROUNDS = {"dfl": 1170, "dfl_renorm": 2340, "dfl_as_one": 2340, "alone": 1170}
TEXT = ["--task.uncertainty_start", "constant"]
"""Lambda starts at .5, as the text has it and all rows were measured."""
AS_ONE = [
    "--network.overlay", "complete", "--federation.weighting", "size", "--federation.batches", "size",
    "--federation.preparation", "joint", "--federation.moments", "mixed", "--federation.ema", "0.995",
    "--task.uncertainty_batch", "64", "--fit.batch_size", "16", "--fit.lr", "0.0085",
]  # fmt: skip
METHODS = {
    "dfl": ["--network.overlay", "complete", "--federation.weighting", "size"],
    "dfl_renorm": [*AS_ONE, "--federation.batch_norm", "renorm"],
    "dfl_as_one": [*AS_ONE, "--federation.batch_norm", "moving"],
    "alone": ["--network.overlay", "none"],
}  # fmt: skip
COLUMNS = [
    "method", "seed", "rounds", "accuracy", "kl", "silos_mean", "silos_least", "silos_most", "auroc_label_doubt",
    "auroc_uncertainty", "auroc_within", "smallest", "largest", "seconds", "commit",
]  # fmt: skip
COMMON = [
    "--config", str(HERE.parent / "configs" / "ferplus_common.yaml"), "--fit.threads", "1", "--fit.batch_size", "32",
    "--fit.lr", "0.006", "--silos.by", "dirichlet", "--silos.n", "8", "--silos.alpha", "0.5",
]  # fmt: skip


def run_cell(method: str, seed: int, manifest: Path, work: Path) -> None:
    """Train one cell unless it is finished; its log lies beside it."""
    out = work / "federated" / f"{method}-{seed}"
    if (out / "run.json").exists() and json.loads((out / "run.json").read_text())["status"] == "finished":
        return
    command = [
        sys.executable,
        "-m",
        "kinesics",
        "federate",
        "ldlva",
        *COMMON,
        *TEXT,
        *METHODS[method],
        "--data",
        str(manifest),
    ]
    rounds = ROUNDS[method]
    judged = str(rounds if method == "alone" else rounds // 10)  # the average of silos that never meet means nothing
    command += ["--out", str(out), "--seed", str(seed), "--federation.rounds", str(rounds)]
    command += ["--federation.evaluate_every", judged]
    command += ["--resume"] if out.exists() else []
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KINESICS_CACHE": str(work / "cache")}
    with Path(f"{out}.log").open("a") as log:
        done = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
    print(out.name, "done" if done.returncode == 0 else f"FAILED, see {out}.log", flush=True)


def row_of(method: str, seed: int, manifest: Path, work: Path) -> dict[str, object] | None:
    """One finished cell."""
    out = work / "federated" / f"{method}-{seed}"
    if not (out / "run.json").exists():
        return None
    run = json.loads((out / "run.json").read_text())
    if run["status"] != "finished":
        return None
    samples = pd.read_csv(out / "samples.csv")
    truth = pd.read_csv(manifest).set_index("path")["majority"]
    wrong = samples["label"].to_numpy() != truth.loc[samples["path"]].to_numpy()
    parts = [rows for _, rows in samples.assign(wrong=wrong).groupby("silo") if rows["wrong"].nunique() == 2]
    within = [auroc(rows["uncertainty"].to_numpy(), rows["wrong"].to_numpy()) for rows in parts]
    test, alone = run["last"]["test"], run["silos_alone"]
    together = method != "alone"
    return {
        "method": method, "seed": seed, "rounds": ROUNDS[method],
        "accuracy": round(test["accuracy"], 5) if together else "",
        "kl": round(test["kl_calibrated"], 5) if together else "", "silos_mean": round(alone["mean"], 5),
        "silos_least": round(alone["least"], 5), "silos_most": round(alone["most"], 5),
        "auroc_label_doubt": round(auroc(samples["label_doubt"].to_numpy(), wrong), 4),
        "auroc_uncertainty": round(auroc(samples["uncertainty"].to_numpy(), wrong), 4),
        "auroc_within": round(float(np.mean(within)), 4), "smallest": min(run["silos"].values()),
        "largest": max(run["silos"].values()), "seconds": run["seconds"], "commit": run["environment"]["git_commit"],
    }  # fmt: skip


def central_rows(seeds: list[int]) -> list[dict[str, object]]:
    """LDLVA on all images in one place, from the benchmark of label noise."""
    table = pd.read_csv(HERE / "ferplus_noise.csv")
    part = table.query("condition == 'flip30' and method == 'ldlva' and schedule == 'long'")
    return [
        {
            "method": "central", "seed": row["seed"], "accuracy": row["accuracy_last"], "kl": row["kl_last"],
            "auroc_label_doubt": row["auroc_label_doubt"], "auroc_uncertainty": row["auroc_uncertainty"],
            "seconds": row["seconds"], "commit": row["commit"],
        }
        for _, row in part[part["seed"].isin(seeds)].iterrows()
    ]  # fmt: skip


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only-collect", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "federated_ldlva.csv")
    given = parser.parse_args()
    table = read_table(given.sheets)
    write_images(given.sheets, given.work, table["index"].tolist())
    manifests = {seed: write_condition(table, given.work, "flip30", seed, IMAGES) for seed in given.seeds}
    if not given.only_collect:
        with ThreadPoolExecutor(given.jobs) as pool:
            for method, seed in itertools.product(given.methods, given.seeds):
                pool.submit(run_cell, method, seed, manifests[seed], given.work)
    found: dict[tuple[str, int], dict[str, object]] = {}
    if given.out.exists():  # rows whose run is not under WORK stay as they are
        for kept in pd.read_csv(given.out, dtype=object, keep_default_na=False).to_dict("records"):
            found[str(kept["method"]), int(kept["seed"])] = {str(name): value for name, value in kept.items()}
    for method, seed in itertools.product(METHODS, given.seeds):
        if row := row_of(method, seed, manifests[seed], given.work):
            found[method, seed] = row
    found |= {("central", int(str(row["seed"]))): row for row in central_rows(given.seeds)}
    order = [*METHODS, "central"]
    rows = [found[key] for key in sorted(found, key=lambda key: (order.index(key[0]), key[1]))]
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} rows in {given.out}")


if __name__ == "__main__":
    main()
