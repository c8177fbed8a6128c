"""Plain cross-entropy as a task: the engine's classifier under its own name."""

from __future__ import annotations

from typing import ClassVar

from kinesics.engine.classifier import Classifier
from kinesics.systems.cross_entropy.config import CrossEntropyConfig


class CrossEntropy(Classifier):
    """-sum_c t_c log f_c(x), t the one-hot label, the smoothed label or the vote distribution."""

    config_class: ClassVar[type] = CrossEntropyConfig
