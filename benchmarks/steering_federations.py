"""The text's Tables 3 and 4: DroNet and FADNet trained in one place, with a server, and peer to peer.

    python benchmarks/steering_federations.py WORK [--sessions FOLDER] [--data roads11 roads22 sessions] [--jobs 1]

Data: `sessions`, recorded drives in a simulator, a silo a session (FOLDER as `data convert --layout udacity-sessions`
reads it; left out where it is not given; the last fifth of each session is its test); `roads11` and `roads22`, drawn
roads over the 11 places of Gaia and the 22 of NWS. Systems: `--preset paper` of dronet and fadnet, but pictures of
`SIZE` pixels, whole, instead of 200, and `ROUNDS` rounds: as many passes over the data as the text's 3,000 rounds
over 39,087 pictures. Methods: cll (one place; as many steps as all silos together), sfl (server at the star's hub),
ring (the text's Christofides ring), best (the overlay that is soonest modelled to agree). A step is modelled as 4.9 ms
as published; messages are the models' own bits; access 10 Gbit/s, core 1 Gbit/s. The best overlay is the complete one
in all three; its mixing is the server's average to the last bit (`sessions`, seed 0), so it has other times and no
other errors. Rows that say so under `repeats` were not trained: they repeat those of sfl on the overlay's own clock.

Cells are data x system x method x seed, each a resumable run directory under WORK; finished cells are skipped. Results:
steering_federations.csv, a row a cell: RMSE on the test split of the average of all silos, the mean over silos of their
own models' RMSE, without the two sessions whose labels are known to be noise (`rmse_clean`), and the modelled seconds;
steering_curves.csv: the RMSE at every judged round with its modelled time.
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
import yaml

import kinesics
from kinesics.data.synthetic.roads import write_roads
from kinesics.federated.config import FederatedRecipe, NetworkConfig
from kinesics.federated.network import make_network

HERE = Path(__file__).resolve().parent
SIZE = 64
SILOS = {"sessions": 8, "roads11": 11, "roads22": 22}
ROUNDS = {"sessions": 600, "roads11": 600, "roads22": 300}
TOPOLOGY = {"sessions": "gaia", "roads11": "gaia", "roads22": "nws"}
METHODS = {
    "cll": ["--federation.mode", "cll"],
    "sfl": ["--federation.mode", "sfl"],
    "ring": ["--network.overlay", "christofides-ring"],
    "best": ["--network.overlay", "soonest-consensus"],
}
NOISY = ("avmktl_2024", "wyckliffe_2020")
BASELINES = {"constant": ["constant_steering"], "random": ["constant_steering", "--preset", "random"]}

Cell = tuple[str, str, str, int]


def prepared(name: str, work: Path, sessions: Path | None) -> Path | None:
    """The manifest of a data set, made when it is missing."""
    if name == "sessions":
        out = work / "sessions.csv"
        if sessions is not None and not out.exists():
            command = ["data", "convert", "--layout", "udacity-sessions", str(sessions), str(out)]
            subprocess.run([sys.executable, "-m", "kinesics", *command], check=True)
        return out if out.exists() else None
    folder = work / name
    if not (folder / "manifest.csv").exists():
        n = SILOS[name]
        write_roads(folder, 7920, 0, 1760, seed=SILOS[name], silos=n)
    return folder / "manifest.csv"


def run_cell(cell: Cell, manifest: Path, work: Path) -> None:
    """Train one cell unless it is finished; its log lies beside it."""
    data, system, method, seed = cell
    out = work / "runs" / "-".join(map(str, cell))
    if (out / "run.json").exists() and json.loads((out / "run.json").read_text())["status"] == "finished":
        return
    command = [sys.executable, "-m", "kinesics", "federate"]
    if system in BASELINES:
        command += [*BASELINES[system], *METHODS["cll"], "--federation.rounds", "1"]
    else:
        steps = SILOS[data] if method == "cll" else 1
        command += [system, "--preset", "paper", *METHODS[method], "--federation.rounds", str(ROUNDS[data])]
        command += ["--federation.local_steps", str(steps), "--federation.evaluate_every", "25"]
    command += ["--input.size", str(SIZE), "--input.crop", "0", "--input.valid_fraction", "0", "--fit.threads", "1"]
    command += ["--network.topology", TOPOLOGY[data], "--network.compute_ms", "4.9"]
    command += [
        "--data",
        str(manifest),
        "--out",
        str(out),
        "--seed",
        str(seed),
        *(["--resume"] if out.exists() else []),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KINESICS_CACHE": str(work / "cache")}
    with Path(f"{out}.log").open("a") as log:
        done = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False)
    print(out.name, "done" if done.returncode == 0 else f"FAILED, see {out}.log", flush=True)


def collect(work: Path, chosen: list[Cell]) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """One row a finished cell, and one a judged round."""
    rows: list[dict[str, object]] = []
    curves: list[dict[str, object]] = []
    for cell in chosen:
        out = work / "runs" / "-".join(map(str, cell))
        if not (out / "run.json").exists():
            continue
        run = json.loads((out / "run.json").read_text())
        if run["status"] != "finished":
            continue
        data, system, method, seed = cell
        metrics = pd.read_csv(out / "metrics.csv")
        last = metrics.iloc[-1]
        answers = pd.read_csv(out / "predictions.csv")
        error = (answers["predicted_angle"] - answers["target"]).to_numpy()
        kept = ~answers["path"].str.contains("|".join(NOISY)).to_numpy()
        test = run["last"]["test"]
        key = {"data": data, "system": system, "method": method, "seed": seed}
        rows.append(
            {
                **key, "rounds": int(last["round"]), "rmse": round(test["rmse"], 5),
                "rmse_clean": round(float(np.sqrt(np.square(error[kept]).mean())), 5),
                "correlation": round(test.get("correlation", float("nan")), 4),
                "rmse_silos_mean": round(run["silos_alone"]["mean"], 5), "consensus": round(last["consensus"], 5),
                "modelled_s": round(last["modelled_s"], 2), "seconds": run["seconds"],
                "commit": run["environment"]["git_commit"],
            }
        )  # fmt: skip
        if system not in BASELINES:
            for _, row in metrics.iterrows():
                curves.append(
                    {
                        **key, "round": int(row["round"]), "modelled_s": round(row["modelled_s"], 3),
                        "rmse": round(row["test/rmse"], 5), "consensus": round(row["consensus"], 5),
                    }
                )  # fmt: skip
    return rows, curves


def complete_round_s(out: Path) -> float:
    """Modelled seconds of a round over the complete overlay, with the silos and messages of a finished run."""
    config, run = yaml.safe_load((out / "config.yaml").read_text()), json.loads((out / "run.json").read_text())
    network = NetworkConfig(**{**config["network"], "overlay": "complete"})
    recipe = FederatedRecipe(config["system"], config["data"], None, network=network)
    state = kinesics.load(out).task.shared_state()
    bits = 32 * sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
    return make_network(recipe, list(run["silos"]))[1].round_ms(bits, 0.0) / 1000


def repeat_for_best(rows: list[dict[str, object]], work: Path) -> list[dict[str, object]]:
    """Rows of sfl as rows of best, for cells that have none; time runs with the complete overlay's rounds."""
    found = {(row["data"], row["system"], row["seed"]) for row in rows if row["method"] == "best"}
    extra, known = [], {}
    for row in rows:
        cell = row["data"], row["system"], row["seed"]
        if row["method"] == "sfl" and cell not in found:
            if cell not in known:
                known[cell] = complete_round_s(work / "runs" / f"{cell[0]}-{cell[1]}-sfl-{cell[2]}")
            done = float(str(row.get("rounds", row.get("round"))))
            extra.append({**row, "method": "best", "modelled_s": round(done * known[cell], 3), "repeats": "sfl"})
    return [{**row, "repeats": row.get("repeats", "")} for row in (*rows, *extra)]


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """CSV with the columns of the first row."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sessions", type=Path)
    parser.add_argument("--data", nargs="+", default=list(SILOS), choices=list(SILOS))
    parser.add_argument("--systems", nargs="*", default=["dronet", "fadnet"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only-collect", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    manifests = {name: prepared(name, given.work, given.sessions) for name in given.data}
    names = [name for name, manifest in manifests.items() if manifest is not None]
    chosen: list[Cell] = [(data, name, "cll", 0) for data in names for name in BASELINES]
    for seed, data in itertools.product(given.seeds, names):
        for system, method in itertools.product(given.systems, given.methods):
            if method != "best" or seed == 0:
                chosen.append((data, system, method, seed))
    if not given.only_collect:
        with ThreadPoolExecutor(given.jobs) as pool:
            for cell in chosen:
                pool.submit(run_cell, cell, manifests[cell[0]], given.work)
    rows, curves = collect(given.work, chosen)
    if rows and curves:
        write_table(given.out / "steering_federations.csv", repeat_for_best(rows, given.work))
        write_table(given.out / "steering_curves.csv", repeat_for_best(curves, given.work))
    print(f"{len(rows)} of {len(chosen)} cells in {given.out}")


if __name__ == "__main__":
    main()
