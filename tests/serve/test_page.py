"""The page in headless Chromium, end to end: pictures, a video, the camera; by keyboard, on a phone's width, dark."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium with a camera that shows a test picture."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with api.sync_playwright() as player:
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        launched = player.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def service(start: Any) -> Any:
    """A service for these tests alone: their requests don't wait for others'."""
    return start(film_megapixels=1)


@pytest.fixture
def page(browser: Any, service: Any) -> Iterator[Any]:
    """The page at a desk's width; no error may be reported, no request may leave the service."""
    context = browser.new_context(viewport={"width": 1200, "height": 850}, color_scheme="light")
    opened, wrong = context.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if "Security Policy" in message.text else None)
    opened.on("request", lambda request: wrong.append(request.url) if outside(request.url, service.url) else None)
    opened.goto(service.url)
    opened.wait_for_selector("body[data-ready]")
    yield opened
    context.close()
    assert wrong == []


def outside(url: str, home: str) -> bool:
    return not url.startswith((home, "blob:", "data:"))


def drop(page: Any, data: bytes, name: str, kind: str) -> None:
    """Drop a file on the frame, as the mouse would."""
    page.evaluate(
        """([text, name, type]) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type }));
          const drop = document.getElementById("drop");
          for (const kind of ["dragenter", "dragover", "drop"])
            drop.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        [base64.b64encode(data).decode(), name, kind],
    )


def two_faces(make: SimpleNamespace) -> bytes:
    return bytes(make.encoded(make.squares(600, 400, (60, 100, 120, 250), (400, 150, 100, 140))))


def fits(page: Any) -> bool:
    """Whether nothing makes the page scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_picture_is_dropped(page: Any, make: SimpleNamespace) -> None:
    drop(page, two_faces(make), "two.png", "image/png")
    page.wait_for_selector("#save:not([hidden])")
    assert page.inner_text("#status") == "2 faces."
    boxes, picture = page.locator(".box"), page.locator("#photo").bounding_box()
    assert boxes.count() == 2
    for place, (x, y, side) in enumerate(((60, 100, 120), (400, 150, 100))):
        box, scale = boxes.nth(place).bounding_box(), picture["width"] / 600
        found = [box["x"] - picture["x"], box["y"] - picture["y"], box["width"], box["height"]]
        assert found == pytest.approx([scale * x, scale * y, scale * side, scale * side], abs=2)
    assert boxes.nth(0).get_attribute("aria-label") == "Face 1: happiness 98 %"
    assert page.inner_text("#label") == "happiness" and page.inner_text("#confidence") == "98 %"
    assert page.locator("#bars b").all_inner_texts() == ["1 %", "98 %", "1 %"]
    widths = [item.bounding_box()["width"] for item in page.locator("#bars .fill").all()]
    whole = page.locator("#bars .track").nth(1).bounding_box()["width"]
    assert widths[1] == pytest.approx(0.98 * whole, abs=3) and widths[0] < 0.05 * whole
    point = page.locator(".plane .point")
    assert (float(point.get_attribute("cx")) - 130) / 104 == pytest.approx(0.81 * 0.98, abs=0.02)
    assert "projection" in page.inner_text("#plane-note")


def test_by_keyboard(page: Any, make: SimpleNamespace, tmp_path: Path) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    file = tmp_path / "two.png"
    file.write_bytes(two_faces(make))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press(" ")
    chooser.value.set_files(str(file))
    page.wait_for_selector(".box")
    page.locator("#chips [aria-checked=true]").focus()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#who") == "Face 2" and page.inner_text("#confidence") == "55 %"
    assert page.evaluate("document.activeElement.textContent").startswith("Face 2")
    page.locator(".box").nth(0).focus()
    page.keyboard.press("Enter")
    assert page.inner_text("#who") == "Face 1"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_phones_width(page: Any, make: SimpleNamespace, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert fits(page)
    drop(page, two_faces(make), "two.png", "image/png")
    page.wait_for_selector(".box")
    assert fits(page)
    assert page.locator("#card").bounding_box()["width"] <= width
    small = [one for one in page.locator(".actions button, .actions .button").all() if one.is_visible()]
    assert all(one.bounding_box()["height"] >= 40 for one in small)


def test_dark(page: Any, make: SimpleNamespace) -> None:
    from kinesics.engine.palette import COLOURS

    def colours() -> tuple[str, str]:
        return tuple(
            page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
        )

    def rgb(text: str) -> str:
        return "rgb(" + ", ".join(str(int(text[k : k + 2], 16)) for k in (1, 3, 5)) + ")"

    assert colours() == (rgb(COLOURS["paper"][0]), rgb(COLOURS["ink"][0]))
    page.emulate_media(color_scheme="dark")
    assert colours() == (rgb(COLOURS["paper"][1]), rgb(COLOURS["ink"][1]))


def test_reduced_motion(page: Any) -> None:
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.getElementById('drop')).transitionDuration") == "0s"


def test_a_video_and_its_timeline(page: Any, make: SimpleNamespace) -> None:
    frames = [make.squares(320, 240, (20 + 4 * k, 60, 90, 250 if k < 10 else 90 + 40)) for k in range(20)]
    drop(page, make.film(frames, "webm", "libvpx"), "clip.webm", "video/webm")
    page.wait_for_selector("#save:not([hidden])")
    assert page.inner_text("#status").startswith("10 frames, 1 person")
    strip = page.locator("#tracks svg")
    assert strip.count() == 1 and strip.locator("path").count() == 3
    assert page.locator("#legend li").all_inner_texts() == ["neutral", "happiness", "sadness"]
    strip.focus()
    page.keyboard.press("End")
    assert strip.get_attribute("aria-valuenow") == "9"
    assert "1.80 seconds: happiness 5" in strip.get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert strip.get_attribute("aria-valuenow") == "1"
    until = time.monotonic() + 10
    while abs(page.evaluate("document.getElementById('film').currentTime") - 0.2) > 0.05:
        assert time.monotonic() < until
    area = strip.bounding_box()
    page.mouse.click(area["x"] + 0.75 * area["width"], area["y"] + 20)
    assert strip.get_attribute("aria-valuenow") in ("6", "7")
    page.click("summary")
    assert page.locator("#table tbody tr").count() == 1
    page.set_viewport_size({"width": 390, "height": 800})
    assert fits(page)


def test_the_camera(page: Any) -> None:
    page.click("#camera")
    page.wait_for_selector("#status:text-matches('Camera: [0-9]+ face')")
    assert page.get_attribute("#camera", "aria-pressed") == "true"
    page.click("#stop")
    assert page.get_attribute("#camera", "aria-pressed") == "false"
    assert page.inner_text("#status") == "Stopped."


def test_trouble_is_said(page: Any, make: SimpleNamespace) -> None:
    drop(page, b"only text", "photo.jpg", "image/jpeg")
    page.wait_for_selector("#error:not([hidden])")
    assert "Neither a picture nor a video" in page.inner_text("#error")
    drop(page, make.encoded(make.squares(300, 200)), "empty.png", "image/png")
    page.wait_for_selector("#save:not([hidden])")
    assert page.locator("#error").is_hidden() and page.inner_text("#status") == "No face was found."


def test_what_a_reader_of_the_screen_is_told(page: Any, make: SimpleNamespace) -> None:
    """Every control has a name; headings follow each other; errors and news are announced."""
    drop(page, two_faces(make), "two.png", "image/png")
    page.wait_for_selector(".box")
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select, [role=slider], [role=img], img")]
          .filter((one) => one.offsetParent !== null)
          .filter((one) => !(one.ariaLabel || one.alt || one.textContent.trim() || one.labels?.length
            || one.getAttribute("aria-labelledby"))).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    assert page.get_attribute("#status", "role") == "status" and page.get_attribute("#error", "role") == "alert"
    assert page.get_attribute("html", "lang") == "en"
    assert "An expression is not a feeling" in page.inner_text("footer")
