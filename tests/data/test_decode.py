from __future__ import annotations

import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kinesics.data.decode import load_image
from kinesics.vision import media
from kinesics.vision.media import UnreadableImage

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
"""Pillow warns about what it then refuses."""


def _picture(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels == 3 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _triangle_resize(image: np.ndarray, size: int) -> np.ndarray:
    """Antialiased bilinear, written out: each output pixel averages the inputs under a triangle of its own
    width."""

    def weights(length: int) -> np.ndarray:
        scale = max(length / size, 1.0)
        centre = (np.arange(size) + 0.5) * length / size
        w = np.clip(1 - np.abs(np.arange(length) + 0.5 - centre[:, None]) / scale, 0, None)
        return w / w.sum(axis=1, keepdims=True)

    return np.einsum(
        "yh,xw,hwc->yxc", weights(image.shape[0]), weights(image.shape[1]), image.astype(float), optimize=True
    )


@pytest.mark.parametrize("box", [None, (3, 4, 20, 11), (2.4, 3.6, 9.4, 12.3), (-5, -3, 20, 30), (30, 20, 50, 50)])
@pytest.mark.parametrize("size", [7, 16, 40])
def test_pixels_are_those_of_a_crop_and_a_resize_by_hand(
    tmp_path: Path, box: tuple[float, ...] | None, size: int
) -> None:
    picture = _picture(25, 37)
    Image.fromarray(picture).save(tmp_path / "a.png")
    part = picture
    if box is not None:
        x0, y0 = round(box[0]), round(box[1])
        x1, y1 = round(box[0] + box[2]), round(box[1] + box[3])
        part = np.zeros((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        for y in range(y0, y1):
            for x in range(x0, x1):
                if 0 <= y < 25 and 0 <= x < 37:
                    part[y - y0, x - x0] = picture[y, x]
    ours = load_image(tmp_path / "a.png", size, 3, box)
    assert ours.dtype == np.uint8
    np.testing.assert_allclose(ours, _triangle_resize(part, size), atol=1.01)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", None, 3, box), part)


def test_grey_is_luma_and_rgb_repeats_grey(tmp_path: Path) -> None:
    picture = _picture(6, 6)
    Image.fromarray(picture).save(tmp_path / "a.png")
    grey = load_image(tmp_path / "a.png", 6, 1)
    assert grey.shape == (6, 6, 1)
    np.testing.assert_allclose(grey[..., 0], picture @ np.array([0.299, 0.587, 0.114]), atol=1)
    Image.fromarray(grey[..., 0]).save(tmp_path / "g.png")
    np.testing.assert_array_equal(load_image(tmp_path / "g.png", 6, 3), np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone_before_the_crop(tmp_path: Path, orientation: int) -> None:
    upright = _picture(8, 12, channels=1)
    # How a camera in that position stores the upright picture (TIFF 6.0, tag 274: where row 0 and column 0 lie).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", None, 1)[..., 0], upright)
    cut = load_image(tmp_path / "a.png", None, 1, (7, 1, 4, 5))[..., 0]
    np.testing.assert_array_equal(cut, upright[1:6, 7:11])


def test_sixteen_bit_grey_is_scaled_and_transparent_is_black(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert load_image(tmp_path / "deep.png", None, 1).ravel().tolist() == [0, 1, 128, 255]
    clear = np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], dtype=np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert load_image(tmp_path / "clear.png", None, 3).tolist() == [[[200, 100, 50], [0, 0, 0]]]


def test_a_large_jpeg_is_read_reduced_but_looks_the_same(tmp_path: Path) -> None:
    y, x = np.mgrid[:512, :640]
    waves = np.stack([128 + 100 * np.sin(x / 9), 128 + 100 * np.cos(y / 7), (x + y) / 5], axis=-1)
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    np.testing.assert_allclose(load_image(tmp_path / "a.jpg", 48, 3), _triangle_resize(waves, 48), atol=5)


def _png(width: int, height: int) -> bytes:
    """A PNG whose header promises a size and whose data is empty."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_each_kind_of_bad_file_has_its_reason(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(_picture(64, 64)).save(good)
    Image.fromarray(_picture(64, 64)).save(tmp_path / "good.jpg")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:2000])
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:2000])
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "bomb.png").write_bytes(_png(60_000, 60_000))
    (tmp_path / "large.png").write_bytes(_png(10_000, 9_000))
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.mkfifo(tmp_path / "pipe.png")
    reasons = {
        "cut.png": "truncated",
        "cut.jpg": "truncated",
        "zero.png": "empty",
        "text.jpg": "not an image",
        "bomb.png": "pixels",
        "large.png": "10000 x 9000 pixels",
        "folder.png": "folder",
        "none.png": "no such file",
        "script.png": "not an image",
        "pipe.png": "not a regular file",
        "nul\0.png": "null",
    }
    for name, reason in reasons.items():
        for box in (None, (0, 0, 8, 8)):
            with pytest.raises(UnreadableImage, match=reason) as caught:
                load_image(f"{tmp_path}/{name}", 16, 1, box)
            assert name in str(caught.value) and name not in caught.value.reason


def test_boxes_without_any_picture_are_refused(tmp_path: Path) -> None:
    Image.fromarray(_picture(10, 12)).save(tmp_path / "a.png")
    for box in ((12, 0, 5, 5), (0, 10, 5, 5), (-9, 0, 9, 5), (1e9, 1e9, 1, 1)):
        with pytest.raises(UnreadableImage, match="outside of the 12 x 10 image"):
            load_image(tmp_path / "a.png", 4, 1, box)
    with pytest.raises(UnreadableImage, match="the box has"):
        load_image(tmp_path / "a.png", 4, 1, (0, 0, 1e6, 1e6))


def test_every_listed_format_is_one_that_pillow_may_know() -> None:
    Image.init()
    assert {"PNG", "JPEG", "BMP", "GIF"} <= set(media._formats()) <= set(Image.OPEN)
    assert not {"EPS", "PSD", "FITS"} & set(media._formats())


_GOOD: list[bytes] = []


def _good() -> list[bytes]:
    if not _GOOD:
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("png", "jpg", "gif", "bmp", "tif", "webp"):
                path = Path(folder) / f"a.{kind}"
                Image.fromarray(_picture(9, 11)).save(path)
                _GOOD.append(path.read_bytes())
    return _GOOD


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_are_an_image_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(_good())))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        path.write_bytes(content)
        try:
            image = load_image(path, 8, 3, data.draw(st.sampled_from([None, (1, 1, 5, 5)])))
        except UnreadableImage:
            return
        assert image.shape == (8, 8, 3)
