"""A self-contained HTML page out of sections: no script, no outside request, light and dark, printable."""

from __future__ import annotations

import html
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kinesics.engine.palette import stylesheet
from kinesics.engine.svg import PIXELS_PER_INCH, inline_svg
from kinesics.files import atomic_write


@dataclass(frozen=True)
class Picture:
    """A figure in a section.

    Args:
        figure: drawn by `engine/figures.py`.
        alt: what a reader who can't see it is told; needed.
        caption: plain text under it; its first line is set off.
        aside: HTML that stands beside it where the screen is wide enough.
    """

    figure: Figure
    alt: str
    caption: str = ""
    aside: str = ""

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("alt: expected a description of the figure, got none")


@dataclass(frozen=True)
class Section:
    """One headed part of a page.

    Args:
        title: plain text.
        content: HTML (of `table_html`, `paragraphs`, `details`), a Picture, or several of both; Pictures that
            follow each other share a row where the screen is wide enough.
        note: plain text under the title: how to read what follows.
    """

    title: str
    content: str | Picture | Sequence[str | Picture]
    note: str = ""

    @property
    def parts(self) -> list[str | Picture]:
        """The content as a list."""
        return [self.content] if isinstance(self.content, str | Picture) else list(self.content)


def escape(text: object) -> str:
    """Any text as HTML text: markup is shown, never obeyed; what UTF-8 or HTML can't hold is replaced."""
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text)))


def paragraphs(text: str) -> str:
    """Plain text as HTML; an empty line starts a new paragraph."""
    return "".join(f"<p>{escape(part.strip())}</p>" for part in re.split(r"\n\s*\n", text) if part.strip())


def details(summary: str, content: str) -> str:
    """HTML that opens on demand under a plain-text line."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def table_html(
    table: pd.DataFrame,
    caption: str = "",
    *,
    titles: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    formats: Mapping[str, Callable[[Any], str]] | None = None,
    best: Mapping[str, NDArray[np.bool_]] | None = None,
    digits: int = 3,
) -> str:
    """A table with a caption and head; numbers right-aligned, the first column as row heads.

    Args:
        table: its index is left out; NaN and None are shown as an en dash.
        caption: plain text above it.
        titles: column -> head; the column's name by default.
        units: column -> unit, shown in the head.
        formats: column -> function from value to text; such columns are right-aligned.
        best: column -> (rows,) True where the value is set in bold.
        digits: decimals of other floats.
    """
    titles, units, formats, best = titles or {}, units or {}, formats or {}, best or {}
    names = [str(name) for name in table.columns]
    right = [n in formats or pd.api.types.is_numeric_dtype(table[c]) for n, c in zip(names, table.columns, strict=True)]
    head = "".join(
        f'<th scope="col"{_right(side)}>{escape(titles.get(name, name))}'
        + (f' <span class="unit">({escape(units[name])})</span>' if name in units else "")
        + "</th>"
        for name, side in zip(names, right, strict=True)
    )
    body = []
    for position, row in enumerate(table.itertuples(index=False, name=None)):
        cells = []
        for number, (name, side, value) in enumerate(zip(names, right, row, strict=True)):
            text = escape(_cell(value, formats.get(name), digits))
            if name in best and best[name][position]:
                text = f"<strong>{text}</strong>"
            tag = 'th scope="row"' if number == 0 else "td"
            cells.append(f"<{tag}{_right(side and number > 0)}>{text}</{tag[:2]}>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    label = f' aria-label="{escape(caption)}"' if caption else ""
    return (
        f'<div class="scroll" role="region" tabindex="0"{label}><table>'
        + (f"<caption>{escape(caption)}</caption>" if caption else "")
        + f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def write_report(
    path: str | os.PathLike[str],
    title: str,
    summary: Mapping[str, str | tuple[str, str]],
    sections: Sequence[Section],
    *,
    subtitle: Sequence[str] = (),
    intro: str = "",
    footer: str = "",
) -> None:
    """Write the page atomically; the same input gives the same bytes.

    Args:
        path: of the HTML file.
        title: plain text.
        summary: headline numbers: name -> value as text, or (value, what it means).
        sections: in order.
        subtitle: short facts under the title.
        intro: plain text before the numbers.
        footer: plain text at the end.

    Raises:
        UserError: the disk is full or the folder can't be written to.
    """
    anchors = [f"s{number}" for number in range(1, len(sections) + 1)]
    links = "".join(f'<a href="#{a}">{escape(s.title)}</a>' for a, s in zip(anchors, sections, strict=True))
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{stylesheet()}{_CSS}</style></head><body>\n"
        f"<header><h1>{escape(title)}</h1>{_facts(subtitle)}</header>\n"
        f'<nav aria-label="Sections">{links}</nav>\n<main>{paragraphs(intro)}{_tiles(summary)}\n'
        + "\n".join(_section(a, s) for a, s in zip(anchors, sections, strict=True))
        + f"\n</main><footer>{paragraphs(footer)}</footer></body></html>\n"
    )
    with atomic_write(path, "w") as stream:
        stream.write(page)


def _facts(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""


def _tiles(summary: Mapping[str, str | tuple[str, str]]) -> str:
    tiles = []
    for name, entry in summary.items():
        value, meaning = (entry, "") if isinstance(entry, str) else entry
        number, _, unit = value.partition(" ")
        behind = f" <small>{escape(unit)}</small>" if unit else ""
        under = f"<dd class='meaning'>{escape(meaning)}</dd>" if meaning else ""
        tiles.append(f"<div><dt>{escape(name)}</dt><dd>{escape(number)}{behind}</dd>{under}</div>")
    return f'<dl class="tiles">{"".join(tiles)}</dl>' if tiles else ""


def _section(anchor: str, section: Section) -> str:
    out, row, widest = [], "", 0.0
    for number, part in enumerate([*section.parts, ""]):
        if isinstance(part, Picture):
            row += _picture(part, f"{anchor}-{number}-")
            widest = max(widest, _width(part))
            continue
        if row:
            out.append(f'<div class="gallery" style="--column:{widest:.0f}px">{row}</div>')
            row, widest = "", 0.0
        out.append(part)
    note = f'<div class="note">{paragraphs(section.note)}</div>' if section.note else ""
    return f'<section id="{anchor}"><h2>{escape(section.title)}</h2>{note}{"".join(out)}</section>'


def _picture(picture: Picture, prefix: str) -> str:
    first, _, rest = picture.caption.partition("\n")
    lines = f"<strong>{escape(first)}</strong>" + (f"<span>{escape(rest)}</span>" if rest else "")
    caption = f"<figcaption>{lines}</figcaption>" if picture.caption else ""
    svg = inline_svg(picture.figure, prefix, picture.alt)
    if _width(picture) > _PHONE:
        svg = f'<div class="scroll wide" style="--least:{0.8 * _width(picture):.0f}px">{svg}</div>'
    aside = f'<div class="aside">{picture.aside}</div>' if picture.aside else ""
    return f'<figure style="max-width:{_LARGER * _width(picture):.0f}px">{svg}{caption}</figure>{aside}'


def _width(picture: Picture) -> float:
    return float(PIXELS_PER_INCH * picture.figure.get_size_inches()[0])


def _cell(value: Any, form: Callable[[Any], str] | None, digits: int) -> str:
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "–"
    if form is not None:
        return form(value)
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}"
    return str(value)


def _right(yes: bool) -> str:
    return ' class="number"' if yes else ""


_PHONE = 440
"""CSS pixels of width up to which a figure shrinks to fit a phone and stays readable; wider ones scroll."""

_LARGER = 1.2
"""How far a figure may grow to fill its column."""

_CSS = """
:root{--font:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:68rem;padding:1.5rem clamp(1rem,4vw,2.5rem) 3rem;
background:var(--paper);color:var(--ink);font:16px/1.55 var(--font)}
header{border-bottom:2px solid var(--ink);padding-bottom:.9rem}
h1{font-size:clamp(1.5rem,4vw,2.1rem);line-height:1.2;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
header ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;margin:.5rem 0 0;padding:0;
color:var(--muted);font-size:.9rem}
header li{overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;padding:.7rem 0;font-size:.9rem;
border-bottom:1px solid var(--line)}
a{color:var(--blue);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
main>p{max-width:46rem}
h2{font-size:1.25rem;margin:0 0 .3rem;line-height:1.3}
section{margin-top:2.6rem}
.note{color:var(--muted);max-width:46rem}
.note p{margin:.2rem 0 .6rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.4rem 0 0}
.tiles div{background:var(--raised);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}
.tiles dt{color:var(--muted);font-size:.85rem}
.tiles dd{margin:0;font-size:1.6rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles small{font-size:1rem;font-weight:500}
.tiles .meaning{font-size:.78rem;font-weight:400;color:var(--muted);line-height:1.35;margin-top:.2rem}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,var(--column)),1fr));
gap:1.2rem 1.6rem;margin:.8rem 0;align-items:start}
figure{margin:0;min-width:0;max-width:100%}
figcaption{font-size:.85rem;margin-top:.2rem;overflow-wrap:anywhere;line-height:1.4}
figcaption strong{font-weight:600}
figcaption span{display:block;color:var(--muted);font-size:.78rem}
.aside{min-width:0;max-width:100%}
.aside table{margin-top:0}
.scroll{overflow-x:auto;max-width:100%;
background:linear-gradient(90deg,var(--paper) 40%,transparent) 0/2.5rem 100%,
linear-gradient(270deg,var(--paper) 40%,transparent) 100%/2.5rem 100%,
linear-gradient(90deg,var(--line),transparent) 0/.8rem 100%,
linear-gradient(270deg,var(--line),transparent) 100%/.8rem 100%;
background-repeat:no-repeat;background-attachment:local,local,scroll,scroll}
svg{display:block;width:100%;height:auto}
.wide svg{min-width:var(--least)}
svg text{font-family:var(--font)!important}
table{border-collapse:collapse;font-size:.92rem;margin:.8rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);font-size:.85rem;padding-bottom:.3rem}
th,td{padding:.32rem .8rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child{padding-left:0}
thead th{border-bottom:1.5px solid var(--muted);vertical-align:bottom;font-weight:600}
tbody th{font-weight:400;max-width:22rem;overflow-wrap:break-word}
.number{text-align:right}
td.number{white-space:nowrap}
td:last-child:not(.number){min-width:13rem}
.unit{color:var(--muted);font-weight:400}
.facts td{overflow-wrap:anywhere}
.facts th{color:var(--muted);white-space:nowrap}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--blue);font-size:.92rem}
footer{margin-top:3rem;border-top:1px solid var(--line);color:var(--muted);font-size:.85rem;max-width:46rem}
@media (max-width:32rem){table{font-size:.85rem}th,td{padding:.3rem .5rem}}
@media print{
@page{margin:14mm}
body{max-width:none;padding:0;font-size:10pt}
nav,summary{display:none}
table{font-size:.85em}
th,td{padding:.25rem .5rem}
details::details-content{content-visibility:visible;display:block}
.gallery{grid-template-columns:repeat(auto-fill,minmax(min(100%,calc(.75*var(--column))),1fr))}
section{margin-top:1.4rem}
figure,tr,.note,.tiles div{break-inside:avoid}
h2,caption,.note{break-after:avoid}
.scroll{overflow:visible;background:none}
.wide svg{min-width:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
