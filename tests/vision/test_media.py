"""Pictures of every kind: constructed files, and what they must look like upright in 8 bits."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.errors import UserError
from kinesics.vision.media import UnreadableImage, as_array, frame_count, read_animation, read_picture

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def quarters(width: int = 40, height: int = 24) -> np.ndarray:
    """Red, green / blue, white."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[: height // 2, : width // 2] = (255, 0, 0)
    picture[: height // 2, width // 2 :] = (0, 255, 0)
    picture[height // 2 :, : width // 2] = (0, 0, 255)
    picture[height // 2 :, width // 2 :] = (255, 255, 255)
    return picture


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, turn: int) -> None:
    """EXIF says how the camera was held: 6 = turn by 90 degrees clockwise to see it upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quarters()).save(tmp_path / "a.png", exif=exif)
    assert (read_picture(tmp_path / "a.png") == np.rot90(quarters(), turn)).all()


def test_cmyk_palette_alpha_and_sixteen_bits(tmp_path: Path) -> None:
    Image.fromarray(quarters()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(read_picture(tmp_path / "cmyk.jpg").astype(int) - quarters()).mean() < 8
    Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    assert (read_picture(tmp_path / "p.png") == quarters()).all()
    clear = Image.fromarray(np.dstack([quarters(), np.full((24, 40), 255, np.uint8)]))
    clear.putpixel((0, 0), (255, 0, 0, 0))
    clear.save(tmp_path / "alpha.png")
    found = read_picture(tmp_path / "alpha.png")
    assert tuple(found[0, 0]) == (0, 0, 0) and (found[0, 1:] == quarters()[0, 1:]).all()
    deep = (np.arange(24 * 40, dtype=np.uint32) * 65535 // 959).astype(np.uint16).reshape(24, 40)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    found = read_picture(tmp_path / "deep.png")
    assert (found[:, :, 0] == deep // 257).all() and found.shape == (24, 40, 3)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animations(tmp_path: Path, ending: str) -> None:
    frames = [Image.new("RGB", (20, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if ending == "webp" else {}
    frames[0].save(
        tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], duration=[200, 300, 100], **options
    )
    assert frame_count(tmp_path / f"a.{ending}") == 3
    found = list(read_animation(tmp_path / f"a.{ending}"))
    assert [time for time, _ in found] == pytest.approx([0.0, 0.2, 0.5])
    assert [tuple(int(c) for c in image[3, 3]) for _, image in found] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert (read_picture(tmp_path / f"a.{ending}")[3, 3] == (255, 0, 0)).all()


def test_what_can_not_be_read(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).save(tmp_path / "whole.jpg")
    (tmp_path / "short.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2500])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    (tmp_path / "empty.png").write_bytes(b"")
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    for name in ("short.jpg", "text.jpg", "drawing.svg", "empty.png", "bomb.png", "missing.png"):
        with pytest.raises(UnreadableImage, match=name):
            read_picture(tmp_path / name)


def test_arrays_and_images() -> None:
    grey = quarters()[:, :, 0]
    assert as_array(grey).shape == (24, 40, 3) and (as_array(Image.fromarray(quarters())) == quarters()).all()
    with pytest.raises(UserError, match="expected"):
        as_array(np.zeros((3, 3), dtype=np.float32))
