"""Colours of figures and pages: one name, one value on light paper and one on dark.

Figures are drawn in the light values; `engine/svg.py` turns each into the CSS variable of its name, so that
an inline figure follows the page from light to dark. No two names may share a light value.
"""

from __future__ import annotations

COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#15181d"),
    "raised": ("#f4f6f9", "#1e2229"),
    "ink": ("#1b1f24", "#e8ebef"),
    "muted": ("#59626e", "#a3adb9"),
    "line": ("#d3d9e1", "#39404a"),
    "accent": ("#082a72", "#64aef8"),
    "on-pale": ("#000001", "#fffffe"),
    "on-deep": ("#fefefe", "#010101"),
    "blue": ("#0072b2", "#56b4e9"),
    "orange": ("#c2500a", "#f0934e"),
    "green": ("#007a5a", "#2fc79a"),
    "purple": ("#a8488a", "#e08fc4"),
    "yellow": ("#8a6d00", "#e6b800"),
    "grey": ("#555e6b", "#a9b3c0"),
}
"""Name -> (light, dark). The series colours follow M. Okabe and K. Ito, "Color Universal Design" (2008),
darkened for light paper and lightened for dark so that each has a contrast of at least 4.5 to its paper."""

SERIES = ("blue", "orange", "green", "purple", "yellow", "grey")
"""Names for lines and bars, in the order in which they are handed out."""

DEEP = 0.65
"""Share of accent over paper from which text is `on-deep`, below it `on-pale`: contrast is then 4.5 or more
at every share, in light and in dark."""


def light(name: str) -> str:
    """The value figures are drawn in."""
    return COLOURS[name][0]


def series(number: int) -> str:
    """Light value of the series `number`, counted from 0; the colours repeat after six."""
    return light(SERIES[number % len(SERIES)])


def stylesheet() -> str:
    """CSS that defines every colour as a variable, for light screens, dark screens and paper."""
    names = COLOURS.items()
    pale = "".join(f"--{name}:{value[0]};" for name, value in names)
    dark = "".join(f"--{name}:{value[1]};" for name, value in names)
    return f":root{{color-scheme:light dark;{pale}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
