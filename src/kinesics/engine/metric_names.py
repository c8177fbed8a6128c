"""How metrics are called and printed: title, unit, digits, and which direction is better."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

CALIBRATED = "_calibrated"
"""Ending of a metric that is measured after temperature scaling."""


@dataclass(frozen=True)
class MetricName:
    """How one metric is shown.

    Args:
        title: for a table head.
        meaning: half a sentence for readers who don't know the metric.
        better: +1 where higher is better, -1 where lower is, 0 where neither.
        percent: shown as a percentage.
        digits: decimals shown; None for four significant figures.
        unit: printed behind the value, where it isn't a percentage.
    """

    title: str
    meaning: str = ""
    better: int = 0
    percent: bool = False
    digits: int | None = 3
    unit: str = ""

    def format(self, value: float) -> str:
        """The value as text with its unit; an en dash for NaN."""
        if math.isnan(value):
            return "–"
        scaled = 100 * value if self.percent else value
        number = f"{scaled:.4g}" if self.digits is None else f"{scaled:.{self.digits}f}"
        unit = "%" if self.percent else self.unit
        return f"{number} {unit}" if unit else number


_KNOWN = {
    "n": MetricName("Samples", digits=0),
    "accuracy": MetricName("Accuracy", "share of right answers", +1, percent=True, digits=1),
    "uar": MetricName("UAR", "unweighted average recall: every class counts the same", +1, percent=True, digits=1),
    "war": MetricName("WAR", "weighted average recall, which is the accuracy", +1, percent=True, digits=1),
    "macro_f1": MetricName("Macro F1", "mean F1 of the classes", +1, percent=True, digits=1),
    "recall": MetricName("Recall", "share of a class that was found", +1, percent=True, digits=1),
    "precision": MetricName("Precision", "share of the answers that are right", +1, percent=True, digits=1),
    "f1": MetricName("F1", "harmonic mean of recall and precision", +1, percent=True, digits=1),
    "support": MetricName("Samples", digits=0),
    "ece": MetricName("ECE", "calibration error: mean gap of confidence and accuracy", -1, percent=True, digits=1),
    "nll": MetricName("NLL", "negative log-likelihood of the labels", -1, unit="nats"),
    "brier": MetricName("Brier", "squared distance to the labels", -1),
    "kl": MetricName("KL", "divergence from the true distributions", -1, unit="nats"),
    "chebyshev": MetricName("Chebyshev", "largest difference of a class", -1),
    "clark": MetricName("Clark", "root of summed squared relative differences", -1),
    "canberra": MetricName("Canberra", "summed relative differences", -1),
    "cosine": MetricName("Cosine", "cosine of the angle to the true distributions", +1),
    "intersection": MetricName("Intersection", "mass in common with the true distributions", +1),
    "ccc_valence": MetricName("CCC valence", "concordance of the valence", +1),
    "ccc_arousal": MetricName("CCC arousal", "concordance of the arousal", +1),
    "auroc": MetricName("AUROC", "chance that a positive outscores a negative", +1),
    "average_precision": MetricName("Average precision", "area under precision over recall", +1),
    "rmse": MetricName("RMSE", "root mean squared error", -1, digits=4),
    "mae": MetricName("MAE", "mean absolute error", -1, digits=4),
    "pearson": MetricName("Correlation", "Pearson's, of answers and targets", +1),
    "ccc": MetricName("CCC", "concordance of answers and targets", +1),
    "loss": MetricName("Loss", better=-1, digits=4),
    "seconds": MetricName("Time", better=-1, digits=1, unit="s"),
    "temperature": MetricName("Temperature", "divides the logits"),
}


def describe(name: str) -> MetricName:
    """How the metric called `name` in `metrics.csv` is shown; an unknown name is shown as it is.

    Args:
        name: such as "uar", "ece_calibrated", "recall/anger", "valid/accuracy".
    """
    if name.startswith(("valid/", "train/", "test/")):
        part, _, rest = name.partition("/")
        return _suffixed(describe(rest), part)
    if name.endswith(CALIBRATED):
        return _suffixed(describe(name.removesuffix(CALIBRATED)), "calibrated")
    base, _, detail = name.partition("/")
    if base in _KNOWN:
        return replace(_KNOWN[base], title=f"{_KNOWN[base].title} {detail}") if detail else _KNOWN[base]
    return MetricName(name, digits=None)


def _suffixed(metric: MetricName, suffix: str) -> MetricName:
    return replace(metric, title=f"{metric.title}, {suffix}")
