"""From a network's numbers to answers, without PyTorch: what eager models and exported files share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from kinesics.data.emotions import CIRCUMPLEX, canonical, circumplex_coordinates
from kinesics.engine.prediction import Emotion, Prediction, Steering

Decode = Callable[[Sequence[np.ndarray], tuple[str, ...]], list[Prediction]]


@dataclass(frozen=True)
class Kind:
    """What the outputs of an exported graph are, and how they become answers.

    Args:
        outputs: names of the graph's outputs, in order; axis 0 of each is the batch.
        decode: (arrays in that order, class names) -> one answer a sample.
    """

    outputs: tuple[str, ...]
    decode: Decode


@lru_cache(maxsize=32)
def circumplex_of(classes: tuple[str, ...]) -> np.ndarray | None:
    """(C, 2) float64 valence and arousal of the classes; None where one of them has no published place."""
    known = all(canonical(name) in CIRCUMPLEX for name in classes)
    return circumplex_coordinates(classes).astype(np.float64) if known else None


def emotions(probability: np.ndarray, classes: tuple[str, ...]) -> list[Prediction]:
    """One `Emotion` a face.

    Args:
        probability: (B, C) calibrated probabilities.
        classes: their C names.
    """
    safe = np.clip(probability, 1e-300, 1.0)
    entropy = -(probability * np.log(safe)).sum(1) / np.log(max(probability.shape[1], 2))
    circumplex = circumplex_of(classes)
    place = None if circumplex is None else probability @ circumplex
    found: list[Prediction] = []
    for i, row in enumerate(probability):
        best = int(row.argmax())
        found.append(
            Emotion(
                label=classes[best],
                distribution=dict(zip(classes, row.tolist(), strict=True)),
                confidence=float(row[best]),
                uncertainty=float(np.clip(entropy[i], 0.0, 1.0)),
                valence=None if place is None else float(place[i, 0]),
                arousal=None if place is None else float(place[i, 1]),
            )
        )
    return found


def with_uncertainty(answers: Sequence[Prediction], uncertainty: np.ndarray) -> list[Prediction]:
    """The answers with a system's own uncertainty (B,) in [0, 1] in place of the entropy."""
    return [
        replace(answer, uncertainty=u) if isinstance(answer, Emotion) else answer
        for answer, u in zip(answers, uncertainty.tolist(), strict=True)
    ]


def _emotions(outputs: Sequence[np.ndarray], classes: tuple[str, ...]) -> list[Prediction]:
    probability = outputs[0].astype(np.float64)
    # float32 probabilities sum to 1 within 1e-6 only
    return emotions(probability / probability.sum(1, keepdims=True), classes)


def _unsure_emotions(outputs: Sequence[np.ndarray], classes: tuple[str, ...]) -> list[Prediction]:
    return with_uncertainty(_emotions(outputs[:1], classes), outputs[1].astype(np.float64))


def _steering(outputs: Sequence[np.ndarray], classes: tuple[str, ...]) -> list[Prediction]:
    return [Steering(angle=angle) for angle in outputs[0].astype(np.float64).tolist()]


KINDS: dict[str, Kind] = {
    "emotion": Kind(("probability",), _emotions),
    "emotion_and_uncertainty": Kind(("probability", "uncertainty"), _unsure_emotions),
    "steering": Kind(("angle",), _steering),
}
"""Kinds of exported answers: "emotion" (B, C) calibrated probabilities; "emotion_and_uncertainty" those and (B,) the
system's own uncertainty in [0, 1]; "steering" (B,) angles."""
