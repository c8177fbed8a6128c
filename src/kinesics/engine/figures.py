"""The charts of a report: each function returns a new Figure and leaves pyplot's global state alone.

Colours come from `engine/palette.py`, safe for the colour-blind; where colour tells series apart, markers,
line styles or hatching do too. Text given by the user is drawn as it is, never read as mathematics. Figures
with images in them are in `engine/image_figures.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from kinesics.engine.figure_style import plain, short, styled
from kinesics.engine.metric_names import describe
from kinesics.engine.palette import DEEP, light, series

_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_HATCHED: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": light("orange"),
    "hatch": "////",
    "linewidth": 0.8,
}
_SMALL_MATRIX = 12
"""Classes up to which a confusion matrix carries numbers."""


@styled
def learning_curves(
    history: pd.DataFrame,
    panels: Sequence[str] = ("losses", "metrics"),
    selected_epoch: int | None = None,
    name: str = "",
) -> Figure:
    """Losses and validation metrics over the epochs, a panel each.

    Args:
        history: one row an epoch or a judged round: "epoch" or "round" (from 1; else the row number), "train/<loss>",
            "valid/<metric>", else "test/<metric>".
        panels: which of "losses" (see `loss_columns`) and "metrics" (see `metric_columns`).
        selected_epoch: marked by a vertical line.
        name: of the run, for the titles.
    """
    figure = Figure(figsize=(4.4 * len(panels), 2.9))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        columns = loss_columns(history) if panel == "losses" else metric_columns(history)
        for number, column in enumerate(columns):
            part, _, rest = column.partition("/")
            title = describe(rest).title
            _line(ax, number, history, column, title if panel == "metrics" else f"{title} ({part})")
        if selected_epoch is not None:
            ax.axvline(selected_epoch, color=light("muted"), linewidth=1, linestyle=(0, (2, 2)))
        _finish_curves(ax, columns, clock(history))
        title = "Loss" if panel == "losses" else f"On {'validation' if columns[0].startswith('valid') else 'test'} data"
        ax.set_title(plain(f"{title}, {name}" if name else title, 40))
    return figure


def loss_columns(history: pd.DataFrame) -> list[str]:
    """Columns of a history that are drawn as losses: all of `train/`, and `valid/nll`."""
    return [name for name in _numeric(history) if name.startswith("train/") or name == "valid/nll"]


def metric_columns(history: pd.DataFrame) -> list[str]:
    """Columns that are drawn as metrics: accuracy, UAR, macro F1 and ECE, else the first four, of `valid/`; a history
    without these has `test/`."""
    for part in ("valid", "test"):
        there = [name for name in _numeric(history) if name.startswith(f"{part}/")]
        usual = [f"{part}/{name}" for name in ("accuracy", "uar", "macro_f1", "ece") if f"{part}/{name}" in there]
        if chosen := usual or [name for name in there if name.count("/") == 1 and name != f"{part}/nll"][:4]:
            return chosen
    return []


def clock(history: pd.DataFrame) -> str:
    """What a row of a history is: "round" in a federation, else "epoch"."""
    return "round" if "round" in history else "epoch"


@styled
def compared_curves(histories: Mapping[str, pd.DataFrame], column: str) -> Figure:
    """One metric over the epochs, a line for each of several runs.

    Args:
        histories: run name -> table as in `learning_curves`; runs without the column are left out.
        column: such as "valid/accuracy".
    """
    figure = Figure(figsize=(4.4, 2.9))
    ax = figure.subplots()
    for number, (name, history) in enumerate(histories.items()):
        if column in history:
            _line(ax, number, history, column, name)
    _finish_curves(ax, [column])
    ax.set_title(plain(describe(column).title))
    return figure


@styled
def confusion_heatmap(confusion: ArrayLike, classes: Sequence[str]) -> Figure:
    """Confusion matrix: shade and percentage are shares of the row (the truth), the small number is a count.

    Args:
        confusion: (C, C) counts, row = truth, column = prediction.
        classes: C names.
    """
    counts = np.asarray(confusion)
    n = len(classes)
    if counts.shape != (n, n):
        raise ValueError(f"confusion: expected shape {(n, n)} for {n} classes, got {counts.shape}")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cell = 0.62 if n <= _SMALL_MATRIX else 0.34
    figure = Figure(figsize=(1.5 + cell * n, 0.95 + cell * n * 0.86))
    ax = figure.subplots()
    for row, column in np.ndindex(n, n):
        shade = share[row, column]
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor=light("accent"), alpha=shade, linewidth=0))
        if n <= _SMALL_MATRIX and counts[row, column]:
            ink = light("on-deep" if shade >= DEEP else "on-pale")
            text: dict[str, Any] = {"color": ink, "ha": "center", "va": "center"}
            ax.text(column + 0.5, row + 0.42, f"{100 * shade:.0f} %", **text)
            ax.text(column + 0.5, row + 0.78, str(counts[row, column]), fontsize=6.5, **text)
    names = [short(name, 16) for name in classes]
    slant: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if n > 4 else {}
    ax.set_xticks(np.arange(n) + 0.5, names, **slant)
    ax.set_yticks(np.arange(n) + 0.5, names)
    ax.set(xlim=(0, n), ylim=(n, 0), xlabel="predicted", ylabel="true")
    ax.hlines(np.arange(n + 1), 0, n, color=light("line"), linewidth=0.7)
    ax.vlines(np.arange(n + 1), 0, n, color=light("line"), linewidth=0.7)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=light("ink"))
    return figure


@styled
def reliability_diagram(
    before: Mapping[str, ArrayLike],
    after: Mapping[str, ArrayLike] | None = None,
    ece_before: float | None = None,
    ece_after: float | None = None,
    titles: tuple[str, str] = ("Before temperature scaling", "After temperature scaling"),
) -> Figure:
    """Accuracy over confidence, a panel a table: on the dashed line, confidence is what it says.

    Under each panel: which share of the samples falls into each bin.

    Args:
        before: as `metrics.calibration.reliability_table` gives it.
        after: the same after temperature scaling.
        ece_before: written into the panel of `before`, in [0, 1].
        ece_after: written into the panel of `after`.
        titles: of the panels.
    """
    tables = [before] if after is None else [before, after]
    figure = Figure(figsize=(3.9 * len(tables), 4.0))
    axes = figure.subplots(2, len(tables), squeeze=False, sharex=True, height_ratios=(4, 1))
    errors = (ece_before, ece_after)
    for table, ece, title, (ax, below) in zip(tables, errors, titles, axes.T, strict=False):
        _reliability(ax, below, {name: np.asarray(column, dtype=float) for name, column in table.items()})
        ax.set_title(plain(title))
        if ece is not None:
            place = {"transform": ax.transAxes, "va": "top"}
            ax.text(0.04, 0.95, f"ECE {100 * ece:.1f} %", fontsize=11, fontweight="bold", **place)
            ax.text(0.04, 0.85, "hatched: gap to confidence", color=light("muted"), fontsize=7.5, **place)
    return figure


def _reliability(ax: Axes, below: Axes, table: Mapping[str, NDArray[np.float64]]) -> None:
    filled = table["count"] > 0
    left, width = table["lower"], table["upper"] - table["lower"]
    accuracy = table["accuracy"][filled]
    bars: dict[str, Any] = {"x": left[filled], "width": width[filled], "align": "edge"}
    ax.bar(height=accuracy, color=light("blue"), alpha=0.85, linewidth=0, **bars)
    ax.bar(height=table["confidence"][filled] - accuracy, bottom=accuracy, **_HATCHED, **bars)
    ax.plot((0, 1), (0, 1), color=light("muted"), linestyle="--", linewidth=1)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    total = max(table["count"].sum(), 1)
    below.bar(left, table["count"] / total, width, align="edge", color=light("grey"), linewidth=0)
    below.set(xlabel="confidence", ylabel="samples")
    below.yaxis.set_major_locator(MaxNLocator(2))
    for one in (ax, below):
        one.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        one.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        one.grid(axis="y")


@styled
def per_class_bars(per_class: Mapping[str, ArrayLike], classes: Sequence[str]) -> Figure:
    """Recall, precision and F1 of each class as horizontal bars, the number of samples beside the name.

    Args:
        per_class: as `metrics.classification.per_class` gives it, (C,) each.
        classes: C names.
    """
    figure = Figure(figsize=(4.4, 0.9 + 0.46 * len(classes)))
    ax = figure.subplots()
    rows = np.arange(len(classes))
    for number, name in enumerate(("recall", "precision", "f1")):
        length = np.nan_to_num(np.asarray(per_class[name], dtype=float))
        ax.barh(rows + 0.26 * (number - 1), length, 0.23, color=series(number), label=describe(name).title)
    support = np.asarray(per_class["support"])
    ax.set_yticks(rows, [f"{short(name, 16)} ({n:.0f})" for name, n in zip(classes, support, strict=True)])
    ax.set(xlim=(0, 1), ylim=(len(classes) - 0.45, -0.55))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.tick_params(axis="y", length=0, labelcolor=light("ink"))
    ax.grid(axis="x")
    figure.legend(loc="outside upper left", ncols=3, fontsize=8, handlelength=1.2)
    return figure


@styled
def comparison_bars(table: pd.DataFrame, errors: pd.DataFrame | None = None) -> Figure:
    """A panel a metric, a bar a method; the best of each metric is drawn in full colour and bold.

    Args:
        table: index = methods, columns = metrics (names as in `engine/metric_names.py`), finite or NaN.
        errors: deviations, same shape, NaN where there is none.
    """
    rows, columns = -(-table.shape[1] // 2), min(2, table.shape[1])
    figure = Figure(figsize=(4.2 * columns, (0.75 + 0.34 * len(table)) * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name in zip(axes, table.columns, strict=False):
        deviations = np.zeros(len(table)) if errors is None else errors[name].to_numpy(dtype=float)
        _method_bars(ax, str(name), table[name], np.nan_to_num(deviations))
    for ax in axes[table.shape[1] :]:
        ax.set_visible(False)
    return figure


def _method_bars(ax: Axes, name: str, values: pd.Series, deviation: NDArray[np.float64]) -> None:
    metric = describe(name)
    value = values.to_numpy(dtype=float)
    best = best_rows(value, metric.better)
    length, rows = np.nan_to_num(value), np.arange(len(value))
    ends = np.maximum(length, 0) + deviation
    for row, bar in enumerate(ax.barh(rows, length, 0.62, color=light("blue"))):
        bar.set_alpha(1.0 if best[row] or not best.any() else 0.45)
        weight = "bold" if best[row] else "normal"
        place = (ends[row] + 0.02 * ends.max(), row)
        ax.text(*place, plain(metric.format(value[row])), va="center", fontsize=8.5, fontweight=weight)
    if deviation.any():
        ax.errorbar(length, rows, xerr=deviation, fmt="none", ecolor=light("ink"), elinewidth=1, capsize=2)
    ax.set_yticks(rows, [short(str(method)) for method in values.index])
    ax.set(ylim=(len(value) - 0.4, -0.6))
    ax.set_xlim(right=max(ends.max(), 1e-9) * 1.28)
    direction = {1: " (higher is better)", -1: " (lower is better)", 0: ""}[metric.better]
    ax.set_title(plain(metric.title + direction), fontsize=9)
    ax.tick_params(axis="y", length=0, labelcolor=light("ink"))
    ax.xaxis.set_visible(False)
    ax.spines["bottom"].set_visible(False)


def best_rows(values: NDArray[np.float64], better: int) -> NDArray[np.bool_]:
    """(M,) True at the best value, NaN never is; nowhere for fewer than two values or without a direction.

    Args:
        values: (M,) of one metric.
        better: +1 higher, -1 lower, 0 no direction.
    """
    known = ~np.isnan(values)
    if better == 0 or known.sum() < 2:
        return np.zeros(len(values), dtype=bool)
    return known & (better * values == np.nanmax(better * values))


def _numeric(history: pd.DataFrame) -> list[str]:
    return [str(name) for name in history.select_dtypes("number").columns if history[name].notna().any()]


def _line(ax: Axes, number: int, history: pd.DataFrame, column: str, label: str) -> None:
    unit = clock(history)
    passed = history[unit] if unit in history else pd.Series(range(1, len(history) + 1))
    ax.plot(
        passed.to_numpy(dtype=float),
        history[column].to_numpy(dtype=float),
        color=series(number),
        linestyle=_DASHES[number % len(_DASHES)],
        marker=_MARKERS[number % len(_MARKERS)],
        markevery=max(len(history) // 8, 1),
        label=short(label),
    )


def _finish_curves(ax: Axes, columns: Sequence[str], unit: str = "epoch") -> None:
    if columns and all(describe(name).percent for name in columns):
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.set_xlabel(unit)
    ax.grid(axis="y")
    if ax.lines:
        ax.set_xlim(left=min(float(np.min(line.get_xdata())) for line in ax.lines) - 0.5)
        ax.legend(fontsize=8, labelcolor=light("ink"), handlelength=2.6)
