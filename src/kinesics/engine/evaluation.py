"""All that is measured of a classifier's answers, as one dictionary, whole or per subgroup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from kinesics.engine.metric_names import CALIBRATED
from kinesics.metrics import calibration, classification, regression
from kinesics.metrics.distribution import distribution_measures

MISSING = "(none)"
"""Row of a subgroup table for samples without a value in the column."""


@dataclass(frozen=True)
class Evaluation:
    """A classifier's answers to one split, and their scores.

    Args:
        classes: class names, C of them, in label order.
        label: (N,) int64 class numbers; -1 where there is none.
        probability: (N, C) rows summing to 1, before temperature scaling.
        temperature: what calibration divides the log-probabilities by; 1 for no calibration.
        distribution: (N, C) true distributions or votes' shares, rows of NaN where there is none; or None.
        metrics: as `evaluate_classification` gives them.
        names: N paths, as the manifest has them.
        uncertainty: (N,) higher = less certain, or None.
        subgroups: as `by_subgroup` gives them, or None.
    """

    classes: tuple[str, ...]
    label: NDArray[np.int64]
    probability: NDArray[np.floating[Any]]
    temperature: float
    distribution: NDArray[np.floating[Any]] | None
    metrics: dict[str, float]
    names: list[str]
    uncertainty: NDArray[np.floating[Any]] | None = None
    subgroups: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        shape = (len(self.label), len(self.classes))
        for name in ("probability", "distribution"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name}: expected shape {shape} as label and classes have it, got {array.shape}")
        for name in ("names", "uncertainty"):
            value = getattr(self, name)
            if value is not None and len(value) != shape[0]:
                raise ValueError(f"{name}: expected {shape[0]} entries as label has, got {len(value)}")

    @cached_property
    def calibrated(self) -> NDArray[np.float64]:
        """(N, C) probabilities after temperature scaling."""
        return calibration.apply_temperature(self.probability, self.temperature)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) most probable class of each sample."""
        return np.asarray(self.probability.argmax(axis=1), dtype=np.int64)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N,) where there is a label."""
        return self.label >= 0

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(C, C) counts over the labelled samples, row = truth."""
        known = self.labelled
        return classification.confusion_matrix(self.label[known], self.predicted[known], len(self.classes))


def evaluate_classification(
    probability: ArrayLike,
    label: ArrayLike,
    classes: Sequence[str],
    temperature: float,
    distribution: ArrayLike | None = None,
    valence_arousal_pred: ArrayLike | None = None,
    valence_arousal: ArrayLike | None = None,
    bins: int = 15,
) -> dict[str, float]:
    """Every score of N answers; each over the samples that have the truth it needs, NaN where none has.

    Args:
        probability: (N, C) rows summing to 1, before temperature scaling.
        label: (N,) class numbers; -1 where there is none.
        classes: class names in label order.
        temperature: fitted on validation data; metrics ending in `_calibrated` are measured after it.
        distribution: (N, C) true distributions, rows of NaN where there is none.
        valence_arousal_pred: (N, 2) predicted, in [-1, 1].
        valence_arousal: (N, 2) true, NaN where there is none.
        bins: of the calibration error.

    Returns:
        accuracy, uar, war, macro_f1, recall/<class>, f1/<class>; ece, nll and brier, with and without
        `_calibrated`; given distributions also kl, chebyshev, clark, canberra, cosine and intersection, with
        and without `_calibrated`; given valence and arousal also ccc_valence and ccc_arousal.

    Raises:
        ValueError: shapes that don't belong together, rows that are no distributions.
    """
    before = np.asarray(probability, dtype=np.float64)
    truth = np.asarray(label)
    if before.shape != (len(truth), len(classes)):
        raise ValueError(f"probability: expected shape {(len(truth), len(classes))}, got {before.shape}")
    after = calibration.apply_temperature(before, temperature)
    known = truth >= 0
    y = truth[known]
    confusion = classification.confusion_matrix(y, before[known].argmax(axis=1), len(classes))
    table = classification.per_class(confusion)
    scores = {
        "accuracy": classification.accuracy(before[known], y),
        "uar": classification.uar(confusion),
        "war": classification.war(confusion),
        "macro_f1": classification.macro_f1(confusion),
    }
    for measure in ("recall", "f1"):
        scores |= {f"{measure}/{name}": float(v) for name, v in zip(classes, table[measure], strict=True)}
    for suffix, p in (("", before[known]), (CALIBRATED, after[known])):
        scores["ece" + suffix] = calibration.expected_calibration_error(p, y, bins)
        scores["nll" + suffix] = calibration.negative_log_likelihood(p, y)
        scores["brier" + suffix] = calibration.brier(p, y)
    if distribution is not None:
        scores |= _distribution_scores(np.asarray(distribution, dtype=np.float64), before, after)
    if valence_arousal is not None and valence_arousal_pred is not None:
        scores |= _circumplex_scores(valence_arousal_pred, valence_arousal, len(truth))
    return scores


def by_subgroup(
    values: Sequence[Any] | pd.Series | NDArray[Any],
    probability: ArrayLike,
    label: ArrayLike,
    classes: Sequence[str],
    temperature: float,
    distribution: ArrayLike | None = None,
    valence_arousal_pred: ArrayLike | None = None,
    valence_arousal: ArrayLike | None = None,
    bins: int = 15,
) -> pd.DataFrame:
    """The scores of `evaluate_classification` for the samples of each value of a column.

    Args:
        values: (N,) the column; samples without a value make a last row, `MISSING`.
        probability: as there, like the arguments that follow.
        label: (N,).
        classes: C names.
        temperature: the same for all subgroups.
        distribution: (N, C) or None.
        valence_arousal_pred: (N, 2) or None.
        valence_arousal: (N, 2) or None.
        bins: of the calibration error.

    Returns:
        one row a value, in sorted order: `subgroup`, `n` (samples), then the scores.

    Raises:
        ValueError: another number of values than of samples, and as `evaluate_classification`.
    """
    column = pd.Series(values).reset_index(drop=True)
    if len(column) != len(np.asarray(label)):
        raise ValueError(f"values: expected {len(np.asarray(label))} entries as label has, got {len(column)}")
    codes, found = pd.factorize(column, sort=True)
    parts = [(str(name), codes == code) for code, name in enumerate(found)]
    if (codes == -1).any():
        parts.append((MISSING, codes == -1))
    rows = []
    for name, inside in parts:
        scores = evaluate_classification(
            np.asarray(probability)[inside],
            np.asarray(label)[inside],
            classes,
            temperature,
            _part(distribution, inside),
            _part(valence_arousal_pred, inside),
            _part(valence_arousal, inside),
            bins,
        )
        rows.append({"subgroup": name, "n": int(inside.sum()), **scores})
    return pd.DataFrame(rows)


def _part(array: ArrayLike | None, inside: NDArray[np.bool_]) -> NDArray[Any] | None:
    return None if array is None else np.asarray(array)[inside]


def _distribution_scores(
    true: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> dict[str, float]:
    if true.shape != before.shape:
        raise ValueError(f"distribution: expected shape {before.shape}, got {true.shape}")
    known = ~np.isnan(true).any(axis=1)
    scores = distribution_measures(true[known], before[known])
    calibrated = distribution_measures(true[known], after[known])
    return scores | {name + CALIBRATED: value for name, value in calibrated.items()}


def _circumplex_scores(predicted: ArrayLike, true: ArrayLike, n: int) -> dict[str, float]:
    guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    for name, array in (("valence_arousal_pred", guess), ("valence_arousal", truth)):
        if array.shape != (n, 2):
            raise ValueError(f"{name}: expected shape {(n, 2)}, got {array.shape}")
    scores = {}
    for axis, name in enumerate(("valence", "arousal")):
        known = ~np.isnan(truth[:, axis])
        scores[f"ccc_{name}"] = regression.ccc(guess[known, axis], truth[known, axis])
    return scores
