"""Closed loop: FADNet trained peer to peer over the 11 silos of Gaia drives ten roads that no silo has seen.

    python benchmarks/closed_loop.py WORK [--seeds 0 1 2]

Data: 7,920 training pictures of drawn roads in 11 silos, each of one scene. Training: `federate fadnet` with its
default preset (96 x 96 grey pixels), the text's Christofides ring, 1,000 rounds of one batch of 32 in every silo. The
average of all silos then drives one lap of ten roads, each scene in turn, once under a clear noon sky and once through
all weathers and lights. A road is completed when the lap ends without the car having been more than 1 m beside it.
`expert` is the driver that made the training's truth. Results: benchmarks/closed_loop.csv, a row a road.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from kinesics.data.synthetic.road_scenes import LIGHTS, WEATHERS
from kinesics.data.synthetic.roads import write_roads

HERE = Path(__file__).resolve().parent
SKIES = {"clear noon": [], "any": ["--weather", *WEATHERS, "--light", *LIGHTS]}


def command(words: list[str], log: Path) -> None:
    """Run kinesics on one thread; its output goes into the log."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("a") as stream:
        run = [sys.executable, "-m", "kinesics", *words]
        subprocess.run(run, stdout=stream, stderr=stream, env=environment, check=True)


def main() -> None:
    """Train and drive what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=HERE / "closed_loop.csv")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    roads, log = given.work / "roads11", given.work / "closed_loop.log"
    if not (roads / "manifest.csv").exists():
        write_roads(roads, 7920, 0, 1760, seed=11, silos=11)
    tables = []
    for seed in [None, *given.seeds]:
        name = "expert" if seed is None else f"loop-{seed}"
        run = given.work / name
        if seed is not None and not (run / "silos.csv").exists():
            words = ["federate", "fadnet", "--data", str(roads / "manifest.csv"), "--out", str(run)]
            words += ["--federation.rounds", str(given.rounds), "--seed", str(seed), "--fit.threads", "1"]
            command([*words, "--network.compute_ms", "4.9", *(["--resume"] if run.exists() else [])], log)
        for sky, flags in SKIES.items():
            out = given.work / f"drives-{name}-{sky.replace(' ', '-')}"
            if not (out / "drives.csv").exists():
                driver = "expert" if seed is None else str(run)
                command(["drive", driver, "--roads", "10", "--videos", "0", "--out", str(out), *flags], log)
            table = pd.read_csv(out / "drives.csv")
            table.insert(0, "driver", "expert" if seed is None else "fadnet")
            table.insert(1, "seed", -1 if seed is None else seed)
            table.insert(2, "sky", sky)
            tables.append(table)
            done = (table["laps"] >= table["asked"]) & (table["departures"] == 0)
            print(
                f"{name}, {sky}: {done.sum()} of {len(table)} roads, {table['mean_lateral'].mean():.3f} m", flush=True
            )
    pd.concat(tables).to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
