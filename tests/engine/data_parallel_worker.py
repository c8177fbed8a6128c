"""What tests/engine/test_distributed.py runs alone and in each of two processes, and compares.

`torchrun ... data_parallel_worker.py OUT MANIFEST` leaves OUT/rank-R.pt in each process, and a run directory.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from conftest import make_data, make_roads, make_steering, make_task

from kinesics.engine import distributed
from kinesics.engine.config import FitConfig
from kinesics.engine.fit import fit, predict_all
from kinesics.engine.prediction import Prediction
from kinesics.systems import SYSTEMS

STEERING = FitConfig(
    epochs=3, batch_size=16, optimizer="sgd", lr=0.05, precision="fp32", ema=0.8, checkpoint_every=2, threads=1
)
FACES = FitConfig(epochs=3, batch_size=16, lr=0.0002, precision="fp32", ema=0.5, threads=1)
TRAIN_FLAGS = (
    "--input.size", "32", "--fit.epochs", "1", "--fit.batch_size", "8", "--task.source", "teacher", "--task.k", "3",
    "--task.teacher_epochs", "1", "--fit.threads", "1", "--fit.checkpoint_every", "1",
)  # fmt: skip


class Stopped(Exception):
    """Stands for a kill."""


def steering(folder: Path | None = None, accumulate: int = 1, stop_at: int = -1, resume: bool = False) -> Any:
    """A regression without batch normalisation: any number of processes must give the same numbers."""
    train, valid = make_roads(48), make_roads(21, seed=1)
    task = make_steering(train, own_rate=0.3)
    original, calls = task.training_step, iter(range(1000))

    def training_step(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if next(calls) == stop_at:
            raise Stopped
        return original(batch)

    task.training_step = training_step  # type: ignore[method-assign]
    config = replace(STEERING, accumulate=accumulate)
    result = fit(task, train, valid, config, seed=2, folder=folder, resume=resume, name="")
    return {"task": task.state_dict(), "history": result.history, "selected": result.selected}


def learned(system: str) -> Any:
    """A registered system, three steps, all samples but four drawn in each."""
    train = make_data(system, 20)
    task = make_task(system, train, augment=False, dropout=0.0)
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    result = fit(task, train, None, FACES, seed=0, name="")
    answers = [numbers(p) for p in predict_all(task, train, 3)]
    return {"before": before, "task": task.state_dict(), "history": result.history, "answers": answers}


def numbers(answer: Prediction) -> list[float]:
    """What an answer says, as numbers."""
    said = answer.to_dict()
    return list(said["distribution"].values()) if "distribution" in said else [said["angle"]]


def one_step(system: str) -> Any:
    """One step of 16 of the 20 samples: local state before and after."""
    train = make_data(system, 20)
    task = make_task(system, train, augment=False)
    optimizers, before = task.optimizers, {}

    def starting(config: FitConfig) -> Any:
        before.update({name: tensor.clone() for name, tensor in task.local_state().items()})
        return optimizers(config)

    task.optimizers = starting  # type: ignore[method-assign]
    fit(task, train, None, replace(FACES, epochs=1), seed=0, name="")
    return {"before": before, "after": task.local_state()}


def small_network_start() -> Any:
    """Seven samples do not fill a batch: every process gets as many of them."""
    train = make_roads(7)
    task = make_steering(train)
    return fit(task, train, None, replace(STEERING, epochs=1), seed=0, name="").history


def gradients() -> list[list[float] | None]:
    """Averages: a gradient in every process, in the first only, and in none."""
    everywhere, first, nowhere = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    everywhere.grad = torch.tensor([1.0, 2.0]) * (distributed.rank() + 1)
    if distributed.is_main():
        first.grad = torch.tensor([4.0, 8.0])
    frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
    parameters = [everywhere, frozen, first, nowhere]
    distributed.average_gradients(parameters)
    return [None if p.grad is None else p.grad.tolist() for p in parameters]


def main(out: Path, manifest: str) -> None:
    """Do it all."""
    from kinesics.cli import main as kinesics

    torch.set_num_threads(1)
    distributed.start("cpu")
    rank = distributed.rank()
    found: dict[str, Any] = {"steering": steering(out / "whole"), "steering parts": steering(accumulate=2)}
    try:
        steering(out / "stopped", stop_at=4)
    except Stopped:
        found["steering resumed"] = steering(out / "stopped", resume=True)
    for system in SYSTEMS:
        found[system] = learned(system)
        found[f"{system} step"] = one_step(system)
    found["few"] = small_network_start()
    found["gradients"] = gradients()
    found["rows"] = distributed.gather_rows(torch.tensor([rank, 10 + rank]), torch.full((2, 3), float(rank)))
    found["numbers"] = distributed.average_numbers({"a": 1.0 + rank, "b": 5.0})
    found["main"] = distributed.from_main(lambda: f"said by {rank}")
    torch.save(found, out / f"rank-{rank}.pt")
    code = kinesics(["train", "ldlva", "--data", manifest, "--out", str(out / "run"), *TRAIN_FLAGS])
    assert code == 0
    assert not torch.distributed.is_initialized()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
