"""Who takes part in a round, and what that makes of the mixing matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kinesics.errors import UserError
from kinesics.federated.config import Absence, FederationConfig


class Attendance:
    """Which silos take part in which round; a function of the seed and the round alone.

    Args:
        names: of the silos.
        config: `participation` and `away`.
        seed: of the draws.

    Raises:
        UserError: an absence names no silo, or every silo is away in some round.
    """

    def __init__(self, names: Sequence[str], config: FederationConfig, seed: int) -> None:
        self.n, self.share, self.seed = len(names), config.participation, seed
        self.absences = []
        for absence in map(Absence.parse, config.away):
            if absence.silo not in names:
                known = ", ".join(list(names)[:12])
                raise UserError(f"--federation.away names {absence.silo!r}, which is no silo; silos: {known}")
            self.absences.append((list(names).index(absence.silo), absence))
        edges = sorted({absence.start for _, absence in self.absences})
        for round_number in edges:
            if not self.at_work(round_number).any():
                raise UserError(f"--federation.away leaves no silo in round {round_number}")

    def at_work(self, round_number: int) -> np.ndarray:
        """(n,) bool, False for silos that are away."""
        present = np.ones(self.n, dtype=bool)
        for silo, absence in self.absences:
            if absence.start <= round_number < absence.stop:
                present[silo] = False
        return present

    def present(self, round_number: int) -> np.ndarray:
        """(n,) bool; at least one is True."""
        present = self.at_work(round_number)
        if self.share < 1:
            candidates = np.flatnonzero(present)
            count = max(1, round(self.share * len(candidates)))
            drawn = np.random.default_rng([self.seed, 0xA77E, round_number]).choice(candidates, count, replace=False)
            present = np.zeros(self.n, dtype=bool)
            present[drawn] = True
        return present


def among(matrix: Tensor, present: np.ndarray) -> Tensor:
    """The mixing matrix when only some silos exchange.

    What would have come from silos that are away stays with the silo itself, so a symmetric matrix stays symmetric and
    doubly stochastic. Of another matrix the columns are completed: it stays column-stochastic, for push-sum.

    Args:
        matrix: A (n, n) float64, rows or columns sum to 1.
        present: (n,) bool.

    Returns:
        (n, n); silos that are away keep their own weights.
    """
    if present.all():
        return matrix
    here = torch.from_numpy(present).to(matrix)
    cut = matrix * here.unsqueeze(1) * here.unsqueeze(0)
    symmetric = torch.equal(matrix, matrix.T)
    missing = 1 - cut.sum(1 if symmetric else 0)
    return cut + torch.diag(missing)


def server_average(weights: np.ndarray, present: np.ndarray) -> Tensor:
    """A of FedAvg (McMahan et al. 2017): every silo gets the weighted mean of those that took part in the last round.

    Args:
        weights: (n,) above 0.
        present: (n,) bool, in the round before.

    Returns:
        (n, n) float64 with equal rows.
    """
    share = torch.from_numpy(np.where(present, weights, 0.0))
    return (share / share.sum()).repeat(len(share), 1)
