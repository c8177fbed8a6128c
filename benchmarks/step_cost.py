"""What an LDLVA step costs against a plain cross-entropy step, as ratios within one run on one thread.

    python benchmarks/step_cost.py [--rounds 7]

Cells: the compact net at 48 px grey (batch 64) and ResNet-18 at 112 px RGB (batch 32); a plain step, LDLVA with its
bank, LDLVA with its neighbours forwarded (K = 8, as released). Methods alternate inside every round, so that a slow
phase of the machine hits all alike; the table gives the median over rounds of each round's ratio. A step is everything
the training loop does for a batch: fetching, augmentation, forward, backward, optimisers, averaging, bank. `data_share`
is the part spent on fetching and augmentation. Results: benchmarks/step_cost.csv.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from kinesics.data.augment import AugmentConfig
from kinesics.data.emotions import BASIC
from kinesics.data.samples import Samples
from kinesics.engine.average import Average
from kinesics.engine.config import FitConfig
from kinesics.engine.device import choose_precision
from kinesics.engine.fit import Finite, train_step
from kinesics.engine.resume import Progress
from kinesics.engine.task import DataSpec, Task
from kinesics.systems import get_system
from kinesics.systems.ldlva.neighbours import nearest

HERE = Path(__file__).resolve().parent
SETTINGS = {"compact": (48, 1, 64, 12), "resnet18": (112, 3, 32, 3)}
METHODS = {"plain": ("cross_entropy", {}), "bank": ("ldlva", {}), "forward": ("ldlva", {"neighbours": "forward"})}


class Stepper:
    """One method's training step on its own weights, timed."""

    def __init__(self, method: str, backbone: str, samples: Samples, precision: str) -> None:
        size, channels, batch, _ = SETTINGS[backbone]
        system, options = METHODS[method]
        task_class = get_system(system).task_class
        spec = DataSpec(BASIC, size, channels, 0.5, 0.25, len(samples))
        augment = AugmentConfig(flip=0.5, rotate=11, scale=0.12, shift=0.1, brightness=0.06, contrast=0.25)
        torch.manual_seed(0)
        self.task: Task = task_class.build(task_class.config_class(backbone=backbone, **options), spec, augment)
        self.task.to(memory_format=torch.channels_last)
        self.task.attach(samples)
        if system == "ldlva":
            place = np.random.default_rng(0).uniform(-1, 1, (len(samples), 2))
            self.task.neighbour_index.copy_(torch.from_numpy(nearest(place, 8)))
            self.task.neighbour_similarity.fill_(0.9)
            if options.get("neighbours") != "forward":
                self.task.bank_probability.fill_(1 / 7)
        self.config = FitConfig(batch_size=batch, precision=precision, device="cpu")
        self.optimizers = self.task.optimizers(self.config)
        self.average = Average(self.task, 0.995)
        self.samples, self.state, self.guard = samples, Progress(), Finite(samples, 0)
        self.precision = choose_precision(self.config, torch.device("cpu"))
        self.rng = np.random.default_rng(1)
        self.task.train()
        self.task.epoch_start(10)

    def __call__(self, steps: int) -> tuple[float, float]:
        """Seconds a step, and the share of them spent on data."""
        computing, began = 0.0, time.perf_counter()
        scaler = torch.amp.GradScaler(enabled=False)
        for _ in range(steps):
            chosen = self.rng.choice(len(self.samples), self.config.batch_size, replace=False)
            computing += train_step(
                self.task, self.samples, chosen, self.config, self.optimizers, 1.0, self.precision, scaler,
                self.guard, self.state, 0,
            )  # fmt: skip
            self.average.update(self.state.step)
            self.state.step += 1
            self.state.batch += 1
        elapsed = time.perf_counter() - began
        return elapsed / steps, 1 - computing / elapsed


def main() -> None:
    """Time every cell and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--out", type=Path, default=HERE / "step_cost.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for backbone, (size, channels, batch, steps) in SETTINGS.items():
        pixels = np.random.default_rng(0).integers(0, 256, (2000, size, size, channels), dtype=np.uint8)
        label = np.arange(2000) % 7
        samples = Samples(pixels, np.arange(2000), {"label": label}, np.array([str(i) for i in range(2000)]), BASIC)
        for precision in given.precisions:
            steppers = {name: Stepper(name, backbone, samples, precision) for name in METHODS}
            for stepper in steppers.values():
                stepper(2)
            seconds: dict[str, list[float]] = {name: [] for name in METHODS}
            shares: dict[str, list[float]] = {name: [] for name in METHODS}
            for _ in range(given.rounds):
                for name, stepper in steppers.items():
                    took, share = stepper(steps if name != "forward" else max(1, steps // 3))
                    seconds[name].append(took)
                    shares[name].append(share)
            for name in METHODS:
                ratio = [a / b for a, b in zip(seconds[name], seconds["plain"], strict=True)]
                rows.append(
                    {
                        "backbone": backbone, "pixels": size, "batch": batch, "precision": precision, "step": name,
                        "ratio_to_plain": round(statistics.median(ratio), 3),
                        "ratio_min": round(min(ratio), 3), "ratio_max": round(max(ratio), 3),
                        "ms_per_step": round(1000 * statistics.median(seconds[name]), 1),
                        "data_share": round(statistics.median(shares[name]), 4), "rounds": given.rounds,
                    }
                )  # fmt: skip
                print(rows[-1], flush=True)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
