"""From a manifest to samples: columns, splits, and rows that can't be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kinesics.data.manifest import read
from kinesics.engine.config import InputConfig
from kinesics.engine.loading import fingerprint, labelled, load_splits
from kinesics.errors import UserError

CONFIG = InputConfig(size=16, channels=1, valid_fraction=0.0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KINESICS_CACHE", str(tmp_path / "cache"))
    yield


def write(folder: Path, **columns: list[object]) -> Path:
    """A manifest of grey squares, the i-th of brightness i."""
    n = len(next(iter(columns.values())))
    for i in range(n):
        Image.new("L", (16, 16), i).save(folder / f"{i}.png")
    path = folder / "m.csv"
    pd.DataFrame({"path": [f"{i}.png" for i in range(n)], **columns}).to_csv(path, index=False)
    return path


def test_every_split_has_its_own_rows_and_pixels(tmp_path: Path) -> None:
    split = ["train", "test", "train", "valid", "train", "test"]
    path = write(tmp_path, split=split, label=["fear", "fear", "anger", "anger", "fear", "anger"])
    found = load_splits(read(path), CONFIG, seed=0)
    assert found.valid_from == "manifest"
    for name, samples in (("train", found.train), ("valid", found.valid), ("test", found.test)):
        assert samples is not None
        place = [i for i, s in enumerate(split) if s == name]
        batch = samples.batch(np.arange(len(samples)))
        assert batch["image"][:, 0, 0, 0].tolist() == place
        assert batch["index"].tolist() == list(range(len(place)))
        assert list(samples.names) == [f"{i}.png" for i in place]
        assert samples.extra["line"].tolist() == [i + 2 for i in place]
        wanted = [["fear", "fear", "anger", "anger", "fear", "anger"][i] for i in place]
        assert [samples.classes[k] for k in batch["label"]] == wanted


def test_other_columns_are_carried_along(tmp_path: Path) -> None:
    path = write(
        tmp_path, split=["train"] * 2, label=["fear", "anger"], age=["old", "young"], valence=[0.5, -0.5],
        arousal=[0.0, 1.0], p_fear=[3, 0], p_anger=[1, 4],
    )  # fmt: skip
    train = load_splits(read(path), CONFIG, seed=0).train
    assert train is not None and list(train.extra["age"]) == ["old", "young"]
    order = [train.classes.index(name) for name in ("fear", "anger")]
    assert train.columns["distribution"][:, order].tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert train.columns["votes"][:, order].tolist() == [[3, 1], [0, 4]]
    assert train.columns["valence_arousal"].tolist() == [[0.5, 0.0], [-0.5, 1.0]]


def test_targets_without_labels(tmp_path: Path) -> None:
    train = load_splits(read(write(tmp_path, split=["train"] * 2, target=[0.25, -3.0])), CONFIG, seed=0).train
    assert train is not None and train.columns["target"].tolist() == [0.25, -3.0]
    assert "label" not in train.columns and train.classes == ()
    assert labelled(train, "training", None) is train


def test_a_distribution_without_a_label_has_one(tmp_path: Path) -> None:
    path = write(tmp_path, split=["train"] * 3, label=["fear", "", ""], p_fear=["", 0.3, ""], p_anger=["", 0.7, ""])
    train = load_splits(read(path), CONFIG, seed=0).train
    assert train is not None
    assert [train.classes[k] if k >= 0 else "" for k in train.columns["label"]] == ["fear", "anger", ""]


def test_part_of_train_is_held_out(tmp_path: Path) -> None:
    """A quarter of each class, whole groups, by the seed; not where there are only a few rows."""
    n = 80
    label, group = ["fear", "anger"] * (n // 2), [str(i // 4) for i in range(n)]
    manifest = read(write(tmp_path, split=["train"] * n, label=label, group=group))
    config = InputConfig(size=16, valid_fraction=0.25)
    found = [load_splits(manifest, config, seed=seed) for seed in (0, 0, 1)]
    names = []
    for splits in found:
        assert splits.train is not None and splits.valid is not None and splits.valid_from == "train"
        assert len(splits.valid) == 20 and len(splits.train) == 60
        assert not set(splits.train.extra["group"]) & set(splits.valid.extra["group"])
        assert np.bincount(splits.valid.columns["label"]).tolist() == [10, 10]
        names.append(list(splits.valid.names))
    assert names[0] == names[1] != names[2]
    few = load_splits(manifest.take(np.arange(8)), config, seed=0)
    assert few.valid is None and few.valid_from == "none"


def test_one_group_can_not_be_split(tmp_path: Path) -> None:
    path = write(tmp_path, split=["train"] * 12, label=["fear", "anger"] * 6, group=["a"] * 12)
    with pytest.raises(UserError, match="no validation rows can be held out") as caught:
        load_splits(read(path), InputConfig(size=16, valid_fraction=0.25), seed=0)
    assert "--input.valid_fraction 0" in str(caught.value)


def test_the_fingerprint_is_of_the_data_not_of_the_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    paths = [write(tmp_path / name, split=["train"] * 2, label=["fear", "anger"]) for name in ("a", "b")]
    prints = [load_splits(read(path), CONFIG, seed=0).fingerprint for path in paths]
    assert prints[0] == prints[1]
    Image.new("L", (64, 64), 7).save(tmp_path / "b" / "1.png")
    assert load_splits(read(paths[1]), CONFIG, seed=0).fingerprint != prints[0]
    rows = read(paths[0])
    for folder in ("x", "y/z"):
        (tmp_path / folder).mkdir(parents=True)
    away = [rows.write(tmp_path / folder / "rows.csv") for folder in ("x", "y/z")]
    found = {fingerprint(read(path)) for path in away}
    assert len(found) == 1, "manifests that lie apart from their files are known wherever they are moved"
    changed = pd.read_csv(away[0], dtype=str, keep_default_na=False)
    changed.loc[0, "path"] = changed["path"][1]
    changed.to_csv(away[0], index=False)
    assert fingerprint(read(away[0])) not in found


def test_unreadable_images_stop_or_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, split=["train"] * 4, label=["fear", "anger"] * 2)
    (tmp_path / "1.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"1\.png"):
        load_splits(read(path), CONFIG, seed=0)
    found = load_splits(read(path), InputConfig(size=16, valid_fraction=0.0, on_bad_image="skip"), seed=0)
    assert found.train is not None and list(found.train.names) == ["0.png", "2.png", "3.png"]
    assert found.train.batch(np.arange(3))["image"][:, 0, 0, 0].tolist() == [0, 2, 3]
    assert [(bad.line, Path(bad.path).name) for bad in found.bad] == [(3, "1.png")]


def test_a_split_without_rows(tmp_path: Path) -> None:
    path = write(tmp_path, split=["train"] * 2, label=["fear", "anger"])
    with pytest.raises(UserError, match="no rows in split test"):
        load_splits(read(path), CONFIG, seed=0, splits=("test",))


def test_rows_without_labels_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, split=["train", "train", "train", "test"], label=["fear", "", "anger", ""])
    found = load_splits(read(path), CONFIG, seed=0)
    with caplog.at_level("WARNING", logger="kinesics"):
        kept = labelled(found.train, "training", path)
    assert kept is not None and list(kept.names) == ["0.png", "2.png"]
    assert "1 training rows without a label are left out" in caplog.text
    with pytest.raises(UserError, match="no test row of"):
        labelled(found.test, "test", path)
    assert labelled(None, "test", path) is None
