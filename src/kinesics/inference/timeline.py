"""A video at a glance: the distribution of every person over time, as stacked areas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from kinesics.engine.figure_style import plain, styled
from kinesics.engine.palette import light
from kinesics.engine.prediction import Emotion, Prediction
from kinesics.inference.draw import class_colours

BINS = 1200
"""Time steps that are kept of a video at most; neighbours are merged when it is longer."""

SHOWN = 8
"""Tracks in a figure at most: those seen longest."""


class Timeline:
    """Gathers the answers of a video, in memory that does not grow with its length.

    Args:
        classes: names in label order.
        step: seconds of a time step at first.
    """

    def __init__(self, classes: Sequence[str], step: float = 0.04) -> None:
        self.classes, self.step, self.end = tuple(classes), step, 0.0
        self._sums: dict[int, np.ndarray] = {}
        self._counts: dict[int, np.ndarray] = {}

    def add(self, answers: Sequence[Prediction]) -> None:
        """Take in the answers of a frame."""
        for answer in answers:
            if not isinstance(answer, Emotion) or answer.time is None:
                continue
            self.end = max(self.end, answer.time)
            while answer.time >= self.step * BINS:
                self._halve()
            if not answer.distribution:
                continue
            track = answer.track or 0
            if track not in self._sums:
                self._sums[track] = np.zeros((BINS, len(self.classes)), dtype=np.float32)
                self._counts[track] = np.zeros(BINS, dtype=np.int64)
                self._forget()
            place = int(answer.time / self.step + 1e-6)
            self._sums[track][place] += list(answer.distribution.values())
            self._counts[track][place] += 1

    def _halve(self) -> None:
        """Merge neighbouring time steps."""
        self.step *= 2
        for track in self._sums:
            for table in (self._sums, self._counts):
                merged = table[track].reshape(BINS // 2, 2, *table[track].shape[1:]).sum(1)
                table[track] = np.concatenate([merged, np.zeros_like(merged)])

    def _forget(self) -> None:
        """Of very many tracks the shortest is dropped."""
        if len(self._sums) > 8 * SHOWN:
            shortest = min(list(self._counts)[:-1], key=lambda track: int(self._counts[track].sum()))
            del self._sums[shortest], self._counts[shortest]

    def tracks(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Number, (T,) seconds and (T, C) mean distribution of the tracks seen longest, in the order of their numbers;
        NaN where a track was not seen."""
        longest = sorted(self._counts, key=lambda track: -int(self._counts[track].sum()))[:SHOWN]
        used = min(int(self.end / self.step) + 1, BINS)
        found = []
        for track in sorted(longest):
            count = self._counts[track][:used, None]
            mean = np.divide(
                self._sums[track][:used], count, out=np.full((used, len(self.classes)), np.nan), where=count > 0
            )
            found.append((track, (np.arange(used) + 0.5) * self.step, mean))
        return found

    def draw(self, title: str = "") -> Figure:
        """The figure: a row a track, classes stacked, white where the track was not seen."""
        return timeline_figure(self.tracks(), self.classes, self.end + self.step, title)


@styled
def timeline_figure(
    tracks: Sequence[tuple[int, np.ndarray, np.ndarray]], classes: Sequence[str], end: float, title: str = ""
) -> Figure:
    """Stacked distributions over time.

    Args:
        tracks: number, (T,) seconds at equal steps and (T, C) distributions, NaN where there is none.
        classes: names in label order.
        end: seconds to which the axis reaches.
        title: drawn above.
    """
    rows = max(len(tracks), 1)
    figure = Figure(figsize=(9.0, 1.0 + 1.25 * rows), facecolor=light("paper"))
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    colours = class_colours(classes)
    for ax, (track, seconds, shares) in zip(axes, tracks, strict=False):
        step = float(seconds[1] - seconds[0]) if len(seconds) > 1 else end
        base = np.zeros(len(seconds))
        known = np.isfinite(shares[:, 0])
        filled = _bridged(shares, known, most=max(round(0.5 / step), 1))
        for k, name in enumerate(classes):
            top = base + np.nan_to_num(filled[:, k])
            ax.fill_between(
                seconds, base, top, where=np.isfinite(filled[:, 0]).tolist(), step="mid", color=colours[name],
                linewidth=0, label=name,
            )  # fmt: skip
            base = top
        ax.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0", "", "1"])
        ax.set_ylabel(f"#{track}" if track else "picture", rotation=0, ha="right", va="center")
    if not tracks:
        axes[0].text(0.5, 0.5, "no face was found", transform=axes[0].transAxes, ha="center", va="center")
        axes[0].set_yticks([])
    axes[-1].set(xlabel="seconds", xlim=(0, max(end, 1e-3)))
    if title:
        axes[0].set_title(plain(title))
    if tracks:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def _bridged(shares: np.ndarray, known: np.ndarray, most: int) -> np.ndarray:
    """Short gaps (frames left out by --every, say) filled with what came before them."""
    filled, last = shares.copy(), -most - 1
    for place in range(len(shares)):
        if known[place]:
            last = place
        elif place - last <= most:
            filled[place] = filled[last]
    return filled
