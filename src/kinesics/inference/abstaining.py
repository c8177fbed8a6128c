"""Withholding answers that are too uncertain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kinesics.engine.prediction import Emotion, Prediction
from kinesics.errors import UserError

ABSTAINED = "abstain"
"""The label of an answer that is withheld; its distribution and all else stay."""

DECILES = tuple(f"uncertainty_{10 * k}" for k in range(1, 10))
"""Names in a model's calibration: the uncertainty below which 10 % .. 90 % of its validation answers lie."""


def threshold_of(calibration: Mapping[str, float], share: float) -> float:
    """The uncertainty above which answers are withheld so that `share` of the validation answers would have been.

    Between the deciles that the model's calibration holds it is interpolated; 0 and 1 bound them, so that shares below
    0.1 withhold less than they say.

    Args:
        calibration: of the model.
        share: in [0, 1]: 0 withholds nothing, 0.3 the most uncertain three of ten validation answers.

    Raises:
        UserError: a share out of range, or a model whose calibration lacks the deciles.
    """
    if not 0.0 <= share <= 1.0:
        raise UserError(f"--abstain must be in [0, 1]; got {share}")
    if missing := [name for name in DECILES if name not in calibration]:
        raise UserError(
            f"--abstain {share:g} needs the spread of the model's uncertainty on validation data, but its calibration "
            f"lacks {missing[0]} and its like",
            hint="--abstain-above UNCERTAINTY sets the bound itself; newly trained models have the spread",
        )
    known = [0.0, *(calibration[name] for name in DECILES), 1.0]
    return float(np.interp(1.0 - share, np.linspace(0, 1, 11), known))


def abstain(answer: Prediction, above: float) -> Prediction:
    """The answer, its label withheld where its uncertainty exceeds `above`."""
    if isinstance(answer, Emotion) and answer.label and answer.uncertainty > above:
        return replace(answer, label=ABSTAINED)
    return answer
