"""A matplotlib figure as SVG inside a page: no outside references, the page's colours and fonts."""

from __future__ import annotations

import io
import re
import warnings
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.figure import Figure

from kinesics.engine.palette import COLOURS

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
PIXELS_PER_INCH = 96
"""Of CSS."""


def inline_svg(figure: Figure, prefix: str, alt: str) -> str:
    """One `<svg>` element, the same bytes for the same figure.

    Text stays text (in the page's font), colours of the palette become CSS variables, ids get `prefix` so
    that several figures can share a page, and what matplotlib writes about itself is left out.

    Args:
        figure: drawn on a transparent ground.
        prefix: starts every id; unique on the page.
        alt: what a reader who can't see the figure is told.
    """
    buffer = io.BytesIO()
    style = matplotlib.style.context(["default", {"svg.hashsalt": "kinesics", "svg.fonttype": "none"}])
    with style, warnings.catch_warnings():
        # The page's font draws the text, so a glyph that matplotlib's own font lacks is no fault.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {_local(key): _value(key, value, prefix) for key, value in element.attrib.items()}
    width, height = (size * PIXELS_PER_INCH for size in figure.get_size_inches())
    del root.attrib["version"]
    root.attrib |= {"width": f"{width:.0f}", "height": f"{height:.0f}", "role": "img"}
    # What the style sheet of the drawing said, which inside a page would hold for the whole of it.
    root.attrib["style"] = "stroke-linejoin:round;stroke-linecap:butt"
    root.attrib["aria-label"] = "".join(c if c.isprintable() else " " for c in alt)
    return ElementTree.tostring(root, encoding="unicode")


def _local(key: str) -> str:
    return key.removeprefix(_XLINK)


def _value(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}{value}"
    if _local(key) == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if key in ("clip-path", "style", "fill", "stroke"):
        value = re.sub(r"image-rendering:[^;]*;?", "", value)
        value = value.replace("url(#", f"url(#{prefix}")
        for name, (pale, _) in COLOURS.items():
            value = value.replace(pale, f"var(--{name})")
    return value
