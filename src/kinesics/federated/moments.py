"""What is mixed beside the weights: moments that optimisers keep of them, and what normalisation keeps of gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kinesics.federated.silo import Silo
from kinesics.federated.stack import Stack
from kinesics.nn.renorm import MovingNorm


class Moments:
    """For every kind of moment a matrix (n, P) whose row i IS that of silo i's optimisers; laid out like the stack.

    Adam divides a silo's step by the root of its own second moment. Where the silos' classes are skewed these differ,
    and the mean of such steps is not the step of the mean gradient: what few silos know is scaled down by those that
    know it best. With moments that are mixed too, all divide by nearly the same (X. Chen et al., "On the convergence of
    decentralized adaptive gradient methods", 2022; for momentum H. Yu et al., ICML 2019).

    Args:
        stack: the silos' shared weights.
        silos: with their optimisers, new or as a resume put them back. What these keep of shared parameters is moved
            into the matrices.
    """

    def __init__(self, stack: Stack, silos: Sequence[Silo]) -> None:
        self.stack = stack
        self.matrices: dict[str, Tensor] = {}
        for number, silo in enumerate(silos):
            named = {id(p): name for name, p in silo.task.named_parameters() if name in stack.shapes}
            views: dict[str, dict[str, Tensor]] = {}
            for spec in silo.optimizers:
                _begin(spec.optimizer)
                for parameter, state in spec.optimizer.state.items():
                    if id(parameter) in named:
                        self._adopt(number, named[id(parameter)], state, views)

    def _adopt(
        self, silo: int, name: str, state: dict[str, Tensor | None], views: dict[str, dict[str, Tensor]]
    ) -> None:
        for kind, value in state.items():
            if kind == "step" or value is None:  # a count of steps; no momentum
                continue
            if kind not in self.matrices:
                self.matrices[kind] = torch.zeros_like(self.stack.matrix)
            if kind not in views:
                views[kind] = self.stack.unpack(self.matrices[kind][silo])
            state[kind] = views[kind][name].copy_(value)

    @property
    def width(self) -> int:
        """Values of a silo that are sent."""
        return len(self.matrices) * self.stack.n_weights

    def mix(self, matrix: Tensor) -> None:
        """M <- A M for every kind.

        Args:
            matrix: A (n, n), rows sum to 1.
        """
        for values in self.matrices.values():
            self.stack.product(matrix, self.stack.n_weights, values)


class GradientStatistics:
    """A matrix (n, 2 C) whose row i IS what the `MovingNorm` layers of silo i keep of gradients, layer after layer.

    Args:
        stack: the silos' shared weights.
        silos: with these layers.
    """

    def __init__(self, stack: Stack, silos: Sequence[Silo]) -> None:
        layers = [[layer for layer in silo.renormalised if isinstance(layer, MovingNorm)] for silo in silos]
        self.stack, self.width = stack, sum(layer.gradients.numel() for layer in layers[0])
        """Values of a silo that are sent."""
        self.matrix = torch.zeros(len(silos), self.width, device=stack.matrix.device)
        for row, own in zip(self.matrix, layers, strict=True):
            for layer, part in zip(own, row.split([layer.gradients.numel() for layer in own]), strict=True):
                layer.gradients = part.view_as(layer.gradients)

    def mix(self, matrix: Tensor) -> None:
        """G <- A G.

        Args:
            matrix: A (n, n), rows sum to 1.
        """
        self.stack.product(matrix, self.width, self.matrix)


def _begin(optimizer: torch.optim.Optimizer) -> None:
    """Have a new optimiser make its moments, all 0, which it would else do in its first step; changes nothing else."""
    if optimizer.state:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    settings = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    gradients = [p.grad for p in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = group["weight_decay"] = 0.0
    optimizer.step()
    for group, (rate, decay) in zip(optimizer.param_groups, settings, strict=True):
        group["lr"], group["weight_decay"] = rate, decay
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
        if "step" in optimizer.state[parameter]:
            optimizer.state[parameter]["step"].zero_()
