from __future__ import annotations

from pathlib import Path

import pytest

from kinesics.data.layouts import convert
from kinesics.errors import UserError


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_splits_and_classes_come_from_the_folders(tmp_path: Path) -> None:
    names = ["train/Happy/b.PNG", "train/Happy/sub/a.jpg", "val/sad/c.jpeg", "Test/bored/d.webp"]
    source = _touch(tmp_path / "src", *names, "train/Happy/.hidden.png", "train/.cache/x.png", "train/Happy/x.txt")
    manifest = convert("image-folder", source, tmp_path / "out.csv")
    rows = sorted(zip(manifest.column("path"), manifest.column("label"), manifest.column("split"), strict=True))
    assert rows == [
        ("src/Test/bored/d.webp", "bored", "test"),
        ("src/train/Happy/b.PNG", "happiness", "train"),
        ("src/train/Happy/sub/a.jpg", "happiness", "train"),
        ("src/val/sad/c.jpeg", "sadness", "valid"),
    ]


def test_without_split_folders_all_is_train(tmp_path: Path) -> None:
    source = _touch(tmp_path / "src", "0/a.png", "10/b.png", "9/c.png")
    manifest = convert("image-folder", source, tmp_path / "out.csv")
    assert manifest.classes == ("0", "9", "10") and set(manifest.column("split")) == {"train"}


def test_a_folder_beside_the_splits_is_refused(tmp_path: Path) -> None:
    source = _touch(tmp_path / "src", "train/Happy/a.png", "extra/Happy/b.png")
    with pytest.raises(UserError, match="extra is not a split"):
        convert("image-folder", source, tmp_path / "out.csv")


def test_a_class_called_like_a_split_is_a_class_if_it_holds_no_folders(tmp_path: Path) -> None:
    source = _touch(tmp_path / "src", "test/a.png", "other/b.png")
    assert convert("image-folder", source, tmp_path / "out.csv").classes == ("other", "test")


def test_sfew(tmp_path: Path) -> None:
    names = ["Train/Angry/a.png", "Train/Fear/b.png", "Val/Surprise/c.png", "Test/d.png", "Test/e.png"]
    source = _touch(tmp_path / "src", *names)
    manifest = convert("sfew", source, tmp_path / "out.csv")
    assert manifest.column("label").tolist() == ["anger", "fear", "surprise"]
    assert manifest.column("split").tolist() == ["train", "train", "valid"]
    as_test = convert("sfew", source, tmp_path / "out.csv", val_as="test", valid_fraction=0.5)
    assert sorted(as_test.column("split")) == ["test", "train", "valid"] or "test" in as_test.column("split")
    with pytest.raises(UserError, match="--val-as is 'train'; it must be one of valid, test"):
        convert("sfew", source, tmp_path / "out.csv", val_as="train")


def test_sfew_knows_its_classes(tmp_path: Path) -> None:
    source = _touch(tmp_path / "src", "Train/Contempt/a.png")
    with pytest.raises(UserError, match="not a class of SFEW: anger, disgust"):
        convert("sfew", source, tmp_path / "out.csv")
