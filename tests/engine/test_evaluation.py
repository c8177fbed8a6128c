"""Every score against its own definition, on whole data, with missing truth, and per subgroup."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from kinesics.engine.evaluation import Evaluation, by_subgroup, evaluate_classification
from kinesics.engine.metric_names import describe

CLASSES = ("neutral", "happiness", "fear")
RNG = np.random.default_rng(11)
N = 60
P = RNG.dirichlet(np.ones(3), N)
Y = RNG.integers(3, size=N)
D = RNG.multinomial(10, [0.5, 0.3, 0.2], N) / 10
VA = RNG.uniform(-1, 1, (N, 2))
VA_PRED = 0.5 * VA + RNG.normal(scale=0.1, size=(N, 2))


def scores(rows: Any = slice(None), **changes: Any) -> dict[str, float]:
    inputs = {
        "probability": P[rows],
        "label": Y[rows],
        "distribution": D[rows],
        "valence_arousal_pred": VA_PRED[rows],
        "valence_arousal": VA[rows],
    }
    return evaluate_classification(classes=CLASSES, temperature=2.0, **{**inputs, **changes})


def hot() -> np.ndarray:
    """P after T = 2, by its own formula."""
    root = np.sqrt(P)
    return root / root.sum(axis=1, keepdims=True)


def test_scores_by_their_definitions() -> None:
    got = scores()
    guess, y = P.argmax(axis=1), Y
    assert got["accuracy"] == got["war"] == pytest.approx((guess == Y).mean())
    assert got["uar"] == pytest.approx(sk.recall_score(Y, guess, average="macro"))
    assert got["macro_f1"] == pytest.approx(sk.f1_score(Y, guess, average="macro"))
    for number, name in enumerate(CLASSES):
        assert got[f"recall/{name}"] == pytest.approx((guess[y == number] == number).mean())
        assert got[f"f1/{name}"] == pytest.approx(sk.f1_score(y == number, guess == number))
    for suffix, p in (("", P), ("_calibrated", hot())):
        assert got[f"nll{suffix}"] == pytest.approx(-np.log(p[np.arange(N), Y]).mean())
        assert got[f"brier{suffix}"] == pytest.approx(((p - np.eye(3)[Y]) ** 2).sum(axis=1).mean())
        assert got[f"chebyshev{suffix}"] == pytest.approx(np.abs(p - D).max(axis=1).mean())
        assert got[f"intersection{suffix}"] == pytest.approx(np.minimum(p, D).sum(axis=1).mean())
        kl = sum(d * math.log(d / q) for d, q in zip(D.ravel(), p.ravel(), strict=True) if d > 0) / N
        assert got[f"kl{suffix}"] == pytest.approx(kl)
    assert got["ece"] != got["ece_calibrated"]
    for axis, name in enumerate(("valence", "arousal")):
        a, b = VA_PRED[:, axis], VA[:, axis]
        expected = 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
        assert got[f"ccc_{name}"] == pytest.approx(expected)


def test_every_metric_that_evaluate_promises_is_there_and_has_a_title() -> None:
    once = {"accuracy", "uar", "war", "macro_f1", "ccc_valence", "ccc_arousal"}
    once |= {f"{measure}/{name}" for measure in ("recall", "f1") for name in CLASSES}
    twice = ("ece", "nll", "brier", "kl", "chebyshev", "clark", "canberra", "cosine", "intersection")
    assert set(scores()) == once | {name + suffix for name in twice for suffix in ("", "_calibrated")}
    assert all(describe(name).title != name for name in scores())


def test_without_distributions_and_places_only_label_scores() -> None:
    got = scores(distribution=None, valence_arousal=None)
    assert "kl" not in got and "ccc_valence" not in got and "accuracy" in got


def test_each_score_uses_the_rows_that_have_its_truth() -> None:
    label, distribution, place = Y.copy(), D.copy(), VA.copy()
    label[:20], distribution[10:30], place[40:, 0] = -1, np.nan, np.nan
    got = scores(label=label, distribution=distribution, valence_arousal=place)
    with_label, with_votes = np.arange(20, N), np.r_[0:10, 30:N]
    assert got["accuracy"] == scores(with_label)["accuracy"]
    assert got["ece_calibrated"] == pytest.approx(scores(with_label)["ece_calibrated"])
    assert got["kl"] == pytest.approx(scores(with_votes)["kl"])
    assert got["ccc_valence"] == pytest.approx(scores(slice(0, 40))["ccc_valence"])
    assert got["ccc_arousal"] == pytest.approx(scores()["ccc_arousal"])


def test_no_truth_at_all_gives_nan_under_the_same_names() -> None:
    nothing = scores(
        label=np.full(N, -1), distribution=np.full((N, 3), np.nan), valence_arousal=np.full((N, 2), np.nan)
    )
    assert set(nothing) == set(scores()) and all(math.isnan(value) for value in nothing.values())


def test_subgroups_are_measured_alone_in_sorted_order_with_the_missing_last() -> None:
    values = np.array([30, 4, 30, None, 200] * (N // 5), dtype=object)
    table = by_subgroup(values, P, Y, CLASSES, 2.0, D, VA_PRED, VA)
    assert table["subgroup"].tolist() == ["4", "30", "200", "(none)"]
    assert table["n"].tolist() == [12, 24, 12, 12]
    for _, row in table.iterrows():
        wanted = {"4": 4, "30": 30, "200": 200, "(none)": None}[row["subgroup"]]
        inside = np.array([value == wanted if wanted is not None else value is None for value in values])
        for name, value in scores(inside).items():
            np.testing.assert_allclose(row[name], value, err_msg=name)


def test_subgroups_of_mixed_and_text_values() -> None:
    assert by_subgroup(["b", "a"] * 30, P, Y, CLASSES, 1.0)["subgroup"].tolist() == ["a", "b"]
    mixed = by_subgroup(pd.Series([1, "a"] * 30, dtype=object, index=range(100, 160)), P, Y, CLASSES, 1.0)
    assert sorted(mixed["subgroup"]) == ["1", "a"] and mixed["n"].tolist() == [30, 30]


def evaluation(**changes: Any) -> Evaluation:
    fields = {
        "classes": CLASSES,
        "label": Y,
        "probability": P,
        "temperature": 2.0,
        "distribution": D,
        "metrics": {},
        "names": [f"{i}.png" for i in range(N)],
    }
    return Evaluation(**{**fields, **changes})


def test_evaluation_derives_confusion_and_calibrated_answers() -> None:
    label = Y.copy()
    label[:5] = -1
    judged = evaluation(label=label)
    np.testing.assert_array_equal(judged.confusion, sk.confusion_matrix(Y[5:], P[5:].argmax(axis=1)))
    np.testing.assert_allclose(judged.calibrated, hot())
    np.testing.assert_array_equal(judged.predicted, P.argmax(axis=1))
    assert judged.labelled.sum() == N - 5
    with pytest.raises(AttributeError):
        judged.temperature = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evaluation(probability=P[:, :2]), r"probability: expected shape \(60, 3\).*got \(60, 2\)"),
        (lambda: evaluation(distribution=D[1:]), r"distribution: expected shape \(60, 3\)"),
        (lambda: evaluation(names=["one"]), "names: expected 60 entries"),
        (lambda: evaluation(uncertainty=np.zeros(3)), "uncertainty: expected 60 entries"),
        (lambda: scores(probability=P[:, :2]), r"probability: expected shape \(60, 3\), got \(60, 2\)"),
        (lambda: scores(distribution=D[:, :2]), r"distribution: expected shape \(60, 3\), got \(60, 2\)"),
        (lambda: scores(valence_arousal=VA[:, :1]), r"valence_arousal: expected shape \(60, 2\), got \(60, 1\)"),
        (lambda: by_subgroup(["a"], P, Y, CLASSES, 1.0), "values: expected 60 entries as label has, got 1"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
