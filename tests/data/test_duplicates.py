from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from kinesics.data import duplicates
from kinesics.data.duplicates import find_duplicates, identical_groups, near_pairs, pixel_digest, thumbnail


def _scenes(count: int, seed: int = 0, size: int = 48) -> np.ndarray:
    """(count, size, size) uint8 smooth random pictures, each unlike the others."""
    noise = np.random.default_rng(seed).standard_normal((count, size, size))
    smooth = gaussian_filter(noise, (0, 2.5, 2.5))
    smooth /= np.abs(smooth).max(axis=(1, 2), keepdims=True)
    return (127.5 + 127 * smooth).astype(np.uint8)


def test_digests_are_of_pixels_and_size() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    same = [image, image[..., None], np.repeat(image[..., None], 3, axis=2), np.asfortranarray(image)]
    assert len({pixel_digest(picture) for picture in same}) == 1
    other = image.copy()
    other[3, 5] += 1
    coloured = np.repeat(image[..., None], 3, axis=2)
    coloured[0, 0, 2] += 1
    assert len({pixel_digest(picture) for picture in (image, image.reshape(6, 4), image.T, other, coloured)}) == 5


def test_identical_groups_are_numbered_by_their_first_member() -> None:
    digests = np.array([b"z", b"a", b"c", b"a", b"z", b"z"])
    assert identical_groups(digests).tolist() == [0, 1, -1, 1, 0, 0]
    assert identical_groups(np.array([b"x", b"y"])).tolist() == [-1, -1]
    assert identical_groups(np.zeros(0, "S32")).tolist() == []


def test_altered_copies_are_found_and_other_pictures_are_not() -> None:
    scenes = _scenes(60)
    altered = {
        0: np.clip(scenes[0] * 0.7 + 20, 0, 255),  # darker
        1: np.roll(scenes[1], 1, axis=1),  # moved by a pixel
        2: np.clip(scenes[2] + np.random.default_rng(1).normal(0, 6, (48, 48)), 0, 255),  # noise
        3: np.asarray(Image.fromarray(scenes[3]).resize((31, 31)).resize((48, 48))),  # smaller and back
        4: scenes[4][2:, 2:],  # cut at two sides
    }
    marked = scenes[5].astype(float)
    marked[34:40, 5:40] += 0.3 * (255 - marked[34:40, 5:40])
    altered[5] = marked  # a watermark
    copies = [np.asarray(picture).astype(np.uint8) for picture in altered.values()]
    thumbnails = np.stack([thumbnail(picture) for picture in [*scenes, *copies]])
    assert near_pairs(thumbnails).tolist() == [[k, 60 + k] for k in altered]


def _correlation(one: np.ndarray, two: np.ndarray, floor: float) -> float:
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).mean() / np.sqrt((one.var() + floor**2) * (two.var() + floor**2)))


def test_no_pair_is_missed_that_comparing_all_with_all_finds() -> None:
    rng = np.random.default_rng(2)
    base = _scenes(20, seed=3).astype(float)
    parts = [base[rng.integers(0, 20, 150)] + rng.normal(0, 1, (150, 1, 1)) * gaussian_filter(
        rng.standard_normal((150, 48, 48)), (0, 2, 2)) * 40 for _ in range(2)]  # fmt: skip
    images = np.clip(np.concatenate(parts), 0, 255).astype(np.uint8)

    def unit(rows: np.ndarray) -> np.ndarray:
        rows = rows.reshape(len(rows), -1).astype(np.float64)
        rows = rows - rows.mean(axis=1, keepdims=True)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    coarse = unit(images.reshape(-1, 16, 3, 16, 3).mean(axis=(2, 4)))
    passed = [gaussian_filter(i.astype(float), 1) - gaussian_filter(i.astype(float), 4) for i in images]
    fine = unit(np.stack(passed).reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4)))
    alike = fine @ fine.T
    references = np.unique(np.linspace(0, 299, 256).astype(int))
    floor = np.empty(300)
    for k in range(300):
        others = alike[k, [r for r in references if r != k]]
        floor[k] = others.mean() + duplicates.STANDING_OUT * others.std()
    rare = (alike >= floor) & (alike >= floor[:, None]) & (alike >= duplicates.DETAIL_CORRELATION)
    both = (coarse @ coarse.T >= duplicates.COARSE_CORRELATION) & (rare | (alike >= duplicates.SURE_CORRELATION))
    blurred = [gaussian_filter(i.astype(float), 1) for i in images]
    expected = np.array([
        [one, two]
        for one, two in np.argwhere(np.triu(both, 1))
        if np.mean([
            _correlation(blurred[one][y : y + 12, x : x + 12], blurred[two][y : y + 12, x : x + 12], floor=3.0)
            for y in range(0, 37, 6)
            for x in range(0, 37, 6)
        ]) >= duplicates.WINDOW_CORRELATION
    ])  # fmt: skip
    assert 100 < len(expected) < 10_000
    assert max(np.bincount(expected.ravel())) < duplicates._NEIGHBOURS
    np.testing.assert_array_equal(near_pairs(images), expected)


def test_many_copies_of_one_picture_are_one_group() -> None:
    rng = np.random.default_rng(0)
    scene = _scenes(1)[0].astype(float)
    frames = np.clip(scene + rng.normal(0, 3, (200, 48, 48)), 0, 255).astype(np.uint8)
    found = find_duplicates(np.concatenate([frames, _scenes(30, seed=9)]))
    assert set(found.near[:200]) == {0} and set(found.near[200:]) == {-1}
    assert len(found.pairs) <= 200 * duplicates._NEIGHBOURS
    assert set(found.identical) == {-1}


def test_near_groups_hold_the_identical_ones_too() -> None:
    scenes = _scenes(4)
    darker = (scenes[1] * 0.8).astype(np.uint8)
    images = np.stack([scenes[0], scenes[1], scenes[1], scenes[2], darker, scenes[0], scenes[3]])
    found = find_duplicates(images)
    assert found.identical.tolist() == [0, 1, 1, -1, -1, 0, -1]
    assert found.near.tolist() == [0, 1, 1, -1, 1, 0, -1]
    assert found.pairs.tolist() == [[1, 4]]


def test_pictures_must_be_alike_everywhere_not_only_where_contrast_is() -> None:
    scenes = _scenes(40)
    left = np.arange(48) < 24

    def beside(one: int, other: int) -> np.ndarray:
        faint = 127.5 + 0.2 * (scenes[other].astype(float) - 127.5)
        return np.where(left, scenes[one], faint).astype(np.uint8)

    noise = np.random.default_rng(0).integers(0, 3, (48, 48), dtype=np.uint8)
    images = np.concatenate([scenes[10:], [beside(0, 1), beside(0, 2), beside(3, 4), beside(3, 4) // 2 + 60 + noise]])
    assert near_pairs(images).tolist() == [[32, 33]]


def test_flat_pictures_are_only_compared_by_their_pixels() -> None:
    images = np.stack([np.full((48, 48), value, np.uint8) for value in (0, 0, 10, 200)])
    found = find_duplicates(images)
    assert found.identical.tolist() == found.near.tolist() == [0, 0, -1, -1]


def test_one_picture_has_no_duplicate() -> None:
    assert find_duplicates(_scenes(1)).near.tolist() == [-1]


def _faces(folder: Path, sheets: int) -> np.ndarray:
    tiles = []
    for path in sorted(folder.glob("sheet_*.png"))[:sheets]:
        sheet = np.asarray(Image.open(path))
        tiles.append(sheet.reshape(-1, 48, 32, 48).transpose(0, 2, 1, 3).reshape(-1, 48, 48))
    return np.concatenate(tiles)


SAME_PICTURE = [(864, 1246), (1153, 1209), (953, 5936), (2539, 4428), (4886, 5535), (2162, 4465), (2703, 4783)]
SAME_PICTURE += [(4326, 4624), (3156, 4965), (3760, 4228), (1095, 1245), (1313, 5594), (229, 5222), (4, 625)]
OTHER_PERSON = [(3804, 5440), (1069, 1499), (5000, 5096), (1968, 3125), (247, 4288), (3293, 4432), (1725, 5851)]
OTHER_PERSON += [(1331, 3612), (2148, 3125), (1499, 5437), (8, 5328), (1175, 4112), (395, 1175), (567, 4432)]
"""Faces of FER2013 that were looked at side by side; all of these are correlated above 0.9 at 16 x 16 pixels.
"""


def test_duplicate_faces_of_fer2013_are_those_known_and_seen(shared: Path) -> None:
    folder = shared / "data" / "ferplus"
    if not (folder / "labels.csv").is_file():
        pytest.skip("no FER+ faces")
    images = _faces(folder, 6)
    with (folder / "labels.csv").open() as stream:
        known = [int(row["dup_group"]) for row in csv.DictReader(stream)][: len(images)]
    number, first, sizes = np.unique(known, return_index=True, return_counts=True)
    several = [group for group in number[np.argsort(first)] if sizes[number == group][0] > 1]
    found = find_duplicates(images)
    assert len(several) > 20
    assert found.identical.tolist() == [several.index(group) if group in several else -1 for group in known]
    assert all(found.near[one] == found.near[two] >= 0 for one, two in SAME_PICTURE)
    assert all(found.near[one] != found.near[two] or found.near[one] < 0 for one, two in OTHER_PERSON)
