"""The look that all figures share, and how the user's text gets into them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import matplotlib.style
from matplotlib.figure import Figure

from kinesics.engine.palette import light

P = ParamSpec("P")

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": light("ink"),
    "axes.labelcolor": light("muted"),
    "axes.edgecolor": light("line"),
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "grid.color": light("line"),
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "text.color": light("ink"),
    "xtick.color": light("line"),
    "ytick.color": light("line"),
    "xtick.labelcolor": light("muted"),
    "ytick.labelcolor": light("muted"),
    "hatch.linewidth": 0.8,
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in the shared style, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return wrapped


def short(name: str, longest: int = 28) -> str:
    """A name as a chart shows it, cut with an ellipsis; tables show it whole."""
    return plain(name, longest)


def plain(text: str, longest: int = 80) -> str:
    """Text that matplotlib draws as it is.

    Args:
        text: any; unprintable characters are replaced, `$` doesn't start mathematics.
        longest: characters a line may have.
    """
    lines = ["".join(c if c.isprintable() else "\ufffd" for c in line) for line in str(text).split("\n")]
    cut = [line if len(line) <= longest else line[: longest - 1] + "…" for line in lines]
    return "\n".join(cut).replace("$", r"\$")
