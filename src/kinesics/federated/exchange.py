"""One exchange between silos: what is sent, how it is compressed, and the mixing that follows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinesics.errors import UserError
from kinesics.federated.moments import GradientStatistics, Moments
from kinesics.federated.stack import Stack

INDEX_BITS = 32
"""Bits of the position of a value that is sent alone."""


@dataclass(frozen=True)
class Compression:
    """How weights are shortened before they are sent.

    Args:
        kind: "none" (float32), "fp16" or "topk".
        share: of the values that top-k sends, in (0, 1].
        step: consensus step size of top-k, in (0, 1]: how far a silo moves towards its neighbours' public copies.
    """

    kind: str = "none"
    share: float = 0.01
    step: float = 0.1

    def bits(self, width: int) -> int:
        """Bits of one message of `width` values."""
        if self.kind == "fp16":
            return 16 * width
        if self.kind == "topk":
            return max(1, round(self.share * width)) * (32 + INDEX_BITS)
        return 32 * width


class Exchange:
    """Applies mixing matrices to a stack and keeps what the next exchange needs.

    Plain and fp16 messages: theta_i <- A_ii theta_i + sum_{j != i} A_ij C(theta_j). Top-k (Koloskova et al. 2019,
    CHOCO-Gossip): every silo has a public copy of its weights that its neighbours hold too; it sends the largest
    entries of the difference to it, what is left over stays in the difference and goes later (error feedback), and
    theta_i <- theta_i + step sum_j A_ij (public_j - public_i).

    With a matrix whose columns sum to 1 but whose rows don't, the exchange is push-sum (Kempe et al. 2003; Assran et
    al. 2019): numerators theta_i w_i and weights w_i are mixed alike, and theta_i is their ratio. What all tend to is
    the mean that counts silo i by the w_i that it began with.

    Args:
        stack: the weights.
        compression: of the messages.
        statistics: whether running statistics of normalisation layers are exchanged too.
        counts: (n,) what each silo counts in the mean, above 0; all the same if not given.
    """

    moments: Moments | None = None
    """Of the optimisers, mixed like the weights where compression is none; None leaves each silo its own."""
    gradients: GradientStatistics | None = None
    """Of normalisation layers, mixed in the same way; None where there are none."""

    def __init__(
        self, stack: Stack, compression: Compression, statistics: bool = True, counts: Tensor | None = None
    ) -> None:
        self.stack, self.compression = stack, compression
        self.columns = stack.width if statistics else stack.n_weights
        n = len(stack.matrix)
        self.push_weight = torch.ones(n, dtype=torch.float64) if counts is None else counts / counts.mean()
        """(n,) w float64; without `counts` all ones unless a matrix was not row-stochastic."""
        self.public = stack.matrix[:, : self.columns].clone() if compression.kind == "topk" else torch.zeros(0)
        """(n, columns) public copies for top-k: at the start the weights that all silos begin with."""

    @property
    def message_bits(self) -> int:
        """Bits of one message."""
        beside = sum(item.width for item in (self.moments, self.gradients) if item)
        return self.compression.bits(self.columns + beside)

    def state(self) -> dict[str, Tensor]:
        """What a resume needs."""
        found = {"push_weight": self.push_weight, "public": self.public}
        return found | ({"gradients": self.gradients.matrix} if self.gradients else {})

    def load(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` gave.

        Raises:
            ValueError: it is of another number of silos or weights.
        """
        for name, tensor in self.state().items():
            if state[name].shape != tensor.shape:
                raise ValueError(f"{name} of the exchange is {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
        self.push_weight = state["push_weight"].clone()
        self.public = state["public"].to(self.public.device, copy=True)
        if self.gradients:
            self.gradients.matrix.copy_(state["gradients"])

    @torch.no_grad()
    def mix(self, matrix: Tensor) -> None:
        """Exchange once.

        Args:
            matrix: A (n, n) float64, at least 0; A_ij is what i makes of j's weights. Silos that are away have
                A_ii = 1 and nothing else in row and column. Rows sum to 1, or (push-sum; with `counts` always)
                columns do.

        Raises:
            ValueError: neither rows nor columns sum to 1.
            UserError: top-k with a matrix that changes the weights w.
        """
        rows = torch.allclose(matrix.sum(1), torch.ones(len(matrix), dtype=matrix.dtype), atol=1e-9)
        if not rows and not torch.allclose(matrix.sum(0), torch.ones(len(matrix), dtype=matrix.dtype), atol=1e-9):
            raise ValueError("a mixing matrix needs rows or columns that sum to 1")
        before, after = self.push_weight, self.push_weight
        if not rows or bool((before != 1).any()):
            # theta_i = (sum_j A_ij w_j theta_j) / (sum_j A_ij w_j): a row-stochastic product of its own.
            after = matrix @ before
            matrix = matrix * before / after.unsqueeze(1)
        if self.compression.kind == "topk":
            if not torch.allclose(before, after, rtol=1e-6):
                raise UserError(
                    "--federation.compression topk can't leave silos out on a one-way overlay: its public copies know "
                    "no ratios",
                    hint="give a two-way --network.overlay (two-way-ring, mst, complete), or neither "
                    "--federation.away nor --federation.participation",
                )
            self._gossip(matrix)
        else:
            self._average(matrix)
            self.push_weight = after

    def _average(self, matrix: Tensor) -> None:
        if self.compression.kind == "none":
            self.stack.product(matrix, self.columns)
            for beside in (self.moments, self.gradients):
                if beside:
                    beside.mix(matrix)
            return
        own = matrix.diagonal().to(self.stack.matrix).unsqueeze(1)
        sent = self.stack.matrix[:, : self.columns].half().float()
        received = (matrix - torch.diag(matrix.diagonal())).to(sent) @ sent
        self.stack.matrix[:, : self.columns].mul_(own).add_(received)

    def _gossip(self, matrix: Tensor) -> None:
        values = self.stack.matrix[:, : self.columns]
        public = self.public
        present = ((matrix - torch.diag(matrix.diagonal())).abs().sum(1) > 0).to(values.device)
        difference = values - public
        k = max(1, round(self.compression.share * self.columns))
        largest = difference.abs().topk(k, 1).indices
        sent = torch.zeros_like(difference).scatter_(1, largest, difference.gather(1, largest))
        public += sent * present.unsqueeze(1)
        values += self.compression.step * (matrix.to(values) @ public - public) * present.unsqueeze(1)
