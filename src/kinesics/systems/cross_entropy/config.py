"""Settings and presets of plain cross-entropy."""

from __future__ import annotations

from typing import Any

from kinesics.engine.classifier import ClassifierConfig


class CrossEntropyConfig(ClassifierConfig):
    """Settings of plain cross-entropy; those of the engine's classifier."""


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "smoothed": {"task.label_smoothing": 0.1},
    "votes": {"task.labels": "votes"},
}
"""Flag -> value. `smoothed`: the 0.1 of Szegedy et al. `votes`: the ceiling, where the data have votes."""
