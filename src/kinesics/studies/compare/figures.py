"""The plots of a study: a metric against the share of flipped labels, or a dot a method in each condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kinesics.engine.figure_style import plain, short, styled
from kinesics.engine.metric_names import describe
from kinesics.engine.palette import light, series
from kinesics.studies.compare.results import MEASURES
from kinesics.studies.compare.table import title_of

_MARKERS = "osD^vP"
_DASHES = ("-", "--", "-.", ":")


@styled
def against_noise(
    table: pd.DataFrame, share: Mapping[str, float], columns: Sequence[str], names: Mapping[str, str], title: str = ""
) -> Figure:
    """A panel a column of the table and schedule, a line a method; bars are standard errors.

    Args:
        table: of `table.study_table`.
        share: condition -> share of flipped labels, for the conditions that are drawn.
        columns: such as "accuracy_selected".
        names: method -> how it is called.
        title: above every panel, before the schedule.
    """
    part = table[table["condition"].isin(list(share))]
    schedules = list(dict.fromkeys(part["schedule"]))
    if len(schedules) == 1:  # side by side
        figure = Figure(figsize=(4.3 * len(columns), 3.1))
        grid = figure.subplots(1, len(columns), squeeze=False).T
    else:
        figure = Figure(figsize=(4.3 * len(schedules), 2.9 * len(columns)))
        grid = figure.subplots(len(columns), len(schedules), squeeze=False, sharey="row")
    for axes, column in zip(grid, columns, strict=True):
        for ax, schedule in zip(axes, schedules, strict=True):
            for number, (method, name) in enumerate(names.items()):
                rows = part[(part["method"] == method) & (part["schedule"] == schedule)]
                x = np.array([share[str(condition)] for condition in rows["condition"]])
                order = np.argsort(x, kind="stable")
                ax.errorbar(
                    x[order], rows[column].to_numpy(dtype=float)[order],
                    yerr=np.nan_to_num(rows[f"{column}_se"].to_numpy(dtype=float)[order]),
                    color=series(number), marker=_MARKERS[number % len(_MARKERS)],
                    linestyle=_DASHES[number // len(_MARKERS) % len(_DASHES)], capsize=2, elinewidth=1,
                    label=short(name),
                )  # fmt: skip
            _finish(ax, column, ", ".join(filter(None, (title, schedule if len(schedules) > 1 else ""))))
            ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %", decimals=0))
            ax.set_xticks(sorted(set(share.values())))
            ax.set_xlabel("flipped labels")
    _legend(figure, grid[0][0])
    return figure


@styled
def by_condition(table: pd.DataFrame, conditions: Mapping[str, str], column: str, names: Mapping[str, str]) -> Figure:
    """A panel a condition, a row a method, a dot a schedule; bars are standard errors.

    Args:
        table: of `table.study_table`.
        conditions: condition -> how it is called, for those that are drawn.
        column: such as "accuracy_selected".
        names: method -> how it is called.
    """
    part = table[table["condition"].isin(list(conditions))]
    schedules = list(dict.fromkeys(part["schedule"]))
    methods = [name for name in names if (part["method"] == name).any()]
    columns = min(3, len(conditions))
    rows = -(-len(conditions) // columns)
    figure = Figure(figsize=(0.9 + 3.1 * columns, (0.95 + 0.3 * len(methods)) * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for ax in grid[len(conditions) :]:
        ax.set_visible(False)
    for ax, (condition, title) in zip(grid, conditions.items(), strict=False):
        for number, schedule in enumerate(schedules):
            here = part[(part["condition"] == condition) & (part["schedule"] == schedule)].set_index("method")
            there = [name for name in methods if name in here.index]
            y = np.array([methods.index(name) for name in there]) + 0.18 * (number - (len(schedules) - 1) / 2)
            ax.errorbar(
                here.loc[there, column].to_numpy(dtype=float), y,
                xerr=np.nan_to_num(here.loc[there, f"{column}_se"].to_numpy(dtype=float)),
                color=series(number), marker=_MARKERS[number % len(_MARKERS)], linestyle="none", capsize=2,
                elinewidth=1,
                label=short(schedule),
            )  # fmt: skip
        ax.set_yticks(range(len(methods)), [short(names[name], 24) for name in methods])
        ax.set(ylim=(len(methods) - 0.5, -0.5))
        ax.tick_params(axis="y", length=0, labelcolor=light("ink"))
        if _percent(column):
            ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        ax.locator_params(axis="x", nbins=4)
        ax.grid(axis="x")
        ax.set_title(plain(title, 40), fontsize=9)
        ax.set_xlabel(plain(_axis_title(column)))
    if len(schedules) > 1:
        _legend(figure, grid[0])
    return figure


def _percent(column: str) -> bool:
    stem = column.rpartition("_")[0]
    return describe(MEASURES.get(stem, stem)).percent


def _axis_title(column: str) -> str:
    return title_of(column).replace(", %", "")


def _finish(ax: Axes, column: str, title: str) -> None:
    if _percent(column):
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    ax.set_ylabel(plain(_axis_title(column)))
    ax.grid(axis="y")
    ax.set_title(plain(title))


def _legend(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=8, handlelength=2.4)
