"""One silo of a federation: its task, its samples and its local steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesics.data.samples import Samples
from kinesics.engine.config import FitConfig
from kinesics.engine.device import choose_device, place
from kinesics.engine.fit import Finite, epoch_order, make_preparation, step_seed, train_step
from kinesics.engine.optimizers import OptimizerSpec, rate_factor
from kinesics.engine.resume import Progress
from kinesics.engine.task import Task
from kinesics.errors import UserError
from kinesics.nn.renorm import BatchRenorm, set_share


@dataclass
class Silo:
    """One silo: its task, its samples, its optimisers and how far it is.

    Args:
        name: shown in tables.
        task: holds the silo's row of the stack and its local state.
        train: its samples; they are handed to nobody else.
        seed: of its order, augmentation and dropout.
    """

    name: str
    task: Task
    train: Samples
    seed: int
    optimizers: list[OptimizerSpec] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    batch_size: int = 0
    """Samples in a step; 0 for what the loop settings say."""
    since: int = 0
    """Steps since the losses were last read."""
    begun: bool = False
    """Whether the task was told the epoch it is in; not so after a resume."""
    renormalised: list[BatchRenorm] = field(default_factory=list)
    """Layers that normalise with the mixed statistics in training too."""
    anchors: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """FedProx: each parameter and what it was after the mixing."""

    def batch(self, size: int) -> tuple[np.ndarray, int, int]:
        """Positions of the next batch, its epoch and its number there; a last batch that is not full is passed over."""
        size = min(size, len(self.train))
        each = len(self.train) // size
        epoch, number = divmod(self.progress.step, each)
        order = epoch_order(len(self.train), self.seed, epoch)
        return order[number * size : (number + 1) * size], epoch, number

    def step(self, config: FitConfig, total: int, precision: torch.dtype) -> None:
        """One mini-batch step on the silo's own samples.

        Args:
            config: batch size and learning-rate schedule.
            total: steps of the whole training, for the schedule.
            precision: autocast type; float32 for none.
        """
        progress = self.progress
        positions, progress.epoch, progress.batch = self.batch(self.batch_size or config.batch_size)
        epoch, each = progress.epoch, len(self.train) // len(positions)
        if progress.batch == 0 or not self.begun:
            torch.manual_seed(step_seed(self.seed, 7, epoch))
            self.task.epoch_start(epoch)
            self.begun = True
        factor = rate_factor(config, progress.step, total, each)
        set_share(self.renormalised, progress.step / total)
        active = [spec for spec in self.optimizers if epoch >= spec.from_epoch]
        guard = Finite(self.train, epoch)
        train_step(
            self.task, self.train, positions, config, active, factor, precision, _NO_SCALING, guard, progress, self.seed
        )
        guard.check()
        progress.step += 1
        self.since += 1

    def state(self) -> dict[str, Any]:
        """What a resume needs; the tensors are live."""
        return {
            "name": self.name,
            "task": self.task.state_dict(),
            "notes": self.task.notes,
            "optimizers": [spec.optimizer.state_dict() for spec in self.optimizers],
            "step": self.progress.step,
            "sums": {name: float(total) for name, total in self.progress.sums.items()},
            "since": self.since,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave.

        Raises:
            ValueError, RuntimeError, KeyError: it is of another silo, task or optimiser.
        """
        if state["name"] != self.name:
            raise ValueError(f"silo {self.name} was {state['name']} when the federation was started")
        self.task.load_state_dict(state["task"])
        self.task.notes.update(state["notes"])
        for spec, content in zip(self.optimizers, state["optimizers"], strict=True):
            spec.optimizer.load_state_dict(content)
        self.progress.step, self.since = int(state["step"]), int(state["since"])
        self.progress.sums = dict(state["sums"])

    def begin_round(self) -> None:
        """Remember the mixed weights, for FedProx."""
        with torch.no_grad():
            for parameter, anchor in self.anchors:
                anchor.copy_(parameter)

    def pull_towards_mixed(self, strength: float) -> None:
        """FedProx: add strength (theta - theta_mixed) to the shared parameters' gradients before every step."""
        shared = self.task.shared_state()
        self.anchors = [(p, p.detach().clone()) for name, p in self.task.named_parameters() if name in shared]
        by_parameter = {id(parameter): anchor for parameter, anchor in self.anchors}

        def hook(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None and id(parameter) in by_parameter:
                        parameter.grad.add_(parameter.detach() - by_parameter[id(parameter)], alpha=strength)

        for spec in self.optimizers:
            spec.optimizer.register_step_pre_hook(hook)


_NO_SCALING = torch.amp.GradScaler(enabled=False)


def gather_silos(
    make_task: Callable[[int], Task],
    data: Mapping[str, Samples],
    config: FitConfig,
    seed: int,
    folder: Path | None,
    resume: bool,
    prepare: bool,
) -> list[Silo]:
    """The silos with their tasks, all with the first one's weights, prepared on their own samples."""
    device, silos = choose_device(config.device), []
    start: dict[str, Tensor] = {}
    for number, (name, train) in enumerate(data.items()):
        if len(train) < 2:
            raise UserError(f"silo {name} has {len(train)} training samples; at least 2 are needed")
        torch.manual_seed(step_seed(seed, 0))
        task = make_task(len(train))
        place(task, device)
        start = start or {key: tensor.clone() for key, tensor in task.shared_state().items()}
        task.load_shared_state(start)
        task.attach(train)
        silo = Silo(name, task, train, step_seed(seed, 11, number))
        if prepare:
            torch.manual_seed(step_seed(silo.seed, 1))
            where = folder / f"silo-{number}" if folder is not None else None
            task.prepare(train, make_preparation(config, silo.seed, where, resume, ""))
        task.train()
        silos.append(silo)
    return silos
