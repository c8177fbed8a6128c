"""The ranking and its table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesics.metrics.classification import auroc
from kinesics.studies.audit.evidence import Evidence
from kinesics.studies.audit.study import DISCOUNT, SHOWN_NEIGHBOURS, SIGNALS, Audit, audit, write_audit
from kinesics.studies.crossval import OutOfFold


def test_wrong_labels_come_first_and_the_truth_is_proposed(found: Audit) -> None:
    wrong = np.arange(40) < 8
    assert auroc(found.doubt, wrong) == 1
    truth = (found.evidence.label[:8] - 1) % len(found.evidence.classes)
    assert (found.proposed_label[:8] == truth).mean() >= 0.75
    assert np.allclose(found.proposed.sum(1), 1)
    assert ((found.doubt > 0) & (found.doubt < 1)).all()


def spread(belief: np.ndarray, label: np.ndarray) -> np.ndarray:
    """How labels of each class go wrong, by its anchors."""
    n, c = belief.shape
    counts = np.zeros((c, c))
    for j in range(c):
        own = sorted(
            (i for i in range(n) if max(range(c), key=lambda k: belief[i, k]) == j), key=lambda i: -belief[i, j]
        )
        for i in own[: max(20, -(-len(own) // 2))]:
            counts[label[i], j] += 1
    anchors = [sum(counts[i, j] for i in range(c)) for j in range(c)]
    wrong = [anchors[j] - counts[j, j] for j in range(c)]
    rate = (sum(wrong) + 1) / (sum(anchors) + 2)
    often = [(sum(counts[i]) - counts[i, i] + 1) / (sum(anchors) - anchors[i] + 1 / rate) for i in range(c)]
    own, alike, chance, differ = np.zeros((c, c)), np.zeros((c, c)), 0.0, 0.0
    for j in range(c):
        share = (wrong[j] + 1) / (anchors[j] + 1 / rate)
        for i in range(c):
            named = often[i] / (sum(often) - often[j])
            alike[i, j] = 1 - rate if i == j else rate * named
            own[i, j] = 1 - share if i == j else share * (counts[i, j] + c * named) / (wrong[j] + c)
            moved = anchors[j] / (anchors[j] + 1 / rate) if i == j else wrong[j] / (wrong[j] + c)
            chance += moved**2 * alike[i, j] * (1 - alike[i, j])
            differ += anchors[j] * (own[i, j] - alike[i, j]) ** 2
        chance += anchors[j] * 0.04**2
    drawn = min(1.0, chance / differ)
    return (1 - drawn) * own + drawn * alike


@pytest.mark.parametrize("with_folds", [False, True])
def test_the_doubt_is_that_of_the_formula(evidence: Evidence, found: Audit, with_folds: bool) -> None:
    """Answers, anchors, belief, Bayes' rule and the sum of the doubts once more, sample by sample."""
    label, n, c = evidence.label, 40, len(evidence.classes)
    sides = [evidence.model]
    if with_folds:
        sides.append(np.random.default_rng(4).dirichlet([0.5] * c, n))
        evidence = replace(evidence, folds=OutOfFold(sides[1], np.zeros(n, dtype=np.int64)))
        found = audit(evidence, k=found.neighbour.shape[1])
    told = [[side[i], side[found.neighbour[i]].mean(0)] for i in range(n) for side in sides]
    answers = np.array(told).reshape(n, -1, c).mean(axis=1)
    belief = answers
    for _ in range(3):
        given, belief = spread(belief, label), np.empty((n, c))
        for i in range(n):
            q = answers[i]
            for _ in range(2):
                share = [[given[k, j] * q[j] / (given[k] @ q) for j in range(c)] for k in range(c)]  # j, given label k
                q = np.array([sum(answers[i, k] * share[k][j] for k in range(c)) for j in range(c)])
            belief[i] = q
    odds, expected = [], 0.0
    for i in range(n):
        own, y = belief[i, label[i]], label[i]
        parts = [belief[i, j] / (1 - own) * given[y, j] for j in range(c) if j != y]
        odds.append(((1 - own) / own) ** DISCOUNT * sum(parts) / given[y, y])
        wrong = odds[-1] / (1 + odds[-1])
        others = [1 - given[j, j] for j in range(c) if j != y]
        expected += (1 - wrong) * (1 - given[y, y]) + wrong * np.dot(parts, others) / sum(parts)
    times = found.doubt / (1 - found.doubt) / np.array(odds)
    assert np.allclose(times, times[0], rtol=1e-5)
    assert abs(found.doubt.sum() - expected) < 1e-5
    assert np.allclose(found.proposed, belief)


def test_a_doubt_of_one_half_proposes_another_label(found: Audit) -> None:
    sure = replace(found, proposed=np.eye(len(found.evidence.classes))[found.evidence.label], doubt=np.full(40, 0.5))
    assert (sure.proposed_label != found.evidence.label).all()
    calm = replace(sure, doubt=np.full(40, 0.49))
    assert (calm.proposed_label == found.evidence.label).all()


def test_signals_are_those_that_the_run_has(evidence: Evidence, found: Audit) -> None:
    assert list(found.signals) == ["model_doubt", "neighbour_doubt", "around_doubt"]
    rich = replace(
        evidence,
        uncertainty=np.full(40, 0.5),
        constructed=evidence.model,
        folds=OutOfFold(evidence.model, np.zeros(40, dtype=np.int64)),
    )
    full = audit(rich, k=5)
    assert list(full.signals) == list(SIGNALS)
    assert all((values >= 0).all() and (values <= 1).all() for values in full.signals.values())


def test_neighbours_that_speak_against_carry_another_label_and_are_no_relatives(found: Audit) -> None:
    label, group = found.evidence.label, found.evidence.samples.extra["group"]
    listed = [(i, other) for i in range(40) for other in found.against(i)]
    assert listed
    assert all(label[i] != label[other] and group[i] != group[other] for i, other in listed)
    assert max(len(found.against(i)) for i in range(40)) <= SHOWN_NEIGHBOURS


def test_table(found: Audit, tmp_path: Path) -> None:
    write_audit(found, tmp_path / "audit.csv")
    with (tmp_path / "audit.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 40
    doubts = [float(row["doubt"]) for row in rows]
    assert doubts == sorted(doubts, reverse=True)
    first = rows[0]
    position = int(first["path"][6:9])
    classes = found.evidence.classes
    assert first["line"] == str(position + 2)
    assert first["label"] == classes[found.evidence.label[position]]
    shares = {name: float(first[f"p_{name}"]) for name in classes}
    others = {name: share for name, share in shares.items() if name != first["label"]}
    assert max(others, key=lambda name: others[name]) == first["proposed"]
    assert abs(sum(shares.values()) - 1) < 1e-5
    for path, label in zip(first["against"].split(" | "), first["against_labels"].split(" | "), strict=True):
        assert classes[found.evidence.label[int(path[6:9])]] == label != first["label"]


def test_summary_counts_what_is_in_doubt(found: Audit) -> None:
    summary = found.summary()
    assert summary["samples"] == 40
    assert abs(summary["expected_wrong"] - found.doubt.sum()) < 0.1
    assert summary["in_doubt"] == (found.doubt >= 0.5).sum()
    assert sum(pair["samples"] for pair in summary["pairs"]) <= summary["in_doubt"]
