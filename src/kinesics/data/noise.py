"""Wrong labels made on purpose, in a known amount and at known places."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kinesics.errors import UserError


def flip_labels(
    labels: ArrayLike, share: float, n_classes: int, seed: int, transition: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Change exactly `round(share * N)` labels (halves to even), chosen at random, to another class.

    With the same seed, a larger share flips the labels that a smaller one flips and some more, to the
    same classes.

    Args:
        labels: (N,) whole numbers from 0 to `n_classes` - 1.
        share: of the labels to flip, in [0, 1].
        n_classes: C, 2 or more.
        seed: 0 or more.
        transition: (C, C) class-dependent flips: row c is the distribution of what a flipped label c
            becomes, so its diagonal is 0 and its rows sum to 1 (1e-6). Without it every other class is as
            likely (symmetric flips).

    Returns:
        noisy labels (N,) int64, and (N,) bool, True where a label was flipped; a flipped label always
        differs.

    Raises:
        UserError: an argument is out of its range.
    """
    clean = np.asarray(labels)
    if n_classes < 2:
        raise UserError(f"n_classes is {n_classes}; expected 2 or more, else there is no other class to flip to")
    if clean.ndim != 1 or (clean.size and not np.issubdtype(clean.dtype, np.integer)):
        raise UserError(f"labels have shape {clean.shape} and dtype {clean.dtype}; expected (N,) whole numbers")
    if clean.size and (clean.min() < 0 or clean.max() >= n_classes):
        raise UserError(
            f"labels go from {clean.min()} to {clean.max()}; expected 0 to {n_classes - 1}",
            hint="leave out the rows without a label",
        )
    if not 0.0 <= share <= 1.0:
        raise UserError(f"the share of labels to flip is {share}; expected 0 to 1")
    if seed < 0:
        raise UserError(f"seed is {seed}; expected 0 or more")
    rows = _symmetric(n_classes) if transition is None else _checked(transition, n_classes)
    rng = np.random.default_rng(seed)
    order, lots = rng.permutation(len(clean)), rng.random(len(clean))
    flipped = np.zeros(len(clean), dtype=bool)
    flipped[order[: round(share * len(clean))]] = True
    noisy = clean.astype(np.int64)
    noisy[flipped] = _draw(rows[noisy[flipped]], lots[flipped])
    return noisy, flipped


def _symmetric(n_classes: int) -> np.ndarray:
    return (1.0 - np.eye(n_classes)) / (n_classes - 1)


def _checked(transition: ArrayLike, n_classes: int) -> np.ndarray:
    rows = np.asarray(transition, dtype=np.float64)
    if rows.shape != (n_classes, n_classes):
        raise UserError(f"transition has shape {rows.shape}; expected ({n_classes}, {n_classes})")
    if not np.all(rows >= 0.0) or np.any(np.abs(rows.sum(axis=1) - 1.0) > 1e-6):
        raise UserError(
            f"the rows of transition sum to {np.round(rows.sum(axis=1), 6).tolist()}, its smallest entry is "
            f"{rows.min()}; expected shares of 0 or more that sum to 1 in each row"
        )
    if np.any(np.diag(rows) != 0.0):
        raise UserError(
            f"the diagonal of transition is {np.diag(rows).tolist()}; expected zeros: each flip must change",
            hint="`share` says how many labels stay; set the diagonal to 0 and divide each row by its sum",
        )
    return rows


def _draw(rows: np.ndarray, lots: np.ndarray) -> np.ndarray:
    """(M,) class by each row's distribution (M, C) and a lot in [0, 1); never a class with share 0."""
    edges = np.cumsum(rows, axis=1)
    # scaled by the last edge: rounding must not leave a lot beyond it
    return (lots[:, None] * edges[:, -1:] >= edges).sum(axis=1)
