"""Prediction with an exported file: the same answers as the run, no PyTorch, and files that are no such thing."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import kinesics
from kinesics.errors import UserError
from kinesics.inference.abstaining import threshold_of
from kinesics.inference.export.description import Description
from kinesics.vision.crop import CropRule
from kinesics.vision.detectors import DETECTORS
from kinesics.vision.faces import Face

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

Exported = Callable[[str], Any]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Grey, colour, large and small."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    shapes = {"a.png": (32, 32), "b.jpg": (90, 70, 3), "c.png": (20, 50, 3), "d.bmp": (64, 64)}
    for name, shape in shapes.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
    return [folder / name for name in shapes]


@pytest.mark.parametrize("system", ["ldlva", "rul", "dronet"])
def test_answers_are_the_runs(system: str, exported: Exported, pictures: list[Path]) -> None:
    run, export = exported(system)
    eager, graph = kinesics.load(run.folder), kinesics.load(export.path)
    assert graph.classes == eager.classes and graph.system == eager.system == system and graph.steers == eager.steers
    forms = [*pictures, Image.open(pictures[1]), np.asarray(Image.open(pictures[0]))]
    for one, other in zip(graph(forms, batch_size=4), eager(forms), strict=True):
        assert type(one) is type(other) and one.source == other.source
        mine, its = one.to_dict(), other.to_dict()
        assert mine.keys() == its.keys()
        for name, value in mine.items():
            assert value == (its[name] if isinstance(value, str) else pytest.approx(its[name], abs=1e-5))
    assert (graph.pixels(pictures[1]) == eager.pixels(pictures[1])).all()
    assert graph([]) == []


def test_the_command_line_and_python_work_without_pytorch(exported: Exported, pictures: list[Path]) -> None:
    _, export = exported("ldlva")
    code = f"""
import sys
from kinesics.cli import main
assert main(["predict", "--model", {str(export.path)!r}, *{[str(p) for p in pictures]!r}, "--format", "jsonl"]) == 0
import kinesics
answers = kinesics.load({str(export.path)!r})({str(pictures[0])!r})
print(answers[0].label)
print(sorted(set(sys.modules) & {{"torch", "sklearn", "matplotlib", "onnx", "safetensors"}}))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    *rows, label, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    found = [json.loads(row) for row in rows]
    assert [item["source"] for item in found] == [str(path) for path in pictures]
    assert found[0]["label"] == label and sum(found[0]["distribution"].values()) == pytest.approx(1, abs=1e-9)


def whites(image: np.ndarray) -> list[Face]:
    """White squares of 60 pixels, from the left."""
    light = image[:, :, 1] > 150
    starts = np.flatnonzero(np.diff(np.concatenate([[0], light.any(axis=0)]).astype(int)) == 1)
    return [Face((float(x), float(np.flatnonzero(light[:, x])[0]), 60.0, 60.0)) for x in starts]


def photo(*places: tuple[int, int]) -> np.ndarray:
    """Shaded, with white squares whose middle is shaded otherwise."""
    image = np.linspace(10, 90, 180 * 240 * 3).reshape(180, 240, 3).astype(np.uint8)
    for x, y in places:
        image[y : y + 60, x : x + 60] = 255
        image[y + 20 : y + 40, x + 10 : x + 30] = 40 + x % 90
    return image


RULE = CropRule(margin=0.2, shift=0.1, square=True)


@pytest.fixture(scope="module")
def of_boxes(run_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A run that was trained on boxes, and its file."""
    from kinesics.inference.export.session import export_run

    run = run_of("cross_entropy", face=RULE)
    out = tmp_path_factory.mktemp("boxes") / "model.onnx"
    assert export_run(run.folder, out=out).sound
    return run, out


def same(mine: Any, its: Any) -> None:
    """Answers that are equal but for the last digits of their numbers."""
    assert len(mine) == len(its)
    for one, other in zip(mine, its, strict=True):
        a, b = one.to_dict(), other.to_dict()
        assert a.keys() == b.keys() and one.box == other.box and one.label == other.label
        assert list(a["distribution"].values()) == pytest.approx(list(b["distribution"].values()), abs=1e-5)


def test_the_file_carries_what_photographs_and_videos_need(of_boxes: tuple[Any, Path]) -> None:
    run, file = of_boxes
    eager, graph = kinesics.load(run.folder), kinesics.load(file)
    assert graph.form == eager.form and graph.form.face == RULE and graph.form.finds
    assert graph.calibration == eager.calibration and threshold_of(graph.calibration, 0.3) == pytest.approx(0.7)
    picture, detector = photo((20, 50), (140, 80)), whites
    same(graph(picture, faces=detector), eager(picture, faces=detector))
    assert [answer.box for answer in graph(picture, faces=detector)] == [(20, 50, 60, 60), (140, 80, 60, 60)]
    frames = [photo((20 + 2 * k, 50)) for k in range(7)]
    mine, its = (list(model.stream(frames, faces=detector)) for model in (graph, eager))
    for one, other in zip(mine, its, strict=True):
        same(one, other)
    assert [answers[0].track for answers in mine] == [1] * 7


def test_the_shipped_model_looks_for_faces_as_a_file_too() -> None:
    from kinesics.inference.export.graph import describe
    from kinesics.inference.predictor import load

    told = Description.from_json(describe(load(), "").to_json(), "model.onnx")
    assert told.form == load().form and told.form.finds


def test_photographs_and_videos_are_answered_without_pytorch(
    of_boxes: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinesics.cli import main

    av = pytest.importorskip("av")
    run, file = of_boxes
    Image.fromarray(photo((20, 50), (140, 80))).save(tmp_path / "photo.png")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 240, 180, "yuv420p"
        for k in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(photo((20 + 2 * k, 50)), format="rgb24")))
        container.mux(stream.encode())
    code = f"""
import sys
import numpy as np
from kinesics.cli import main
from kinesics.vision.detectors import DETECTORS
from kinesics.vision.faces import Face
{inspect.getsource(whites)}
DETECTORS["dlib+haar"] = lambda **_: whites
"""
    monkeypatch.setitem(DETECTORS, "dlib+haar", lambda **_: whites)

    def words(model: Path, name: str) -> list[str]:
        files = ["predict", "--model", str(model), str(tmp_path / "photo.png"), str(tmp_path / "clip.mp4")]
        return [*files, "--out", str(tmp_path / f"{name}.csv"), "--draw", str(tmp_path / name), "--abstain", "0.2"]

    script = f"{code}assert main({words(file, 'graph')!r}) == 0\nassert 'torch' not in sys.modules\n"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert main(words(run.folder, "run")) == 0
    mine, its = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("graph", "run"))
    pd.testing.assert_frame_equal(mine, its, check_exact=False, atol=1e-5, rtol=0)
    assert len(mine) == 2 + 8 and mine["track"].dropna().unique().tolist() == [1]
    assert sorted(p.name for p in (tmp_path / "graph").iterdir()) == ["clip.mp4", "clip_timeline.png", "photo.png"]


def changed(source: Path, target: Path, **changes: Any) -> Path:
    """A copy whose description says something else; None takes the field out."""
    model = onnx.load(source)
    (text,) = model.metadata_props
    told = {**json.loads(text.value), **changes}
    text.value = json.dumps({name: value for name, value in told.items() if value is not None})
    onnx.save(model, target)
    return target


def foreign(source: Path, target: Path) -> Path:
    model = onnx.load(source)
    del model.metadata_props[:]
    onnx.save(model, target)
    return target


def unreadable(source: Path, target: Path) -> Path:
    model = onnx.load(source)
    model.metadata_props[0].value = "{half"
    onnx.save(model, target)
    return target


def written(content: bytes) -> Callable[[Path, Path], Path]:
    def write(source: Path, target: Path) -> Path:
        target.write_bytes(content)
        return target

    return write


def cut(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes()[:-1000])
    return target


INPUT = {"size": 48, "channels": 1, "crop": 0.0}


@pytest.mark.parametrize(("break_it", "said"), [
    (written(b""), "0 bytes"),
    (written(b"\x89PNG\r\n\x1a\n" + bytes(100)), "can't be read as an ONNX model"),
    (written(b"path,label\na.png,fear\n"), "can't be read as an ONNX model"),
    (cut, "can't be read as an ONNX model"),
    (lambda source, target: target, "there is no such file"),
    (foreign, "not one that kinesics exported"),
    (unreadable, "can't be read"),
    (lambda s, t: changed(s, t, format=9), "reads up to 1"),
    (lambda s, t: changed(s, t, format=None), "KeyError"),
    (lambda s, t: changed(s, t, answer="motion"), "answers with 'motion'"),
    (lambda s, t: changed(s, t, input={**INPUT, "face": {"margin": 9}}), "margin must be in"),
    (lambda s, t: changed(s, t, input={**INPUT, "face": {"margin": "wide"}}), "TypeError"),
    (lambda s, t: changed(s, t, calibration={"temperature": "warm"}), "expected numbers"),
    (lambda s, t: changed(s, t, input=INPUT), "not one image of 48 x 48"),
    (lambda s, t: changed(s, t, input={}), "KeyError"),
    (lambda s, t: changed(s, t, answer="steering"), "doesn't give angle"),
    (lambda s, t: changed(s, t, classes=7), "TypeError"),
])  # fmt: skip
def test_files_that_are_no_exported_model(
    break_it: Callable[[Path, Path], Path], said: str, exported: Exported, pictures: list[Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from kinesics.cli import main

    broken = break_it(exported("ldlva")[1].path, tmp_path / "model.onnx")
    assert main(["predict", str(pictures[0]), "--model", str(broken)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err and captured.out == ""


def test_words_that_do_not_go_with_a_file(
    exported: Exported, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from kinesics.cli import main

    model, picture = str(exported("ldlva")[1].path), str(pictures[0])
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    for words, said in (
        ((text,), "not an image"), ((tmp_path / "no.png",), "there is no such file"), ((), "nothing to answer for"),
        ((picture, "--support", tmp_path / "s"), "--support needs the gradients"),
        ((picture, "--device", "cuda"), "runs on the CPU"), ((picture, "--last"), "runs on the CPU"),
        ((picture, "--video", tmp_path / "v.gif"), "answers with classes"),
    ):  # fmt: skip
        assert main(["predict", "--model", model, *map(str, words)]) == 2, words
        assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="expected"):
        kinesics.load(model)(np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(UserError, match="no trained model in"):
        kinesics.evaluate(model, "m.csv")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="needs onnxruntime") as raised:
        kinesics.load(model)
    assert "kinesics[export]" in str(raised.value)
    assert [item.name for item in tmp_path.iterdir()] == ["text.jpg"]
