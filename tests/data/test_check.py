from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from kinesics.data.check import check_manifest
from kinesics.data.finding import LEVELS, Finding
from kinesics.data.manifest import Manifest, read
from kinesics.errors import UserError

Check = Callable[..., dict[str, Finding]]


def _picture(seed: int) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(seed).standard_normal((48, 48)), 2.5)
    return (127.5 + 127 * smooth / np.abs(smooth).max()).astype(np.uint8)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Write a manifest over pictures 0.png ... 29.png and give its findings by code."""
    for k in range(30):
        Image.fromarray(_picture(k)).save(tmp_path / f"{k}.png")

    def run(text: str, images: bool = True) -> dict[str, Finding]:
        (tmp_path / "m.csv").write_text(text)
        found = check_manifest(read(tmp_path / "m.csv"), images)
        codes = [finding.code for finding in found]
        assert len(set(codes)) == len(codes) or "tiny-class" in codes or "class-missing-in-train" in codes
        assert codes == [f.code for f in sorted(found, key=lambda f: LEVELS.index(f.level))]
        return {finding.code: finding for finding in found}

    return run


def _good(count: int = 30) -> list[str]:
    split = ["train"] * (count - 6) + ["valid"] * 3 + ["test"] * 3
    return ["path,label,split", *(f"{k}.png,{('happy', 'sad')[k % 2]},{split[k]}" for k in range(count))]


def _has(found: dict[str, Finding], code: str, level: str, lines: tuple[int, ...], *words: str) -> None:
    assert code in found, list(found)
    assert (found[code].level, found[code].lines) == (level, lines)
    for word in words:
        assert word in found[code].message


def test_a_good_manifest_has_only_a_note_on_balance(check: Check) -> None:
    found = check("\n".join(_good()))
    assert list(found) == ["imbalance"]
    _has(found, "imbalance", "note", (), "1.0 times", "happiness, 12")


def test_missing_and_unreadable_files(check: Check, tmp_path: Path) -> None:
    (tmp_path / "3.png").unlink()
    (tmp_path / "5.png").write_text("no picture")
    (tmp_path / "6.png").write_bytes(b"")
    found = check("\n".join(_good()))
    _has(found, "missing-file", "error", (5,), "line 5", "3.png")
    _has(found, "unreadable-image", "error", (7, 8), "2 images", "line 7", "not an image", "empty")
    quick = check("\n".join(_good()), images=False)
    assert "missing-file" in quick and "unreadable-image" not in quick


def test_identical_images(check: Check, tmp_path: Path) -> None:
    for copy, of in ((1, 0), (25, 2), (29, 2), (8, 4)):
        Image.open(tmp_path / f"{of}.png").convert("RGB").save(tmp_path / f"{copy}.png")
    found = check("\n".join(_good()))
    _has(found, "identical-across-splits", "error", (4, 27, 31), "1 group", "4 (train)", "27 (valid)", "31 (test)")
    _has(found, "identical-images", "warning", (2, 3, 6, 10), "2 groups", "2 (train) = 3 (train)")
    _has(found, "identical-different-labels", "warning", (2, 3, 4, 27, 31), "2 groups", "(happiness)", "(sadness)")
    assert "near-identical-images" not in found and "near-identical-across-splits" not in found


def test_near_identical_images(check: Check, tmp_path: Path) -> None:
    for copy, of in ((2, 0), (29, 3)):
        Image.fromarray((_picture(of) * 0.8).astype(np.uint8)).save(tmp_path / f"{copy}.png")
    found = check("\n".join(_good()))
    _has(found, "near-identical-across-splits", "error", (5, 31))
    _has(found, "near-identical-images", "warning", (2, 4))
    assert "identical-images" not in found


def test_one_file_twice_is_seen_without_decoding_unless_its_boxes_differ(check: Check) -> None:
    text = "path,label,split,box_x,box_y,box_w,box_h\n"
    rows = ["0.png,0,train,0,0,20,20", "0.png,1,test,20,20,20,20", "1.png,0,train,,,,", "./1.png,0,test,,,,"]
    for images in (True, False):
        found = check(text + "\n".join(rows), images)
        _has(found, "identical-across-splits", "error", (4, 5))


def test_boxes_beyond_the_image(check: Check) -> None:
    rows = [
        "0.png,0,0,48,48",
        "1.png,0,0,48.4,48",
        "2.png,40,40,20,9",
        "3.png,-3,0,9,9",
        "4.png,60,0,9,9",
        "5.png,40,0,9,9",
    ]
    found = check("path,box_x,box_y,box_w,box_h\n" + "\n".join(rows))
    _has(found, "box-outside", "warning", (4, 5, 7), "40,40 to 60,49 in 48 x 48")
    _has(found, "unreadable-image", "error", (6,), "outside of the 48 x 48 image")


def test_labels_outside_of_the_vocabulary(check: Check) -> None:
    rows = [f"{k}.png,{label}" for k, label in enumerate(["happy", "happines", "bored", "awe", "", "bored"])]
    found = check("path,label\n" + "\n".join(rows))
    _has(found, "label-misspelt", "warning", (3,), "'happines'", "happiness meant")
    _has(found, "label-unknown", "note", (4, 5, 7), "2 classes", "awe, bored")
    _has(found, "no-label", "warning", (6,), "1 row")


def test_nothing_to_learn(check: Check) -> None:
    assert check("path\n0.png\n")["nothing-to-learn"].level == "error"
    assert "nothing-to-learn" not in check("path,target\n0.png,0.5\n")
    assert "nothing-to-learn" not in check("path,audio\n0.png,a.wav\n")


def test_distributions(check: Check) -> None:
    rows = ["0.png,happy,0.5,0.4", "1.png,happy,0.4,0.6", "2.png,sad,5,5", "3.png,sad,3,1", "4.png,,0.5,0.5"]
    found = check("path,label,p_happy,p_sad\n" + "\n".join(rows))
    _has(found, "distribution-sum", "error", (2,), "1 row")
    _has(found, "label-argmax", "warning", (3, 5), "2 rows (50%)", "line 3: happiness, not sadness")


def test_splits(check: Check) -> None:
    assert check("path,label,split\n0.png,0,test\n")["no-training"].level == "error"
    assert check("path,label,split\n0.png,0,train\n")["no-validation"].level == "note"
    rows = [
        "0.png,0,train,a",
        "1.png,1,test,a",
        "2.png,0,valid,b",
        "3.png,0,valid,b",
        "4.png,0,train,",
        "5.png,0,test,",
    ]
    found = check("path,label,split,group\n" + "\n".join(rows))
    _has(found, "group-across-splits", "error", (2, 3), "1 group", "a (train, test)")


def test_classes_that_train_lacks_or_hardly_has(check: Check) -> None:
    rows = _good()
    rows[-1] = "29.png,fear,test"
    rows[1] = "0.png,anger,train"
    found = check("\n".join(rows))
    _has(found, "class-missing-in-train", "error", (31,), "fear is in test")
    _has(found, "tiny-class", "warning", (2,), "anger has only 1 row")
    assert found["imbalance"].level == "note"


def test_imbalance_above_twenty_is_a_warning(check: Check) -> None:
    def rows(large: int) -> str:
        return "path,label,split\n" + "0.png,happy,train\n" * large + "1.png,sad,train\n2.png,sad,valid\n"

    assert check(rows(20), images=False)["imbalance"].level == "note"
    found = check(rows(21), images=False)
    _has(found, "imbalance", "warning", (), "(happiness, 21) is 21.0 times the smallest (sadness, 1)")


def test_classes_are_counted_by_votes_where_there_is_no_label(check: Check) -> None:
    found = check("path,p_happy,p_sad,split\n0.png,7,3,train\n1.png,9,1,train\n2.png,1,9,test\n")
    assert found["one-class"].level == "error"
    _has(found, "class-missing-in-train", "error", (4,), "sadness")


def test_valence_and_arousal_out_of_range(check: Check) -> None:
    found = check("path,label,valence,arousal\n0.png,0,1,-1\n1.png,0,-2,0\n2.png,1,,1.5\n", images=False)
    _has(found, "valence-arousal-range", "error", (4,), "arousal")
    lines = check("path,label,valence,arousal\n0.png,0,1,-1\n1.png,0,-2,0\n", images=False)
    _has(lines, "valence-arousal-range", "error", (3,), "valence", "-2")


def test_sounds_and_motions_are_not_decoded(check: Check, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"anything")
    (tmp_path / "b.npy").write_bytes(b"anything")
    found = check("path,target,split\na.npy,1,train\nb.npy,2,train\n0.png,3,valid\n")
    assert list(found) == []


def test_messages_stay_short_for_many_rows(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\n" + "".join(f"{k}.png,c{k}\n" for k in range(3000)))
    for finding in check_manifest(read(tmp_path / "m.csv")):
        if finding.code != "tiny-class":
            assert len(finding.message) < 500
            assert len(finding.lines) in (0, 3000)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.png", "b", "", "c.npy", "."]),
            st.sampled_from(["happy", "hapy", "", "1", "x"]),
            st.sampled_from(["train", "valid", "test"]),
            st.sampled_from(["", "g", "h"]),
            st.one_of(st.none(), st.integers(0, 3), st.floats(0, 2)),
            st.one_of(st.none(), st.floats(-3, 3)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_manifest_can_be_checked(rows: list[tuple[object, ...]]) -> None:
    names = ("path", "label", "split", "group", "p_x", "valence")
    columns: dict[str, list[object]] = {
        name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    columns["arousal"] = columns["valence"]
    try:
        manifest = Manifest.from_columns(columns)
    except UserError:
        return
    for found in check_manifest(manifest):
        assert set(found.lines) <= {1, *manifest.lines.tolist()}
