"""Exponential moving average of a task's shared state: the weights that are judged and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from kinesics.engine import distributed
from kinesics.engine.task import Task


class Average:
    """Shadow copy w' <- decay w' + (1 - decay) w of every shared tensor, normalisation statistics included.

    The decay grows as (1 + step) / (10 + step) up to its limit, so that the first, random weights are forgotten.

    Args:
        task: whose `shared_state` is followed.
        decay: limit of the decay in [0, 1); 0 makes the average equal to the weights themselves.
    """

    def __init__(self, task: Task, decay: float) -> None:
        self.task = task
        self.decay = decay
        self.shadow: dict[str, Tensor] = {}
        if decay > 0:
            self.shadow = {name: tensor.detach().clone() for name, tensor in task.shared_state().items()}
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] | None = None

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the weights after optimiser step `step` (counted from 0)."""
        if not self.shadow:
            return
        if self._pairs is None:
            live = self.task.shared_state()
            floating = [name for name in self.shadow if live[name].is_floating_point()]
            whole = [name for name in self.shadow if not live[name].is_floating_point()]
            self._pairs = [([self.shadow[n] for n in names], [live[n] for n in names]) for names in (floating, whole)]
        (shadow, live_tensors), (shadow_whole, live_whole) = self._pairs
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(shadow, live_tensors, 1 - decay)
        for mine, theirs in zip(shadow_whole, live_whole, strict=True):
            mine.copy_(theirs)

    def average_buffers(self) -> None:
        """Replace the followed buffers by their mean over data-parallel processes, each of which saw other samples."""
        buffers = dict(self.task.named_buffers())
        distributed.average_tensors([tensor for name, tensor in self.shadow.items() if name in buffers])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the task carries the averaged weights; afterwards its own again."""
        if not self.shadow:
            yield
            return
        own = {name: tensor.detach().clone() for name, tensor in self.task.shared_state().items()}
        self.task.load_shared_state(self.shadow)
        try:
            yield
        finally:
            self.task.load_shared_state(own)

    def state(self) -> dict[str, Tensor]:
        """The averaged tensors (the weights themselves when decay is 0), as copies."""
        source = self.shadow or self.task.shared_state()
        return {name: tensor.detach().cpu().clone() for name, tensor in source.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a shadow saved by `state` or found in a checkpoint.

        Raises:
            ValueError: it follows other tensors.
        """
        if state.keys() != self.shadow.keys():
            raise ValueError("the averaged weights are of other tensors")
        for name, tensor in state.items():
            self.shadow[name].copy_(tensor)
