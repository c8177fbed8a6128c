"""The map of overlays, and the trade-off between quick rounds and few rounds."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kinesics.engine.figure_style import plain, short, styled
from kinesics.engine.palette import light, series
from kinesics.federated.design import Design, Judged
from kinesics.federated.silos import Float, Silos

_COLUMNS = 3
_STEPS = 48
"""Points of a great circle as it is drawn."""


@styled
def overlay_maps(found: Design) -> Figure:
    """A panel an overlay: silos at longitude and latitude, links as great circles, arrows where they go one way.

    Where the silos' places are unknown they are laid out so that distances fit as well as on paper they can.

    Args:
        found: overlays with their figures.
    """
    silos = found.network.silos
    known = silos.position is not None
    place = silos.position if silos.position is not None else laid_out(silos.distance_km)
    rows = -(-len(found.overlays) // _COLUMNS)
    span = np.ptp(place, axis=0)
    height = float(np.clip(4.0 * span[0] / max(span[1], 1e-9), 1.7, 3.4))
    figure = Figure(figsize=(4.3 * _COLUMNS, (height + 0.75) * rows), facecolor=light("paper"))
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for number, (ax, judged) in enumerate(zip(axes, found.overlays, strict=False)):
        _map(ax, judged, silos, place, known, names=number == 0)
    for ax in axes[len(found.overlays) :]:
        ax.set_visible(False)
    return figure


def laid_out(distance_km: Float) -> Float:
    """(N, 2) points of the plane whose distances come near the given ones (classical multidimensional scaling).

    Args:
        distance_km: (N, N) symmetric.
    """
    n = len(distance_km)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ distance_km**2 @ centring)
    plane = vectors[:, -2:] * np.sqrt(np.clip(values[-2:], 0, None))
    return np.asarray(plane / max(float(np.abs(plane).max()), 1e-9) * 60)


def great_circle(start: Float, end: Float) -> Float:
    """(P, 2) latitude and longitude along the shortest way over the sphere; NaN where it crosses 180 degrees.

    Args:
        start: (2,) degrees.
        end: (2,) degrees.
    """
    ends = np.radians(np.array([start, end]))
    x, y = (_unit(latitude, longitude) for latitude, longitude in ends)
    angle = float(np.arccos(np.clip(x @ y, -1, 1)))
    share = np.linspace(0, 1, _STEPS)[:, None]
    if angle < 1e-6 or np.pi - angle < 1e-6:
        line = np.asarray(start + share * (np.asarray(end) - start))
    else:
        points = (np.sin((1 - share) * angle) * x + np.sin(share * angle) * y) / np.sin(angle)
        longitude = np.arctan2(points[:, 1], points[:, 0])
        line = np.degrees(np.c_[np.arcsin(np.clip(points[:, 2], -1, 1)), longitude])
    jumps = np.flatnonzero(np.abs(np.diff(line[:, 1])) > 180)
    return np.insert(line, jumps + 1, np.nan, axis=0)


@styled
def trade_off_chart(found: Design) -> Figure:
    """Rounds to 1 % consensus over the time of a round: on a grey line the product is the same.

    Args:
        found: overlays with their figures, and the curve.
    """
    figure = Figure(figsize=(6.8, 4.4), facecolor=light("paper"))
    ax = figure.subplots()
    curve = sorted(found.trade_off, key=lambda judged: judged.cycle_ms)
    ax.plot(
        [judged.cycle_ms for judged in curve],
        [judged.rounds for judged in curve],
        color=series(0),
        marker="o",
        markersize=3,
        label="least cycle, links added as rounds get longer",
    )
    markers = "sD^vPX*<>hp"
    for number, judged in enumerate(found.overlays):
        ax.plot(
            judged.cycle_ms,
            judged.rounds,
            linestyle="none",
            marker=markers[number % len(markers)],
            markersize=7,
            color=series(1 + number % 5),
            label=f"{short(judged.overlay.name)}: {_time(judged.consensus_ms)}",
        )
    ax.set(xscale="log", yscale="log", xlabel="time of a round (ms)", ylabel="rounds to 1 % consensus")
    left, right = ax.get_xlim()
    bottom, top = 0.7, ax.get_ylim()[1]
    least, most = np.log10(left * bottom), np.log10(right * top)
    for power in range(int(np.ceil(least)), int(most) + 1):
        ax.plot((left, right), (10.0**power / left, 10.0**power / right), color=light("line"), linewidth=0.8, zorder=0)
        x = min(right * 0.97, 10.0**power / bottom * 0.9)
        if 10.0**power / x < top:
            ax.text(x, 10.0**power / x, _time(10.0**power), color=light("muted"), fontsize=7, ha="right", va="bottom")
    ax.set(xlim=(left, right), ylim=(bottom, top))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    ax.set_title("Quick rounds or few rounds")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _map(ax: Axes, judged: Judged, silos: Silos, place: Float, known: bool, names: bool) -> None:
    overlay = judged.overlay
    one_way = overlay.adjacency & ~overlay.adjacency.T
    many = overlay.adjacency.sum() > 4 * len(silos)
    for i, j in overlay.links:
        if not one_way[i, j] and i > j:
            continue
        line = great_circle(place[i], place[j]) if known else np.linspace(place[i], place[j], _STEPS)
        colour = series(1) if one_way[i, j] else series(0)
        ax.plot(line[:, 1], line[:, 0], color=colour, linewidth=0.6 if many else 1.3, alpha=0.35 if many else 0.85)
        middle = len(line) * 11 // 20
        if one_way[i, j] and not many and np.isfinite(line[middle : middle + 2]).all():
            ax.annotate(
                "",
                xy=(line[middle + 1, 1], line[middle + 1, 0]),
                xytext=(line[middle, 1], line[middle, 0]),
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1, "mutation_scale": 9},
            )
    ax.plot(place[:, 1], place[:, 0], linestyle="none", marker="o", markersize=3.5, color=light("ink"))
    if overlay.hub is not None:
        ax.plot(*place[overlay.hub, ::-1], marker="s", markersize=8, color=series(1))
    if names:
        for name, (latitude, longitude) in zip(silos.names, place, strict=True):
            ax.annotate(short(name, 14), (longitude, latitude), (2.5, 2.5), textcoords="offset points", fontsize=5.5)
    ax.set_title(
        f"{plain(overlay.name, 30)}: {judged.cycle_ms:.4g} ms a round\n"
        f"{judged.rounds:,} round{'s' * (judged.rounds > 1)}, 1 % consensus in {_time(judged.consensus_ms)}",
        fontsize=8.5,
    )
    margin = 0.06 * np.maximum(np.ptp(place, axis=0), 1)
    low, high = place.min(axis=0) - margin, place.max(axis=0) + margin
    crossing = known and high[1] - low[1] > 180
    ax.set(xlim=(-180, 180) if crossing else (low[1], high[1]), ylim=(-78, 84) if crossing else (low[0], high[0]))
    ax.tick_params(length=0, labelbottom=False, labelleft=False)
    if known:
        ax.grid(linewidth=0.4)
    else:
        ax.set(xticks=[], yticks=[])


def _unit(latitude: float, longitude: float) -> Float:
    """(3,) point of the unit sphere; radians."""
    return np.array(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], dtype=float
    )


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:,.3g} s" if milliseconds >= 1000 else f"{milliseconds:.3g} ms"
