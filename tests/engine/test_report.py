"""Reports of a run and of a comparison: what must be in them, and what may be missing."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kinesics.engine.evaluation import Evaluation, by_subgroup, evaluate_classification
from kinesics.engine.report import ComparedRun, comparison_report, run_report
from kinesics.engine.report_sections import doubt, pick_examples

CLASSES = ("neutral", "happiness", "fear")
HISTORY = pd.DataFrame(
    {"epoch": [1, 2], "train/loss": [1.0, 0.5], "valid/accuracy": [0.5, 0.7], "valid/ece": [0.1, 0.05]}
)
INFO: dict[str, Any] = {
    "system": "ldlva",
    "data": "faces <7>.csv",
    "split": "test",
    "seed": 23,
    "kinesics": "0.1.0",
    "git_commit": "0123456789abcdef",
    "packages": {"torch": "2.13.0", "numpy": None},
    "machine": {"processor": "Test CPU", "cores": 2},
    "data_fingerprint": "f" * 64,
    "preprocessing": {"size": 48, "mean": 0.5},
    "classes": list(CLASSES),
    "left_out": [{"line": i} for i in range(50)],
    "selected_epoch": 2,
}


def make(n: int = 40, seed: int = 0, **changes: Any) -> Evaluation:
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.ones(3), n), rng.integers(3, size=n)
    votes = rng.multinomial(10, [0.4, 0.4, 0.2], n) / 10
    fields = {
        "classes": CLASSES,
        "label": y,
        "probability": p,
        "temperature": 1.7,
        "distribution": votes,
        "metrics": evaluate_classification(p, y, CLASSES, 1.7, votes),
        "names": [f"dir & co/{i}.png" for i in range(n)],
        "subgroups": by_subgroup(np.where(np.arange(n) % 2, "day", "night"), p, y, CLASSES, 1.7, votes),
    }
    return Evaluation(**{**fields, **changes})


def pixels(positions: np.ndarray) -> np.ndarray:
    """Each sample's image is its own grey."""
    return np.repeat(positions.astype(np.uint8), 36).reshape(-1, 6, 6, 1)


def text_of(path: Path) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8").split("</head>")[1]))


def headings(path: Path) -> list[str]:
    return [unescape(h) for h in re.findall(r"<h2>(.*?)</h2>", path.read_text(encoding="utf-8"))]


def test_run_report_has_every_part(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    evaluation = make()
    run_report(path, INFO, HISTORY, evaluation, pixels)
    assert headings(path) == [
        "Training",
        "Confusion matrix",
        "Calibration",
        "Classes",
        "Distance to the true distributions",
        "Subgroups",
        "Most confident and right",
        "Most confident and wrong",
        "Most ambiguous",
        "From certain to uncertain",
        "All numbers",
        "Where this comes from",
    ]
    text = text_of(path)
    assert "ldlva on faces <7>.csv" in text and "git commit 0123456789ab " in text
    for told in (
        "torch 2.13.0, numpy –",
        "processor Test CPU, cores 2",
        "f" * 64,
        "size 48, mean 0.5",
        "line 19, … (50 in all)",
        "night",
    ):
        assert told in text
    assert "Before temperature scaling" in text and "After, T = 1.70" in text
    for name in ("accuracy", "ece_calibrated"):
        assert f"{100 * evaluation.metrics[name]:.1f}" in text
    for name in evaluation.metrics:
        assert name in text
    assert "dir & co/" in text


def test_report_of_a_run_with_next_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    run_report(path, {}, pd.DataFrame(), {"rmse": 0.123})
    assert headings(path) == ["All numbers", "Where this comes from"] and "0.1230" in text_of(path)
    empty = make(1, label=np.array([-1]), distribution=None, subgroups=None, metrics={"accuracy": float("nan")})
    run_report(path, INFO, HISTORY, empty, pixels)
    assert "Confusion matrix" not in headings(path) and "Most ambiguous" in headings(path)


def test_without_temperature_there_is_one_diagram(tmp_path: Path) -> None:
    run_report(tmp_path / "r.html", INFO, HISTORY, make(temperature=1.0))
    assert "Before temperature scaling" in text_of(tmp_path / "r.html")
    assert "After, T" not in text_of(tmp_path / "r.html")


def test_examples_are_the_telling_ones() -> None:
    p = np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.95, 0.03, 0.02], [0.34, 0.33, 0.33]])
    y = np.array([0, 0, 1, 2, -1])
    evaluation = make(5, probability=p, label=y, distribution=None, subgroups=None, temperature=1.0)
    found = pick_examples(evaluation)
    assert found["right"].tolist() == [0, 2, 1], "the surest of each class first"
    assert found["wrong"].tolist() == [3], "a sample without a label is neither right nor wrong"
    assert found["ambiguous"].tolist()[:2] == [4, 2]
    assert [len(v) for v in pick_examples(evaluation, 1).values()] == [1, 1, 1]


def test_doubt_is_the_entropy_unless_the_model_says_otherwise() -> None:
    evaluation = make(2, probability=np.array([[1 / 3] * 3, [1.0, 0.0, 0.0]]), temperature=1.0)
    np.testing.assert_allclose(doubt(evaluation), [1, 0], atol=1e-12)
    np.testing.assert_array_equal(doubt(make(2, uncertainty=np.array([0.2, 0.9]))), [0.2, 0.9])


def test_only_the_images_shown_are_asked_for(tmp_path: Path) -> None:
    asked: list[int] = []

    def watched(positions: np.ndarray) -> np.ndarray:
        asked.extend(positions.tolist())
        return pixels(positions)

    run_report(tmp_path / "r.html", INFO, HISTORY, make(500), watched)
    assert 20 < len(asked) < 40


TABLE = pd.DataFrame(
    {"accuracy": [0.7, 0.8], "accuracy_std": [0.01, 0.02], "kl": [0.4, 0.5], "note": ["<i>", "none"]},
    index=["plain", "ldlva"],
)


def test_comparison_report_has_table_bars_and_curves(tmp_path: Path) -> None:
    path = tmp_path / "c.html"
    runs = [ComparedRun("plain", HISTORY, make()), ComparedRun("ldlva", HISTORY, make(seed=1))]
    comparison_report(path, "Two methods", "One.\n\nTwo.", TABLE, runs)
    assert headings(path) == ["Results", "Side by side", "Training of each method", "Calibration of each method"]
    page = path.read_text(encoding="utf-8")
    assert "<strong>80.0 ± 2.0 %</strong>" in page and "<strong>0.400 nats</strong>" in page
    assert "<td>&lt;i&gt;</td>" in page and "accuracy_std" not in page
    assert "<p>One.</p><p>Two.</p>" in page and "Loss, ldlva" in page
    assert page.count("<svg") == 2 + (2 + 2) + 4, "bars; metrics and losses; reliability before and after"


def test_comparison_of_numbers_alone(tmp_path: Path) -> None:
    comparison_report(tmp_path / "c.html", "T", "", TABLE[["kl"]], [ComparedRun("plain", pd.DataFrame())])
    assert headings(tmp_path / "c.html") == ["Results", "Side by side"]


def test_the_same_run_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    run_report(tmp_path / "a.html", INFO, HISTORY, make(3), pixels)
    run_report(tmp_path / "b.html", INFO, HISTORY, make(3), pixels)
    here = hashlib.sha256((tmp_path / "a.html").read_bytes()).hexdigest()
    assert here == hashlib.sha256((tmp_path / "b.html").read_bytes()).hexdigest()
    code = (
        f"import runpy; m = runpy.run_path({__file__!r}); import hashlib, pathlib; p = pathlib.Path('c.html')\n"
        "m['run_report'](p, m['INFO'], m['HISTORY'], m['make'](3), m['pixels'])\n"
        "print(hashlib.sha256(p.read_bytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "MPLBACKEND": "svg"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == here


def test_any_class_name_can_be_reported(tmp_path: Path) -> None:
    names = ("a$b", "x" * 300, "<b>&amp;")
    run_report(tmp_path / "r.html", INFO, HISTORY, make(8, classes=names))
    assert all(name in text_of(tmp_path / "r.html") for name in names)
