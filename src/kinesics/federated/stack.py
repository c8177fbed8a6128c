"""The shared weights of all silos as the rows of one matrix, so that mixing them is one matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kinesics.engine.task import Task

STATISTICS = ("running_mean", "running_var")
"""Endings of the buffers of normalisation layers."""

BLOCK = 4096
"""Columns that are multiplied at a time on a CPU: the block and its product stay in the cache."""

SPARSE_FROM, SPARSE_LINKS = 128, 16
"""Silos, and silos per link of each, from which on a sparse product is the quicker one."""


class Stack:
    """A matrix X (n, P) whose row i IS the shared state of task i: parameters and buffers are views into it.

    A gradient step of a task writes its row, a product X <- A X writes every task. Weights of convolutions lie in
    channels-last order inside a row, in which they are multiplied fastest. Only floating tensors of
    `Task.shared_state` are in it; running statistics come last, so that they can be left out of the mixing.

    Args:
        tasks: of one class and shape, on one device. Their shared tensors are moved into the matrix.

    Raises:
        ValueError: tasks that differ in their shared tensors.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        first = tasks[0].shared_state()
        names = [name for name, tensor in first.items() if tensor.is_floating_point()]
        names.sort(key=lambda name: name.endswith(STATISTICS))  # stable: the order is kept otherwise
        self.names = names
        self.shapes = {name: first[name].shape for name in names}
        self.width = sum(first[name].numel() for name in names)
        self.n_weights = sum(first[name].numel() for name in names if not name.endswith(STATISTICS))
        """Columns that are not running statistics; they come first."""
        self.matrix = torch.empty(len(tasks), self.width, device=tasks[0].device)
        for row, task in zip(self.matrix, tasks, strict=True):
            self._adopt(row, task)

    def _adopt(self, row: Tensor, task: Task) -> None:
        state = task.shared_state()
        if {name: state[name].shape for name in self.names if name in state} != self.shapes:
            raise ValueError("the silos' tasks differ in their shared tensors")
        if any(state[name].dtype != torch.float32 for name in self.names):
            raise ValueError("shared tensors of a federated task must be float32")
        owners: dict[str, Tensor] = {**dict(task.named_parameters()), **dict(task.named_buffers())}
        with torch.no_grad():
            for name, view in self.unpack(row).items():
                view.copy_(state[name])
                owners[name].data = view

    def unpack(self, row: Tensor) -> dict[str, Tensor]:
        """Views of a row (P,) by name, in the tensors' own shapes."""
        found, start = {}, 0
        for name in self.names:
            shape = self.shapes[name]
            part = row[start : start + shape.numel()]
            if len(shape) == 4:
                found[name] = part.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
            else:
                found[name] = part.view(shape)
            start += shape.numel()
        return found

    @torch.no_grad()
    def product(self, weights: Tensor, columns: int | None = None, values: Tensor | None = None) -> None:
        """X <- A X over the first `columns` columns (all by default), a block of columns at a time.

        Overlays of many silos with few links are multiplied as sparse matrices, so that time grows with the links.

        Args:
            weights: A (n, n).
            columns: how many.
            values: (n, P) in the place of X.
        """
        columns, n = self.width if columns is None else columns, len(weights)
        values = self.matrix if values is None else values
        factor = weights.to(values)
        if n >= SPARSE_FROM and SPARSE_LINKS * int(factor.count_nonzero()) <= n * n:
            factor = factor.to_sparse().coalesce()
        step = BLOCK if values.device.type == "cpu" else columns
        for start in range(0, columns, step):
            block = values[:, start : min(start + step, columns)]
            block.copy_(factor @ block)

    @torch.no_grad()
    def mean(self, weights: Tensor | None = None, values: Tensor | None = None) -> dict[str, Tensor]:
        """theta = sum_i lambda_i theta_i / sum_i lambda_i, the text's federated averaging, as new tensors by name.

        Args:
            weights: (n,) lambda, at least 0 and not all 0; None counts every silo once.
            values: (n, P) in the place of X.
        """
        values = self.matrix if values is None else values
        if weights is None:
            row = values.mean(0)
        else:
            share = weights.to(values)
            row = (share / share.sum()) @ values
        return self.unpack(row)

    @torch.no_grad()
    def consensus_distance(self) -> float:
        """sqrt(1/n sum_i ||theta_i - theta_mean||^2) over the weights, running statistics left out."""
        total = 0.0
        for start in range(0, self.n_weights, BLOCK):
            weights = self.matrix[:, start : min(start + BLOCK, self.n_weights)].double()
            total += float((weights - weights.mean(0)).square().sum())
        return math.sqrt(total / len(self.matrix))
