"""How well `kinesics audit` finds wrong labels of FER+, against a model's own doubt and confident learning.

    python benchmarks/audit.py SHEETS WORK --seeds 0 1 2 --jobs 2
    python benchmarks/audit.py SHEETS WORK --seeds 0 --retrain 1000 2000 --drop 2000
    python benchmarks/audit.py SHEETS WORK --conditions flip30 --methods ldlva --schedule long --n-train 0 --folds 0

Cells are condition x method x seed: a training as in ferplus_noise.py (whose finished runs under WORK are used), of the
short schedule unless --schedule says otherwise, then `kinesics audit RUN --folds K`. Both go on where they were
stopped. Results: benchmarks/audit.csv, one row a score; rows of other cells that are in the file already are kept.

Conditions: natural (original FER2013 labels; a label is wrong where it differs from a FER+ majority of at least six
votes, images without such a majority are not judged) and flip30 (majority, 30 % symmetric flips; all are judged).
Scores: `doubt` is the audit's combination (`expected_wrong` is its sum over the judged labels), then every signal of
audit.csv, then `cleanlab_*`: confident learning's ranking by the cleanlab package (pip install cleanlab; used here
alone) on the same out-of-fold probabilities. The model's own doubt, 1 - p(label), is the row `model_doubt` of method
cross_entropy.

--retrain N relabels the N most doubtful samples as the audit proposes, --drop N leaves them out; plain cross-entropy
is then trained again on the corrected manifest. The test accuracy of both trainings is a row of its own, `retrain_N`
or `drop_N`; `labels_before` and `labels_after` are the shares of the training labels, judged or not, that are the
majority's.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from ferplus_manifest import read_table, write_condition, write_images
from ferplus_noise import COMMON, METHODS, SCHEDULES, run_cell

from kinesics.data.emotions import BASIC
from kinesics.metrics.classification import auroc, average_precision

HERE = Path(__file__).resolve().parent
CONDITIONS = ("natural", "flip30")
LEAST_VOTES = 6
KEYS = ("condition", "method", "seed", "n_train", "folds", "epochs", "score")
COLUMNS = (
    *KEYS, "judged", "wrong", "average_precision", "auroc", "precision_1000", "precision_5000",
    "proposals_right_1000", "expected_wrong", "accuracy_before", "accuracy_after", "labels_before", "labels_after",
    "commit",
)  # fmt: skip

Correction = tuple[str, int]
"""`retrain` or `drop`, and how many samples."""

Cell = tuple[str, str, str, int]
"""(condition, method, schedule, seed), as in ferplus_noise.py."""


def run_of(cell: Cell, work: Path, n_train: int) -> Path:
    """Where ferplus_noise.py has the run of a cell."""
    return work / "runs" / "-".join(map(str, (*cell, n_train)))


def audit_of(cell: Cell, work: Path, n_train: int, folds: int) -> Path:
    """Where its audit is."""
    return work / "audits" / (run_of(cell, work, n_train).name + ("" if folds == 4 else f"-folds{folds}"))


def command(work: Path, log: Path, *words: object) -> bool:
    """Run a verb with one thread, its output in a log; whether it ended well."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KINESICS_CACHE": str(work / "cache")}
    with log.open("a") as stream:
        whole = [sys.executable, "-m", "kinesics", *map(str, words)]
        done = subprocess.run(whole, stdout=stream, stderr=stream, env=environment, check=False)
    print(log.stem, "done" if done.returncode == 0 else f"FAILED, see {log}", flush=True)
    return done.returncode == 0


def audit_cell(
    cell: Cell, table: pd.DataFrame, work: Path, n_train: int, folds: int, corrections: list[Correction]
) -> None:
    """Train, audit, and where asked train again on corrected labels."""
    condition, _, _, seed = cell
    run_cell(cell, table, work, n_train)
    run, out = run_of(cell, work, n_train), audit_of(cell, work, n_train, folds)
    out.mkdir(parents=True, exist_ok=True)
    manifest = write_condition(table, work, condition, seed, n_train)
    if not command(work, out / "audit.log", "audit", run, "--data", manifest, "--folds", folds, "--out", out):
        return
    for correction in corrections:
        again(run, manifest, out, work, cell, folds, correction)


def corrected(manifest: Path, out: Path, correction: Correction) -> Path:
    """Where the manifest of a correction lies."""
    return manifest.with_name(f"{out.name}-{correction[0]}-{correction[1]}.csv")


def again(run: Path, manifest: Path, out: Path, work: Path, cell: Cell, folds: int, correction: Correction) -> None:
    """Plain cross-entropy on the manifest with its most doubtful labels corrected, in out/KIND-COUNT."""
    kind, count = correction
    name = f"{kind}-{count}"
    decisions, second, after = out / f"decisions-{name}.csv", out / name, corrected(manifest, out, correction)
    fresh = after.with_name(f"{after.stem}-fresh.csv")
    decisions.unlink(missing_ok=True)
    fresh.unlink(missing_ok=True)
    if kind == "drop":
        paths = pd.read_csv(out / "audit.csv")["path"].head(count)
        rows = pd.DataFrame({"path": paths, "decision": "drop", "label": "", "when": ""})
        rows.to_csv(decisions, index=False, lineterminator="\n")
    else:
        words = ("--folds", folds, "--out", out, "--propose-decisions", count, "--decisions", decisions)
        if not command(work, out / "audit.log", "audit", run, "--data", manifest, *words):
            return
    if not command(work, out / "audit.log", "data", "apply-review", manifest, decisions, fresh):
        return
    if second.exists() and not (after.exists() and after.read_bytes() == fresh.read_bytes()):
        shutil.rmtree(second)  # of an earlier audit; before its manifest goes, so that a killed run can't go on with it
    fresh.replace(after)
    if not finished(second):
        words = ["train", "cross_entropy", *COMMON, "--data", after, "--out", second, "--seed", cell[3]]
        words += ["--fit.epochs", SCHEDULES[cell[2]], *(["--resume"] if second.exists() else [])]
        command(work, out / f"{name}.log", *words)


def finished(run: Path) -> bool:
    """Whether a run directory holds a whole run."""
    return (run / "run.json").exists() and json.loads((run / "run.json").read_text())["status"] == "finished"


def collect(cell: Cell, work: Path, n_train: int, folds: int, corrections: list[Correction]) -> list[dict[str, object]]:
    """One row a score of a finished cell."""
    condition, method, schedule, seed = cell
    run, out = run_of(cell, work, n_train), audit_of(cell, work, n_train, folds)
    if not finished(run) or not (out / "audit.json").exists():
        return []
    description = json.loads((run / "run.json").read_text())
    audit = pd.read_csv(out / "audit.csv")
    manifest = pd.read_csv(work / f"{condition}-{seed}-{n_train or 'all'}.csv").set_index("path").loc[audit["path"]]
    votes = manifest[[f"p_{name}" for name in BASIC]].max(axis=1).to_numpy()
    judged = votes >= LEAST_VOTES if condition == "natural" else np.ones(len(audit), dtype=bool)
    truth = manifest["majority"].to_numpy()
    wrong, right = audit["label"].to_numpy() != truth, audit["proposed"].to_numpy() == truth
    base: dict[str, object] = {
        "condition": condition, "method": method, "seed": seed, "n_train": description["data"]["train"],
        "folds": folds, "epochs": SCHEDULES[schedule], "judged": int(judged.sum()), "wrong": int(wrong[judged].sum()),
        "commit": description["environment"]["git_commit"],
    }  # fmt: skip
    signals = [name for name in audit if name == "doubt" or name.endswith(("_doubt", "_margin", "uncertainty"))]
    scores = {name: audit[name].to_numpy() for name in signals}
    if folds:
        scores |= confident_learning(audit, run, out, description)
    rows = []
    for name, score in scores.items():
        order = np.argsort(-score[judged], kind="stable")
        found = wrong[judged][order]
        row = base | {"score": name}
        row["average_precision"] = round(average_precision(score[judged], wrong[judged]), 4)
        row["auroc"] = round(auroc(score[judged], wrong[judged]), 4)
        row |= {f"precision_{n}": round(float(found[:n].mean()), 4) for n in (1000, 5000)}
        if name == "doubt":
            row["expected_wrong"] = round(float(score[judged].sum()), 1)
            row["proposals_right_1000"] = round(float(right[judged][order][:1000].mean()), 4)
        rows.append(row)
    given = work / f"{condition}-{seed}-{n_train or 'all'}.csv"
    for kind, count in corrections:
        second = out / f"{kind}-{count}"
        if not finished(second):
            continue
        after = json.loads((second / "run.json").read_text())
        row = base | {"score": f"{kind}_{count}"}
        for name, of, labels in (
            ("before", description, given),
            ("after", after, corrected(given, out, (kind, count))),
        ):
            row[f"accuracy_{name}"] = round(of["selected"]["test"]["accuracy"], 5)
            train = pd.read_csv(labels).query("split == 'train'")
            row[f"labels_{name}"] = round(float((train["label"] == train["majority"]).mean()), 4)
        rows.append(row)
    return rows


def confident_learning(audit: pd.DataFrame, run: Path, out: Path, description: dict) -> dict[str, np.ndarray]:
    """cleanlab's label quality scores, turned over, in the order of the audit."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        sys.exit("this benchmark compares with cleanlab: pip install cleanlab")
    samples = pd.read_csv(run / "samples.csv")
    probability = np.zeros((len(samples), len(description["classes"])))
    for path in sorted((out / "folds").glob("fold-*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            probability[stored["position"]] = stored["probability"]
    label = samples["label"].map(description["classes"].index).to_numpy()
    place = pd.Series(np.arange(len(samples)), samples["path"]).loc[audit["path"]].to_numpy()
    return {
        f"cleanlab_{method}": -get_label_quality_scores(label, probability, method=method)[place]
        for method in ("self_confidence", "normalized_margin")
    }


def merge(path: Path, rows: list[dict[str, object]]) -> int:
    """Write the rows; those of the file that are of other cells or scores stay. Returns how many there are now."""
    fresh = {tuple(str(row[key]) for key in KEYS): row for row in rows}
    kept: dict[tuple[str, ...], dict[str, object]] = {}
    if path.exists():
        with path.open(newline="") as stream:
            kept = {tuple(row[key] for key in KEYS): dict(row) for row in csv.DictReader(stream)}
    both = kept | fresh
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(both.values())
    return len(both)


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--methods", nargs="+", default=["cross_entropy"], choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n-train", type=int, default=10000, help="training images; 0 for all")
    parser.add_argument("--schedule", default="short", choices=list(SCHEDULES))
    parser.add_argument("--folds", type=int, default=4, help="0 for none, and then no comparison with cleanlab")
    parser.add_argument("--retrain", type=int, nargs="+", default=[], metavar="N", help="relabel N, train again")
    parser.add_argument("--drop", type=int, nargs="+", default=[], metavar="N", help="leave N out, train again")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only-collect", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "audit.csv")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    cells = [(c, m, given.schedule, seed) for seed in given.seeds for c in given.conditions for m in given.methods]
    corrections = [("retrain", count) for count in given.retrain] + [("drop", count) for count in given.drop]
    if not given.only_collect:
        table = read_table(given.sheets)
        write_images(given.sheets, given.work, table["index"].tolist())
        with ThreadPoolExecutor(given.jobs) as pool:
            args = (table, given.work, given.n_train, given.folds, corrections)
            list(pool.map(lambda cell: audit_cell(cell, *args), cells))
    rows = [r for cell in cells for r in collect(cell, given.work, given.n_train, given.folds, corrections)]
    print(f"{merge(given.out, rows)} rows in {given.out}, {len(rows)} of them new")


if __name__ == "__main__":
    main()
