"""Steering from the command line: convert, stats, train, evaluate, predict, and a released model brought in."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from kinesics.cli import main
from kinesics.inference.predictor import load
from kinesics.inference.steering.answer_video import CHART
from kinesics.inference.steering.drive_video import EXPERT
from kinesics.progress import log
from kinesics.systems.fadnet.model import FADNet
from kinesics.systems.recipe import make_recipe

FAST = ("--input.size", 32, "--input.crop", 1, "--fit.epochs", 2, "--fit.batch_size", 8, "--fit.precision", "fp32")


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of two sessions of 25 frames, 40 x 30 pixels, with a bright post where one steers to."""
    folder = tmp_path_factory.mktemp("drives")
    rng = np.random.default_rng(0)
    for session in ("lake", "hill"):
        (folder / session / "img").mkdir(parents=True)
        lines = ["image,steering_smooth"]
        for k, side in enumerate(rng.uniform(-1, 1, 25)):
            pixels = rng.integers(0, 60, (30, 40), dtype=np.uint8)
            middle = round(19.5 + 12 * side)
            pixels[8:, middle - 2 : middle + 3] = 230
            Image.fromarray(pixels).save(folder / session / "img" / f"{k}.png")
            lines.append(f"{k}.png,{side:.4f}")
        (folder / session / "log.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def manifest(drives: Path) -> Path:
    from kinesics.data.layouts import convert

    convert("udacity-sessions", drives, drives / "m.csv", block=5)
    return drives / "m.csv"


@pytest.fixture(scope="module")
def steered(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of FADNet on them, not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "fadnet"
    assert main([str(word) for word in ("train", "fadnet", "--data", manifest, "--out", folder, *FAST)]) == 0
    log.handlers.clear()
    return folder


def test_stats_count_samples_by_silo(manifest: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("data", "stats", manifest, "--json")
    assert answer.code == 0
    rows = json.loads(answer.out)
    assert [(row["silo"], row["samples"], row["train"], row["test"]) for row in rows] == [
        ("hill", 25, 20, 5), ("lake", 25, 20, 5), ("all", 50, 40, 10),
    ]  # fmt: skip
    target = pd.read_csv(manifest)["target"]
    assert rows[2]["target mean"] == pytest.approx(target.mean(), abs=1e-6)
    assert rows[2]["target std"] == pytest.approx(target.std(ddof=0), abs=1e-6)
    assert "25 samples each on average" in kinesics("data", "stats", manifest).out
    assert kinesics("data", "stats", manifest, "--by", "nothing").code == 2


def test_stats_count_classes(faces: Path, kinesics: Callable[..., Any]) -> None:
    rows = json.loads(kinesics("data", "stats", faces, "--json").out)
    assert [(row["split"], row["samples"]) for row in rows] == [
        ("test", 20), ("train", 60), ("valid", 20), ("all", 100),
    ]  # fmt: skip
    assert sum(value for name, value in rows[3].items() if name not in ("split", "samples")) == 100


def test_train_evaluate_predict(
    steered: Path, manifest: Path, drives: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    run = steered
    described = json.loads((run / "run.json").read_text())
    assert described["classes"] == [] and set(described["selected"]["test"]) == {"rmse", "mae", "pearson", "ccc"}
    assert described["preprocessing"]["crop"] == 1.0 and described["data"]["valid_from"] == "train"
    assert "Answers and targets" in (run / "report.html").read_text()
    table = pd.read_csv(run / "predictions.csv")
    assert {"path", "split", "target", "predicted_angle"} <= set(table.columns)
    test = table[table["split"] == "test"]
    error = test["predicted_angle"] - test["target"]
    assert described["selected"]["test"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)

    answer = kinesics("evaluate", run, "--data", manifest, "--by", "silo", "--out", tmp_path / "judged")
    assert answer.code == 0 and "rmse" in answer.out and "lake" in answer.out
    judged = json.loads((tmp_path / "judged" / "evaluation.json").read_text())
    assert judged["metrics"]["rmse"] == pytest.approx(described["selected"]["test"]["rmse"], rel=1e-6)
    frames = [drives / "hill" / "img" / f"{k}.png" for k in range(20, 25)]
    answer = kinesics("predict", run, *frames, "--format", "csv")
    angles = [float(line.split(",")[1]) for line in answer.out.splitlines()[1:]]
    hill = test[test["path"].str.startswith("hill")]
    assert angles == pytest.approx(hill["predicted_angle"].tolist(), abs=1e-6)


def test_predict_films_the_rows_of_a_manifest(
    steered: Path, manifest: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    av = pytest.importorskip("av")
    film, table = tmp_path / "lake.mp4", tmp_path / "lake.csv"
    words = ("predict", steered, manifest, "--where", "silo=lake", "--video", film, "--rate", 5)
    answer = kinesics(*words)
    assert answer.code == 0 and answer.out == "", answer.err
    rows = pd.read_csv(manifest).query("silo == 'lake'")
    assert f"{film}: 25 pictures, 5.0 s, RMSE " in answer.err and "a second" in answer.err
    again = kinesics(*words, "--out", table)
    assert again.code == 0
    angles = pd.read_csv(table)
    assert [Path(name).name for name in angles["source"]] == [Path(name).name for name in rows["path"]]
    rmse = np.sqrt(((angles["angle"].to_numpy() - rows["target"].to_numpy()) ** 2).mean())
    assert f"RMSE {rmse:.4f}" in answer.err
    with av.open(str(film)) as found:
        shown = [frame.to_ndarray(format="rgb24") for frame in found.decode(video=0)]
        assert found.streams.video[0].average_rate == 5
    assert len(shown) == 25 and shown[0].shape == (480 + CHART, 640, 3)
    assert all((np.abs(frame.astype(int) - EXPERT).max(axis=2) < 60).sum() > 300 for frame in shown)
    both = kinesics("predict", steered, manifest, "--where", "silo=lake", "--where", "split=test", "--format", "csv")
    assert both.code == 0 and len(both.out.splitlines()) == 6


def test_a_film_without_truth_leaves_unreadable_frames_out(
    steered: Path, drives: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    (tmp_path / "0.png").write_bytes((drives / "lake" / "img" / "0.png").read_bytes())
    (tmp_path / "1.png").write_bytes(b"broken")
    (tmp_path / "2.png").write_bytes((drives / "lake" / "img" / "2.png").read_bytes())
    film = tmp_path / "out" / "film.gif"
    answer = kinesics("predict", steered, tmp_path, "--video", film)
    assert answer.code == 2 and "1.png" in answer.err and not list((tmp_path / "out").iterdir())
    answer = kinesics("predict", steered, tmp_path, "--video", film, "--on-bad-image", "skip")
    assert answer.code == 0 and answer.err.splitlines()[-1] == f"{film}: 2 pictures, 0.2 s", answer.err
    with Image.open(film) as found:
        assert found.n_frames == 2


def test_what_can_not_be_filmed(
    run: Path, steered: Path, manifest: Path, faces: Path, tmp_path: Path, kinesics: Callable[..., Any]
) -> None:
    film = tmp_path / "film.mp4"
    boxed = tmp_path / "boxed.csv"
    boxed.write_text("path,target,box_x,box_y,box_w,box_h\na.png,0,1,1,5,5\n")
    for words, said in (
        ((run, faces), "(ldlva) answers with classes, not with an angle"),
        ((steered, manifest, "--where", "silo=sea"), "has no such row; silo is hill, lake"),
        ((steered, manifest, "--where", "sea"), "--where must be COLUMN=VALUE; got 'sea'"),
        ((steered, manifest, "--where", "town=sea"), "has no column 'town'"),
        ((steered, manifest, "--where", "target=left"), "the column target holds numbers"),
        ((steered, manifest.parent / "lake", "--where", "silo=lake"), "but none is given"),
        ((steered, manifest, "--rate", 0), "--rate must be 1 to 60; got 0"),
        ((steered, boxed), "has boxes, which predict doesn't cut out"),
        ((steered, tmp_path / "none.csv"), "there is no such file"),
    ):
        answer = kinesics("predict", *words, "--video", film)
        assert answer.code == 2 and said in answer.err, answer.err
    answer = kinesics("predict", steered, manifest, "--video", tmp_path / "film.avi")
    assert answer.code == 2 and "ends in .mp4 or .gif" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["boxed.csv"]


def test_without_pyav_there_are_gifs(
    steered: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinesics: Callable[..., Any]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "av" else found(name, *rest))
    answer = kinesics("predict", steered, manifest, "--video", tmp_path / "film.mp4")
    assert answer.code == 2 and "needs PyAV" in answer.err and "write a .gif" in answer.err


def test_without_targets_nothing_is_trained(faces: Path, tmp_path: Path, kinesics: Callable[..., Any]) -> None:
    answer = kinesics("train", "dronet", "--data", faces, "--out", tmp_path / "run", *FAST)
    assert answer.code == 2 and "nothing to learn: no column target" in answer.err
    empty = tmp_path / "empty.csv"
    empty.write_text("path,target\n" + "".join(f"{k}.png,\n" for k in range(3)))
    for k in range(3):
        Image.new("L", (32, 32)).save(tmp_path / f"{k}.png")
    answer = kinesics("train", "dronet", "--data", empty, "--out", tmp_path / "run", *FAST)
    assert answer.code == 2 and "no training row" in answer.err and "has a target" in answer.err


def test_a_released_model_is_imported(tmp_path: Path, drives: Path, kinesics: Callable[..., Any]) -> None:
    """Nested and under DataParallel's prefix, as training code saves it; it sees grey values of the centred square."""
    torch.manual_seed(0)
    network = FADNet(make_recipe("fadnet", {"data": "-", "preset": "release"}).task, 1, 200).eval()
    file = tmp_path / "fadnet.pth"
    torch.save({"state_dict": {f"module.{key}": value for key, value in network.state_dict().items()}}, file)
    out = tmp_path / "model"
    answer = kinesics("import", file, out, "--system", "fadnet", "--preset", "release")
    assert answer.code == 0, answer.err
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8)
    (found,) = load(out)(pixels)
    centre = torch.from_numpy(pixels[20:220, 60:260].copy()).float()[None, None]
    with torch.inference_mode():
        assert found.angle == pytest.approx(network(centre).item(), rel=1e-5)  # type: ignore[attr-defined]
    answer = kinesics("import", file, tmp_path / "other", "--system", "fadnet", "--preset", "release_plus")
    assert answer.code == 2 and "does not fill a fadnet (release_plus)" in answer.err
    answer = kinesics("import", file, tmp_path / "other", "--system", "fadnet", "--classes", "a,b")
    assert answer.code == 2 and "--classes" in answer.err
    answer = kinesics("import", file, tmp_path / "other")
    assert answer.code == 2 and "--backbone and --classes and --size" in answer.err
