"""What the charts show: bar lengths, shades, marks and words; and that they leave global state alone."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kinesics.engine import figures, image_figures
from kinesics.engine.palette import light
from kinesics.metrics.calibration import reliability_table
from kinesics.metrics.classification import per_class

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "lr": [0.1, 0.1, 0.01],
        "train/loss": [2.0, 1.0, 0.5],
        "valid/nll": [1.5, 1.2, 1.3],
        "valid/accuracy": [0.4, 0.6, 0.7],
        "valid/recall/anger": [0.1, 0.2, 0.3],
        "valid/uar": [np.nan, np.nan, np.nan],
    }
)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 1), dtype=np.uint8)
CLASSES = ("neutral", "fear")


def words(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_learning_curves_draw_losses_and_metrics_in_their_panels() -> None:
    losses, metrics = figures.learning_curves(HISTORY, selected_epoch=2, name="ldlva").axes
    assert [line.get_label() for line in losses.lines[:2]] == ["Loss (train)", "NLL (valid)"]
    np.testing.assert_array_equal(losses.lines[0].get_xydata(), [[1, 2], [2, 1], [3, 0.5]])
    assert [line.get_label() for line in metrics.lines[:1]] == ["Accuracy"]
    assert len(metrics.lines) == 2 and metrics.lines[1].get_xdata() == [2, 2]
    assert losses.get_title("left") == "Loss, ldlva"


def test_curves_of_a_task_without_accuracy_show_what_validation_gives() -> None:
    history = pd.DataFrame({"train/loss": [1.0, 0.5], "valid/rmse": [0.3, 0.2], "valid/recall/a": [0.1, 0.2]})
    assert figures.metric_columns(history) == ["valid/rmse"]
    axes = figures.learning_curves(history, ("metrics",)).axes
    np.testing.assert_array_equal(axes[0].lines[0].get_xdata(), [1, 2])


def test_curves_survive_one_epoch_and_no_columns() -> None:
    words(figures.learning_curves(HISTORY.head(1)))
    assert not figures.learning_curves(pd.DataFrame({"epoch": [1]}), ("losses",)).axes[0].lines


def test_compared_curves_leave_out_runs_without_the_metric() -> None:
    other = pd.DataFrame({"epoch": [1], "train/loss": [1.0]})
    ax = figures.compared_curves({"a": HISTORY, "b": other, "c": HISTORY}, "valid/accuracy").axes[0]
    assert [line.get_label() for line in ax.lines] == ["a", "c"]
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_confusion_shades_are_shares_of_the_row() -> None:
    counts = np.array([[3, 1], [0, 5]])
    figure = figures.confusion_heatmap(counts, CLASSES)
    cells = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    assert [cell.get_alpha() for cell in cells] == [0.75, 0.25, 0.0, 1.0]
    assert [cell.get_xy() for cell in cells] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    shown = words(figure)
    assert {"75 %", "25 %", "100 %", "3", "1", "5"} <= set(shown) and "0 %" not in shown
    inks = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert inks["75 %"] == inks["100 %"] == light("on-deep") and inks["25 %"] == light("on-pale")


def test_confusion_of_many_classes_keeps_to_shades() -> None:
    figure = figures.confusion_heatmap(np.eye(30, dtype=int), [f"class {i}" for i in range(30)])
    assert not figure.axes[0].texts and len(figure.axes[0].patches) == 900


def test_confusion_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for 2 classes, got \(3, 3\)"):
        figures.confusion_heatmap(np.eye(3), CLASSES)


def test_reliability_bars_are_accuracy_and_the_gap_reaches_the_confidence() -> None:
    table = reliability_table([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]], [0, 1, 1], bins=5)
    figure = figures.reliability_diagram(table, table, 0.3, 0.1)
    ax, second, below, _ = figure.axes
    bars, gaps = ax.containers
    assert [bar.get_height() for bar in bars] == [1, 0, 1]
    assert [bar.get_x() for bar in bars] == pytest.approx([0.4, 0.6, 0.8])
    assert [gap.get_y() + gap.get_height() for gap in gaps] == pytest.approx([0.6, 0.8, 0.9])
    assert [bar.get_height() for bar in below.containers[0]] == pytest.approx([0, 0, 1 / 3, 1 / 3, 1 / 3])
    assert "ECE 30.0 %" in words(figure) and "ECE 10.0 %" in words(figure)
    assert second.get_title("left") == "After temperature scaling"


def test_reliability_of_no_samples() -> None:
    words(figures.reliability_diagram(reliability_table(np.zeros((0, 2)), [])))


def test_class_bars_have_the_length_of_the_metric_and_nan_has_none() -> None:
    figure = figures.per_class_bars(per_class([[3, 1], [0, 0]]), CLASSES)
    recall, precision, _ = figure.axes[0].containers
    assert [bar.get_width() for bar in recall] == [0.75, 0]
    assert [bar.get_width() for bar in precision] == [1, 0]
    assert {"neutral (4)", "fear (0)", "Recall", "Precision", "F1"} <= set(words(figure))


def test_comparison_sets_off_the_best_and_draws_deviations() -> None:
    table = pd.DataFrame({"accuracy": [0.7, 0.8, np.nan], "kl": [0.4, 0.5, 0.3]}, index=["a", "b", "c"])
    figure = figures.comparison_bars(
        table, pd.DataFrame({"accuracy": [0.1, 0.0, np.nan], "kl": np.nan}, index=table.index)
    )
    accuracy, kl = figure.axes
    assert [bar.get_alpha() for bar in accuracy.patches] == [0.45, 1.0, 0.45]
    assert [bar.get_alpha() for bar in kl.patches] == [0.45, 0.45, 1.0]
    assert [text.get_text() for text in accuracy.texts] == ["70.0 %", "80.0 %", "–"]
    assert accuracy.get_title("left") == "Accuracy (higher is better)"
    deviation = accuracy.findobj(LineCollection)[0]
    np.testing.assert_allclose(deviation.get_segments()[0][:, 0], [0.6, 0.8])
    assert not kl.findobj(LineCollection)


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ([1.0, 2.0, np.nan], 1, [False, True, False]),
        ([1.0, 2.0, 1.0], -1, [True, False, True]),
        ([1.0, 2.0], 0, [False, False]),
        ([np.nan, 2.0], 1, [False, False]),
    ],
)
def test_best_rows(values: list[float], better: int, best: list[bool]) -> None:
    assert figures.best_rows(np.array(values), better).tolist() == best


def test_dollars_newlines_and_unprintable_characters_are_drawn_as_they_are() -> None:
    names = ("$x_{", "a$b$\x00")
    shown = words(figures.confusion_heatmap(np.eye(2), names))
    assert r"\$x_{" in shown and "a\\$b\\$\ufffd" in shown
    words(image_figures.image_grid(IMAGES[:2], ["$1\n$2", "\\frac{$"]))


def test_figures_leave_pyplot_and_the_settings_alone() -> None:
    """In a fresh process, since other tests may have imported pyplot."""
    code = (
        "import sys, numpy, matplotlib; settings = matplotlib.rcParams; settings['font.size'] = 31\n"
        "before = settings.copy()\n"
        "from kinesics.engine import figures, svg\n"
        "figure = figures.confusion_heatmap(numpy.eye(2), ('a', 'b')); svg.inline_svg(figure, 'x', 'alt')\n"
        "assert figure.axes[0].texts[0].get_fontsize() == 9\n"
        "assert 'matplotlib.pyplot' not in sys.modules and settings.copy() == before"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
