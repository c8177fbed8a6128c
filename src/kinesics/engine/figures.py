"""The charts of a report. Each function returns a new matplotlib Figure and touches no global state of pyplot.

Colours come from `engine/palette.py`, safe for the colour-blind; where colour tells series apart, markers, line
styles or hatching do too. Text given by the user is drawn as it is, never read as mathematics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


@styled
def learning_curves(
    history: pd.DataFrame,
    panels: Sequence[str] = ("losses", "metrics"),
    selected_epoch: int | None = None,
) -> Figure:
    """Losses and validation metrics over the epochs, a panel each.

    Args:
        history: one row an epoch: "epoch" (from 1; else the row number), "train/<loss>", "valid/<metric>".
        panels: which of "losses" (all `train/` columns and `valid/nll`) and "metrics" (accuracy, UAR, macro F1 and
            calibration error on validation; where there are none, the first four `valid/` columns).
        selected_epoch: marked by a vertical line.
    """
    columns = {"losses": loss_columns(history), "metrics": metric_columns(history)}
    figure = Figure(figsize=(4.4 * len(panels), 2.9))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        for number, name in enumerate(columns[panel]):
            part, _, rest = name.partition("/")
            label = describe(rest).title if panel == "metrics" else f"{part}: {describe(rest).title}"
            _line(ax, number, _epochs(history), history[name].to_numpy(dtype=float), short(label))
        _finish_curves(ax, percent=_all_percent(columns[panel]))
        ax.set_title("Loss" if panel == "losses" else "On validation data")
        if selected_epoch is not None:
            ax.axvline(selected_epoch, color=light("muted"), linewidth=1, linestyle=(0, (2, 2)))
    return figure


def loss_columns(history: pd.DataFrame) -> list[str]:
    """Columns that `learning_curves` draws as losses."""
    return [name for name in _numeric(history) if name.startswith("train/") or name == "valid/nll"]


def metric_columns(history: pd.DataFrame) -> list[str]:
    """Columns that `learning_curves` draws as metrics."""
    usual = [f"valid/{name}" for name in ("accuracy", "uar", "macro_f1", "ece")]
    there = _numeric(history)
    return [n for n in usual if n in there] or [
        n for n in there if n.startswith("valid/") and n.count("/") == 1 and n != "valid/nll"
    ][:4]


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
            _line(ax, number, _epochs(history), history[column].to_numpy(dtype=float), short(name))
    _finish_curves(ax, _all_percent([column]))
    ax.set_title(plain(describe(column).title))
    return figure


@styled
def confusion_heatmap(confusion: ArrayLike, classes: Sequence[str]) -> Figure:
    """Confusion matrix: shade and percentage are shares of the row (the truth), the small number is the count.

    Args:
        confusion: (C, C) counts, row = truth, column = prediction.
        classes: C names.
    """
    counts = np.asarray(confusion)
    n = len(classes)
    if counts.shape != (n, n):
        raise ValueError(f"confusion: expected shape {(n, n)} for {n} classes, got {counts.shape}")
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    cell = 0.62 if n <= 12 else 0.34
    figure = Figure(figsize=(1.5 + cell * n, 0.95 + cell * n * 0.86))
    ax = figure.subplots()
    for row, column in np.ndindex(n, n):
        ax.add_patch(
            Rectangle((column, row), 1, 1, facecolor=light("accent"), alpha=share[row, column], linewidth=0)
        )
        if n <= 12 and counts[row, column]:
            ink = light("on-deep" if share[row, column] >= DEEP else "on-pale")
            ax.text(
                column + 0.5,
                row + 0.42,
                f"{100 * share[row, column]:.0f} %",
                color=ink,
                ha="center",
                va="center",
            )
            ax.text(
                column + 0.5,
                row + 0.78,
                str(counts[row, column]),
                color=ink,
                ha="center",
                va="center",
                fontsize=6.5,
            )
    ax.set(xlim=(0, n), ylim=(n, 0), xlabel="predicted", ylabel="true")
    names = [short(name, 16) for name in classes]
    ax.set_xticks(np.arange(n) + 0.5, names, rotation=35 if n > 4 else 0, ha="right" if n > 4 else "center")
    ax.set_yticks(np.arange(n) + 0.5, names)
    ax.hlines(np.arange(n + 1), 0, n, color=light("line"), linewidth=0.7)
    ax.vlines(np.arange(n + 1), 0, n, color=light("line"), linewidth=0.7)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelcolor=light("ink"), rotation_mode="anchor") if n > 4 else ax.tick_params(
        length=0
    )
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

    Under each panel: how many samples fall into each bin.

    Args:
        before: as `metrics.calibration.reliability_table` gives it.
        after: the same after temperature scaling.
        ece_before: written into the panel of `before`, in [0, 1].
        ece_after: written into the panel of `after`.
        titles: of the panels.
    """
    panels = [(before, ece_before, titles[0])] + (
        [(after, ece_after, titles[1])] if after is not None else []
    )
    figure = Figure(figsize=(3.9 * len(panels), 4.0))
    axes = figure.subplots(2, len(panels), squeeze=False, sharex=True, height_ratios=(4, 1))
    for (table, ece, title), (ax, below) in zip(panels, axes.T, strict=True):
        lower, upper, count, accuracy, confidence = (
            np.asarray(table[name], dtype=float)
            for name in ("lower", "upper", "count", "accuracy", "confidence")
        )
        width, filled = upper - lower, count > 0
        left = lower[filled]
        gap = confidence[filled] - accuracy[filled]
        ax.bar(
            left, accuracy[filled], width[filled], align="edge", color=light("blue"), alpha=0.85, linewidth=0
        )
        ax.bar(
            left,
            gap,
            width[filled],
            bottom=accuracy[filled],
            align="edge",
            facecolor="none",
            edgecolor=light("orange"),
            hatch="////",
            linewidth=0.8,
        )
        ax.plot((0, 1), (0, 1), color=light("muted"), linestyle="--", linewidth=1)
        ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        ax.set_title(plain(title))
        if ece is not None:
            ax.text(
                0.04,
                0.93,
                f"ECE {100 * ece:.1f} %",
                transform=ax.transAxes,
                fontsize=11,
                fontweight="bold",
                va="top",
            )
            ax.text(
                0.04,
                0.83,
                "hatched: gap to confidence",
                transform=ax.transAxes,
                color=light("muted"),
                fontsize=7.5,
                va="top",
            )
        below.bar(lower, count / max(count.sum(), 1), width, align="edge", color=light("grey"), linewidth=0)
        below.set(xlabel="confidence", ylabel="samples")
        below.yaxis.set_major_locator(MaxNLocator(2))
        for one in (ax, below):
            one.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
            one.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
            one.grid(axis="y")
    return figure


@styled
def per_class_bars(per_class: Mapping[str, ArrayLike], classes: Sequence[str]) -> Figure:
    """Recall, precision and F1 of each class as horizontal bars.

    Args:
        per_class: as `metrics.classification.per_class` gives it, (C,) each.
        classes: C names.
    """
    figure = Figure(figsize=(4.4, 0.9 + 0.46 * len(classes)))
    ax = figure.subplots()
    support = np.asarray(per_class["support"])
    for number, name in enumerate(("recall", "precision", "f1")):
        ax.barh(
            np.arange(len(classes)) + 0.26 * (number - 1),
            np.nan_to_num(np.asarray(per_class[name], dtype=float)),
            0.23,
            color=series(number),
            label=describe(name).title,
        )
    ax.set_yticks(
        np.arange(len(classes)), [f"{short(c, 16)} ({s:.0f})" for c, s in zip(classes, support, strict=True)]
    )
    ax.set(xlim=(0, 1), ylim=(len(classes) - 0.45, -0.55))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.tick_params(axis="y", length=0, labelcolor=light("ink"))
    ax.grid(axis="x")
    figure.legend(loc="outside upper left", ncols=3, fontsize=8, handlelength=1.2)
    return figure


@styled
def comparison_bars(table: pd.DataFrame, errors: pd.DataFrame | None = None) -> Figure:
    """A panel a metric, a bar a method; the best of each metric is drawn in full colour.

    Args:
        table: index = methods, columns = metrics (names as in `engine.metric_names`), finite or NaN.
        errors: deviations, same shape, NaN where there is none.
    """
    rows = -(-table.shape[1] // 2)
    columns = min(2, table.shape[1])
    height = 0.75 + 0.34 * len(table)
    figure = Figure(figsize=(4.2 * columns, height * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name in zip(axes, table.columns, strict=False):
        metric = describe(str(name))
        values = table[name].to_numpy(dtype=float)
        best = best_rows(values, metric.better)
        scale = 100.0 if metric.percent else 1.0
        spread = None if errors is None else np.nan_to_num(errors[name].to_numpy(dtype=float)) * scale
        bars = ax.barh(
            np.arange(len(values)), np.nan_to_num(values) * scale, 0.62, color=light("blue"), xerr=spread
        )
        reach = np.nanmax(np.abs(np.append(values, 0.0))) * scale + (0 if spread is None else spread.max())
        for position, (bar, value) in enumerate(zip(bars, values, strict=True)):
            bar.set_alpha(1.0 if best[position] or not best.any() else 0.45)
            end = max(np.nan_to_num(value) * scale, 0) + (0 if spread is None else spread[position])
            weight = "bold" if best[position] else "normal"
            ax.text(
                end + 0.02 * reach,
                position,
                metric.format(value),
                va="center",
                fontsize=8.5,
                fontweight=weight,
            )
        ax.set_yticks(np.arange(len(values)), [short(str(method)) for method in table.index])
        ax.set(ylim=(len(values) - 0.4, -0.6))
        ax.set_xlim(right=max(reach, 1e-9) * 1.28)
        arrow = {1: " (higher is better)", -1: " (lower is better)", 0: ""}[metric.better]
        ax.set_title(plain(metric.title + arrow), fontsize=9)
        ax.tick_params(axis="y", length=0, labelcolor=light("ink"))
        ax.xaxis.set_visible(False)
        ax.spines["bottom"].set_visible(False)
    for ax in axes[table.shape[1] :]:
        ax.set_visible(False)
    return figure


def best_rows(values: NDArray[np.float64], better: int) -> NDArray[np.bool_]:
    """(M,) True at the best of the values (NaN never is); nowhere for fewer than two values or without a direction."""
    known = ~np.isnan(values)
    if better == 0 or known.sum() < 2:
        return np.zeros(len(values), dtype=bool)
    return known & (better * values == np.nanmax(better * values))


@styled
def image_grid(images: NDArray[np.uint8], captions: Sequence[str], columns: int = 6) -> Figure:
    """Images in rows, a caption under each.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
        captions: N texts, each of one or two lines.
        columns: images in a row.
    """
    _check_images(images, len(captions), "captions")
    rows = max(-(-len(images) // columns), 1)
    figure = Figure(figsize=(1.3 * columns, 1.62 * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, image, caption in zip(axes, images, captions, strict=False):
        _show(ax, image)
        ax.text(0.5, -0.05, plain(caption, 60), transform=ax.transAxes, ha="center", va="top", fontsize=7.5)
    return figure


@styled
def distribution_bars(
    images: NDArray[np.uint8],
    predicted: ArrayLike,
    classes: Sequence[str],
    true: ArrayLike | None = None,
    captions: Sequence[str] | None = None,
    columns: int = 2,
) -> Figure:
    """Each image beside its predicted distribution and, where known, the true one.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
        predicted: (N, C) rows summing to 1.
        classes: C names.
        true: (N, C) the votes' shares, rows of NaN where there are none.
        captions: N texts, drawn above.
        columns: examples in a row.
    """
    p = np.asarray(predicted, dtype=float)
    t = np.full(p.shape, np.nan) if true is None else np.asarray(true, dtype=float)
    _check_images(images, len(p), "rows of predicted")
    if p.shape != (len(images), len(classes)) or t.shape != p.shape:
        raise ValueError(
            f"expected predicted and true of shape {(len(images), len(classes))}, got {p.shape} and {t.shape}"
        )
    columns = max(min(columns, len(images)), 1)
    rows = max(-(-len(images) // columns), 1)
    figure = Figure(figsize=(3.2 * columns, (0.3 + 0.17 * len(classes)) * rows))
    cells = figure.subfigures(rows, columns, squeeze=False).ravel()
    for number, image in enumerate(images):
        face, bars = cells[number].subplots(1, 2, width_ratios=(1, 1.15))
        _show(face, image)
        face.set_axis_off()
        _distribution(bars, p[number], t[number], classes)
        if captions is not None:
            cells[number].suptitle(plain(captions[number], 60), fontsize=8.5, x=0.01, ha="left")
    return figure


@styled
def uncertainty_strip(images: NDArray[np.uint8], uncertainty: ArrayLike, captions: Sequence[str]) -> Figure:
    """Images from the most certain (left) to the least, with a bar for each one's uncertainty.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3, in any order.
        uncertainty: (N,) higher = less certain.
        captions: N texts.
    """
    u = np.asarray(uncertainty, dtype=float)
    _check_images(images, len(captions), "captions")
    if u.shape != (len(images),):
        raise ValueError(f"uncertainty: expected shape {(len(images),)}, got {u.shape}")
    order = np.argsort(u, kind="stable")
    n = max(len(images), 1)
    figure = Figure(figsize=(0.98 * n, 2.2))
    axes = figure.subplots(2, n, squeeze=False, height_ratios=(1.3, 1))
    top = u.max() if len(u) and u.max() > 0 else 1.0
    for (face, bar), position in zip(axes.T, order, strict=True):
        _show(face, images[position])
        face.set_axis_off()
        bar.bar(0, u[position], 0.5, color=light("orange"))
        bar.set(xlim=(-0.5, 0.5), ylim=(0, top * 1.3))
        bar.text(0, u[position], f"{u[position]:.2f}", ha="center", va="bottom", fontsize=8)
        bar.set_xticks([0], [plain(captions[position], 14)], fontsize=7.5)
        bar.tick_params(length=0, labelcolor=light("ink"))
        bar.set_yticks([])
        bar.spines["left"].set_visible(False)
    return figure


def _numeric(history: pd.DataFrame) -> list[str]:
    return [str(name) for name in history.select_dtypes("number").columns if history[name].notna().any()]


def _epochs(history: pd.DataFrame) -> NDArray[np.float64]:
    if "epoch" in history:
        return history["epoch"].to_numpy(dtype=float)
    return np.arange(1, len(history) + 1, dtype=float)


def _all_percent(columns: Sequence[str]) -> bool:
    return bool(columns) and all(describe(name).percent for name in columns)


def _line(ax: Axes, number: int, x: NDArray[np.float64], y: NDArray[np.float64], name: str) -> None:
    style = _DASHES[number % len(_DASHES)]
    marker = _MARKERS[number % len(_MARKERS)]
    ax.plot(
        x, y, color=series(number), linestyle=style, marker=marker, markevery=max(len(x) // 8, 1), label=name
    )


def _finish_curves(ax: Axes, percent: bool) -> None:
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    if ax.lines:
        ax.set_xlim(left=min(np.min(np.asarray(line.get_xdata())) for line in ax.lines) - 0.5)
    ax.set_xlabel("epoch")
    ax.grid(axis="y")
    if ax.lines:
        ax.legend(fontsize=8, loc="best", labelcolor=light("ink"), handlelength=2.6)


def _check_images(images: NDArray[np.uint8], n: int, what: str) -> None:
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(f"images: expected (N, H, W, 1 or 3) uint8, got {images.shape} {images.dtype}")
    if len(images) != n:
        raise ValueError(f"expected as many images as {what}, got {len(images)} and {n}")


def _show(ax: Axes, image: NDArray[np.uint8]) -> None:
    """Draw the stored pixels themselves, so that the file carries them once and unscaled."""
    pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    step = max(max(pixels.shape[:2]) // 128, 1)
    ax.imshow(pixels[::step, ::step], interpolation="none")


def _distribution(
    ax: Axes, predicted: NDArray[np.float64], true: NDArray[np.float64], classes: Sequence[str]
) -> None:
    rows = np.arange(len(classes))
    known = not np.isnan(true).any()
    ax.barh(rows - (0.2 if known else 0), predicted, 0.38 if known else 0.66, color=light("blue"))
    if known:
        ax.barh(
            rows + 0.2, true, 0.34, facecolor="none", edgecolor=light("orange"), hatch="/////", linewidth=0.8
        )
    for row in rows:
        if predicted[row] >= 0.005:
            reach = max(predicted[row], true[row] if known else 0.0)
            ax.text(
                reach + 0.03,
                row,
                f"{100 * predicted[row]:.0f} %",
                va="center",
                fontsize=7,
                color=light("muted"),
            )
    ax.set(xlim=(0, 1.22), ylim=(len(classes) - 0.45, -0.55))
    ax.set_yticks(rows, [short(name, 12) for name in classes], fontsize=7.5)
    ax.set_xticks([])
    ax.tick_params(length=0, labelcolor=light("ink"))
    ax.spines["bottom"].set_visible(False)
