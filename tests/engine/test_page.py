"""The page: valid, self-contained, escaped, the same bytes each time, whole or not at all."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kinesics.engine import figures
from kinesics.engine.page import Picture, Section, details, escape, paragraphs, table_html, write_report
from kinesics.errors import UserError

VOID = {"meta", "br", "img"}
NASTY = "<script>alert(1)</script> & \"x\" 'y' \x00 \ud800 $a$ --> ]]>"


class Checker(HTMLParser):
    """Reads a page and notes tags left open, ids, links and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def picture(alt: str = "a matrix") -> Picture:
    return Picture(figures.confusion_heatmap(np.array([[2, 1], [0, 3]]), ("neutral", "fear")), alt, "first\nsecond")


def write(path: Path, **changes: object) -> str:
    sections = [
        Section("Numbers", table_html(pd.DataFrame({"a": [1.5]})), "A note."),
        Section("Pictures", [picture(), picture(), details("more", paragraphs("x\n\ny")), picture()]),
    ]
    inputs: dict = {"title": "A run", "summary": {"KL": ("0.4 nats", "divergence")}, "sections": sections}
    write_report(path, **{**inputs, **changes})
    return path.read_text(encoding="utf-8")


def test_page_is_well_formed_with_unique_ids_and_working_links(tmp_path: Path) -> None:
    page = Checker(write(tmp_path / "r.html"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(a["href"]) for tag, a in page.tags if tag in ("a", "use") and "href" in a]
    assert {"#s1", "#s2"} <= set(links) and {link.removeprefix("#") for link in links} <= set(ids)
    assert sum(tag == "figure" for tag, _ in page.tags) == 3
    galleries = [a for tag, a in page.tags if tag == "div" and a.get("class") == "gallery"]
    assert len(galleries) == 2, "two pictures share a row, the third follows the text"


def test_nothing_is_asked_of_the_network_and_nothing_is_run(tmp_path: Path) -> None:
    text = write(tmp_path / "r.html")
    page = Checker(text)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert str(value).startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"url\((?!#)|@import|https?://", text)
    policy = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_user_text_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    table = pd.DataFrame([[NASTY]], columns=pd.Index([NASTY], dtype=object), dtype=object)
    sections = [
        Section(NASTY, [table_html(table, NASTY, titles={NASTY: NASTY}, units={NASTY: NASTY}), picture(NASTY)], NASTY),
        Section("x", [details(NASTY, ""), Picture(figures.confusion_heatmap(np.eye(1), (NASTY,)), NASTY, NASTY)]),
    ]
    extra = {"subtitle": [NASTY], "intro": NASTY, "footer": NASTY}
    text = write(tmp_path / "r.html", title=NASTY, summary={NASTY: (NASTY, NASTY)}, sections=sections, **extra)
    page = Checker(text)
    assert not any(tag == "script" for tag, _ in page.tags)
    assert "<script>alert(1)</script>" in " ".join(page.words)
    assert "\x00" not in text


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a.html") == write(tmp_path / "b.html")


def test_a_page_that_can_not_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    old = write(tmp_path / "r.html")
    with pytest.raises(AttributeError):
        write(tmp_path / "r.html", sections=["no section"])
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == old and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UserError):
        write(tmp_path / "r.html" / "below.html")


def test_table_aligns_numbers_marks_the_best_and_dashes_what_is_missing() -> None:
    table = pd.DataFrame({"name": ["a", "b"], "kl": [0.12345, np.nan], "n": [3, 4], "x": [None, "text"]})
    text = table_html(table, "Caption", titles={"kl": "KL"}, units={"kl": "nats"}, best={"kl": np.array([True, False])})
    assert "<caption>Caption</caption>" in text
    assert '<th scope="col" class="number">KL <span class="unit">(nats)</span></th>' in text
    assert '<th scope="row">a</th><td class="number"><strong>0.123</strong></td><td class="number">3</td>' in text
    assert '<th scope="row">b</th><td class="number">–</td>' in text and "<td>–</td></tr>" in text
    assert table_html(table[["kl"]], formats={"kl": "{:.1f}!".format}).count("0.1!") == 1
    assert ">0.12<" in table_html(table, digits=2)


def test_a_picture_needs_a_description() -> None:
    with pytest.raises(ValueError, match="expected a description of the figure, got none"):
        picture(" ")


def test_alt_text_reaches_the_reader(tmp_path: Path) -> None:
    page = Checker(write(tmp_path / "r.html"))
    drawn = [a for tag, a in page.tags if tag == "svg"]
    assert len(drawn) == 3 and all(a["role"] == "img" and a["aria-label"] == "a matrix" for a in drawn)


def test_text_helpers() -> None:
    assert escape("a<b>\x07") == "a&lt;b&gt;\ufffd"
    assert paragraphs("one\n\n two \n\n\n") == "<p>one</p><p>two</p>"
    assert details("a<", "<p>b</p>") == "<details><summary>a&lt;</summary><p>b</p></details>"
