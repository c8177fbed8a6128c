"""kinesics predict: the three forms of output, folders, and images that can't be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from kinesics.data.emotions import BASIC


def test_json_lines_agree_with_the_runs_own_predictions(run: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    stored = pd.read_csv(run / "predictions.csv").query("split == 'test'")
    files = [faces.parent / name for name in stored["path"]]
    answer = kinesics("predict", run, *files, "--format", "jsonl")
    found = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0 and [item["source"] for item in found] == [str(file) for file in files]
    assert [item["label"] for item in found] == list(stored["predicted"])
    for item in found:
        assert list(item["distribution"]) == list(BASIC)
        assert sum(item["distribution"].values()) == pytest.approx(1)
        assert item["confidence"] == max(item["distribution"].values())
        assert 0 <= item["uncertainty"] <= 1 and -1 <= item["valence"] <= 1 and -1 <= item["arousal"] <= 1


def test_csv_of_a_folder(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    out = tmp_path / "answers.csv"
    answer = kinesics("predict", run, faces.parent / "test", "--format", "csv", "--out", out)
    table = pd.read_csv(out)
    assert answer.code == 0 and answer.out == "" and len(table) == 20
    assert list(table["source"]) == sorted(table["source"])
    assert table[[f"p_{name}" for name in BASIC]].sum(axis=1).to_numpy() == pytest.approx(1)
    printed = kinesics("predict", run, faces.parent / "test", "--format", "csv")
    assert printed.out == out.read_text()


def test_table_for_people(run: Path, faces: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("predict", run, faces.parent / "test" / "000003.png", faces.parent / "test" / "000004.png")
    assert answer.code == 0 and "000003.png" in answer.out and "%" in answer.out and "confidence" in answer.out


def test_pictures_of_any_form(run: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    for name, mode, size in (("a.jpg", "RGB", (90, 70)), ("b.png", "RGBA", (10, 10)), ("c.bmp", "1", (64, 64))):
        Image.new(mode, size).save(tmp_path / name)
    Image.new("I;16", (40, 40)).save(tmp_path / "d.tif")
    (tmp_path / "notes.txt").write_text("not an image, passed over")
    answer = kinesics("predict", run, tmp_path, "--format", "jsonl")
    assert answer.code == 0, answer.err
    assert [Path(json.loads(line)["source"]).name for line in answer.out.splitlines()] == [
        "a.jpg", "b.png", "c.bmp", "d.tif",
    ]  # fmt: skip


def test_an_unreadable_image_stops_or_is_left_out(
    run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    good = faces.parent / "test" / "000000.png"
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    answer = kinesics("predict", run, good, bad, good, "--format", "jsonl")
    assert answer.code == 2 and answer.out == "" and str(bad) in answer.err
    answer = kinesics("predict", run, good, bad, good, "--format", "jsonl", "--on-bad-image", "skip")
    assert answer.code == 0 and len(answer.out.splitlines()) == 2
    assert f"left out: {bad}" in answer.err
    answer = kinesics("predict", run, bad, "--format", "csv", "--on-bad-image", "skip")
    assert answer.code == 2 and "none of the 1 files could be read" in answer.err


def test_mistakes(run: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    image = faces.parent / "test" / "000000.png"
    for words, said in (
        ((run, "missing.png"), "missing.png: there is no such file"),
        ((run, tmp_path), "holds no image files"),
        ((tmp_path, image), "no trained model in"),
        ((run, image, "--device", "cuda:9"), "--device cuda:9"),
        ((run, image, "--format", "csv", "--out", image / "x.csv"), "can't make the folder"),
    ):
        answer = kinesics("predict", *words)
        assert answer.code == 2 and said in answer.err, answer.err
        assert "Traceback" not in answer.err
