"""The audit as one HTML page: doubtful labels with what speaks against them, decided by keyboard or touch.

The page asks for nothing from outside. Opened as a file it keeps decisions in the browser's own storage and exports
them; `server.py` serves the same page and saves each decision beside the manifest.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinesics.data.samples import Samples
from kinesics.engine.page import escape
from kinesics.engine.palette import stylesheet
from kinesics.errors import UserError
from kinesics.files import atomic_write
from kinesics.studies.audit.study import SIGNALS, Audit

LARGE, SMALL = 96, 48
"""Pixels that the longer side of an image keeps: of a sample, of a neighbour."""

AS_FILE, SERVED = ('data-server="no"', "connect-src 'none'"), ('data-server="yes"', "connect-src 'self'")
"""What differs between the page as a file and as it is served; each occurs once before any text of the data."""


def write_gallery(found: Audit, path: Path, run: str, manifest: str, top: int) -> int:
    """Write the page atomically.

    Args:
        found: the audit.
        path: of the HTML file.
        run: name of the run, shown.
        manifest: name of the manifest, shown.
        top: most doubtful samples that are shown.

    Returns:
        Bytes written.
    """
    chosen = found.order[:top]
    content = json.dumps(_content(found, chosen, run, manifest), separators=(",", ":"), allow_nan=False)
    page = _page(content.replace("<", "\\u003c"), f"Audit of {run}").encode("utf-8", "replace")
    with atomic_write(path) as stream:
        stream.write(page)
    return len(page)


def page_content(page: str) -> dict[str, Any]:
    """What a written page shows: its JSON.

    Raises:
        UserError: it is no page of this kind.
    """
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)
    try:
        content = json.loads(found[1]) if found else None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("items"), list):
        raise UserError("the page is not one that kinesics audit wrote", hint="run kinesics audit again")
    return content


def _content(found: Audit, chosen: np.ndarray, run: str, manifest: str) -> dict[str, Any]:
    """What the page's script reads."""
    samples, label, proposed = found.evidence.samples, found.evidence.label, found.proposed_label
    images: dict[tuple[int, int], int] = {}

    def image(position: int, side: int) -> int:
        return images.setdefault((position, side), len(images))

    items = []
    for position in chosen.tolist():
        items.append(
            {
                "path": _text(samples.names[position]),
                "line": int(samples.extra["line"][position]),
                "label": int(label[position]),
                "proposed": int(proposed[position]),
                "doubt": round(float(found.doubt[position]), 4),
                "p": [round(float(share), 4) for share in found.proposed[position]],
                "signals": {name: round(float(values[position]), 3) for name, values in found.signals.items()},
                "image": image(position, LARGE),
                "against": [
                    {"image": image(other, SMALL), "label": int(label[other]), "path": _text(samples.names[other])}
                    for other in found.against(position)
                ],
            }
        )
    uris = [_data_uri(samples, position, side) for position, side in images]
    return {
        "key": f"kinesics-audit-{_labels_key(found)}",
        "run": _text(run),
        "manifest": _text(manifest),
        "total": len(samples),
        "expected_wrong": found.summary()["expected_wrong"],
        "classes": [_text(name) for name in samples.classes],
        "signals": {name: SIGNALS[name] for name in found.signals},
        "items": items,
        "images": uris,
    }


def _labels_key(found: Audit) -> str:
    """A fingerprint of the images and labels that are audited: what the browser knows decisions by, however many of
    them a page shows and whichever model doubts them."""
    samples, label = found.evidence.samples, found.evidence.label
    rows = sorted(
        f"{_text(name)}\t{_text(samples.classes[number])}" for name, number in zip(samples.names, label, strict=True)
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def _text(value: object) -> str:
    """Text that UTF-8 can hold."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _data_uri(samples: Samples, position: int, side: int) -> str:
    """One image as the model sees it, shrunk to `side` pixels, as a data URI: PNG up to 48 pixels, else JPEG."""
    pixels = samples.pixels(np.array([position]))[0]
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    kind = "PNG" if max(picture.size) <= SMALL else "JPEG"
    buffer = io.BytesIO()
    if kind == "PNG":
        picture.save(buffer, kind, optimize=True)
    else:
        picture.save(buffer, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _page(content: str, title: str) -> str:
    folder = resources.files("kinesics.studies.audit")
    script = (folder / "gallery.js").read_text(encoding="utf-8")
    style = stylesheet() + (folder / "gallery.css").read_text(encoding="utf-8")
    body = (folder / "gallery.html").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f'<!DOCTYPE html>\n<html lang="en" {AS_FILE[0]}><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; {AS_FILE[1]}; img-src data:; '
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>\n"
        f'{body}<script type="application/json" id="content">{content}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )
