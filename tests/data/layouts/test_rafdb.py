from __future__ import annotations

from pathlib import Path

import pytest

from kinesics.data.layouts import convert
from kinesics.errors import UserError

LIST = "train_00001.jpg 5\ntrain_00002.jpg 1\n\ntest_0001.jpg 7\n"


def _rafdb(root: Path, label_file: str, folder: str, aligned: bool) -> Path:
    (root / label_file).parent.mkdir(parents=True, exist_ok=True)
    (root / label_file).write_text(LIST)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("train_00001", "train_00002", "test_0001"):
        (root / folder / f"{name}{'_aligned' if aligned else ''}.jpg").write_bytes(b"x")
    return root


@pytest.mark.parametrize("label_file", ["EmoLabel/list_patition_label.txt", "list_partition_label.txt"])
@pytest.mark.parametrize("folder", ["Image/aligned", "aligned", "Image/original", "original"])
def test_every_known_arrangement(tmp_path: Path, label_file: str, folder: str) -> None:
    source = _rafdb(tmp_path / "src", label_file, folder, "aligned" in folder)
    manifest = convert("rafdb", source, tmp_path / "out.csv")
    # RAF-DB: 1 surprise 2 fear 3 disgust 4 happiness 5 sadness 6 anger 7 neutral
    assert manifest.column("label").tolist() == ["sadness", "surprise", "neutral"]
    assert manifest.column("split").tolist() == ["train", "train", "test"]
    assert all(path.is_file() for path in manifest.files())


def test_aligned_faces_come_first_and_originals_on_demand(tmp_path: Path) -> None:
    source = _rafdb(tmp_path / "src", "list_patition_label.txt", "aligned", True)
    _rafdb(tmp_path / "src", "list_patition_label.txt", "original", False)
    assert convert("rafdb", source, tmp_path / "a.csv").files()[0].name == "train_00001_aligned.jpg"
    assert convert("rafdb", source, tmp_path / "b.csv", images="original").files()[0].name == "train_00001.jpg"
    with pytest.raises(UserError, match="--images is 'cropped'"):
        convert("rafdb", source, tmp_path / "c.csv", images="cropped")


def test_missing_images_and_wrong_lines_are_listed(tmp_path: Path) -> None:
    source = _rafdb(tmp_path / "src", "list_patition_label.txt", "aligned", True)
    (source / "aligned" / "test_0001_aligned.jpg").unlink()
    with pytest.raises(UserError, match=r"1 images of .* are not there:\n  line 4: .*test_0001_aligned.jpg"):
        convert("rafdb", source, tmp_path / "out.csv")
    (source / "list_patition_label.txt").write_text("train_1.jpg 5\ntrain_2.jpg 8\nother.jpg 1\ntrain_3.jpg\n")
    with pytest.raises(UserError, match="lines 2, 3, 4: not a name with train_ or test_"):
        convert("rafdb", source, tmp_path / "out.csv")
    (source / "list_patition_label.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        convert("rafdb", source, tmp_path / "out.csv")


def test_a_name_can_not_leave_the_image_folder(tmp_path: Path) -> None:
    source = _rafdb(tmp_path / "src", "list_patition_label.txt", "original", False)
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (source / "list_patition_label.txt").write_text("train_/../../../secret.jpg 1\n")
    (source / "original" / "train_").mkdir()
    with pytest.raises(UserError, match="line 1: not a name"):
        convert("rafdb", source, tmp_path / "out.csv")
