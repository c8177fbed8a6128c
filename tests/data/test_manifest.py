from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesics.data.manifest import Manifest, read, rebased
from kinesics.errors import UserError

HEADER = "path,label,split"


def _read(folder: Path, text: str | bytes, classes: list[str] | None = None) -> Manifest:
    path = folder / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, classes)


def test_labels_follow_the_vocabulary_then_numbers_then_the_alphabet(tmp_path: Path) -> None:
    cells = ["Happy", "bored", "10", "9.0", "NEUTRAL", "Angry", "", "awe"]
    manifest = _read(tmp_path, "path,label\n" + "".join(f"{k}.png,{cell}\n" for k, cell in enumerate(cells)))
    assert manifest.classes == ("neutral", "happiness", "anger", "9", "10", "awe", "bored")
    assert manifest.labels().tolist() == [1, 6, 4, 3, 0, 2, -1, 5]
    assert manifest.labels().dtype == np.int64


def test_without_a_split_column_all_is_train(tmp_path: Path) -> None:
    manifest = _read(tmp_path, "path,label\na.png,0\nb.png,1\n")
    assert manifest.column("split").tolist() == ["train", "train"]
    assert len(manifest.rows("valid")) == 0


def test_rows_of_a_split_keep_their_line_numbers(tmp_path: Path) -> None:
    manifest = _read(tmp_path, f"{HEADER}\na,0,train\n\nb,1,Test\nc,0,valid\nd,1,test\n")
    test = manifest.rows("test")
    assert test.lines.tolist() == [4, 6]
    assert test.files() == [tmp_path / "b", tmp_path / "d"]
    assert test.classes == manifest.classes
    assert manifest.rows(["train", "valid"]).lines.tolist() == [2, 5]
    with pytest.raises(UserError, match="unknown split 'val'"):
        manifest.rows("val")


def test_chosen_classes_select_order_and_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = f"{HEADER}\na,happy,train\nb,fear,train\nc,sad,train\nd,,train\n"
    with caplog.at_level(logging.INFO, logger="kinesics"):
        manifest = _read(tmp_path, text, ["Sad", "happiness"])
    assert manifest.classes == ("sadness", "happiness")
    assert manifest.labels().tolist() == [1, 0, -1]
    assert manifest.lines.tolist() == [2, 4, 5]
    assert "1 of 4 rows dropped" in caplog.text


def test_a_chosen_class_that_is_not_there(tmp_path: Path) -> None:
    text = f"{HEADER}\na,bored,train\nb,fear,train\n"
    assert _read(tmp_path, text, ["fear", "anger"]).classes == ("fear", "anger")
    with pytest.raises(UserError, match="did you mean bored"):
        _read(tmp_path, text, ["fear", "borred"])
    with pytest.raises(UserError, match="none of the classes"):
        _read(tmp_path, text, ["anger"])
    with pytest.raises(UserError, match="different names"):
        _read(tmp_path, text, ["fear", "Fearful"])


def test_votes_become_distributions_over_the_chosen_classes(tmp_path: Path) -> None:
    text = "path,p_happy,p_sad,p_contempt\na,6,2,2\nb,0,0,10\nc,,,\nd,1,0,0\n"
    manifest = _read(tmp_path, text)
    assert manifest.classes == ("happiness", "sadness", "contempt")
    nan = [np.nan] * 3
    np.testing.assert_allclose(manifest.distributions(), [[0.6, 0.2, 0.2], [0, 0, 1], nan, [1, 0, 0]])
    np.testing.assert_array_equal(manifest.votes(), [[6, 2, 2], [0, 0, 10], nan, [1, 0, 0]])
    fewer = manifest.with_classes(["sadness", "happiness"])
    assert fewer.lines.tolist() == [2, 4, 5]  # all of b's votes are for contempt
    np.testing.assert_allclose(fewer.distributions(), [[0.25, 0.75], nan[:2], [0, 1]])
    np.testing.assert_array_equal(fewer.votes(), [[2, 6], nan[:2], [0, 1]])
    for array in (manifest.distributions(), manifest.votes()):
        assert array is not None and array.dtype == np.float32


def test_rows_may_mix_distributions_and_votes_but_nothing_else(tmp_path: Path) -> None:
    manifest = _read(tmp_path, "path,p_0,p_1\na,0.25,0.75\nb,3,1\nc,0.3335,0.667\n")
    np.testing.assert_allclose(manifest.distributions(), [[0.25, 0.75], [0.75, 0.25], [1 / 3, 2 / 3]], atol=1e-3)
    np.testing.assert_array_equal(manifest.votes(), [[np.nan] * 2, [3, 1], [np.nan] * 2])
    assert _read(tmp_path, "path,p_0,p_1\na,0.25,0.75\nb,0,1\n").votes() is None
    faulty = _read(tmp_path, "path,p_0,p_1\na,0.25,0.75\nb,0.2,0.2\nc,1.5,0.5\nd,0,0\n")
    assert faulty.faulty_distributions().tolist() == [1, 2, 3]
    with pytest.raises(UserError, match=r"lines 3, 4, 5: .* the first sums to 0\.4"):
        faulty.distributions()


def test_optional_columns(tmp_path: Path) -> None:
    text = "path,target,valence,arousal,box_x,box_y,box_w,box_h,group,age\na,0.5,-1,0.25,1,2,3.5,4,g1,old\nb,,,,,,,,,\n"
    manifest = _read(tmp_path, text)
    np.testing.assert_array_equal(manifest.targets(), np.array([0.5, np.nan], np.float32))
    np.testing.assert_array_equal(manifest.valence_arousal(), np.array([[-1, 0.25], [np.nan] * 2], np.float32))
    np.testing.assert_array_equal(manifest.boxes(), [[1, 2, 3.5, 4], [np.nan] * 4])
    assert manifest.column("age").tolist() == ["old", ""]
    with pytest.raises(UserError, match="no column 'sex'; it has: path, target"):
        manifest.column("sex")
    bare = _read(tmp_path, "path\na\n")
    assert (bare.targets(), bare.valence_arousal(), bare.boxes(), bare.votes()) == (None, None, None, None)
    assert bare.distributions() is None and bare.labels().tolist() == [-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na,0\n", "no column `path`"),
        (f"{HEADER}\n", "no rows"),
        (f"{HEADER}\n,0,train\n  ,0,train\nnan,0,train\n", "lines 2, 3, 4: the path is blank"),
        (f"{HEADER}\na,0,train\nb,0,vaild\nc,0,vaild\n", "lines 3, 4: split 'vaild' is not one of"),
        (f"{HEADER}\na,0,\n", "line 2: split '' is not"),
        ("path,p_0,p_1\na,-1,2\n", "line 2: a p_ value is negative"),
        ("path,p_0,p_1\na,,2\n", "line 2: some p_ cells are blank"),
        ("path,p_0\na,many\n", "line 2: p_0 is not a number"),
        ("path,valence\na,1,\nb,x\n", "line 2: not 2 cells"),
        ("path,valence\na,1\nb,x\n", "line 3: valence is not a number"),
        ("path,target\na,inf\n", "line 2: target is not a number"),
        ("path,p_happy,p_happiness\na,0,1\n", "two columns mean p_happiness"),
        ("path,p_\na,0\n", "`p_` names no class"),
        ("path,box_x\na,0\n", "a box needs all of"),
        ("path,box_x,box_y,box_w,box_h\na,0,0,0,5\n", "line 2: a box's width or height"),
        ("path,box_x,box_y,box_w,box_h\na,0,0,,5\n", "line 2: a box lacks some"),
    ],
)
def test_wrong_cells_are_complained_about_by_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        _read(tmp_path, text)


def test_a_complaint_counts_over_blocks(tmp_path: Path) -> None:
    rows = "".join(f"{k},0,{'train' if k % 2 else 'val'}\n" for k in range(10_000))
    with pytest.raises(UserError, match=r"lines 2, 4, 6, 8, 10, \.\.\. \(5000 lines in all\).*\n.*did you mean valid"):
        _read(tmp_path, f"{HEADER}\n{rows}")


def test_written_elsewhere_it_names_the_same_files_and_rows(tmp_path: Path) -> None:
    text = f'{HEADER},p_0,p_1,note\nimages/a.png,0,train,1,0,"x, 1"\n/abs/b.png,1,test,0.1,0.9,\n'
    manifest = _read(tmp_path, text)
    for name in ("copy.csv", "below/deep/copy.csv", "../copy.csv"):
        (tmp_path / "start").mkdir(exist_ok=True)
        target = tmp_path / "start" / name
        again = read(manifest.write(target))
        assert [path.resolve() for path in again.files()] == [path.resolve() for path in manifest.files()]
        assert again.table.drop(columns="path").equals(manifest.table.drop(columns="path"))
    assert read(manifest.write(tmp_path / "same.csv")).fingerprint == manifest.fingerprint


@given(st.lists(st.sampled_from([".", "..", "a", "b c", "", "d.png"]), max_size=5).map("/".join))
def test_paths_seen_from_another_folder(cell: str) -> None:
    """As the standard library has it cell by cell; blanks and absolute paths stay."""
    expected = cell if not cell or os.path.isabs(cell) else os.path.relpath(os.path.join("/x/y", cell), "/x/z/w")
    assert rebased(["a/other.png", cell, cell], Path("/x/y"), Path("/x/z/w"))[1:] == [expected] * 2


def test_fingerprint_sees_every_cell_and_not_the_order_of_columns(tmp_path: Path) -> None:
    base = _read(tmp_path, "path,label,valence\na,happy,0.5\nb,sad,\n").fingerprint
    assert _read(tmp_path, "valence,path,label\n0.5,a,Happiness\n,b,sadness\n").fingerprint == base
    for other in (
        "path,label,valence\na,happy,0.5\nb,sad,0\n",
        "path,label,valence\na,happy,0.5\nb,fear,\n",
        "path,label,valence\nb,sad,\na,happy,0.5\n",
        "path,label,valence,extra\na,happy,0.5,\nb,sad,,\n",
    ):
        assert _read(tmp_path, other).fingerprint != base


def test_from_columns_obeys_the_same_rules(tmp_path: Path) -> None:
    columns = {"path": ["a", "b"], "label": ["Happy", 3], "valence": [0.5, None], "split": ["train", "test"]}
    manifest = Manifest.from_columns(columns, tmp_path / "m.csv")
    assert manifest.classes == ("happiness", "3")
    assert read(manifest.write(tmp_path / "m.csv")).fingerprint == manifest.fingerprint
    with pytest.raises(UserError, match=r"source.txt: line 9: split 'tset'"):
        Manifest.from_columns({**columns, "split": ["train", "tset"]}, None, Path("source.txt"), [4, 9])


def test_parquet_is_the_same_manifest(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    manifest = _read(tmp_path, f"{HEADER},p_0,p_1\na,0,train,0.25,0.75\nb,1,test,,\n")
    again = read(manifest.write(tmp_path / "m.parquet"))
    assert again.fingerprint == manifest.fingerprint
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match="as Parquet"):
        read(tmp_path / "bad.parquet")


def test_parquet_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="pip install pyarrow"):
        read(tmp_path / "m.parquet")
    with pytest.raises(UserError, match="pip install pyarrow"):
        _read(tmp_path, "path\na\n").write(tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


_cell = st.one_of(
    st.sampled_from(["", "a.png", "happy", "train", "valid"]),
    st.sampled_from(["0", "1", "-1", "0.5", "nan", "inf", '"', '"x"']),
    st.text(max_size=6),
)
_name = st.one_of(
    st.sampled_from(["path", "label", "split", "p_happy", "p_0", "valence", "box_x", "target", "x", ""]),
    st.text(max_size=4),
)


def _use(text: bytes, classes: list[str] | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            manifest = _read(Path(folder), text, classes)
            manifest.labels(), manifest.files(), manifest.votes(), manifest.boxes(), manifest.rows("train")
            again = read(manifest.write(Path(folder) / "again.csv"), classes)
            assert again.fingerprint == manifest.fingerprint
            manifest.distributions()
        except UserError:
            pass


@settings(max_examples=150, deadline=None)
@given(st.lists(_name, min_size=1, max_size=5), st.lists(st.lists(_cell, max_size=5), max_size=4), st.booleans())
def test_any_table_is_read_or_refused(header: list[str], rows: list[list[str]], choose: bool) -> None:
    text = "\n".join(",".join(cells) for cells in [["path", *header], *rows])
    _use(text.encode("utf-8", "surrogatepass"), ["happiness", "0"] if choose else None)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    _use(b"path,label\n" + content, None)
    _use(content, None)
