from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from kinesics.cli import data
from kinesics.cli import main as kinesics
from kinesics.data.emotions import ORDERS
from kinesics.data.layouts import LAYOUTS, options_of
from kinesics.data.manifest import read


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3)):
        for name in ("Happy", "Sad"):
            folder = tmp_path / "src" / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                smooth = gaussian_filter(rng.standard_normal((48, 48)), 2.5)
                picture = (127.5 + 127 * smooth / np.abs(smooth).max()).astype(np.uint8)
                Image.fromarray(picture).save(folder / f"{k:02d}.png")
    return tmp_path / "src"


def _run(*words: object) -> int:
    return kinesics(["data", *map(str, words)])


def test_the_layouts_and_orders_of_the_help_are_those_there_are() -> None:
    assert tuple(LAYOUTS) == data.LAYOUTS
    assert tuple(ORDERS) == data.ORDERS


def test_every_option_of_every_layout_has_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        _run("convert", "--help")
    assert left.value.code == 0
    text = capsys.readouterr().out
    for layout in LAYOUTS:
        for option in options_of(layout):
            assert f"--{option.replace('_', '-')} " in text


def test_convert_then_check(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    assert _run("convert", "--layout", "image-folder", source, out) == 0
    printed = capsys.readouterr().out
    assert "30 rows" in printed and "happiness" in printed and f"kinesics data check {out}" in printed
    assert read(out).classes == ("happiness", "sadness")
    assert _run("check", out) == 0
    assert "sound" in capsys.readouterr().out


def test_options_reach_the_layout(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("file,emotion\na.png,4\n" + "b.png,5\n" * 9)
    words = ["--path-column", "file", "--label-column", "emotion", "--order", "rafdb", "--root", tmp_path / "x"]
    words += ["--valid-fraction", "0.2", "--seed", "3"]
    assert _run("convert", "--layout", "csv", *words, tmp_path / "in.csv", tmp_path / "out.csv") == 0
    manifest = read(tmp_path / "out.csv")
    assert manifest.classes == ("happiness", "sadness") and manifest.column("path")[0] == "x/a.png"
    assert (manifest.column("split") == "valid").sum() == 2


def test_an_unsound_manifest_exits_with_1(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    assert _run("convert", "--layout", "image-folder", source, out) == 0
    (source / "train" / "Sad" / "03.png").write_bytes(b"")
    picture = (source / "train" / "Happy" / "00.png").read_bytes()
    (source / "val" / "Happy" / "00.png").write_bytes(picture)
    capsys.readouterr()
    assert _run("check", out) == 1
    printed = capsys.readouterr().out
    assert "unreadable-image" in printed and "line 17" in printed and "unsound: 2 errors" in printed
    assert "identical-across-splits" in printed and "lines 2, 26" in printed
    assert _run("check", out, "--no-images") == 0


def test_json_is_all_that_is_printed(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    assert _run("convert", "--layout", "image-folder", source, out) == 0
    (source / "train" / "Sad" / "03.png").unlink()
    capsys.readouterr()
    assert _run("check", "--json", out) == 1
    found = json.loads(capsys.readouterr().out)
    assert found[0] == {"level": "error", "code": "missing-file", "message": found[0]["message"], "lines": [17]}
    assert [item["level"] for item in found] == ["error", "note"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "nowhere.csv"], "can't read nowhere.csv"),
        (["convert", "--layout", "rafdb", ".", "out.csv"], "list_patition_label.txt"),
        (["convert", "--layout", "rafdb", "nowhere", "out.csv"], "there is no nowhere"),
        (["convert", "--layout", "image-folder", "--order", "rafdb", ".", "out.csv"], "no option --order"),
    ],
)
def test_bad_input_exits_with_2_and_no_traceback(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(*words) == 2
    printed = capsys.readouterr()
    assert said in printed.err and "Traceback" not in printed.err and printed.out == ""


@pytest.mark.parametrize(
    "words", [[], ["mend"], ["convert", "a", "b"], ["convert", "--layout", "x", "a", "b"], ["check"]]
)
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        _run(*words)
    assert left.value.code == 2


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\nfrom kinesics.cli.data import main\n"
        "try:\n    main(['check', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'PIL', 'torch', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_apply_review_takes_emotions_and_classes_that_no_row_has(tmp_path, capsys):
    source, decisions, out = (tmp_path / name for name in ("m.csv", "decisions.csv", "out.csv"))
    source.write_text("path,label\na.png,neutral\nb.png,happiness\nc.png,neutral\n")
    decisions.write_text("path,decision,label\na.png,relabel,contempt\n")
    assert kinesics(["data", "apply-review", str(source), str(decisions), str(out)]) == 0
    assert read(out).column("label").tolist() == ["contempt", "happiness", "neutral"]
    decisions.write_text("path,decision,label\na.png,relabel,bored\nb.png,relabel,7\n")
    assert kinesics(["data", "apply-review", str(source), str(decisions), str(out)]) == 2
    told = capsys.readouterr().err
    assert "lines 2, 3: unknown label" in told and "--classes" in told
    chosen = ["--classes", "bored, 7.0"]
    assert kinesics(["data", "apply-review", str(source), str(decisions), str(out), *chosen]) == 0
    assert read(out).column("label").tolist() == ["bored", "7", "neutral"]
