"""How a federation went, drawn: error against both clocks, the silos' own models, disagreement, what was sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from kinesics.engine.figure_style import plain, short, styled
from kinesics.engine.metric_names import describe
from kinesics.engine.palette import light, series
from kinesics.federated.silos import Float

CLOCKS = {"compute_s": "computation, measured (s)", "modelled_s": "computation and network, modelled (s)"}
"""Column of metrics.csv -> label of its axis."""

WIDE = 10.0
"""Largest over least from which an axis is logarithmic."""

_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_MOST_NAMES = 60
"""Silos up to which each has its name in the figure."""


@dataclass(frozen=True)
class Line:
    """Error over time of runs that differ in their seed only.

    Args:
        label: for the legend.
        seconds: (R,) modelled time of each judged round, mean of the seeds.
        mean, least, most: (R,) error.
        seeds: how many runs.
    """

    label: str
    seconds: Float
    mean: Float
    least: Float
    most: Float
    seeds: int


def error_of(values: Float, better: int) -> Float:
    """An error of a metric: itself where lower is better, 1 - itself where higher is.

    Args:
        values: of the metric.
        better: -1 or +1.
    """
    return 1 - values if better > 0 else values


def error_title(metric: str, better: int) -> str:
    """What `error_of` gives, for an axis or a table."""
    title = describe(metric).title
    if better < 0:
        return title
    return f"1 − {title.lower() if title[1:].islower() else title}"


@styled
def error_over_clock(history: pd.DataFrame, clock: str, error: Float, metric: str, better: int) -> Figure:
    """The average's error over one clock.

    Args:
        history: a row each judged round.
        clock: column of it, one of `CLOCKS`.
        error: (R,) of those rounds, finite or NaN.
        metric: that it is an error of.
        better: its direction.
    """
    figure = Figure(figsize=(4.4, 2.9))
    ax = figure.subplots()
    number = list(CLOCKS).index(clock)
    seconds = history[clock].to_numpy(dtype=float)
    ax.plot(seconds, error, color=series(number), marker=_MARKERS[number], markevery=_every(len(error)))
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    _error_axis(ax, metric, better, [error])
    ax.set_xlabel(CLOCKS[clock])
    ax.set_ylabel(plain(error_title(metric, better)))
    return figure


@styled
def compared_clocks(lines: Sequence[Line], metric: str, better: int, level: float) -> Figure:
    """Error over modelled time, a line each group of runs, a band from the least to the most over its seeds.

    The axis of time is logarithmic where the lines end more than `WIDE` times apart; that of the error where errors
    span as much.

    Args:
        lines: what to draw.
        metric: that the error is of.
        better: its direction.
        level: the error that every run reaches, drawn as a dotted line.
    """
    figure = Figure(figsize=(8.2, 4.4), facecolor=light("paper"))
    ax = figure.subplots()
    for number, line in enumerate(lines):
        shift = number // len(_DASHES)
        ax.plot(
            line.seconds,
            line.mean,
            color=series(number),
            linestyle=_DASHES[(number + shift) % len(_DASHES)],
            marker=_MARKERS[(number + 2 * shift) % len(_MARKERS)],
            markevery=(number % _every(len(line.mean)), _every(len(line.mean))),
            linewidth=1.5,
            label=f"{short(line.label, 44)}{f' ({line.seeds} seeds)' if line.seeds > 1 else ''}",
        )
        if line.seeds > 1:
            ax.fill_between(line.seconds, line.least, line.most, color=series(number), alpha=0.15, linewidth=0)
    ends = [float(line.seconds[-1]) for line in lines]
    if all(line.seconds.min() > 0 for line in lines) and max(ends) > WIDE * min(ends):
        _logarithmic(ax, "x")
    else:
        ax.set_xlim(left=0)
    _error_axis(ax, metric, better, [value for line in lines for value in (line.mean, line.least, line.most)])
    ax.axhline(level, color=light("muted"), linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    said = describe(metric).format(level) if better < 0 or describe(metric).percent else f"{level:.3f}"
    ax.text(  # on the left, where errors are still far from it
        0.01, level, f"all reach {said}", transform=ax.get_yaxis_transform(), va="bottom", fontsize=7.5,
        color=light("muted"),
    )  # fmt: skip
    ax.set_xlabel(CLOCKS["modelled_s"])
    ax.set_ylabel(plain(error_title(metric, better)))
    figure.legend(loc="outside lower left", ncols=1 if len(lines) < 3 else 2, fontsize=8, handlelength=3)
    return figure


@styled
def silo_bars(names: Sequence[str], values: Float, title: str, percent: bool = False, mark: float = np.nan) -> Figure:
    """A bar each silo.

    Args:
        names: N silos; the figure leaves them out where there are very many.
        values: (N,) one for each.
        title: of the figure.
        percent: values are shares.
        mark: where a dashed line is drawn.
    """
    n = len(names)
    figure = Figure(figsize=(4.4, float(np.clip(0.75 + 0.24 * n, 1.5, 14))))
    ax = figure.subplots()
    rows = np.arange(n)
    ax.barh(rows, np.nan_to_num(values), 0.66, color=light("grey" if np.isnan(mark) else "blue"), linewidth=0)
    if not np.isnan(mark):
        ax.axvline(mark, color=light("orange"), linestyle="--", linewidth=1.5)
    shown = n <= _MOST_NAMES
    ax.set_yticks(rows if shown else [], [short(str(name), 18) for name in names] if shown else [])
    ax.set_ylim(n - 0.4, -0.6)
    ax.set_title(plain(title, 60), fontsize=9)
    ax.tick_params(axis="y", length=0, labelcolor=light("ink"))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="x")
    if percent:
        ax.set_xlim(0, 1)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return figure


@styled
def over_rounds(history: pd.DataFrame, column: str, title: str, form: Callable[[float], str] | None = None) -> Figure:
    """One column over the rounds.

    Args:
        history: a row each judged round.
        column: of it, at least 0; where its values span much the axis is logarithmic.
        title: of the figure.
        form: from a value to the text of its tick; with one the axis is never logarithmic.
    """
    figure = Figure(figsize=(4.4, 2.9))
    ax = figure.subplots()
    values, number = history[column].to_numpy(dtype=float), 2 if form is None else 3
    ax.plot(history["round"], values, color=series(number), marker=_MARKERS[number], markevery=_every(len(values)))
    known = values[np.isfinite(values)]
    if form is None and len(known) and known.min() > 0 and known.max() > WIDE * known.min():
        _logarithmic(ax, "y")
    else:
        ax.set_ylim(bottom=0)
    if form is not None:
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    ax.set_xlabel("round")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.grid(axis="y")
    ax.set_title(plain(title))
    return figure


def bits(number: float) -> str:
    """A number of bits with three digits: 12.3 Mbit."""
    for unit in ("bit", "kbit", "Mbit", "Gbit", "Tbit"):
        if number < 999.5 or unit == "Tbit":
            break
        number /= 1000
    return f"{number:.3g} {unit}"


def seconds(number: float) -> str:
    """A time with three digits: 0.412 s, 1,230 s."""
    return f"{number:,.0f} s" if number >= 999.5 else f"{number:.3g} s"


def _every(n: int) -> int:
    return max(n // 8, 1)


def _error_axis(ax: Axes, metric: str, better: int, errors: Sequence[Float]) -> None:
    known = np.concatenate([error[np.isfinite(error)] for error in errors])
    if len(known) and known.min() > 0 and known.max() > WIDE * known.min():
        _logarithmic(ax, "y")
    elif describe(metric).percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    ax.grid(axis="y")


def _logarithmic(ax: Axes, which: str) -> None:
    """A logarithmic axis whose ticks are plain numbers, at least two of them."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    set_scale: Callable[[str], None] = ax.set_xscale if which == "x" else ax.set_yscale
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())
