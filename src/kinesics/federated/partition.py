"""Which sample belongs to which silo: by a column of the manifest, or dealt with a known skew of the classes."""

from __future__ import annotations

import numpy as np

from kinesics.data.samples import Samples
from kinesics.errors import UserError

SMALLEST = 2
"""Samples that a silo needs: batch normalisation has no variance of one."""


def split_by_column(samples: Samples, column: str = "silo") -> dict[str, np.ndarray]:
    """Positions of each silo's samples, silos in order of name, whole numbers first and by value.

    Args:
        samples: `column` is among its text columns.
        column: holds the silo's name in every row.

    Returns:
        Name -> (n_i,) int64 positions.

    Raises:
        UserError: no such column, rows without a silo, fewer than two silos, a silo with one sample.
    """
    if column not in samples.extra:
        known = ", ".join(name for name in samples.extra if name != "line") or "none"
        raise UserError(
            f"the manifest has no column {column!r} to tell the silos by; its other columns: {known}",
            hint="add a silo column, name another by --silos.column, or deal the samples with --silos.by dirichlet",
        )
    values = samples.extra[column]
    blank = np.array([value is None or value != value or str(value).strip() == "" for value in values])
    if blank.any():
        raise UserError(f"{int(blank.sum())} training rows have no {column}; the first is {samples.names[blank][0]}")
    names = values.astype(str)
    found = np.unique(names).tolist()
    ordered = sorted(filter(str.isdecimal, found), key=int) + [name for name in found if not name.isdecimal()]
    return _checked({name: np.flatnonzero(names == name) for name in ordered}, column)


def split_dirichlet(samples: Samples, n_silos: int, alpha: float, seed: int) -> dict[str, np.ndarray]:
    """Deal the samples to silos of which each has its own class proportions (Hsu et al. 2019, arXiv 1909.06335).

    For every class the shares of the silos are drawn from a symmetric Dirichlet distribution. Numeric targets without
    classes are dealt by their ten deciles instead. A silo left with fewer than two samples takes from the largest.

    Args:
        samples: with "label" or "target".
        n_silos: at least 2.
        alpha: concentration above 0; 0.1 gives a silo few classes, 100 nearly equal shares.
        seed: the same seed deals the same.

    Returns:
        "silo-1", "silo-2", ... -> (n_i,) int64 positions; every sample is dealt once.

    Raises:
        UserError: parameters out of range, too few samples, neither labels nor targets.
    """
    if n_silos < 2:
        raise UserError(f"--silos.n must be at least 2; got {n_silos}")
    if not alpha > 0 or not np.isfinite(alpha):
        raise UserError(f"--silos.alpha must be above 0 and finite; got {alpha}")
    if len(samples) < SMALLEST * n_silos:
        raise UserError(f"{len(samples)} training samples can't be dealt to {n_silos} silos of at least {SMALLEST}")
    rng = np.random.default_rng([seed, 0x51105])
    owner = np.empty(len(samples), dtype=np.int64)
    kind = _kinds(samples)
    for value in np.unique(kind):
        rows = rng.permutation(np.flatnonzero(kind == value))
        share = rng.dirichlet(np.full(n_silos, alpha))
        cuts = np.round(np.cumsum(share)[:-1] * len(rows)).astype(np.int64)
        for silo, part in enumerate(np.split(rows, cuts)):
            owner[part] = silo
    for silo in range(n_silos):
        while (owner == silo).sum() < SMALLEST:
            largest = np.bincount(owner, minlength=n_silos).argmax()
            owner[rng.choice(np.flatnonzero(owner == largest))] = silo
    width = len(str(n_silos))
    return {f"silo-{silo + 1:0{width}d}": np.flatnonzero(owner == silo) for silo in range(n_silos)}


def _kinds(samples: Samples) -> np.ndarray:
    """(N,) class of each sample, or decile of its target."""
    if "label" in samples.columns:
        return np.asarray(samples.columns["label"])
    target = samples.columns.get("target")
    if target is None:
        raise UserError("samples can be dealt by class or target only; the manifest has neither")
    return np.searchsorted(np.quantile(target, np.linspace(0.1, 0.9, 9)), target)


_HELD_OUT = "rows held out of train for validation, groups whole, don't count; --input.valid_fraction 0 holds none out"


def _checked(silos: dict[str, np.ndarray], column: str) -> dict[str, np.ndarray]:
    if len(silos) < 2:
        raise UserError(
            f"column {column!r} names one silo only ({next(iter(silos), 'none')}); 2 or more are needed", hint=_HELD_OUT
        )
    small = [name for name, rows in silos.items() if len(rows) < SMALLEST]
    if small:
        raise UserError(f"silos with fewer than {SMALLEST} training samples: {', '.join(small[:5])}", hint=_HELD_OUT)
    return silos
