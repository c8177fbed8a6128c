"""The audit: signals, their combination, and the table of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinesics.data.tables import number_cells, write_rows
from kinesics.files import atomic_write
from kinesics.metrics import label_noise
from kinesics.studies.audit import signals
from kinesics.studies.audit.evidence import Evidence

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIGNALS = {
    "model_doubt": "1 - p(label) by the finished model",
    "uncertainty": "learned by the run for each label",
    "constructed_doubt": "1 - d(label) of the distribution that the run constructed",
    "neighbour_doubt": "share of the neighbours that carry another label",
    "around_doubt": "1 - mean p(label) over the neighbours, out of fold where there are folds",
    "fold_doubt": "1 - p(label) by the model that was trained without the sample",
    "fold_margin": "how far another class is ahead of the label for that model",
}
"""Column of audit.csv -> what it says; each in [0, 1], higher = more likely wrong. Some are absent, by the run."""

DISCOUNT = 0.7
"""Power of the belief that a label is wrong; measured on FER+ with its original labels (EXPERIMENTS.md)."""

SHOWN_NEIGHBOURS = 5
"""Neighbours with another label that are listed as speaking against one."""


@dataclass(frozen=True)
class Audit:
    """The ranking of N training samples.

    Args:
        evidence: what it rests on.
        signals: name -> (N,), those of `SIGNALS` that the evidence has.
        proposed: (N, C) what is believed of each picture before its own label is looked at.
        doubt: (N,) 1 - P(the given label is true | picture, given label).
        neighbour: (N, K) positions of the most similar other samples, -1 for none.
    """

    evidence: Evidence
    signals: dict[str, Floats]
    proposed: Floats
    doubt: Floats
    neighbour: Ints

    @property
    def order(self) -> Ints:
        """(N,) positions, the most doubtful first; equal doubts in the order of the samples."""
        return np.argsort(-self.doubt, kind="stable")

    @property
    def proposed_label(self) -> Ints:
        """(N,) most probable class by `proposed`; where the doubt is 0.5 or more, the most probable other class."""
        others = self.proposed.copy()
        others[np.arange(len(others)), self.evidence.label] = -1.0
        return np.where(self.doubt >= 0.5, others.argmax(axis=1), self.proposed.argmax(axis=1)).astype(np.int64)

    def against(self, position: int) -> list[int]:
        """The nearest neighbours of a sample that carry another label, at most `SHOWN_NEIGHBOURS`."""
        label = self.evidence.label
        near = [int(other) for other in self.neighbour[position] if other >= 0]
        return [other for other in near if label[other] != label[position]][:SHOWN_NEIGHBOURS]

    def summary(self) -> dict[str, Any]:
        """Counts for audit.json and the terminal.

        Returns:
            `samples`; `expected_wrong`, the sum of all doubts; `in_doubt`, samples with a doubt of 0.5 or more;
            `repeated`, the share of the labels that the finished model answers with, which it has learned from; and
            `pairs` of these by (label, proposed), the most frequent first, with `samples` and `mean_doubt`.
        """
        classes, label, proposed = self.evidence.classes, self.evidence.label, self.proposed_label
        doubtful = self.doubt >= 0.5
        pairs = []
        for i, given in enumerate(classes):
            for j, other in enumerate(classes):
                place = doubtful & (label == i) & (proposed == j) & (i != j)
                if place.any():
                    mean = round(float(self.doubt[place].mean()), 4)
                    pairs.append({"label": given, "proposed": other, "samples": int(place.sum()), "mean_doubt": mean})
        return {
            "samples": len(label),
            "expected_wrong": round(float(self.doubt.sum()), 1),
            "in_doubt": int(doubtful.sum()),
            "repeated": round(float((self.evidence.model.argmax(axis=1) == label).mean()), 4),
            "signals": list(self.signals),
            "pairs": sorted(pairs, key=lambda pair: -int(pair["samples"])),
        }


def audit(evidence: Evidence, k: int = 20) -> Audit:
    """Combine everything that is known of each label.

    The mean of two or four answers says how a picture would be labelled: by the finished model, its mean answer to the
    neighbours, and the same two of the out-of-fold models where there are folds. They have learned the mistakes of the
    labels, too; `label_noise.truth_and_noise` takes these out again, which gives q(j | x), what is believed of a
    picture before its own label is looked at. `label_noise.log_odds_wrong` then weighs the given label by how labels of
    this data set go wrong. As models that have learned from a label believe in it, all odds are raised alike until the
    doubts sum to the number of wrong labels that the noise model expects. The learned uncertainty and the constructed
    distribution are listed as signals; they contain the label itself.

    Args:
        evidence: of a run.
        k: neighbours that are asked.
    """
    label, n_classes = evidence.label, len(evidence.classes)
    folds = None if evidence.folds is None else evidence.folds.probability
    neighbour, _ = signals.nearest(evidence.feature, k, evidence.samples.extra.get("group"))
    answers = [evidence.model] if folds is None else [evidence.model, folds]
    around = [signals.mean_answer(neighbour, answer) for answer in answers]
    found = {"model_doubt": signals.disbelief(evidence.model, label)}
    if evidence.uncertainty is not None:
        found["uncertainty"] = evidence.uncertainty
    if evidence.constructed is not None:
        found["constructed_doubt"] = signals.disbelief(evidence.constructed, label)
    shares = signals.neighbours_labels(neighbour, label, n_classes)
    found["neighbour_doubt"] = signals.disbelief(shares, label)
    found["around_doubt"] = signals.disbelief(around[-1], label)
    if folds is not None:
        found["fold_doubt"] = signals.disbelief(folds, label)
        found["fold_margin"] = signals.margin(folds, label)
    belief, given_by_true = label_noise.truth_and_noise(np.mean([*answers, *around], axis=0), label)
    truth = label_noise.posterior(belief, label, given_by_true, DISCOUNT)
    expected = label_noise.expected_wrong(truth, given_by_true)
    odds = label_noise.log_odds_wrong(belief, label, given_by_true, DISCOUNT)
    doubt = label_noise.with_total(odds, expected)
    return Audit(evidence, found, belief, doubt, neighbour)


def write_audit(found: Audit, path: Path) -> None:
    """Write audit.csv, the most doubtful first, atomically.

    Columns: path, line (of the manifest, its header being line 1), label, proposed, doubt, the signals, p_<class> (the
    proposed distribution), against and against_labels (neighbours with another label, joined by " | ").
    """
    samples, order = found.evidence.samples, found.order
    classes = np.array(samples.classes, dtype=object)
    against = [found.against(position) for position in order]
    columns: dict[str, list[str]] = {
        "path": [str(samples.names[i]) for i in order],
        "line": [str(samples.extra["line"][i]) for i in order],
        "label": list(classes[found.evidence.label[order]]),
        "proposed": list(classes[found.proposed_label[order]]),
        "doubt": number_cells(np.round(found.doubt[order], 6)),
    }
    for name, values in found.signals.items():
        columns[name] = number_cells(np.round(values[order], 6))
    for j, name in enumerate(samples.classes):
        columns[f"p_{name}"] = number_cells(np.round(found.proposed[order, j], 6))
    columns["against"] = [" | ".join(str(samples.names[o]) for o in others) for others in against]
    columns["against_labels"] = [
        " | ".join(str(classes[found.evidence.label[o]]) for o in others) for others in against
    ]
    with atomic_write(path, "w") as stream:
        write_rows(stream, list(columns), list(columns.values()))
