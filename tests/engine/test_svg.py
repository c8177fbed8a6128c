"""Inline SVG: well-formed, self-contained, in the page's colours, with its own ids."""

from __future__ import annotations

import re
import warnings
from xml.etree import ElementTree

import numpy as np

from kinesics.engine import figures, image_figures
from kinesics.engine.svg import inline_svg

IMAGE = np.zeros((1, 8, 8, 1), dtype=np.uint8)


def test_ids_carry_the_prefix_and_every_reference_is_kept() -> None:
    root = ElementTree.fromstring(inline_svg(figures.confusion_heatmap(np.eye(3), "abc"), "p1-", "three"))
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert ids and len(ids) == len(set(ids)) and all(one.startswith("p1-") for one in ids)
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert used and used <= set(ids)


def test_no_address_and_no_metadata_is_left() -> None:
    svg = inline_svg(image_figures.image_grid(IMAGE, ["http in a caption"]), "a", "one image")
    outside = re.sub(r'"data:image/png;base64,[^"]*"', "", svg).replace("http in a caption", "")
    assert "data:image/png;base64," in svg
    assert not re.search(r"https?:|metadata|matplotlib|<!--|<style", outside)


def test_colours_follow_the_page_and_text_stays_text() -> None:
    svg = inline_svg(figures.confusion_heatmap(np.array([[9, 1], [2, 8]]), ("neutral", "fear")), "a", "two")
    root = ElementTree.fromstring(svg)
    styles = " ".join(e.attrib.get("style", "") for e in root.iter())
    assert "var(--accent)" in styles and "var(--on-deep)" in styles and "var(--ink)" in styles
    assert {"neutral", "fear", "90 %"} <= {(e.text or "").strip() for e in root.iter("text")}


def test_a_colour_written_by_the_user_is_left_alone() -> None:
    assert ">#0072b2</text>" in inline_svg(figures.confusion_heatmap(np.eye(1), ("#0072b2",)), "a", "x")


def test_alt_text_is_escaped_and_the_figure_has_a_size() -> None:
    root = ElementTree.fromstring(inline_svg(figures.confusion_heatmap(np.eye(2), "ab"), "a", 'say "<b>"\n\x00'))
    assert root.attrib["role"] == "img" and root.attrib["aria-label"] == 'say "<b>"  '
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert root.attrib["viewBox"].split()[2:] and 100 < height < width < 400


def test_names_in_any_script_draw_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = inline_svg(figures.confusion_heatmap(np.eye(2), ("怒り", "счастье")), "a", "x")
    assert "怒り" in svg and "счастье" in svg
