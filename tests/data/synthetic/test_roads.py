"""Written driving data: columns, splits, silos, truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kinesics.data.check import check_manifest
from kinesics.data.manifest import read
from kinesics.data.synthetic.road_car import MAX_ANGLE
from kinesics.data.synthetic.roads import INTERVAL, LIGHTS, SCENES, WEATHERS, Camera, drive_of, home, write_roads
from kinesics.errors import UserError

SMALL = Camera(64, 32)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 + 6 + 6 pictures of 6 silos, three a drive."""
    return write_roads(
        tmp_path_factory.mktemp("roads"), 24, 6, 6, seed=5, silos=6, per_drive=3, camera=SMALL, lossless=True
    )


def test_the_manifest_is_sound(manifest: Path) -> None:
    table = read(manifest)
    assert len(table) == 36 and all(path.is_file() for path in table.files())
    assert not [finding for finding in check_manifest(table) if finding.level == "error"]
    target = table.targets()
    assert target is not None and np.abs(target).max() <= 1 and target.std() > 0.05
    assert set(table.column("silo")) == {f"silo{k:02d}" for k in range(6)}


def test_a_drive_stays_in_one_split_and_one_silo(manifest: Path) -> None:
    table = pd.read_csv(manifest)
    whole = table.groupby("group")[["split", "silo", "scene", "weather", "light"]].nunique()
    assert (whole == 1).all(axis=None) and table.groupby("group").size().max() == 3
    assert table.groupby(["split", "silo"]).size().unstack().to_numpy().tolist() == [[1] * 6, [4] * 6, [1] * 6]


def test_silos_differ_by_scene(manifest: Path) -> None:
    table = pd.read_csv(manifest)
    assert (table.groupby("silo")["scene"].nunique() == 1).all() and set(table["scene"]) == set(SCENES)
    homes = [home(k) for k in range(22)]
    assert len(set(homes)) >= 18
    assert {c.weather for c in homes} == set(WEATHERS) and {c.light for c in homes} == set(LIGHTS)
    drives = [drive_of(3, k, "train", 0)[1] for k in range(8)]
    assert 3 <= sum(c == home(3) for c in drives) < 8


def test_off_the_line_the_target_steers_back(manifest: Path) -> None:
    """The steering beyond that of the road ahead is against the offset and the turn."""
    table = pd.read_csv(manifest)
    aside = table[(table["offset"].abs() > 0.5) & (table["turn"] * table["offset"] > 0)]
    assert len(aside) >= 2 and (np.sign(aside["target"]) == np.sign(aside["offset"])).mean() > 0.7
    assert 0.05 < table["recovery"].mean() < 0.5
    assert 4 * INTERVAL > 1 and pytest.approx(25) == np.degrees(MAX_ANGLE)


def test_the_same_seed_gives_the_same_bytes(manifest: Path, tmp_path: Path) -> None:
    again = write_roads(tmp_path, 6, 0, 0, seed=5, silos=6, per_drive=3, camera=SMALL, lossless=True)
    table, other = pd.read_csv(manifest).set_index("path"), pd.read_csv(again).set_index("path")
    for path in other.index:  # a smaller set is the beginning of a larger
        assert (again.parent / path).read_bytes() == (manifest.parent / path).read_bytes()
        assert other.loc[path, "target"] == table.loc[path, "target"]
    different = pd.read_csv(write_roads(tmp_path / "b", 3, 0, 0, seed=6, silos=3, camera=SMALL))
    assert not set(different["target"]) & set(table["target"])
    assert all(path.endswith(".jpg") for path in different["path"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_train": -1}, "n_train is -1"),
        ({"n_train": 0}, "no pictures to write"),
        ({"silos": 0}, "silos is 0"),
        ({"per_drive": 1.5}, "per_drive is 1.5"),
        ({"recovery": 1.2}, "recovery is 1.2"),
        ({"seed": -3}, "seed is -3"),
    ],
)
def test_what_can_not_be_written(settings: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        write_roads(tmp_path, **{"n_train": 2, "n_valid": 0, "n_test": 0, "seed": 0, **settings})


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write the drawn roads"):
        write_roads(tmp_path / "file", 1, 0, 0, 0, silos=1, camera=SMALL)
