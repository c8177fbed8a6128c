"""What it is worth to keep freed memory (`kinesics.allocator.keep_memory`), as ratios within one run on one thread.

    python benchmarks/allocator.py [--rounds 9]

Two processes, one that keeps what it has freed and one that leaves glibc's malloc to itself, take turns in every round,
so that a slow phase of the machine hits both alike. Work: the forward pass of a network in batches, as `kinesics
evaluate` and `kinesics predict` make it, and a training step of AdamW. `ratio` is the time left alone over the time
keeping, median over rounds; faults are new pages that the kernel had to find, a batch; MiB the peak of resident memory.
Results: benchmarks/allocator.csv.
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
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from kinesics.allocator import keep_memory
from kinesics.engine.device import place
from kinesics.nn.backbones import make_backbone

HERE = Path(__file__).resolve().parent
WORK = {
    "compact 48 px, forward, 64": ("compact", 48, 1, 64, False, 16),
    "compact 48 px, forward, 256": ("compact", 48, 1, 256, False, 6),
    "ResNet-18 112 px, forward, 64": ("resnet18", 112, 3, 64, False, 2),
    "compact 48 px, training, 64": ("compact", 48, 1, 64, True, 6),
    "ResNet-18 112 px, training, 32": ("resnet18", 112, 3, 32, True, 2),
}
"""name -> (backbone, pixels, channels, batch, whether it trains, batches a round)."""


def make_work(name: str) -> Callable[[], None]:
    """One batch of this work, to be called."""
    backbone, size, channels, batch, trains, _ = WORK[name]
    torch.manual_seed(0)
    net: nn.Module = make_backbone(backbone, 7, channels, size)
    place(net, torch.device("cpu"))
    image, label = torch.randn(batch, channels, size, size), torch.arange(batch) % 7
    if not trains:
        net.eval()
        return lambda: answer(net, image)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    return lambda: learn(net, optimizer, image, label)


@torch.inference_mode()
def answer(net: nn.Module, image: torch.Tensor) -> None:
    """One forward pass."""
    net(image)


def learn(net: nn.Module, optimizer: torch.optim.Optimizer, image: torch.Tensor, label: torch.Tensor) -> None:
    """One step."""
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(image), label).backward()
    optimizer.step()


def take_turns(name: str, keep: bool) -> None:
    """A child: for every line that comes in, do the work of one round and write seconds, faults and the peak."""
    torch.set_num_threads(1)
    if keep and not keep_memory():
        sys.exit("this C library's allocator can't be told, or the environment has told it")
    work = make_work(name)
    for _ in range(3):
        work()
    for _ in sys.stdin:
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        for _ in range(WORK[name][-1]):
            work()
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps([seconds, after.ru_minflt - before.ru_minflt, after.ru_maxrss // 1024]), flush=True)


def measure(name: str, rounds: int) -> dict[str, object]:
    """The row of one kind of work."""
    children = {
        keep: subprocess.Popen(
            [sys.executable, __file__, "--child", name, *(["--keep"] if keep else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for keep in (False, True)
    }  # fmt: skip
    got: dict[bool, list[list[float]]] = {False: [], True: []}
    for count in range(rounds):
        for keep in (False, True) if count % 2 else (True, False):
            child = children[keep]
            assert child.stdin and child.stdout
            child.stdin.write("go\n")
            child.stdin.flush()
            got[keep].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.communicate()
    ratio = [alone[0] / kept[0] for alone, kept in zip(got[False], got[True], strict=True)]
    batches = WORK[name][-1]
    row: dict[str, object] = {"work": name, "ratio": round(statistics.median(ratio), 3)}
    row |= {"ratio_min": round(min(ratio), 3), "ratio_max": round(max(ratio), 3)}
    for keep, which in ((False, "alone"), (True, "keeping")):
        seconds, faults, peak = map(list, zip(*got[keep], strict=True))
        row[f"ms_{which}"] = round(1000 * statistics.median(seconds) / batches, 1)
        row[f"faults_{which}"] = round(statistics.median(faults) / batches)
        row[f"MiB_{which}"] = max(peak)
    return row | {"rounds": rounds, "torch": torch.__version__}


def main() -> None:
    """Measure every kind of work and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--child", choices=list(WORK), help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=HERE / "allocator.csv")
    given = parser.parse_args()
    if given.child:
        take_turns(given.child, given.keep)
        return
    rows = []
    for name in WORK:
        rows.append(measure(name, given.rounds))
        print(rows[-1], flush=True)
    with given.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
