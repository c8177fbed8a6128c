"""The page: what is in the file, and what it does in a real browser."""

from __future__ import annotations

import csv
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesics.studies.audit.decisions import read_decisions
from kinesics.studies.audit.gallery import page_content, write_gallery
from kinesics.studies.audit.study import Audit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOP = 12

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def page_file(found: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the twelve most doubtful faces."""
    path = tmp_path_factory.mktemp("page") / "gallery.html"
    write_gallery(found, path, "run-1", "manifest.csv", TOP)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Open]:
    """Opens the page in a fresh context; errors of its script fail the test."""
    contexts, faults = [], []

    def open_page(**settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def test_a_model_that_doubts_nearly_everything_is_named(opened: Open, page_file: Path) -> None:
    """The page says what the command says; where few labels are in doubt it does not."""
    before = page_file.read_text(encoding="utf-8")
    total = page_content(before)["total"]
    page = opened()
    try:
        for share, told in ((0.9, True), (0.1, False)):
            text = re.sub(r'"expected_wrong":[0-9.]+', f'"expected_wrong":{share * total}', before, count=1)
            page_file.write_text(text, encoding="utf-8")
            page.reload()
            page.wait_for_selector("html[data-ready=yes]")
            assert ("knows too little" in page.inner_text("#about")) == told
    finally:
        page_file.write_text(before, encoding="utf-8")


def press(page: Any, keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def exported(page: Any, folder: Path) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        page.click("#export")
    path = folder / "decisions.csv"
    waiting.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_file_needs_nothing_else(page_file: Path, found: Audit) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert "default-src 'none'" in text and "connect-src 'none'" in text
    content = page_content(text)
    assert len(content["items"]) == TOP
    assert [item["doubt"] for item in content["items"]] == sorted((i["doubt"] for i in content["items"]), reverse=True)
    used = [item["image"] for item in content["items"]] + [o["image"] for i in content["items"] for o in i["against"]]
    assert sorted(set(used)) == list(range(len(content["images"])))
    assert all(uri.startswith("data:image/") for uri in content["images"])


def test_names_from_the_data_are_shown_and_never_obeyed(browser: Any, found: Audit, tmp_path: Path) -> None:
    wicked = '</script><img src=x onerror=alert(1)>"&.png'
    names = np.array([f"{i}{wicked}" for i in range(40)], dtype=object)
    samples = replace(found.evidence.samples, names=names)
    hostile = replace(found, evidence=replace(found.evidence, samples=samples))
    write_gallery(hostile, tmp_path / "g.html", "<b>run</b>", "m.csv", 3)
    page = browser.new_page()
    page.goto((tmp_path / "g.html").as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    assert page.locator("article").count() == 3
    assert wicked in page.inner_text("article >> nth=0")
    assert page.locator("img[src=x]").count() == 0
    page.close()


def test_decisions_by_keyboard_are_exported(opened: Open, page_file: Path, found: Audit, tmp_path: Path) -> None:
    page = opened(accept_downloads=True)
    items = page_content(page_file.read_text(encoding="utf-8"))["items"]
    classes = found.evidence.classes
    other = next(k for k in range(len(classes)) if k not in (items[3]["label"], items[3]["proposed"]))
    press(page, "apr")  # the first, the second, the third
    press(page, str(other + 1))  # the fourth
    press(page, str(items[4]["label"] + 1))  # its own label: keep
    press(page, "jka")  # on and back
    rows = exported(page, tmp_path)
    assert [(row["path"], row["decision"], row["label"]) for row in rows] == [
        (items[0]["path"], "keep", ""),
        (items[1]["path"], "relabel", classes[items[1]["proposed"]]),
        (items[2]["path"], "drop", ""),
        (items[3]["path"], "relabel", classes[other]),
        (items[4]["path"], "keep", ""),
        (items[5]["path"], "keep", ""),
    ]
    assert "6 of 12 decided: 3 kept, 2 relabelled, 1 dropped" in page.inner_text("#count")
    assert len(read_decisions(tmp_path / "decisions.csv", classes)) == 6


def test_arrows_move_and_undo_goes_back(opened: Open) -> None:
    page = opened()
    place = "[...document.querySelectorAll('article')].findIndex((box) => box.classList.contains('now'))"
    for key, expected in (("ArrowRight", 1), ("ArrowDown", 2), ("j", 3), ("k", 2), ("ArrowLeft", 1), ("ArrowUp", 0)):
        page.keyboard.press(key)
        assert page.evaluate(place) == expected
    press(page, "rra")
    press(page, "uu")
    assert "1 of 12 decided" in page.inner_text("#count")
    assert page.evaluate(place) == 1
    press(page, "uu")
    assert "0 of 12 decided" in page.inner_text("#count")
    assert "nothing to undo" in page.inner_text("#message")


def test_a_reload_keeps_decisions(opened: Open) -> None:
    page = opened()
    press(page, "ar")
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    assert "2 of 12 decided: 1 kept, 0 relabelled, 1 dropped" in page.inner_text("#count")
    assert page.locator("article.keep").count() == 1 and page.locator("article.drop").count() == 1


def test_a_page_of_fewer_or_more_samples_keeps_decisions(
    opened: Open, page_file: Path, found: Audit, tmp_path: Path
) -> None:
    """One page in place of another, as `kinesics audit --top` writes it: what is not shown is not lost."""
    page = opened()
    press(page, "ar")
    before = page_file.read_bytes()
    decided = page.evaluate("plain()")
    assert len(decided) == 2
    try:
        for top in (1, TOP + 5):
            write_gallery(found, page_file, "run-2", "manifest.csv", top)
            page.reload()
            page.wait_for_selector("html[data-ready=yes]")
            assert sorted(page.evaluate("plain()"), key=str) == sorted(decided, key=str)
            assert f"{min(top, 2)} of {top} decided" in page.inner_text("#count")
            assert {row["path"] for row in exported(page, tmp_path)} == {row["path"] for row in decided}
        samples = found.evidence.samples
        labels = {**samples.columns, "label": np.roll(samples.columns["label"], 1)}
        other = replace(found, evidence=replace(found.evidence, samples=replace(samples, columns=labels)))
        write_gallery(other, page_file, "run-2", "manifest.csv", TOP)
        page.reload()
        page.wait_for_selector("html[data-ready=yes]")
        assert page.evaluate("plain()") == []
    finally:
        page_file.write_bytes(before)


def seen(page: Any, path: str) -> None:
    """Wait until the page knows that another one dropped a sample: the browser hands it from process to process."""
    deadline = time.monotonic() + 30
    while (path, "drop") not in {(row["path"], row["decision"]) for row in page.evaluate("kept()")}:
        assert time.monotonic() < deadline, f"the other page's {path} never came"
        time.sleep(0.01)


def test_two_pages_of_the_same_labels_keep_each_others_decisions(
    opened: Open, page_file: Path, found: Audit, tmp_path: Path
) -> None:
    """Both are open at once; the first one shows fewer samples, and its own go on to count when the other decides."""
    page = opened()
    paths = [item["path"] for item in page_content(page_file.read_text(encoding="utf-8"))["items"]]
    few = tmp_path / "few.html"
    write_gallery(found, few, "run-1", "manifest.csv", 2)
    other = page.context.new_page()
    other.goto(few.as_uri())
    other.wait_for_selector("html[data-ready=yes]")
    press(page, "aaarr")
    seen(other, paths[4])
    press(other, "r")
    seen(page, paths[0])
    press(page, "uu")
    rows = {row["path"]: row["decision"] for row in page.evaluate("kept()")}
    assert rows == {paths[0]: "drop", paths[1]: "keep", paths[2]: "keep"}
    assert {row["path"] for row in other.evaluate("plain()")} == {paths[0], paths[2]}
    other.reload()
    other.wait_for_selector("html[data-ready=yes]")
    assert {row["path"] for row in other.evaluate("plain()")} == set(paths[:3])
    assert len(exported(other, tmp_path)) == 3
    assert "3 decisions exported, 1 of them on samples that are not shown" in other.inner_text("#message")


def test_import_takes_over_what_fits(opened: Open, page_file: Path, found: Audit, tmp_path: Path) -> None:
    items = page_content(page_file.read_text(encoding="utf-8"))["items"]
    file = tmp_path / "mine.csv"
    file.write_text(
        f'path,decision,label,when\n"{items[7]["path"]}",relabel,{found.evidence.classes[0]},x\nunknown.png,drop,,\n'
        f"{items[8]['path']},relabel,joyful,\n{items[9]['path']},keep,,\n"
    )
    page = opened()
    page.set_input_files("#file", str(file))
    page.wait_for_selector("#message:has-text('taken over')")
    message = page.inner_text("#message")
    assert message == "2 of 4 decisions taken over, 1 more kept for samples that are not shown"
    assert page.get_attribute("#message", "class") == "bad", "one is of no class"
    assert "2 of 12 decided: 1 kept, 1 relabelled" in page.inner_text("#count")
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    rows = {row["path"]: row["decision"] for row in exported(page, tmp_path)}
    assert rows == {items[7]["path"]: "relabel", "unknown.png": "drop", items[9]["path"]: "keep"}


def test_decisions_of_other_labels_are_not_imported(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("path,decision,label,when\nelsewhere.png,drop,,\n,keep,,\n")
    page = opened()
    page.set_input_files("#file", str(file))
    page.wait_for_selector("#message:has-text('taken over')")
    assert page.inner_text("#message") == "0 of 2 decisions taken over"
    assert page.evaluate("plain()") == []


def test_filters_by_pair_and_status_and_sorting(opened: Open, page_file: Path) -> None:
    items = page_content(page_file.read_text(encoding="utf-8"))["items"]
    page = opened()
    pair = f"{items[0]['label']}-{items[0]['proposed']}"
    expected = [item for item in items if f"{item['label']}-{item['proposed']}" == pair]
    page.select_option("#pair", pair)
    assert page.locator("article").count() == len(expected)
    page.select_option("#pair", "all")
    page.select_option("#status", "open")
    page.locator("#status").blur()
    press(page, "ra")
    assert page.locator("article").count() == TOP - 2, "what is decided leaves the list of the undecided"
    page.select_option("#status", "drop")
    assert page.locator("article").count() == 1
    page.select_option("#status", "relabel")
    assert page.locator("article").count() == 0 and page.is_visible("#none")
    page.select_option("#status", "all")
    page.select_option("#sort", "line")
    lines = [int(text.split()[1].rstrip(",")) for text in page.locator(".facts:nth-of-type(2)").all_inner_texts()]
    assert lines == sorted(item["line"] for item in items)


def test_a_click_decides_as_a_key_does(opened: Open) -> None:
    page = opened()
    page.click("article >> nth=2 >> .acts button >> nth=2")
    assert page.locator("article >> nth=2").get_attribute("class") == "drop"
    page.click("article >> nth=0 >> .bar >> nth=0")
    assert "2 of 12 decided" in page.inner_text("#count")


def test_help_opens_and_closes(opened: Open) -> None:
    page = opened()
    press(page, "?")
    assert page.is_visible("#keys")
    press(page, "a")
    assert "0 of 12 decided" in page.inner_text("#count"), "no decisions under the help"
    page.keyboard.press("Escape")
    assert not page.is_visible("#keys")


def test_a_phone_scrolls_down_only(opened: Open) -> None:
    page = opened(viewport={"width": 360, "height": 740}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate(
        "[...document.querySelectorAll('article *')].filter((e) => e.getBoundingClientRect().right > 360).length"
    )
    assert wide == 0


CONTRAST = """(selector) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = numbers(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } };
  return [...document.querySelectorAll(selector)].map((e) => {
    const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(opened: Open, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    ratios = page.evaluate(
        CONTRAST, "h1, header p, #count, select, button, .name, .value, .verdict, .was, .is, .facts, kbd"
    )
    assert len(ratios) > 100
    assert min(ratios) >= 4.5
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 29)"
    assert dark == (scheme == "dark")
