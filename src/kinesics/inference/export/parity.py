"""Whether an exported graph answers as the eager task does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kinesics.engine.prediction import Prediction
from kinesics.engine.task import Task

TOLERANCE = 1e-4
"""Largest difference that an fp32 graph may have from the eager task, in any number of any answer."""

Answer = Callable[[dict[str, np.ndarray]], Sequence[Prediction]]
"""Inputs of the graph by name -> one answer a sample."""


@dataclass(frozen=True)
class Parity:
    """How far two ways of answering are apart.

    Args:
        samples: compared.
        difference: largest absolute difference of any number in any answer (probability, angle, valence, ...).
        agreement: share of samples with the same label; None for answers without labels.
    """

    samples: int
    difference: float
    agreement: float | None

    def __str__(self) -> str:
        label = "" if self.agreement is None else f", same top class in {self.agreement:.2%}"
        return f"{self.samples} samples, largest difference {self.difference:.2e}{label}"


def compare(found: Sequence[Prediction], expected: Sequence[Prediction]) -> Parity:
    """Compare answers to the same samples."""
    one, other = [list(_numbers(p.to_dict())) for p in found], [list(_numbers(p.to_dict())) for p in expected]
    if [len(row) for row in one] != [len(row) for row in other]:
        return Parity(len(expected), float("inf"), None)
    gap = np.abs(np.array(one, dtype=np.float64) - np.array(other, dtype=np.float64))
    # not finite on either side is as far apart as can be
    worst = float(np.where(np.isfinite(gap), gap, np.inf).max(initial=0.0))
    labels = [(getattr(a, "label", None), getattr(b, "label", None)) for a, b in zip(found, expected, strict=True)]
    agreement = float(np.mean([a == b for a, b in labels])) if labels and labels[0][1] is not None else None
    return Parity(len(expected), worst, agreement)


@torch.inference_mode()
def eager_answers(task: Task, inputs: dict[str, np.ndarray], batch_size: int = 64) -> list[Prediction]:
    """What the task itself answers.

    Args:
        task: in evaluation mode.
        inputs: as `Task.export_inputs` names them, with N samples each.
        batch_size: samples in one forward pass.
    """
    found: list[Prediction] = []
    count = len(next(iter(inputs.values())))
    for start in range(0, count, batch_size):
        part = {name: torch.from_numpy(values[start : start + batch_size]) for name, values in inputs.items()}
        index = torch.arange(start, min(start + batch_size, count))
        found += task.prediction_step(task.transform({**part, "index": index}, None))
    return found


def random_inputs(task: Task, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """`count` samples for each input of the graph: bytes of all values, standard normal floats.

    Half of the byte images are noise, half are smooth (noise of 4 x 4 values, enlarged), which looks more like
    pictures to a network.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    for name, example in task.export_inputs().items():
        shape = (count, *example.shape[1:])
        if example.dtype != torch.uint8:
            found[name] = rng.standard_normal(shape).astype(np.float32)
            continue
        values = rng.integers(0, 256, shape, dtype=np.uint8)
        if len(shape) == 4:
            rows, columns = (np.arange(side) * 4 // side for side in shape[1:3])
            coarse = rng.integers(0, 256, (count, 4, 4, shape[3]), dtype=np.uint8)
            values[1::2] = coarse[1::2][:, rows][:, :, columns]
        found[name] = values
    return found


def _numbers(value: object) -> Iterator[float]:
    """Every number in nested dictionaries and sequences, in order."""
    if isinstance(value, dict):
        for part in value.values():
            yield from _numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
