"""What a round of 11 silos costs against the straightforward way of writing it, as ratios within one run on one thread.

    OMP_NUM_THREADS=1 python benchmarks/round_cost.py [--turns 7]

FADNet at 200 x 200 grey pixels, batches of 32, one local step, the ring of Gaia, Adam. Baseline: a list of models in
PyTorch's own NCHW order, each with its own Adam; the mixing adds the neighbours up parameter by parameter, as code of
federated learning is commonly written. Its batches are ready-made floating tensors. Ours is the engine's round,
`Exchange.mix` and `Silo.step`, with everything they do (fetching, normalising, checks, sums). All variants alternate
inside every turn, so that a slow phase of the machine hits all alike; the table has the median over turns of each
turn's ratio. Times are processor time of this process. `mixing_ms` is the mixing alone. bf16 has rows only where the
hardware multiplies it. Results: benchmarks/round_cost.csv.
"""

from __future__ import annotations

import argparse
import copy
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesics.data.augment import AugmentConfig
from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.device import has_fast_bf16
from kinesics.engine.task import DataSpec, Task
from kinesics.federated.exchange import Compression, Exchange
from kinesics.federated.silo import Silo, gather_silos
from kinesics.federated.stack import Stack
from kinesics.nn import resnet8
from kinesics.systems import get_system

HERE = Path(__file__).resolve().parent
SILOS, BATCH, SIZE, IMAGES = 11, 32, 200, 64
MIXING = 0.5 * torch.eye(SILOS, dtype=torch.float64) + 0.5 * torch.eye(SILOS, dtype=torch.float64).roll(1, 1)


def plain_padding(x: Tensor, kernel: int, stride: int) -> Tensor:
    """`same_padded` without its care for the order in memory."""
    rows = x.shape[2]
    needed = max((-(-rows // stride) - 1) * stride + kernel - rows, 0)
    return F.pad(x, (needed // 2, needed - needed // 2, needed // 2, needed - needed // 2)) if needed else x


class Baseline:
    """Models, optimisers and dictionaries of parameters."""

    def __init__(self, first: Task, data: list[Samples]) -> None:
        self.models: list[nn.Module] = [copy.deepcopy(first.model) for _ in range(SILOS)]
        for model in self.models:
            for parameter in model.parameters():
                parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
            model.train()
        self.optimizers = [torch.optim.Adam(model.parameters(), lr=1e-3) for model in self.models]
        spec = first.spec
        self.images = [
            torch.stack(
                [
                    (torch.from_numpy(picture).permute(2, 0, 1).float() / 255 - spec.mean) / spec.std
                    for picture in samples.images[:]
                ]
            )
            for samples in data
        ]  # as loaders collate them: a fresh NCHW tensor
        self.targets = [torch.from_numpy(samples.columns["target"]).float() for samples in data]
        self.rng = np.random.default_rng(0)

    def mix(self) -> None:
        """theta_i <- sum_j A_ij theta_j, parameter by parameter."""
        states = [{name: p.detach().clone() for name, p in model.named_parameters()} for model in self.models]
        with torch.no_grad():
            for i, model in enumerate(self.models):
                for name, parameter in model.named_parameters():
                    mixed = torch.zeros_like(parameter)
                    for j in range(SILOS):
                        if MIXING[i, j]:
                            mixed += float(MIXING[i, j]) * states[j][name]
                    parameter.copy_(mixed)

    def steps(self) -> None:
        """One mini-batch step of every silo."""
        ours = resnet8.same_padded, resnet8.STEM_VALUES
        resnet8.same_padded, resnet8.STEM_VALUES = plain_padding, 10**12  # the whole batch in one piece
        for model, optimizer, images, targets in zip(
            self.models, self.optimizers, self.images, self.targets, strict=True
        ):
            chosen = torch.from_numpy(self.rng.choice(IMAGES, BATCH, replace=False))
            loss = F.mse_loss(model(images[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        resnet8.same_padded, resnet8.STEM_VALUES = ours


class Ours:
    """The engine's round."""

    def __init__(self, make: Callable[[int], Task], data: list[Samples], precision: torch.dtype) -> None:
        self.config = FitConfig(
            optimizer="adam", lr=1e-3, weight_decay=0.0, schedule="constant", batch_size=BATCH, device="cpu"
        )
        named = {f"silo-{number}": samples for number, samples in enumerate(data)}
        self.silos: list[Silo] = gather_silos(make, named, self.config, 0, None, False, True)
        self.exchange = Exchange(Stack([silo.task for silo in self.silos]), Compression())
        for silo in self.silos:
            silo.optimizers = silo.task.optimizers(self.config)
        self.precision = precision

    def mix(self) -> None:
        """One matrix product."""
        self.exchange.mix(MIXING)

    def steps(self) -> None:
        """One mini-batch step of every silo."""
        for silo in self.silos:
            silo.step(self.config, 10**6, self.precision)


def timed(action: Callable[[], None]) -> float:
    """Processor seconds of an action."""
    began = time.process_time()
    action()
    return time.process_time() - began


def main() -> None:
    """Time every variant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--presets", nargs="+", default=["paper", "release"])
    parser.add_argument("--out", type=Path, default=HERE / "round_cost.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    data = []
    for _ in range(SILOS):
        pixels = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 1), dtype=np.uint8)
        target = {"target": rng.uniform(-1, 1, IMAGES).astype(np.float32)}
        data.append(Samples(pixels, np.arange(IMAGES), target, np.arange(IMAGES).astype(str), ()))
    rows = []
    for preset in given.presets:
        system = get_system("fadnet")
        options = {k.removeprefix("task."): v for k, v in system.presets[preset].items() if k.startswith("task.")}
        spec = DataSpec((), SIZE, 1, 0.5, 0.25, IMAGES)

        def make(n_train: int, options: dict[str, object] = options, spec: DataSpec = spec) -> Task:
            task_class = get_system("fadnet").task_class
            return task_class.build(task_class.config_class(**options), spec, AugmentConfig(flip=0.0))

        variants: dict[str, Baseline | Ours] = {
            "baseline fp32": Baseline(make(0), data), "fp32": Ours(make, data, torch.float32)
        }  # fmt: skip
        if has_fast_bf16(torch.device("cpu")):
            variants["bf16"] = Ours(make, data, torch.bfloat16)
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        for turn in range(given.turns + 1):
            for name, variant in variants.items():
                pair = timed(variant.mix), timed(variant.steps)
                if turn:  # the first is not counted: memory and kernels are made ready
                    took[name].append(pair)
        base = [sum(pair) for pair in took["baseline fp32"]]
        for name, pairs in took.items():
            ratios = [whole / sum(pair) for whole, pair in zip(base, pairs, strict=True)]
            rows.append(
                {
                    "preset": preset, "variant": name, "times_as_fast": round(statistics.median(ratios), 2),
                    "least": round(min(ratios), 2), "most": round(max(ratios), 2),
                    "round_ms": round(1000 * statistics.median(sum(pair) for pair in pairs), 1),
                    "mixing_ms": round(1000 * statistics.median(pair[0] for pair in pairs), 2), "turns": given.turns,
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
