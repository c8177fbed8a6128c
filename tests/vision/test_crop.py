"""The crop rule: its arithmetic, and that training and answering see the same pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.data.cache import cache_key, open_cache
from kinesics.data.decode import load_image
from kinesics.data.manifest import Manifest
from kinesics.errors import UserError
from kinesics.vision.crop import CropRule, cut_faces, place, roll

RULE = CropRule(margin=0.25, shift=-0.1, square=True)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def test_placing_by_hand() -> None:
    boxes = np.array([[10.0, 20.0, 20.0, 10.0], [0.0, 0.0, 8.0, 16.0]])
    # first: middle (20, 25), moved up by 1; 30 x 15, made square: 30
    # second: middle (4, 8), moved up by 1.6; 12 x 24, made square: 24
    assert place(boxes, RULE) == pytest.approx(np.array([[5, 9, 30, 30], [-8, -5.6, 24, 24]]))
    assert place(boxes, CropRule()) == pytest.approx(boxes)
    assert place(np.zeros((0, 4)), RULE).shape == (0, 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_training_and_answering_see_the_same(tmp_path: Path, picture: np.ndarray, channels: int) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    boxes = np.array([[10.0, 12.0, 24.0, 20.0], [60.0, 40.0, 30.0, 30.0]])  # the second reaches beyond the picture
    found = cut_faces(picture, boxes, RULE, 16, channels)
    assert found.shape == (2, 16, 16, channels) and found.dtype == np.uint8
    columns = {
        "path": ["a.png"] * 2,
        "label": ["x", "y"],
        **dict(zip(("box_x", "box_y", "box_w", "box_h"), boxes.T, strict=True)),
    }
    manifest = Manifest.from_columns(columns, tmp_path / "m.csv")
    cached = open_cache(manifest, 16, channels, tmp_path / "cache", face=RULE).images
    for k, box in enumerate(boxes):
        np.testing.assert_array_equal(found[k], load_image(tmp_path / "a.png", 16, channels, box, face=RULE))
        np.testing.assert_array_equal(found[k], cached[k])
    assert (load_image(tmp_path / "a.png", 16, channels, boxes[0]) != found[0]).any()
    # the key changes with the rule where it changes pixels, and is the old one for the plain box
    plain, other = cache_key(manifest, 16, 1), cache_key(manifest, 16, 1, face=RULE)
    assert plain == cache_key(manifest, 16, 1, face=CropRule()) != other


def test_aligning_makes_the_eyes_level() -> None:
    angle = math.radians(25)
    grid = np.zeros((200, 200, 3), dtype=np.uint8)
    eyes = np.array([(100 - 30 * math.cos(angle), 100 - 30 * math.sin(angle)),
                     (100 + 30 * math.cos(angle), 100 + 30 * math.sin(angle))])  # fmt: skip
    for x, y in eyes:
        grid[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] = 255
    assert roll(eyes) == pytest.approx(angle)
    box = np.array([[40.0, 40.0, 120.0, 120.0]])
    turned = cut_faces(grid, box, CropRule(align=True), 120, 1, [eyes])[0, :, :, 0] > 100
    rows, columns = np.nonzero(turned)
    left, right = rows[columns < 60].mean(), rows[columns > 60].mean()
    assert left == pytest.approx(59.5, abs=1.5) and right == pytest.approx(59.5, abs=1.5)
    assert columns[columns < 60].mean() == pytest.approx(29.5, abs=1.5)
    plain = cut_faces(grid, box, CropRule(align=True), 120, 1, [None])[0, :, :, 0] > 100
    assert np.ptp(np.nonzero(plain)[0]) > 20  # nothing is turned without landmarks


def test_what_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"--input\.face\.margin must be in"):
        CropRule(margin=9)
    with pytest.raises(UserError, match=r"--input\.face\.shift"):
        CropRule(shift=-2)
    with pytest.raises(UserError, match="outside"):
        cut_faces(picture, np.array([[200.0, 0.0, 5.0, 5.0]]), CropRule(), 8, 1)


def test_reading_it_back() -> None:
    assert CropRule.of(None) is None
    assert CropRule.of({"margin": 0.25, "shift": -0.1, "square": True, "later": 1}) == RULE
