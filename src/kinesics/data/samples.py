"""What a task trains on: memory-mapped images and their label columns, addressed by a stable sample id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

TRUTH = ("label", "distribution", "votes", "target", "valence_arousal")
"""Columns that a task is never shown when it predicts."""


@dataclass(frozen=True)
class Samples:
    """One split of a manifest, decoded.

    The sample id (`batch["index"]`) is the position in this object, 0 .. len - 1. It depends on the manifest and
    the seed alone, so what a task keeps per sample (uncertainty, neighbour bank) can be found again after a resume
    and by any process of a data-parallel run.

    Args:
        images: (M, H, W, C) uint8, usually a memory map over the whole cache.
        rows: (N,) int64, where sample i lies in `images`.
        columns: per-sample arrays of length N: "label" int64 (-1 unknown), "distribution" (C,) float32 (NaN rows
            where there is none), "valence_arousal" (2,) float32 in [-1, 1], "target" float32, and others.
        names: (N,) file names, for messages and tables.
        classes: class names in label order.
    """

    images: np.ndarray
    rows: np.ndarray
    columns: Mapping[str, np.ndarray]
    names: np.ndarray
    classes: tuple[str, ...]
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Columns that never enter a batch: text columns for subgroup tables, groups, silos, original line numbers."""
    swapped: bool = False
    """Whether pictures are shown with left and right swapped."""

    def __post_init__(self) -> None:
        for name, column in {**self.columns, **self.extra, "names": self.names}.items():
            if len(column) != len(self.rows):
                raise ValueError(f"column {name!r} has {len(column)} entries, expected {len(self.rows)}")

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, positions: Sequence[int] | np.ndarray) -> Samples:
        """The samples at `positions`, renumbered from 0; images are shared, not copied."""
        chosen = np.asarray(positions, dtype=np.int64)
        return replace(
            self,
            rows=self.rows[chosen],
            columns={name: column[chosen] for name, column in self.columns.items()},
            extra={name: column[chosen] for name, column in self.extra.items()},
            names=self.names[chosen],
        )

    def with_columns(self, **columns: np.ndarray) -> Samples:
        """A copy in which the given per-sample columns are added or replaced."""
        return replace(self, columns={**self.columns, **columns})

    def mirrored(self) -> Samples:
        """The same samples with left and right of their pictures swapped; images are shared, columns as they were."""
        return replace(self, swapped=not self.swapped)

    def batch(self, positions: np.ndarray) -> dict[str, Tensor]:
        """The batch of the given sample ids: "index" (B,) int64, "image" (B, H, W, C) uint8, and every column."""
        chosen = {name: torch.from_numpy(column[positions]) for name, column in self.columns.items()}
        image = torch.from_numpy(self.pixels(positions))
        return {"index": torch.from_numpy(np.asarray(positions, dtype=np.int64)), "image": image, **chosen}

    def pixels(self, positions: np.ndarray) -> np.ndarray:
        """(B, H, W, C) uint8 images of the given sample ids."""
        images = self.images[self.rows[positions]]
        return np.ascontiguousarray(images[..., ::-1, :] if self.swapped else images)
