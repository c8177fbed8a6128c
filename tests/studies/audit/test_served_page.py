"""The page and the server together: what is decided in the browser is in the file at once."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kinesics.studies.audit.decisions import read_decisions
from kinesics.studies.audit.gallery import write_gallery
from kinesics.studies.audit.server import Review, make_server
from kinesics.studies.audit.study import Audit


@pytest.fixture
def review(found: Audit, tmp_path: Path) -> Review:
    """Of five samples, without a decision yet."""
    classes = found.evidence.classes
    (tmp_path / "m.csv").write_text("path,label\n" + "".join(f"{k}.png,{name}\n" for k, name in enumerate(classes)))
    write_gallery(found, tmp_path / "gallery.html", "run", "m.csv", 5)
    return Review.open(tmp_path / "gallery.html", tmp_path / "decisions.csv", str(tmp_path / "m.csv"))


@pytest.fixture
def page(review: Review) -> Iterator[Any]:
    """The page in headless Chromium, served."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    server, address = make_server(review)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("html[data-ready=yes]")
        yield page
        browser.close()
    server.shutdown()
    server.server_close()


def kinds(review: Review) -> list[str | None]:
    """What the file says of each sample of the page."""
    saved = read_decisions(review.file, review.classes)
    return [saved[path].kind if path in saved else None for path in review.paths]


def test_a_review_in_the_browser(review: Review, page: Any) -> None:
    for key in "pr":
        with page.expect_response("**/decision") as answered:
            page.keyboard.press(key)
        assert answered.value.status == 200
    assert kinds(review) == ["relabel", "drop", None, None, None]
    with page.expect_response("**/decision"):
        page.keyboard.press("u")
    assert kinds(review) == ["relabel", None, None, None, None]
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    assert "1 of 5 decided" in page.inner_text("#count")


def test_what_could_not_be_saved_is_sent_again(review: Review, page: Any) -> None:
    review.file.mkdir()  # nothing can be written there now
    page.keyboard.press("a")
    page.wait_for_selector("#unsaved:has-text('1 not saved')")
    page.keyboard.press("r")
    page.wait_for_selector("#unsaved:has-text('2 not saved')")
    assert "The next decision tries again" in page.inner_text("#message")
    review.file.rmdir()
    page.route("**/decision", lambda route: route.abort())  # the server can't be reached
    page.keyboard.press("u")
    page.keyboard.press("p")
    page.wait_for_selector("#unsaved:has-text('2 not saved')")
    page.unroute("**/decision")
    page.keyboard.press("r")
    page.wait_for_selector("#message:has-text('saved'):not(.bad)")
    assert page.inner_text("#unsaved") == ""
    assert kinds(review) == ["keep", "relabel", "drop", None, None]


def test_a_sample_decided_again_while_it_is_sent(review: Review, page: Any) -> None:
    held: list[Any] = []
    page.route("**/decision", lambda route: route.continue_() if held else held.append(route))
    page.keyboard.press("a")
    page.wait_for_function("decisions.size === 1 && unsaved.size === 0")
    page.keyboard.press("k")
    page.keyboard.press("r")
    held[0].abort()
    page.wait_for_selector("#message:has-text('saved'):not(.bad)")
    assert kinds(review) == ["drop", None, None, None, None]
