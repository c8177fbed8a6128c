from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesics.data.layouts import LAYOUTS, convert, options_of
from kinesics.data.manifest import read
from kinesics.errors import UserError


def _folder(root: Path, count: int = 20) -> Path:
    for name in ("Happy", "Sad"):
        (root / "src" / name).mkdir(parents=True)
        for k in range(count):
            (root / "src" / name / f"{k:02d}.png").write_bytes(b"x")
    return root / "src"


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_a_wrong_source_says_what_was_looked_for_and_what_is_right(layout: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        convert(layout, tmp_path / "empty", tmp_path / "out.csv")
    assert f"layout {layout}: there is no {tmp_path}" in caught.value.message
    assert caught.value.hint is not None and "a right tree" in caught.value.hint and "SRC" in caught.value.hint
    with pytest.raises(UserError, match="there is no"):
        convert(layout, tmp_path / "nowhere", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_unknown_layouts_options_and_targets(tmp_path: Path) -> None:
    source = _folder(tmp_path)
    with pytest.raises(UserError, match="did you mean ferplus"):
        convert("ferpluss", source, tmp_path / "out.csv")
    with pytest.raises(UserError, match="no option --val-as"):
        convert("image-folder", source, tmp_path / "out.csv", val_as="test")
    with pytest.raises(UserError, match=r"written as \.csv or \.parquet"):
        convert("image-folder", source, tmp_path / "out.txt")
    with pytest.raises(UserError, match="below 1"):
        convert("image-folder", source, tmp_path / "out.csv", valid_fraction=1.0)
    assert options_of("affectnet") == ("val_as",) and options_of("image-folder") == ()


def test_files_below_the_manifest_are_relative_and_others_absolute(tmp_path: Path) -> None:
    source = _folder(tmp_path, 1)
    inside = convert("image-folder", source, tmp_path / "out.csv")
    assert inside.column("path").tolist() == ["src/Happy/00.png", "src/Sad/00.png"]
    outside = convert("image-folder", source, tmp_path / "other" / "out.csv")
    assert outside.column("path").tolist() == [str(source / "Happy/00.png"), str(source / "Sad/00.png")]
    for manifest in (inside, outside):
        assert manifest.path is not None
        assert read(manifest.path).fingerprint == manifest.fingerprint
        assert all(path.is_file() for path in read(manifest.path).files())
        assert manifest.lines.tolist() == [2, 3]


def test_validation_rows_are_taken_from_train_by_class(tmp_path: Path) -> None:
    source = _folder(tmp_path)
    manifest = convert("image-folder", source, tmp_path / "out.csv", valid_fraction=0.25, seed=4)
    split = read(tmp_path / "out.csv").column("split")
    for name in manifest.classes:
        assert (split[manifest.column("label") == name] == "valid").sum() == 5
    again = convert("image-folder", source, tmp_path / "again.csv", valid_fraction=0.25, seed=4)
    other = convert("image-folder", source, tmp_path / "other.csv", valid_fraction=0.25, seed=5)
    assert (again.column("split") == split).all() and (other.column("split") != split).any()


def test_validation_rows_respect_groups_and_an_existing_split(tmp_path: Path) -> None:
    rows = "".join(f"{k}.png,{k % 2},g{k // 4},{'train' if k < 36 else 'test'}\n" for k in range(40))
    (tmp_path / "in.csv").write_text("path,label,group,split\n" + rows)
    manifest = convert("csv", tmp_path / "in.csv", tmp_path / "out.csv", valid_fraction=0.3)
    split, group = manifest.column("split"), manifest.column("group")
    assert set(split[36:]) == {"test"} and set(split[:36]) == {"train", "valid"}
    assert all(len(set(split[group == name])) == 1 for name in set(group))
    with pytest.raises(UserError, match="validation split of 12 rows already"):
        convert("csv", tmp_path / "out.csv", tmp_path / "again.csv", valid_fraction=0.3)


def test_a_conversion_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "src" / "Happy").mkdir(parents=True)
    (tmp_path / "src" / "Happy" / "readme.txt").write_text("")
    with pytest.raises(UserError, match="nothing is left"):
        convert("image-folder", tmp_path / "src", tmp_path / "out.csv")


def test_file_names_that_are_not_unicode_are_refused(tmp_path: Path) -> None:
    source = _folder(tmp_path, 1)
    (source / "Sad" / b"\xff.png".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    with pytest.raises(UserError, match="not valid Unicode"):
        convert("image-folder", source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_what_is_left_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = _folder(tmp_path, 2)
    (source / "Sad" / "notes.txt").write_text("")
    with caplog.at_level(logging.INFO, logger="kinesics"):
        convert("image-folder", source, tmp_path / "out.csv")
    assert "1 left out: files that are no images" in caplog.text


_FILES = {
    "csv": ("list.csv", "path,label,split"),
    "fer2013": ("fer2013.csv", "emotion,pixels,Usage"),
    "rafdb": ("list_patition_label.txt", "train_1.jpg 1"),
    "ldlva-csv": ("list.csv", "subDirectory_filePath,expression,valence,arousal,knn"),
    "ferplus": (
        "fer2013new.csv",
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF",
    ),
}
_word = st.one_of(
    st.sampled_from(
        ["Training", "0", "7", "-2", "1.5", "train_2.jpg", "a/b.png", " ".join(["9"] * 2304), "", "\0", '"']
    ),
    st.text(max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(list(_FILES)),
    st.lists(st.lists(_word, max_size=5), max_size=4),
    st.sampled_from(", "),
    st.booleans(),
)
def test_any_text_is_converted_or_refused(layout: str, rows: list[list[str]], separator: str, header: bool) -> None:
    name, first = _FILES[layout]
    text = "\n".join(([first] if header else []) + [separator.join(cells) for cells in rows])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        (source / "aligned").mkdir(parents=True)
        (source / "fer2013.csv").write_text("emotion,pixels,Usage\n0," + " ".join(["9"] * 2304) + ",Training\n")
        (source / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        origin = source / name if layout in ("csv", "ldlva-csv") else source
        try:
            manifest = convert(layout, origin, Path(folder) / "out.csv")
        except UserError:
            return
        assert read(Path(folder) / "out.csv").fingerprint == manifest.fingerprint
