"""The JSON of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kinesics.data.emotions import CIRCUMPLEX, canonical
from kinesics.engine.prediction import Emotion, Prediction


def face_document(answer: Emotion, scale: tuple[float, float] = (1.0, 1.0)) -> dict[str, Any]:
    """One face.

    Args:
        answer: about it.
        scale: across and down, from the pixels that were searched to those of the original.

    Returns:
        `box` (x, y, width, height in pixels of the original; absent for a picture taken whole), `label`, `confidence`,
        `uncertainty`, `distribution`, `valence`, `arousal`, `projection` (whether these two are only the distribution's
        mean over the classes' places), and in videos `track`.
    """
    document: dict[str, Any] = {}
    if answer.track is not None:
        document["track"] = answer.track
    if answer.box is not None:
        x, y, width, height = answer.box
        across, down = scale
        document["box"] = [round(v, 1) for v in (x * across, y * down, width * across, height * down)]
    document.update(
        label=answer.label, confidence=round(answer.confidence, 5), uncertainty=round(answer.uncertainty, 5),
        distribution={name: round(share, 5) for name, share in (answer.distribution or {}).items()},
    )  # fmt: skip
    if answer.valence is not None and answer.arousal is not None:
        document.update(
            valence=round(answer.valence, 4), arousal=round(answer.arousal, 4), projection=projected(answer)
        )
    return document


def projected(answer: Emotion) -> bool:
    """Whether valence and arousal are nothing but the distribution's mean over the classes' places."""
    shares, places = answer.distribution or {}, circumplex(answer.distribution or {})
    if not shares or len(places) < len(shares) or answer.valence is None or answer.arousal is None:
        return False
    mean = sum(share * np.array(places[name]) for name, share in shares.items())
    return bool(np.allclose(mean, (answer.valence, answer.arousal), atol=1e-3))


def circumplex(classes: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Valence and arousal of those classes whose places are published."""
    return {name: CIRCUMPLEX[canonical(name)] for name in classes if canonical(name) in CIRCUMPLEX}


def faces_of(answers: Sequence[Prediction], scale: tuple[float, float] = (1.0, 1.0)) -> list[dict[str, Any]]:
    """Faces from the left to the right in pictures, by track in videos; a picture without a face gives none."""
    known = [one for one in answers if isinstance(one, Emotion) and not one.empty]
    known.sort(key=lambda one: (one.track or 0, one.box or (0.0,)))
    return [face_document(one, scale) for one in known]


class Tracks:
    """What is said of each person in a video as a whole, gathered frame by frame."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[str, Any]] = {}

    def add(self, time: float, faces: Sequence[Mapping[str, Any]]) -> None:
        """Take in the faces of one frame."""
        for face in faces:
            known = self._seen.setdefault(face.get("track", 1), {"start": time, "frames": 0, "sums": {}, "spread": 0.0})
            known["end"] = time
            known["frames"] += 1
            known["spread"] += face["uncertainty"]
            for name, share in face["distribution"].items():
                known["sums"][name] = known["sums"].get(name, 0.0) + share

    def documents(self) -> list[dict[str, Any]]:
        """A record a track: `track`, `start`, `end` (seconds), `frames`, `label` of the mean `distribution`, and the
        mean `uncertainty` of its answers."""
        found = []
        for number, known in sorted(self._seen.items()):
            mean = {name: round(total / known["frames"], 5) for name, total in known["sums"].items()}
            found.append({
                "track": number, "start": known["start"], "end": known["end"], "frames": known["frames"],
                "label": max(mean, key=lambda name: mean[name]) if mean else "", "distribution": mean,
                "uncertainty": round(known["spread"] / known["frames"], 5),
            })  # fmt: skip
        return found
