"""Argument checks that the metric functions share: what was expected, what was got."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from summing to one: half precision loses up to 2.5e-4."""


def probabilities(value: ArrayLike, name: str = "probability") -> Float:
    """Checked copy of a matrix of distributions.

    Args:
        value: (N, C) of any real dtype, C >= 1, entries >= 0, rows summing to 1 within `SUM_TOLERANCE`.
        name: the argument's name, for the message.

    Returns:
        (N, C) float64; each row divided by its sum, which undoes the rounding of lower precision.

    Raises:
        ValueError: another shape, a negative or non-finite entry, a row that is no distribution.
    """
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 1:
        raise ValueError(f"{name}: expected shape (N, C), got {matrix.shape}")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise ValueError(f"{name}: expected finite values, got {matrix[row].tolist()} in row {row}")
    if (matrix < 0).any():
        row = int(np.flatnonzero((matrix < 0).any(axis=1))[0])
        raise ValueError(f"{name}: expected values >= 0, got {matrix[row].tolist()} in row {row}")
    total = matrix.sum(axis=1, keepdims=True)
    wrong = np.flatnonzero(np.abs(total[:, 0] - 1) > SUM_TOLERANCE)
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"{name}: expected rows that sum to 1, got sum {total[row, 0]:.6g} in row {row}")
    return matrix / total


def labels(value: ArrayLike, n: int | None, n_classes: int, name: str = "label") -> Int:
    """Checked class numbers.

    Args:
        value: (N,) whole numbers in [0, n_classes).
        n: the length wanted; None for any.
        n_classes: number of classes C.
        name: the argument's name, for the message.

    Returns:
        (N,) int64.

    Raises:
        ValueError: another shape or dtype, or a number outside the range.
    """
    vector = np.asarray(value)
    if vector.size == 0:
        vector = vector.astype(np.int64)
    if vector.ndim != 1 or (n is not None and len(vector) != n):
        raise ValueError(f"{name}: expected shape ({'N' if n is None else n},), got {vector.shape}")
    if vector.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected whole numbers, got dtype {vector.dtype}")
    outside = np.flatnonzero((vector < 0) | (vector >= n_classes))
    if len(outside):
        first = int(outside[0])
        raise ValueError(f"{name}: expected classes 0..{n_classes - 1}, got {vector[first]} at position {first}")
    return vector.astype(np.int64)


def vector_pair(first: ArrayLike, second: ArrayLike, names: tuple[str, str]) -> tuple[Float, Float]:
    """Two checked vectors of one length.

    Args:
        first: (N,) finite numbers.
        second: (N,) finite numbers.
        names: of the two arguments, for the message.

    Returns:
        both as (N,) float64.

    Raises:
        ValueError: another shape, different lengths, a value that isn't finite.
    """
    vectors = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    for name, vector in zip(names, vectors, strict=True):
        if vector.ndim != 1:
            raise ValueError(f"{name}: expected shape (N,), got {vector.shape}")
        if not np.isfinite(vector).all():
            position = int(np.flatnonzero(~np.isfinite(vector))[0])
            raise ValueError(f"{name}: expected finite values, got {vector[position]} at position {position}")
    if vectors[0].shape != vectors[1].shape:
        raise ValueError(
            f"expected {names[0]} and {names[1]} of one length, got {len(vectors[0])} and {len(vectors[1])}"
        )
    return vectors
