from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesics.data.layouts import convert
from kinesics.errors import UserError

RENAMED = {
    "path_column": "file",
    "label_column": "emotion",
    "split_column": "subset",
    "group_column": "subject",
    "valence_column": "v",
    "arousal_column": "a",
}


def _csv(root: Path, text: str) -> Path:
    (root / "in").mkdir(exist_ok=True)
    (root / "in" / "list.csv").write_text(text)
    return root / "in" / "list.csv"


def test_columns_are_renamed_and_others_carried_along(tmp_path: Path) -> None:
    text = "file,emotion,subset,subject,v,a,age\nx/1.jpg,4,Training,s1,0.5,-0.5,20\n2.jpg,1,val,s2,,,30\n"
    manifest = convert("csv", _csv(tmp_path, text), tmp_path / "out.csv", **RENAMED, order="rafdb")
    assert manifest.column("path").tolist() == ["in/x/1.jpg", "in/2.jpg"]
    assert manifest.column("label").tolist() == ["happiness", "surprise"]
    assert manifest.column("split").tolist() == ["train", "valid"]
    assert manifest.column("group").tolist() == ["s1", "s2"]
    assert manifest.column("age").tolist() == ["20", "30"]
    np.testing.assert_array_equal(manifest.valence_arousal(), [[0.5, -0.5], [np.nan, np.nan]])


def test_without_an_order_labels_stay_and_the_root_may_be_elsewhere(tmp_path: Path) -> None:
    manifest = convert(
        "csv", _csv(tmp_path, "path,label\n1.jpg,3\n"), tmp_path / "out.csv", root=str(tmp_path / "images")
    )
    assert manifest.column("label").tolist() == ["3"]
    assert manifest.column("path").tolist() == ["images/1.jpg"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("path,label\n1.jpg,0\n2.jpg,7\n", {"order": "rafdb"}, "line 2: not a class number of rafdb"),
        ("path,label\n1.jpg,0\n", {"order": "raf"}, "--order is 'raf'"),
        ("path,label\n1.jpg,0\n", {"label_column": "emotion"}, "no column 'emotion'; its columns are: path, label"),
        ("file,path\n1.jpg,0\n", {"path_column": "file"}, "two columns would be called path"),
        ("file\n1.jpg\n", {}, "no column 'path'"),
        ("path,split\n1.jpg,train\n\n2.jpg,trian\n", {}, r"list\.csv: line 4: split 'trian'"),
        ("path,label\n,0\n", {}, "line 2: the path is blank"),
    ],
)
def test_faulty_lists_are_named_with_lines(tmp_path: Path, text: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        convert("csv", _csv(tmp_path, text), tmp_path / "out.csv", **options)


LDLVA = (
    "subDirectory_filePath,expression,valence,arousal,knn\n"
    '1/a.jpg,1,0.8,0.5,"[2, 1]"\n1/b.jpg,8,-2,-2,"[0, 2]"\n2/c.jpg,6,-0.5,0.6,"[0, 1]"\n'
)


def test_ldlva_rows_keep_their_neighbours_and_row_numbers(tmp_path: Path) -> None:
    manifest = convert(
        "ldlva-csv", _csv(tmp_path, LDLVA), tmp_path / "out.csv", root=str(tmp_path / "faces"), split="test"
    )
    assert manifest.column("path").tolist() == ["faces/1/a.jpg", "faces/2/c.jpg"]
    assert manifest.column("label").tolist() == ["happiness", "anger"]  # AffectNet: 1 happy, 6 anger, 8 none
    assert manifest.column("knn").tolist() == ["[2, 1]", "[0, 1]"]
    assert manifest.column("csv_row").tolist() == ["0", "2"]
    assert set(manifest.column("split")) == {"test"}
    np.testing.assert_allclose(manifest.valence_arousal(), [[0.8, 0.5], [-0.5, 0.6]], rtol=1e-6)


def test_ldlva_numbers_go_by_the_order_named(tmp_path: Path) -> None:
    source = _csv(tmp_path, LDLVA.replace(",8,-2,-2,", ",7,-2,0,"))
    manifest = convert("ldlva-csv", source, tmp_path / "out.csv", order="rafdb")
    assert manifest.column("label").tolist() == [
        "surprise",
        "neutral",
        "anger",
    ]  # RAF-DB: 1 surprise, 7 neutral, 6 anger
    assert np.isnan(manifest.valence_arousal()[1, 0])  # type: ignore[index]
    with pytest.raises(UserError, match="lines 2, 3: not a class number of sfew"):
        convert("ldlva-csv", _csv(tmp_path, LDLVA.replace(",1,", ",9,", 1)), tmp_path / "o.csv", order="sfew")
    with pytest.raises(UserError, match="--split is 'dev'"):
        convert("ldlva-csv", source, tmp_path / "out.csv", split="dev")
    with pytest.raises(UserError, match="no column 'subDirectory_filePath'"):
        convert("ldlva-csv", _csv(tmp_path, "path,expression\na,1\n"), tmp_path / "out.csv")
