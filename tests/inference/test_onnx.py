"""Prediction with an exported file: the same answers as the run, no PyTorch, and files that are no such thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kinesics
from kinesics.errors import UserError

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


@pytest.mark.parametrize("system", ["ldlva", "dronet"])
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
        ((text,), "not an image"), ((tmp_path / "no.png",), "there is no such file"), ((), "images"),
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
