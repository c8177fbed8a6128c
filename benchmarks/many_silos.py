"""Time and memory of a federation against the number of silos, all in one process on one thread.

    OMP_NUM_THREADS=1 python benchmarks/many_silos.py [--silos 10 30 100 300 1000]

FADNet at 32 x 32 grey pixels (308,389 weights), 32 pictures a silo, batches of 16, Adam, one local step a round, an
one-way ring. Every size runs in a process of its own: `build_s` makes the silos, `round_ms` is the median of three
whole rounds (mixing and every silo's step) in processor time, `mixing_ms` the mixing alone, `peak_mib` the most
resident memory, `bare_mib` that of a process with Python, PyTorch and the imports only. Results:
benchmarks/many_silos.csv, drawn in docs/images/many_silos.png.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.task import DataSpec, Task
from kinesics.federated.exchange import Compression, Exchange
from kinesics.federated.silo import gather_silos
from kinesics.federated.stack import Stack
from kinesics.systems import get_system

HERE = Path(__file__).resolve().parent
SIZE, IMAGES, BATCH = 32, 32, 16


def peak_mib() -> float:
    """Most resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(n: int) -> dict[str, float]:
    """One size."""
    torch.set_num_threads(1)
    bare, rng = peak_mib(), np.random.default_rng(0)
    data = {}
    for number in range(n):
        pixels = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 1), dtype=np.uint8)
        target = {"target": rng.uniform(-1, 1, IMAGES).astype(np.float32)}
        data[f"silo-{number}"] = Samples(pixels, np.arange(IMAGES), target, np.arange(IMAGES).astype(str), ())

    def make(n_train: int) -> Task:
        task_class = get_system("fadnet").task_class
        return task_class.build(task_class.config_class(), DataSpec((), SIZE, 1, 0.5, 0.25, n_train), AugmentConfig())

    config = FitConfig(optimizer="adam", lr=1e-3, weight_decay=0.0, schedule="constant", batch_size=BATCH, device="cpu")
    began = time.process_time()
    silos = gather_silos(make, data, config, 0, None, False, True)
    exchange = Exchange(Stack([silo.task for silo in silos]), Compression())
    for silo in silos:
        silo.optimizers = silo.task.optimizers(config)
    build = time.process_time() - began
    eye = torch.eye(n, dtype=torch.float64)
    matrix = 0.5 * eye + 0.5 * eye.roll(1, 1)
    mixing, whole = [], []
    for turn in range(4):
        began = time.process_time()
        exchange.mix(matrix)
        mixed = time.process_time()
        for silo in silos:
            silo.step(config, 10**6, torch.float32)
        if turn:  # in the first, Adam's moments are made
            mixing.append(mixed - began)
            whole.append(time.process_time() - began)
    return {
        "silos": n, "weights": exchange.stack.n_weights, "build_s": round(build, 2),
        "round_ms": round(1000 * statistics.median(whole), 1), "mixing_ms": round(1000 * statistics.median(mixing), 2),
        "ms_per_silo": round(1000 * statistics.median(whole) / n, 2), "peak_mib": round(peak_mib()),
        "bare_mib": round(bare), "mib_per_silo": round((peak_mib() - bare) / n, 2),
    }  # fmt: skip


def draw(rows: list[dict[str, float]], out: Path) -> None:
    """Round time and memory over the number of silos, both axes logarithmic, with lines of slope one."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    silos = [row["silos"] for row in rows]
    series = (
        ("round_ms", "milliseconds a round", 0.0),
        ("peak_mib", "MiB above the bare process", rows[0]["bare_mib"]),
    )
    for axis, (name, title, base) in zip(axes, series, strict=True):
        values = [row[name] - base for row in rows]
        axis.loglog(silos, values, "o-", label="measured")
        last = values[-1] / silos[-1]
        axis.loglog(silos, [last * n for n in silos], "--", color="grey", label="linear")
        axis.set(xlabel="silos", title=title)
        axis.legend(frameon=False)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Measure every size in a fresh process and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--silos", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=HERE / "many_silos.csv")
    parser.add_argument("--figure", type=Path, default=HERE.parent / "docs" / "images" / "many_silos.png")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one)))
        return
    rows = []
    for n in given.silos:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(n)], capture_output=True, text=True, check=True
        )  # fmt: skip
        rows.append(json.loads(done.stdout))
        print(rows[-1], flush=True)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, given.figure)


if __name__ == "__main__":
    main()
