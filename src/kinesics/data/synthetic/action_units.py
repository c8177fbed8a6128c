"""From a mixture of emotions to facial action units, by the EMFACS prototypes.

Numbers and names of the action units (AU): P. Ekman and W. V. Friesen, "Facial Action Coding System",
1978. Which units make which emotion: W. V. Friesen and P. Ekman, "EMFACS-7: Emotional Facial Action
Coding System", 1983, and the table of prototypes and major variants in P. Ekman, W. V. Friesen and J. C.
Hager, "FACS Investigator's Guide", 2002 (contempt: the unilateral R12 + R14). The strengths in [0, 1] are
our choice, made by eye on the drawn faces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kinesics.data.emotions import VOCABULARY

ACTION_UNITS = (
    "inner_brow_raise",  # AU1
    "outer_brow_raise",  # AU2
    "brow_lower",  # AU4
    "upper_lid_raise",  # AU5
    "cheek_raise",  # AU6
    "lid_tighten",  # AU7
    "nose_wrinkle",  # AU9
    "upper_lip_raise",  # AU10
    "lip_corner_pull_left",  # AU12, left in the image
    "lip_corner_pull_right",  # AU12
    "dimple_left",  # AU14
    "dimple_right",  # AU14
    "lip_corner_depress",  # AU15
    "lower_lip_depress",  # AU16
    "chin_raise",  # AU17
    "lip_stretch",  # AU20
    "lip_press",  # AU23 and AU24
    "lips_part",  # AU25
    "jaw_drop",  # AU26 and AU27
    "lid_droop",  # AU41 to AU43
)
"""The columns of an action-unit array."""

_MIRROR = np.array(
    [
        ACTION_UNITS.index(name.replace("left", "*").replace("right", "left").replace("*", "right"))
        for name in ACTION_UNITS
    ]
)

_Strengths = dict[str, float]
_VARIANTS: dict[str, tuple[_Strengths, _Strengths]] = {
    "neutral": ({}, {}),
    "happiness": (  # 6+12, with and without parted lips
        {"cheek_raise": 0.9, "lip_corner_pull": 1.0, "lips_part": 0.85, "jaw_drop": 0.15},
        {"cheek_raise": 0.8, "lip_corner_pull": 0.9},
    ),
    "sadness": (  # 1+4+15, with 17 and drooping lids
        {
            "inner_brow_raise": 1.0, "brow_lower": 0.5, "lip_corner_depress": 0.9, "chin_raise": 0.4,
            "lid_droop": 0.35,
        },
        {
            "inner_brow_raise": 0.85, "brow_lower": 0.4, "lip_corner_depress": 1.0, "chin_raise": 0.8,
            "lid_droop": 0.5,
        },
    ),
    "surprise": (  # 1+2+5+26 or 27
        {
            "inner_brow_raise": 1.0, "outer_brow_raise": 1.0, "upper_lid_raise": 0.9, "lips_part": 0.8,
            "jaw_drop": 1.0,
        },
        {
            "inner_brow_raise": 0.9, "outer_brow_raise": 1.0, "upper_lid_raise": 0.7, "lips_part": 0.6,
            "jaw_drop": 0.65,
        },
    ),
    "fear": (  # 1+2+4+5+20+25 or 26
        {
            "inner_brow_raise": 1.0, "outer_brow_raise": 0.35, "brow_lower": 0.7, "upper_lid_raise": 1.0,
            "lip_stretch": 1.0, "lower_lip_depress": 0.6, "lips_part": 0.9, "jaw_drop": 0.2,
        },
        {
            "inner_brow_raise": 1.0, "outer_brow_raise": 0.25, "brow_lower": 0.8, "upper_lid_raise": 0.9,
            "lip_stretch": 0.9, "lower_lip_depress": 0.4, "lips_part": 0.55,
        },
    ),
    "disgust": (  # 9+17, and 10+16+25
        {
            "nose_wrinkle": 1.0, "brow_lower": 0.4, "cheek_raise": 0.3, "upper_lip_raise": 0.7,
            "chin_raise": 0.5, "lip_corner_depress": 0.4, "lid_tighten": 0.5,
        },
        {
            "nose_wrinkle": 0.8, "brow_lower": 0.3, "upper_lip_raise": 1.0, "lower_lip_depress": 0.4,
            "lips_part": 0.7, "lip_corner_depress": 0.3, "lid_tighten": 0.5,
        },
    ),
    "anger": (  # 4+5+7+17+23 or 24 (pressed lips), and 4+5+7+10+23+25 (bared teeth)
        {
            "brow_lower": 1.0, "upper_lid_raise": 0.4, "lid_tighten": 0.6, "lip_press": 1.0,
            "chin_raise": 0.35, "lip_corner_depress": 0.15,
        },
        {
            "brow_lower": 1.0, "upper_lid_raise": 0.5, "lid_tighten": 0.6, "upper_lip_raise": 0.3,
            "lip_press": 0.5, "lips_part": 0.75, "lower_lip_depress": 0.5,
        },
    ),
    "contempt": (  # unilateral 12+14
        {"lip_corner_pull_right": 0.75, "dimple_right": 1.0, "lid_tighten": 0.3, "lid_droop": 0.25},
        {"lip_corner_pull_right": 0.55, "dimple_right": 1.0, "lid_tighten": 0.3, "upper_lip_raise": 0.2},
    ),
}  # fmt: skip


def _as_columns(strengths: _Strengths) -> list[float]:
    return [strengths.get(name, strengths.get(name.rsplit("_", 1)[0], 0.0)) for name in ACTION_UNITS]


PROTOTYPES = np.array([[_as_columns(variant) for variant in _VARIANTS[name]] for name in VOCABULARY])
"""(8, 2, A) float64 in [0, 1]: the action units of each emotion of `VOCABULARY` at full intensity, in two
variants."""


def action_units(
    mixture: ArrayLike, intensity: ArrayLike, variant: ArrayLike = 0.0, mirrored: ArrayLike = False
) -> np.ndarray:
    """The mixture-weighted sum of the prototypes, times the intensity.

    Args:
        mixture: (..., 8) weights over `VOCABULARY`, rows sum to 1.
        intensity: (...) in [0, 1]; 0 is a face at rest whatever the mixture.
        variant: (...) in [0, 1]; 0 is each prototype's first variant, 1 its second, between them a blend.
        mirrored: (...) bool; the one-sided units of contempt act on the left of the image instead of the
            right.

    Returns:
        (..., A) float64 in [0, 1].
    """
    mixture = np.asarray(mixture, dtype=np.float64)
    share = np.asarray(variant, dtype=np.float64)[..., None, None]
    prototypes = (1.0 - share) * PROTOTYPES[:, 0] + share * PROTOTYPES[:, 1]
    # a plain sum and not a matrix product: BLAS may round differently for another number of faces
    units = (mixture[..., None] * prototypes).sum(axis=-2)
    units = units * np.asarray(intensity, dtype=np.float64)[..., None]
    return np.where(np.asarray(mirrored, dtype=bool)[..., None], units[..., _MIRROR], units)
