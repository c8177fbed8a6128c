"""Splitting samples at random, with each class in proportion and no group (subject, video, song) on two
sides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kinesics.errors import UserError


def split_by_group(
    groups: np.ndarray | None, labels: np.ndarray | None, fractions: Mapping[str, float], seed: int
) -> np.ndarray:
    """Name a split for each sample.

    Without groups every class is split in the given proportions, to within one sample. With groups, whole
    groups are given, the largest first, to the split that lacks most of their classes: proportions are then
    as close as the groups allow, and no split stays empty.

    Args:
        groups: (N,) names; a sample whose group is blank is a group of its own. None: no groups.
        labels: (N,) class of each sample, any type. None: not stratified.
        fractions: share of each split, as in {"train": 0.9, "valid": 0.1}; they sum to 1.
        seed: the same seed gives the same split.

    Returns:
        (N,) object array of split names.

    Raises:
        UserError: fractions that are negative or don't sum to 1, or fewer groups than splits.
    """
    shares = {name: float(share) for name, share in fractions.items() if share != 0}
    if not shares or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(f"split fractions must be 0 or more and sum to 1, got {dict(fractions)}")
    number = _assign(groups, labels, np.array(list(shares.values())), seed, "splits")
    names = np.array(list(shares), dtype=object)
    return names[number]


def folds(n: int, k: int, labels: np.ndarray | None, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """Number the fold of each sample for k-fold cross-validation, in equal parts; see `split_by_group`.

    Args:
        n: number of samples N.
        k: number of folds, 2 to N (or to the number of groups).
        labels: (N,) class of each sample, or None.
        groups: (N,) names, or None.
        seed: the same seed gives the same folds.

    Returns:
        (N,) int64 in [0, k). Each class is spread over the folds to within one sample where there are no
        groups.

    Raises:
        UserError: k is out of range.
    """
    if not 2 <= k <= n:
        raise UserError(f"can't make {k} folds of {n} samples", hint=f"give 2 to {n}")
    for name, column in (("labels", labels), ("groups", groups)):
        if column is not None and len(column) != n:
            raise ValueError(f"{name} has {len(column)} entries, expected {n}")
    return _assign(groups, labels, np.full(k, 1 / k), seed, "folds")


def _assign(
    groups: np.ndarray | None, labels: np.ndarray | None, shares: np.ndarray, seed: int, what: str
) -> np.ndarray:
    if groups is None and labels is None:
        raise ValueError("labels or groups are needed to know how many samples there are")
    count = len(labels) if labels is not None else len(groups)  # type: ignore[arg-type]
    _, classes = np.unique(np.asarray(labels), return_inverse=True) if labels is not None else (0, np.zeros(count, int))
    rng = np.random.default_rng(seed)
    if groups is not None:
        unit = _group_numbers(np.asarray(groups))
        if int(unit.max(initial=-1)) + 1 < count:
            return _assign_groups(unit, classes, shares, rng, what)
    if count < len(shares):
        raise UserError(f"can't make {len(shares)} {what} of {count} samples")
    # Samples in a line, class after class, at random inside a class.
    line = np.lexsort((rng.permutation(count), classes))
    result = np.empty(count, dtype=np.int64)
    if np.ptp(shares) == 0:
        result[line] = np.resize(rng.permutation(len(shares)), count)
        return result
    start = np.searchsorted(classes[line], classes[line])
    result[line] = _pattern(count, shares)[np.arange(count) - start]
    return result


def _pattern(count: int, shares: np.ndarray) -> np.ndarray:
    """(count,) int64 indices of shares, each as often as its share says in every beginning of the line.

    Each next sample goes to the share that lacks most, so a class of one sample goes to the largest.
    """
    given = np.zeros(len(shares))
    pattern = np.empty(count, dtype=np.int64)
    for position in range(count):
        lacking = int(np.argmax(shares * (position + 1) - given))
        given[lacking] += 1
        pattern[position] = lacking
    return pattern


def _group_numbers(groups: np.ndarray) -> np.ndarray:
    """(N,) int64 group of each sample; blank ones are on their own."""
    blank = np.array([name is None or name != name or str(name).strip() == "" for name in groups.tolist()])
    _, inverse = np.unique(groups.astype(str), return_inverse=True)
    number = inverse.astype(np.int64)
    number[blank] = len(groups) + np.flatnonzero(blank)
    return np.unique(number, return_inverse=True)[1].astype(np.int64)


def _assign_groups(
    unit: np.ndarray, classes: np.ndarray, shares: np.ndarray, rng: np.random.Generator, what: str
) -> np.ndarray:
    units = int(unit.max()) + 1
    if units < len(shares):
        raise UserError(
            f"can't make {len(shares)} {what} of {units} group(s): a group never crosses",
            hint="ask for fewer, or give a finer `group` column",
        )
    counts = np.zeros((units, int(classes.max()) + 1))
    np.add.at(counts, (unit, classes), 1)
    counts = np.column_stack([counts, counts.sum(axis=1)])  # the whole counts like one more class
    total = counts.sum(axis=0)
    wanted = shares[:, None] * total
    given = np.zeros_like(wanted)
    chosen = np.empty(units, dtype=np.int64)
    order = rng.permutation(units)
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    for position, group in enumerate(order):
        surplus = ((given - wanted) / total) @ counts[group]
        empty = given[:, -1] == 0
        if units - position <= empty.sum():
            surplus[~empty] = np.inf
        best = int(np.argmin(surplus))
        chosen[group] = best
        given[best] += counts[group]
    return chosen[unit]
