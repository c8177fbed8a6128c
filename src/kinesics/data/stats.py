"""What is in a manifest, counted: samples by silo and split, classes, the spread of targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kinesics.data.manifest import Manifest
from kinesics.data.reading import SPLITS

ALL = "all"
"""Name of the last row."""


def manifest_stats(manifest: Manifest, by: str = "silo") -> pd.DataFrame:
    """Count a manifest's samples.

    Args:
        manifest: any.
        by: column whose values make the rows; where the manifest has no `silo`, the splits do.

    Returns:
        One row a value, in sorted order, and a last one for all: the value, `samples`, one column a split, then for
        each class its samples (those without a label by their most probable class), and, where there are targets,
        their mean, deviation, least and largest.

    Raises:
        UserError: no such column, p_ columns that are neither distributions nor votes.
    """
    if by == "silo" and "silo" not in manifest.table:
        by = "split"
    values = manifest.column(by).astype(str)
    label, target = manifest.decided_labels(), manifest.targets()
    split = manifest.column("split").astype(str)
    parts = [(name or "(none)", values == name) for name in sorted(set(values.tolist()))]
    rows = []
    for name, inside in [*parts, (ALL, np.ones(len(manifest), dtype=bool))]:
        row: dict[str, Any] = {by: name, "samples": int(inside.sum())}
        if by != "split":
            row |= {side: int((inside & (split == side)).sum()) for side in SPLITS}
        row |= {word: int((inside & (label == number)).sum()) for number, word in enumerate(manifest.classes)}
        if target is not None:
            row |= _spread(target[inside].astype(np.float64))
        rows.append(row)
    return pd.DataFrame(rows)


def _spread(target: np.ndarray) -> dict[str, float]:
    known = target[np.isfinite(target)]
    if not len(known):
        return dict.fromkeys(("target mean", "target std", "target min", "target max"), float("nan"))
    numbers = (known.mean(), known.std(), known.min(), known.max())
    return dict(zip(("target mean", "target std", "target min", "target max"), map(float, numbers), strict=True))
