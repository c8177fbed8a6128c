"""The page's files, read from the package once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.responses import Response

from kinesics.engine.palette import stylesheet

_TYPES = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}  # fmt: skip

ASSETS = {
    "/": "index.html",
    "/page.css": "page.css",
    "/icon.svg": "icon.svg",
    **{f"/{name}.js": f"{name}.js" for name in ("app", "camera", "faces", "plane", "service", "stage", "timeline")},
}
"""Path -> file in `static/`; nothing else of the package can be asked for."""


def asset(path: str) -> Response:
    """One of the page's files; the style sheet begins with the colours of all kinesics pages."""
    name = ASSETS[path]
    return Response(
        _content(name), headers={"Content-Type": _TYPES[name.rpartition(".")[2]], "Cache-Control": "no-cache"}
    )


@cache
def _content(name: str) -> bytes:
    content = (files("kinesics.serve") / "static" / name).read_bytes()
    return stylesheet().encode() + b"\n" + content if name.endswith(".css") else content
