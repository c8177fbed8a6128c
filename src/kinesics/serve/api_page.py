"""The interface as a page, made from its OpenAPI description: no script, nothing from another host."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_EXAMPLES = """curl -F file=@photo.jpg http://127.0.0.1:8000/predict
curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' 'http://127.0.0.1:8000/predict?fps=5&end=20'
curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' -H 'Accept: application/x-ndjson' \\
  http://127.0.0.1:8000/predict"""


def api_page(description: Mapping[str, Any]) -> str:
    """HTML that lists the routes, their parameters and statuses, and the forms of the answers.

    Args:
        description: of the interface, as /openapi.json has it.
    """
    routes = "".join(
        _route(path, method, route)
        for path, methods in description["paths"].items()
        for method, route in methods.items()
    )
    forms = "".join(
        _form(name, form) for name, form in description.get("components", {}).get("schemas", {}).items()
        if "properties" in form and not name.startswith(("HTTPValidation", "Validation"))
    )  # fmt: skip
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>kinesics: the interface</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="icon.svg">'
        '<link rel="stylesheet" href="page.css"></head><body class="docs"><header><h1>The interface</h1>'
        f"<p>kinesics {escape(str(description['info']['version']))}. {escape(description['info']['description'])} "
        'The same for programs: <a href="openapi.json">openapi.json</a>. <a href="./">Back to the page</a></p></header>'
        f"<main><h2>Examples</h2><pre>{escape(_EXAMPLES)}</pre>{routes}<h2>Forms</h2>{forms}</main></body></html>"
    )


def _route(path: str, method: str, route: Mapping[str, Any]) -> str:
    rows = [
        (item["name"], _kind(item["schema"]), item.get("description") or item["schema"].get("description", ""))
        for item in route.get("parameters", ())
    ]
    statuses = [(status, "", answer.get("description", "")) for status, answer in sorted(route["responses"].items())]
    body = ", ".join(route.get("requestBody", {}).get("content", {}))
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p><strong>{escape(route['summary'])}.</strong> "
        f"{_prose(route.get('description', ''))}</p>"
        + (f"<p>Body: {escape(body)}</p>" if body else "")
        + _table("Parameters", rows)
        + _table("Answers", statuses)
        + "</section>"
    )


def _form(name: str, form: Mapping[str, Any]) -> str:
    rows = [(key, _kind(item), item.get("description", "")) for key, item in form["properties"].items()]
    return f"<h3>{escape(name)}</h3><p>{escape(form.get('description', ''))}</p>{_table('', rows)}"


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    cells = "".join(
        f'<tr><th scope="row"><code>{escape(a)}</code></th><td>{escape(b)}</td><td>{_prose(c)}</td></tr>'
        for a, b, c in rows
    )
    if not rows:
        return ""
    caption = f"<caption>{title}</caption>" if title else ""
    opening = f'<div class="scroll" tabindex="0" role="region" aria-label="{title or "Fields"}">'
    return f"{opening}<table>{caption}{cells}</table></div>"


def _prose(text: str) -> str:
    """Text in which backquotes mark code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _kind(form: Mapping[str, Any]) -> str:
    """A field's type, its bounds and its default in a few words."""
    if "$ref" in form:
        return str(form["$ref"]).rpartition("/")[2]
    if "anyOf" in form:
        kinds = " or ".join(_kind(item) for item in form["anyOf"])
    elif "enum" in form or "const" in form:
        kinds = " or ".join(str(item) for item in form.get("enum", [form.get("const")]))
    elif form.get("type") == "array":
        kinds = f"list of {_kind(form['items'])}" if "items" in form else "list"
    else:
        kinds = str(form.get("type", "any"))
    low, high = form.get("minimum"), form.get("maximum")
    if form.get("exclusiveMinimum") is not None:
        kinds += f" above {form['exclusiveMinimum']:g}"
    if low is not None:
        kinds += f" from {low:g}"
    if high is not None:
        kinds += f" to {high:g}"
    return kinds + (f"; {form['default']} unless given" if form.get("default") is not None else "")
