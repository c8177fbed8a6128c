"""A real server process and what nobody should send: an answer or a clear 4xx, at once, and nothing left on disk."""

from __future__ import annotations

import io
import socket
import struct
import time
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

SECONDS = 8.0
"""No request here may take longer."""
HTTP = httpx.Client(verify=False, timeout=SECONDS)


@pytest.fixture(autouse=True)
def nothing_is_left(server: Any) -> Any:
    """After each test the service lives, and its folder is empty."""
    yield
    assert HTTP.get(f"{server.url}/healthz").json()["status"] == "ok"
    until = time.monotonic() + 5
    while server.left() and time.monotonic() < until:
        time.sleep(0.05)
    assert server.left() == []


def post(server: Any, data: bytes, kind: str = "application/octet-stream", **query: Any) -> httpx.Response:
    return HTTP.post(
        f"{server.url}/predict", params=query, content=data, headers={"Content-Type": kind}, timeout=SECONDS
    )


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal, which never names a place on the disk."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert not any(word in answer.text for word in ("upload-", "/tmp", "/etc", "spool")), error
    return str(error["message"])


def png_head(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel, all white, that takes a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\x00" + b"\xff" * ((width + 7) // 8)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_bomb_of_100_megapixels(server: Any) -> None:
    bomb = png_head(10_000, 10_000)
    assert len(bomb) < 200_000
    began = time.monotonic()
    assert "10000 x 10000" in refused(post(server, bomb), 413, "too_many_pixels")
    assert time.monotonic() - began < 2


def test_a_gif_that_claims_a_huge_canvas(server: Any, make: SimpleNamespace) -> None:
    data = bytearray(make.encoded(make.squares(64, 64, (8, 8, 30, 220)), "GIF"))
    data[6:10] = struct.pack("<HH", 65_000, 65_000)
    refused(post(server, bytes(data)), 413, "too_many_pixels")


def test_a_truncated_jpeg(server: Any, make: SimpleNamespace) -> None:
    data = make.encoded(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8), "JPEG")
    refused(post(server, data[: len(data) // 2], "image/jpeg"), 422, "damaged")
    refused(post(server, data[:20], "image/jpeg"), 422, "damaged")


def test_a_gif_is_a_picture(server: Any, make: SimpleNamespace) -> None:
    answer = post(server, make.encoded(make.squares(200, 150, (40, 50, 60, 255)), "GIF")).json()
    assert answer["kind"] == "photo" and answer["faces"][0]["box"] == [40, 50, 60, 60]


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        b"a text file called photo.jpg\n" * 50,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"PK\x03\x04" + bytes(60),
        bytes(100),
    ],
    ids=["svg", "svg entity", "text", "playlist", "concat list", "postscript", "zip", "zeros"],
)
def test_what_is_no_picture(server: Any, data: bytes) -> None:
    refused(post(server, data, "image/jpeg"), 415, "unknown_kind")
    form = HTTP.post(f"{server.url}/predict", files={"file": ("../../etc/photo.jpg", data, "image/jpeg")})
    refused(form, 415, "unknown_kind")


def test_nothing_at_all(server: Any) -> None:
    refused(post(server, b""), 400, "empty")


def test_a_picture_on_its_side(server: Any, make: SimpleNamespace) -> None:
    upright = Image.fromarray(make.squares(200, 320, (30, 210, 60, 250)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture is to be turned clockwise
    data = make.encoded(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    answer = post(server, data, "image/jpeg").json()
    assert (answer["width"], answer["height"]) == (200, 320)
    assert np.allclose(answer["faces"][0]["box"], [30, 210, 60, 60], atol=3)


def test_cmyk(server: Any, make: SimpleNamespace) -> None:
    data = make.encoded(Image.fromarray(make.squares(200, 150, (40, 50, 60, 250))).convert("CMYK"), "JPEG", quality=95)
    assert np.allclose(post(server, data).json()["faces"][0]["box"], [40, 50, 60, 60], atol=3)


def test_16_bits(server: Any, make: SimpleNamespace) -> None:
    deep = make.squares(200, 150, (40, 50, 60, 200))[:, :, 0].astype(np.uint16) * 257
    face = post(server, make.encoded(Image.fromarray(deep))).json()["faces"][0]
    assert face["box"] == [40, 50, 60, 60]
    assert face["distribution"]["happiness"] == pytest.approx(200 / 255, abs=0.02)  # scaled, not clipped to white


@pytest.mark.parametrize("form", ["WEBP", "GIF"])
def test_an_animation_is_a_video(server: Any, make: SimpleNamespace, form: str) -> None:
    first, *others = [Image.fromarray(frame) for frame in make.moving(5)]
    settings = {"lossless": True} if form == "WEBP" else {}
    data = make.encoded(first, form, save_all=True, append_images=others, duration=100, **settings)
    answer = post(server, data).json()
    assert answer["kind"] == "video" and (answer["width"], answer["height"]) == (192, 144)
    assert [frame["time"] for frame in answer["frames"]] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [len(frame["faces"]) for frame in answer["frames"]] == [1] * 5


def test_a_video_without_pictures(server: Any, make: SimpleNamespace) -> None:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    assert "no pictures" in refused(post(server, buffer.getvalue(), "video/mp4"), 422, "damaged")


def test_a_video_whose_frames_are_missing(server: Any, make: SimpleNamespace) -> None:
    data = make.film(make.moving(12))
    index = data.index(b"mdat")
    refused(post(server, data[: index + 4], "video/mp4"), 422, "damaged")  # ends before its table of contents
    hollow = data[: index + 4] + bytes(data.index(b"moov") - index - 8) + data[data.index(b"moov") - 4 :]
    assert post(server, hollow, "video/mp4").status_code in (200, 422)  # frames of zeros: grey ones, or none


def test_a_video_that_changes_its_size(server: Any, make: SimpleNamespace) -> None:
    small = [make.squares(96, 80, (20, 16, 40, 230))] * 6
    data = make.film(make.moving(6), "mpeg1video", "mpeg1video", 25) + make.film(small, "mpeg1video", "mpeg1video", 25)
    answer = post(server, data, "video/mpeg").json()
    sizes = [(frame.get("width", 192), frame.get("height", 144)) for frame in answer["frames"]]
    assert set(sizes) == {(192, 144), (96, 80)}
    last = answer["frames"][-1]["faces"]
    assert np.allclose(last[0]["box"], [20, 16, 40, 40], atol=4)


def test_frames_beyond_the_limit(server: Any, make: SimpleNamespace) -> None:
    data = make.film([make.squares(1000, 600)] * 2)
    assert "1000 x 600" in refused(post(server, data, "video/mp4"), 413, "too_many_pixels")


def test_a_video_that_is_too_long(server: Any, make: SimpleNamespace) -> None:
    data = make.film(make.moving(12) * 6)
    refused(post(server, data, "video/mp4"), 413, "too_long")
    part = post(server, data, "video/mp4", start=2, end=3).json()
    assert [frame["time"] for frame in part["frames"]] == pytest.approx([2 + 0.1 * k for k in range(10)])


def test_too_large_by_its_own_word(server: Any) -> None:
    began = time.monotonic()
    answer = HTTP.post(f"{server.url}/predict", content=b"\xff" * (5 << 20), timeout=SECONDS)
    refused(answer, 413, "too_large")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
def test_an_endless_upload(server: Any, form: bool) -> None:
    """Chunks without an end: cut off soon after the limit, with an answer."""
    kind = b"multipart/form-data; boundary=x" if form else b"image/png"
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' if form else b""
    block = b"\x89PNG\r\n\x1a\n" + bytes(65_528)
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Type: " + kind
            + b"\r\n\r\n" + (b"%x\r\n%s\r\n" % (len(head), head) if head else b"")
        )  # fmt: skip
        answer = b""
        try:
            while sent < 64 << 20:
                client.sendall(b"%x\r\n%s\r\n" % (len(block), block))
                sent += len(block)
                client.setblocking(False)
                try:
                    answer += client.recv(65_536)
                except BlockingIOError:
                    pass
                finally:
                    client.settimeout(SECONDS)
                if b"too_large" in answer:
                    break
        except OSError:
            answer += client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413") and b"too_large" in answer
    assert sent < 24 << 20


def test_an_upload_that_stands_still(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
        began = time.monotonic()
        answer = client.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 408") and 0.8 < time.monotonic() - began < 5


def test_an_upload_drop_by_drop(server: Any) -> None:
    """Never still for long, but too slow as a whole."""
    answer = b""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n")
        while not answer and time.monotonic() - began < 10:
            client.sendall(b"a")
            try:
                answer = client.recv(65_536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408") and time.monotonic() - began < 8


def test_a_client_that_goes_away(server: Any) -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n" + bytes(50_000)):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n" + data)


def test_a_client_that_goes_away_during_its_answer(start: Any, make: SimpleNamespace) -> None:
    """The video is not worked on any longer, its file is gone, its place is free."""
    slow = start(0.4, frames=500)
    data = make.film(make.moving(60) * 4)
    with socket.create_connection(("127.0.0.1", slow.port), timeout=SECONDS) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/x-ndjson\r\n"
            b"Content-Length: %d\r\n\r\n" % len(data) + data
        )
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        assert 'inside{lane="video"} 1' in HTTP.get(f"{slow.url}/metrics").text
    until = time.monotonic() + 5
    while 'inside{lane="video"} 0' not in HTTP.get(f"{slow.url}/metrics").text:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert slow.left() == []
    assert float(HTTP.get(f"{slow.url}/metrics").text.split("\nkinesics_frames_total ")[1].split()[0]) < 200


def test_damaged_forms(server: Any) -> None:
    kind = "multipart/form-data"
    refused(post(server, b"abc", kind), 400, "form")
    refused(post(server, b"abc", f"{kind}; boundary=x"), 400, "form")
    refused(
        post(server, b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc', f"{kind}; boundary=x"),
        400,
        "form",
    )
    refused(post(server, b"--x\r\n" + b"a" * 20_000, f"{kind}; boundary=x"), 400, "form")
    two = HTTP.post(f"{server.url}/predict", files=[("file", ("a", b"abc")), ("file", ("b", b"abc"))])
    refused(two, 400, "form")
    refused(HTTP.post(f"{server.url}/predict", data={"path": "/etc/passwd"}), 415, "content_type")
    refused(HTTP.post(f"{server.url}/predict", json={"path": "/etc/passwd"}), 415, "content_type")
    refused(post(server, b"--" + b"y" * 300, f"{kind}; boundary={'y' * 300}"), 400, "form")


def test_no_path_of_a_client_is_opened(server: Any, make: SimpleNamespace, tmp_path: Path) -> None:
    """A file name in the form is never used, whatever it says."""
    there = tmp_path / "there.png"
    there.write_bytes(make.encoded(make.squares(200, 150, (10, 10, 50, 255))))
    data = make.encoded(make.squares(200, 150))
    answer = HTTP.post(f"{server.url}/predict", files={"file": (str(there), data, "image/png")})
    assert answer.json()["faces"] == []
    assert there.exists()
