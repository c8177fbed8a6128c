"""How fast silos agree: mixing matrices, their rate, and the rounds until all hold the average.

A mixing matrix A is (N, N): after a round silo i holds the sum over j of A[i, j] times what silo j held, so A[i, j] > 0
needs a link j -> i (or i = j), and `adjacency[j, i]` is True. If rows and columns of a non-negative A sum to 1 and news
reach every silo, repeated mixing tends to the average of all silos. Two ways to get there:

- *central*: weights made centrally, from the whole overlay. Two-way overlays: FDLA, the symmetric weights of least
  second eigenvalue (L. Xiao and S. Boyd, "Fast linear iterations for distributed averaging", 2004), kept non-negative.
  One-way overlays: doubly stochastic by Sinkhorn's scaling, which exists for each strongly connected overlay, since
  with self-weights every link lies on a permutation of the silos; of several self-weights that which agrees soonest.
- *local*: each silo makes its weights from degrees it can ask its neighbours for. Two-way overlays: Metropolis. One-way
  overlays: push-sum (D. Kempe, A. Dobra, J. Gehrke, 2003): columns sum to 1, rows don't; silos pass on a weight too and
  read the ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kinesics.errors import UserError
from kinesics.federated.cycle_time import strongly_connected
from kinesics.federated.topology import Bool, Float
from kinesics.federated.weights import fdla

TOLERANCE = 0.01
"""Consensus is reached when the distance of the silos from their average is this share of what it was."""

MOST_ROUNDS = 1 << 20
_EXACT = 1e-12


@dataclass(frozen=True)
class Mixing:
    """The weights of an overlay.

    Attributes:
        matrix: (N, N) non-negative; doubly stochastic, or column-stochastic if `push_sum`.
        name: such as "FDLA".
        push_sum: whether silos must read the ratio of values to weights.
    """

    matrix: Float
    name: str
    push_sum: bool = False

    @property
    def rate(self) -> float:
        """Second largest eigenvalue modulus, in [0, 1): the factor by which a round shrinks disagreement at last."""
        return second_eigenvalue(self.matrix)

    def rounds(self, tolerance: float = TOLERANCE) -> int:
        """Rounds until consensus from the worst start (see `rounds_to_consensus`)."""
        return rounds_to_consensus(self.matrix, tolerance, self.push_sum)


def second_eigenvalue(matrix: Float) -> float:
    """Second largest modulus among the eigenvalues.

    Args:
        matrix: (N, N) with largest eigenvalue 1.
    """
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))
    return float(moduli[-2]) if len(moduli) > 1 else 0.0


def asymptotic_rounds(rate: float, tolerance: float = TOLERANCE) -> float:
    """log(tolerance) / log(rate), at least 1: what the rate alone promises; infinite for a rate of 1.

    A matrix that is not normal may need more rounds than that before its rate shows.
    """
    if rate >= 1 - _EXACT:
        return math.inf
    return 1.0 if rate <= tolerance else math.log(tolerance) / math.log(rate)


def disagreement(matrix: Float, push_sum: bool = False) -> float:
    """Largest factor by which the disagreement of silos may remain: the spectral norm of the matrix less 1/N.

    Args:
        matrix: (N, N), a power of a mixing matrix.
        push_sum: divide each row by its sum first, which is the ratio that push-sum reads.
    """
    read = matrix / matrix.sum(axis=1, keepdims=True) if push_sum else matrix
    return float(np.linalg.norm(read - 1 / len(matrix), 2))


def rounds_to_consensus(matrix: Float, tolerance: float = TOLERANCE, push_sum: bool = False) -> int:
    """The rounds after which no start leaves more than `tolerance` of its disagreement.

    Args:
        matrix: (N, N) mixing matrix.
        tolerance: share in (0, 1).
        push_sum: judge the ratio.

    Returns:
        1 or more.

    Raises:
        UserError: it takes more than `MOST_ROUNDS`: the overlay hardly mixes, or not at all.
    """
    below, power, squares = 0, np.eye(len(matrix)), [matrix]
    while disagreement(squares[-1], push_sum) > tolerance:
        if 2 ** len(squares) > MOST_ROUNDS:
            raise UserError(f"silos don't agree to {tolerance:g} within {MOST_ROUNDS:,} rounds on this overlay")
        squares.append(squares[-1] @ squares[-1])
    for exponent in range(len(squares) - 2, -1, -1):
        further = power @ squares[exponent]
        if disagreement(further, push_sum) > tolerance:
            power, below = further, below + 2**exponent
    return below + 1


def metropolis(adjacency: Bool) -> Float:
    """(N, N) symmetric weights 1 / (1 + the larger degree) on every link, the rest on the diagonal.

    Args:
        adjacency: (N, N) symmetric.
    """
    degree = adjacency.sum(axis=1)
    return _with_diagonal(np.where(adjacency, 1 / (1 + np.maximum(degree[:, None], degree)), 0.0))


def sinkhorn(adjacency: Bool, self_weight: float = 1.0, steps: int = 5000) -> Float | None:
    """Doubly stochastic weights by scaling rows and columns in turn (R. Sinkhorn and P. Knopp, 1967).

    A one-way ring gets 1/2 and 1/2, as released; a two-way regular overlay equal weights.

    Args:
        adjacency: (N, N) True where i sends to j.
        self_weight: of a silo for itself before scaling, where a link has 1.
        steps: the most sweeps.

    Returns:
        (N, N), or None if it has not settled to 1e-10 by then.
    """
    matrix = adjacency.T.astype(float) + self_weight * np.eye(len(adjacency))
    for _ in range(steps):
        matrix /= matrix.sum(axis=1, keepdims=True)
        columns = matrix.sum(axis=0)
        if np.abs(columns - 1).max() < 1e-10:
            return np.asarray(matrix)
        matrix /= columns
    return None


def by_size(matrix: Float, sizes: Float, steps: int = 5000) -> Float:
    """Weights with which silos agree on the mean that counts each by its size, for push-sum that starts from the sizes.

    Rows and columns of the overlay's matrix are scaled in turn until both sum to the sizes: F, what flows from j to i.
    Push-sum with F[i, j] / sizes[j] then leaves the sizes as they are, so silo i takes over F[i, j] / sizes[i] of j's
    weights, on two-way overlays reversibly. Equal sizes leave a doubly stochastic matrix as it was; a complete overlay
    agrees in one round. Were the scaling cut short, only the rate would suffer: push-sum keeps sum_i sizes_i theta_i.

    Args:
        matrix: (N, N) mixing matrix of a strongly connected overlay, diagonal above 0.
        sizes: (N,) above 0.
        steps: the most sweeps.

    Returns:
        (N, N) column-stochastic.
    """
    wanted = sizes / sizes.sum()
    flow = matrix * np.sqrt(wanted[:, None] * wanted)
    for _ in range(steps):
        flow = flow * (wanted / flow.sum(axis=1))[:, None]
        columns = flow.sum(axis=0)
        flow = flow * (wanted / columns)
        if np.abs(columns / wanted - 1).max() < 1e-12:
            break
    return np.asarray(flow / flow.sum(axis=0))


def push_sum_matrix(adjacency: Bool) -> Float:
    """(N, N) column-stochastic: each silo gives equal shares to itself and to those it sends to.

    Args:
        adjacency: (N, N) True where i sends to j.
    """
    giving = (adjacency | np.eye(len(adjacency), dtype=bool)).astype(float)
    return np.asarray((giving / giving.sum(axis=1, keepdims=True)).T)


def push_sum(matrix: Float, values: Float, rounds: int, start: Float | None = None) -> Float:
    """What silos read after some rounds of push-sum: the ratio of the values to the weights they were passed.

    Args:
        matrix: (N, N) column-stochastic.
        values: (N, ...) what each silo starts with.
        rounds: how many.
        start: (N,) weights to start from; ones if not given.

    Returns:
        (N, ...), each row tending to the mean of the rows of `values`, weighted by `start`.
    """
    weight = np.ones(len(matrix)) if start is None else start
    flat = values.reshape(len(matrix), -1) * weight[:, None]
    for _ in range(rounds):
        flat, weight = matrix @ flat, matrix @ weight
    return np.asarray((flat / weight[:, None]).reshape(values.shape))


def mix(adjacency: Bool, central: bool = True) -> Mixing:
    """Weights for an overlay (see the module's text).

    Args:
        adjacency: (N, N) True where i sends to j.
        central: made from the whole overlay; else by each silo from degrees.

    Raises:
        UserError: some silo's news never reach another.
    """
    if not strongly_connected(adjacency):
        raise UserError("the overlay is not strongly connected: news of some silo never reach another")
    if np.array_equal(adjacency, adjacency.T):
        simple = metropolis(adjacency)
        if not central:
            return Mixing(simple, "Metropolis")
        best = fdla(adjacency)
        return Mixing(best, "FDLA") if second_eigenvalue(best) < second_eigenvalue(simple) else Mixing(simple, "FDLA")
    scaled = _scaled(adjacency) if central else []
    if not scaled:
        return Mixing(push_sum_matrix(adjacency), "push-sum", push_sum=True)
    return min(scaled, key=lambda mixing: (mixing.rounds(), round(mixing.rate, 9)))


def _scaled(adjacency: Bool) -> list[Mixing]:
    """Sinkhorn's weights for several self-weights, equal ones first."""
    found = [sinkhorn(adjacency, weight) for weight in (1.0, 0.5, 0.25, 2.0)]
    return [Mixing(matrix, "doubly stochastic (Sinkhorn)") for matrix in found if matrix is not None]


def _with_diagonal(weights: Float) -> Float:
    """The same with the diagonal that makes rows sum to 1."""
    return np.asarray(weights + np.diag(1 - weights.sum(axis=1)))
