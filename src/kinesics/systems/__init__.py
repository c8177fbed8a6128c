"""The registry: the one place that knows every system by name."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import Any

from kinesics.engine.task import Task
from kinesics.errors import UserError


@dataclass(frozen=True)
class System:
    """Where a system's parts are; they are imported when first asked for.

    Args:
        name: on the command line and in `run.json`.
        module: its folder.
        task_name: the `Task` class in its task.py.
        summary: one line for listings.
    """

    name: str
    module: str
    task_name: str
    summary: str

    @property
    def task_class(self) -> type[Task]:
        """The `Task` subclass."""
        return getattr(importlib.import_module(f"{self.module}.task"), self.task_name)

    @property
    def presets(self) -> dict[str, dict[str, Any]]:
        """Preset name -> {flag: value}."""
        return importlib.import_module(f"{self.module}.config").PRESETS


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "cross_entropy",
            "kinesics.systems.cross_entropy",
            "CrossEntropy",
            "plain cross-entropy, label smoothing, training on votes",
        ),
        System(
            "ldlva",
            "kinesics.systems.ldlva",
            "LDLVA",
            "label distribution learning over valence-arousal neighbours, uncertainty per sample",
        ),
        System(
            "scn",
            "kinesics.systems.scn",
            "SCN",
            "Self-Cure Network: importance of each sample, ranked, and doubtful labels replaced",
        ),
        System(
            "eac",
            "kinesics.systems.eac",
            "EAC",
            "Erasing Attention Consistency: attention of an erased face and of its mirror image must agree",
        ),
        System(
            "rul",
            "kinesics.systems.rul",
            "RUL",
            "Relative Uncertainty Learning: features mixed by their uncertainty must show both labels",
        ),
        System(
            "ldl_votes",
            "kinesics.systems.ldl_votes",
            "VoteLearning",
            "training on the annotators' votes: majority, multi-label, drawn labels or cross-entropy",
        ),
        System(
            "fadnet",
            "kinesics.systems.fadnet",
            "FADNetTask",
            "steering from a front camera, made for federated training",
        ),
        System("dronet", "kinesics.systems.dronet", "DroNetTask", "steering from a front camera by ResNet-8"),
        System(
            "cnn_regression",
            "kinesics.systems.cnn_regression",
            "CNNRegression",
            "steering by MobileNet-V2, VGG-16, Inception-V3 or a ResNet",
        ),
        System(
            "constant_steering",
            "kinesics.systems.constant_steering",
            "ConstantTask",
            "steering without looking: the training mean, or random",
        ),
    )
}


def get_system(name: str) -> System:
    """The registered system of that name.

    Raises:
        UserError: unknown; the message lists the closest names.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    close = difflib.get_close_matches(str(name).lower(), SYSTEMS, n=3, cutoff=0.4)
    raise UserError(
        f"unknown system {name!r}; known: {', '.join(SYSTEMS)}",
        hint=f"did you mean {' or '.join(close)}?" if close else None,
    )
