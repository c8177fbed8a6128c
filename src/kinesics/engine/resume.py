"""What a training needs to go on where it stopped: gathered for a checkpoint, and put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from kinesics.engine import distributed
from kinesics.engine.average import Average
from kinesics.engine.checkpoint import save_checkpoint
from kinesics.engine.optimizers import OptimizerSpec
from kinesics.engine.task import Task
from kinesics.errors import UserError

History = list[dict[str, float]]


@dataclass
class Progress:
    """How far a training is, and what it has seen."""

    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches done of the epoch under way."""
    step: int = 0
    """Optimiser steps done in all."""
    sums: dict[str, float | Tensor] = field(default_factory=dict)
    """Losses by name, summed over the epoch under way; tensors stay on their device, so that no step waits for them."""
    history: History = field(default_factory=list)
    """One record an epoch."""
    best_score: float = -math.inf
    """Validation score of the best epoch, higher is better."""
    best_epoch: int = -1
    """Its number from 0; -1 before the first."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """Its averaged weights, on the CPU."""


def save_progress(
    folder: Path,
    progress: Progress,
    task: Task,
    optimizers: Sequence[OptimizerSpec],
    average: Average,
    scaler: Any,
) -> None:
    """Write a checkpoint (the main process does).

    Raises:
        UserError: the disk is full; earlier checkpoints are intact.
    """
    if not distributed.is_main():
        return
    content = {
        "state": {**vars(progress), "sums": {name: float(total) for name, total in progress.sums.items()}},
        "task": task.state_dict(),
        "notes": task.notes,
        "average": average.shadow,
        "optimizers": [spec.optimizer.state_dict() for spec in optimizers],
        "scaler": scaler.state_dict(),
    }
    save_checkpoint(folder, progress.step, content)


def restore_progress(
    saved: dict[str, Any], task: Task, optimizers: Sequence[OptimizerSpec], average: Average, scaler: Any
) -> Progress:
    """Put what `save_progress` gathered back into the task, its optimisers and the average.

    Raises:
        UserError: it is of another task, another number of samples or other optimisers.
    """
    try:
        task.load_state_dict(saved["task"])
        task.notes.update(saved["notes"])
        average.load(saved["average"])
        for spec, content in zip(optimizers, saved["optimizers"], strict=True):
            spec.optimizer.load_state_dict(content)
        scaler.load_state_dict(saved["scaler"])
        return Progress(**saved["state"])
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the checkpoint does not fit this recipe: {' '.join(str(error).split())[:300]}",
            hint="resume with the same recipe and manifest, or start anew in another --out folder",
        ) from error
