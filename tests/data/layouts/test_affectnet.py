from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesics.data.layouts import convert
from kinesics.errors import UserError


def _add(
    root: Path, side: str, number: int, expression: object, valence: object = "0.5", arousal: object = "-0.25"
) -> None:
    for name in ("images", "annotations"):
        (root / side / name).mkdir(parents=True, exist_ok=True)
    (root / side / "images" / f"{number}.jpg").write_bytes(b"x")
    for kind, value in (("exp", expression), ("val", valence), ("aro", arousal)):
        if value is not None:
            np.save(root / side / "annotations" / f"{number}_{kind}.npy", np.array(value))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "src"
    _add(root, "train_set", 10, "7")
    _add(root, "train_set", 9, 1, 0.125, 1.0)
    _add(root, "train_set", 100, "8", "-2", "-2")
    _add(root, "train_set", 101, b"4", "-2.0", "-2.0")
    _add(root, "train_set", 102, np.int64(0), None, None)
    _add(root, "val_set", 0, "6")
    return root


def test_numbers_stored_in_any_way_become_rows(source: Path, tmp_path: Path) -> None:
    manifest = convert("affectnet", source, tmp_path / "out.csv")
    assert manifest.column("affectnet_id").tolist() == ["9", "10", "101", "102", "0"]
    # AffectNet: 0 neutral 1 happy 2 sad 3 surprise 4 fear 5 disgust 6 anger 7 contempt
    assert manifest.column("label").tolist() == ["happiness", "contempt", "fear", "neutral", "anger"]
    assert manifest.column("split").tolist() == ["train"] * 4 + ["test"]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(manifest.valence_arousal(), [[0.125, 1], [0.5, -0.25], nan, nan, [0.5, -0.25]])
    assert all(path.is_file() for path in manifest.files())


def test_val_set_may_be_used_for_validation(source: Path, tmp_path: Path) -> None:
    assert convert("affectnet", source, tmp_path / "out.csv", val_as="valid").column("split")[-1] == "valid"
    with pytest.raises(UserError, match="--val-as is 'train'"):
        convert("affectnet", source, tmp_path / "out.csv", val_as="train")


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.array(["1", "2"]), "not a number saved by NumPy"),
        (np.array("happy"), "not a number saved by NumPy"),
        (np.array(1.5), r"10_exp\.npy holds 1\.5"),
        (np.array(-1), "holds -1"),
        (np.array(np.inf), "holds inf"),
        (np.array([_Trap()], dtype=object), "not a number saved by NumPy"),
        (None, r"10_exp\.npy is not there"),
    ],
)
def test_annotations_that_can_not_be_used_are_listed(
    source: Path, tmp_path: Path, content: np.ndarray | None, said: str
) -> None:
    path = source / "train_set" / "annotations" / "10_exp.npy"
    path.unlink()
    if content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(UserError, match=f"1 of 5 annotations can't be used:\n  .*{said}"):
        convert("affectnet", source, tmp_path / "out.csv")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'descr': (((", b"cos\nsystem\n"])
def test_damaged_annotations_are_user_errors(source: Path, tmp_path: Path, content: bytes) -> None:
    (source / "train_set" / "annotations" / "9_val.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"9_val\.npy is not a number"):
        convert("affectnet", source, tmp_path / "out.csv")


def test_annotations_must_be_beside_the_images(source: Path, tmp_path: Path) -> None:
    (source / "val_set" / "annotations").rename(source / "val_set" / "notes")
    with pytest.raises(UserError, match=r"there is no .*val_set/annotations"):
        convert("affectnet", source, tmp_path / "out.csv")
