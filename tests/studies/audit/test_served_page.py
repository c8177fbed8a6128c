"""The page and the server together: what is decided in the browser is in the file at once."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from kinesics.studies.audit.decisions import read_decisions
from kinesics.studies.audit.gallery import write_gallery
from kinesics.studies.audit.server import Review, make_server
from kinesics.studies.audit.study import Audit


def test_a_review_in_the_browser(found: Audit, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    classes, file = found.evidence.classes, tmp_path / "decisions.csv"
    (tmp_path / "m.csv").write_text("path,label\n" + "".join(f"{k}.png,{name}\n" for k, name in enumerate(classes)))
    write_gallery(found, tmp_path / "gallery.html", "run", "m.csv", 5)
    review = Review.open(tmp_path / "gallery.html", file, str(tmp_path / "m.csv"))
    server, address = make_server(review)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("html[data-ready=yes]")
        for key in "pr":
            with page.expect_response("**/decision") as answered:
                page.keyboard.press(key)
            assert answered.value.status == 200
        saved = read_decisions(file, classes)
        assert [saved[path].kind for path in review.paths[:2]] == ["relabel", "drop"]
        with page.expect_response("**/decision"):
            page.keyboard.press("u")
        assert list(read_decisions(file, classes)) == review.paths[:1]
        page.reload()
        page.wait_for_selector("html[data-ready=yes]")
        assert "1 of 5 decided" in page.inner_text("#count")
        file.unlink()
        file.mkdir()  # nothing can be written there now
        page.keyboard.press("a")
        page.wait_for_selector("#message:has-text('Not saved')")
        browser.close()
    server.shutdown()
    server.server_close()
