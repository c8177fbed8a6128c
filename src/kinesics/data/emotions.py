"""One vocabulary for all facial-expression sets, the order each set uses, and where emotions lie in the circumplex."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from kinesics.errors import UserError

VOCABULARY = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""The seven basic emotions (neutral counted) and contempt, in AffectNet's order."""

BASIC = VOCABULARY[:7]
"""The seven classes that most sets share."""

ALIASES = {
    "happy": "happiness", "joy": "happiness", "smile": "happiness",
    "sad": "sadness",
    "surprised": "surprise", "suprise": "surprise",
    "fearful": "fear", "afraid": "fear", "scared": "fear",
    "disgusted": "disgust",
    "angry": "anger",
    "contemptuous": "contempt",
    "calm": "neutral", "none": "neutral", "no expression": "neutral",
}  # fmt: skip
"""Spellings found in published sets, mapped to `VOCABULARY` ("suprise" is SFEW-style folder naming)."""

ORDERS: dict[str, dict[int, str]] = {
    "fer2013": dict(enumerate(("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"))),
    "ferplus": dict(enumerate(("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"))),
    "rafdb": dict(enumerate(("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), start=1)),
    "affectnet": dict(enumerate(VOCABULARY)),
    "sfew": dict(enumerate(("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"))),
}
"""Each set's own class numbers -> vocabulary (RAF-DB counts from 1; SFEW's folders are alphabetical)."""

CIRCUMPLEX: dict[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0),
    "happiness": (0.81, 0.51),
    "sadness": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
    "fear": (-0.64, 0.60),
    "disgust": (-0.60, 0.35),
    "anger": (-0.51, 0.59),
    "contempt": (-0.555, 0.47),
}
"""(valence, arousal) in [-1, 1]: the mean pleasure and arousal ratings of the terms happy, sad, surprised, fearful,
disgusted and angry in J. A. Russell and A. Mehrabian, "Evidence for a three-factor theory of emotions", Journal of
Research in Personality 11 (1977) 273-294. Neutral is the origin by definition. The source rates no term for contempt:
it is placed midway between anger and disgust, the two other members of the hostility triad (our choice)."""


def canonical(name: str) -> str:
    """The vocabulary's word for a class name in any known spelling; other words pass through in lower case."""
    word = str(name).strip().lower()
    return ALIASES.get(word, word)


def number_to_name(layout: str, number: int) -> str:
    """The vocabulary's word for class `number` of a published set.

    Raises:
        UserError: the set is unknown or has no such class.
    """
    if layout not in ORDERS:
        close = difflib.get_close_matches(layout, ORDERS, n=3)
        raise UserError(f"unknown class order {layout!r}; known: {', '.join(ORDERS)}", hint=_closest(close))
    order = ORDERS[layout]
    if number not in order:
        raise UserError(
            f"{layout} has no class {number}; its classes are " + ", ".join(f"{k} {v}" for k, v in order.items())
        )
    return order[number]


def map_between(source: str, target: str) -> dict[int, int]:
    """Class numbers of set `source` -> class numbers of set `target`, for the classes both have."""
    numbers = {name: number for number, name in ORDERS[target].items()}
    return {number: numbers[name] for number, name in ORDERS[source].items() if name in numbers}


def circumplex_coordinates(classes: Sequence[str]) -> np.ndarray:
    """(C, 2) float32 valence and arousal of each class, in [-1, 1].

    Raises:
        UserError: a class has no published coordinates.
    """
    unknown = [name for name in classes if canonical(name) not in CIRCUMPLEX]
    if unknown:
        raise UserError(
            f"no circumplex coordinates for class(es) {', '.join(unknown)}; known: {', '.join(CIRCUMPLEX)}",
            hint="give valence and arousal columns in the manifest instead",
        )
    return np.array([CIRCUMPLEX[canonical(name)] for name in classes], dtype=np.float32)


def _closest(matches: list[str]) -> str | None:
    return f"did you mean {' or '.join(matches)}?" if matches else None
