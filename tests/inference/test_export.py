"""Every registered system as ONNX, one of each kind by torch.export and in int8, against independent arithmetic."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import kinesics
from kinesics.cli import main
from kinesics.data.synthetic.faces import write_faces
from kinesics.engine.regressor import Regressor
from kinesics.engine.run import Run
from kinesics.errors import UserError
from kinesics.inference.export.parity import compare
from kinesics.inference.export.quantize import float_nodes, quantise
from kinesics.inference.export.samples import Pictures
from kinesics.inference.export.session import export_run
from kinesics.systems import SYSTEMS

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

Exported = Callable[[str], Any]


def pixels(n: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (n, 32, 32, channels), dtype=np.uint8)


def weighted(task: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Logits times the importance, a logistic function of the features."""
    features = task.model.forward_features(x)
    return (task.model.fc(features) / (1 + torch.exp(-task.importance(features))),)


def unsure(task: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Logits of one branch; the mean u of exp of the other, as u / (1 + u)."""
    seen = task.model.forward_features(x) if task.config.branch == "pooled" else task.model.forward_maps(x)
    u = torch.exp(task.log_sigma(seen)).mean(1)
    return task.model.fc(task.mu(seen)), 1 - 1 / (1 + u)


HEADS = {"scn": weighted, "rul": unsure, "cnn_regression": lambda task, x: (task.model(x)[:, 0],)}
"""Systems whose answers are not what their `model` gives."""


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("n", [1, 5])
def test_the_graph_computes_what_the_network_does_in_double_precision(system: str, n: int, exported: Exported) -> None:
    run, export = exported(system)
    assert export.sound and export.path == run.folder / "model.onnx" and export.path.is_file()
    task: Any = kinesics.load(run.folder).task
    images = pixels(n)
    x = (torch.from_numpy(images).double().permute(0, 3, 1, 2) / 255 - 0.45) / 0.25
    with torch.inference_mode():
        expected = HEADS.get(system, lambda task, x: (task.model(x),))(task.double(), x)
    if task.spec.classes:
        z = expected[0] / 1.7
        expected = (torch.exp(z) / torch.exp(z).sum(1, keepdim=True), *expected[1:])
    session = kinesics.load(export.path).session
    found = session.run(None, {"image": images})
    assert found[0].shape == ((n, 3) if task.spec.classes else (n,))
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and np.abs(one - other.numpy()).max() < 2e-5


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_file_says_what_it_is(system: str, exported: Exported) -> None:
    run, export = exported(system)
    model = onnx.load(export.path)
    onnx.checker.check_model(model, full_check=True)
    ((key, text),) = [(item.key, item.value) for item in model.metadata_props]
    told = json.loads(text)
    described = run.read_json("model.json")
    assert key == "kinesics" and told["system"] == system and told["kinesics"] == kinesics.__version__
    assert told["sha256"] == hashlib.sha256((run.folder / "model.safetensors").read_bytes()).hexdigest()
    assert told["classes"] == described["spec"]["classes"] and told["calibration"] == described["calibration"]
    assert told["input"] | {"size": 32, "channels": 1, "mean": 0.45, "std": 0.25, "crop": 0.9} == told["input"]
    kind = "emotion_and_uncertainty" if system == "rul" else "emotion" if told["classes"] else "steering"
    assert told["answer"] == kind and told["precision"] == "fp32"
    assert told["input"]["face"] is None and told["input"]["finds"] is False
    after = {name for node in model.graph.node if node.op_type == "Conv" for name in node.output}
    kept = [node.name for node in model.graph.node if node.op_type == "BatchNormalization" and node.input[0] in after]
    assert kept == [], "batch normalisation that follows a convolution is folded into it"


@pytest.mark.parametrize("system", ["cross_entropy", "fadnet"])
def test_torch_export_carries_the_same(system: str, exported: Exported, tmp_path: Path) -> None:
    run, onnx_export = exported(system)
    export = export_run(run.folder, "torch-export", out=tmp_path / "model.pt2")
    assert export.sound and export.parity["random"].difference < 1e-6
    extra = {"kinesics.json": ""}
    program = torch.export.load(str(tmp_path / "model.pt2"), extra_files=extra)
    assert json.loads(extra["kinesics.json"]) == json.loads(onnx_export.description.to_json())
    images = pixels(3)
    (found,) = program.module()(torch.from_numpy(images))
    (expected,) = kinesics.load(onnx_export.path).session.run(None, {"image": images})
    assert np.abs(found.detach().numpy() - expected).max() < 2e-5
    names = set(program.state_dict)
    assert names and not any(part in name for name in names for part in ("bank", "uncertainty", "_augment"))


def test_integers_are_close_and_small(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINESICS_CACHE", str(tmp_path / "cache"))
    run, fp32 = exported("cross_entropy")
    data = write_faces(tmp_path / "faces", 24, 4, 8, seed=0, size=32)
    table = pd.read_csv(data)
    known = int(((table["split"] == "test") & table["label"].isin(["anger", "happiness", "sadness"])).sum())
    export = export_run(run.folder, int8=True, out=tmp_path / "int8.onnx", data=str(data))
    assert export.sound and export.description.precision == "int8"
    assert export.path.stat().st_size < 0.4 * fp32.path.stat().st_size
    assert 1e-6 < export.parity["int8"].difference < 0.1 and export.parity["int8"].samples == known > 0
    assert export.parity["images"].difference < 1e-4, "the fp32 graph is checked on the real images, too"
    assert set(export.scores) == {"accuracy"} and len(export.scores["accuracy"]) == 2
    assert any("accuracy on them" in line for line in export.lines)
    graph = onnx.load(export.path).graph
    made = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert [made.get(node.input[0]) == "DequantizeLinear" for node in convolutions] == [False] + [True] * 11
    integers = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in integers if len(tensor.dims) == 4]
    assert len(weights) == 11 and all(np.abs(weight.astype(int)).max() <= 64 for weight in weights), "7 bits"


def test_which_nodes_stay_floats() -> None:
    kinds = ["Cast", "Mul", "Conv", "Relu", "Conv", "Add", "Gemm", "Softmax"]
    nodes = [onnx.helper.make_node(kind, ["x"], ["y"], name=f"{k}{kind}") for k, kind in enumerate(kinds)]
    assert float_nodes(nodes) == {"0Cast", "1Mul", "2Conv", "6Gemm", "7Softmax"}
    assert float_nodes(nodes[:2]) == set(), "without weighted layers there is no first and no last"


class Off(nn.Module):
    """A graph that is wrong by two thousandths."""

    def __init__(self, right: nn.Module) -> None:
        super().__init__()
        self.right = right

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.right(image) + 0.002


def test_a_graph_that_answers_otherwise_is_not_left(
    run_of: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, right = run_of("constant_steering"), Regressor.export_module
    monkeypatch.setattr(Regressor, "export_module", lambda self: Off(right(self)))
    out = tmp_path / "model.onnx"
    out.write_text("the file before")
    for form in ("onnx", "torch-export"):
        assert main(["export", str(run.folder), "--out", str(out), "--format", form]) == 1
        printed = capsys.readouterr().out
        assert "largest difference 2.00e-03" in printed and "NOT the run's answers" in printed
        assert out.read_text() == "the file before" and [item.name for item in tmp_path.iterdir()] == ["model.onnx"]


def test_comparing_answers() -> None:
    from kinesics.engine.prediction import Emotion, Steering

    one = Emotion(label="fear", distribution={"fear": 0.6, "anger": 0.4}, confidence=0.6)
    other = Emotion(label="anger", distribution={"fear": 0.45, "anger": 0.55}, confidence=0.55)
    found = compare([one, one], [one, other])
    assert found.difference == pytest.approx(0.15) and found.agreement == 0.5 and found.samples == 2
    assert compare([Steering(angle=0.5)], [Steering(angle=0.25)]).difference == 0.25
    assert compare([Steering(angle=0.5)], [Steering(angle=0.25)]).agreement is None
    assert compare([Steering(angle=float("nan"))], [Steering(angle=0.0)]).difference == float("inf")
    assert compare([Steering()], [one]).difference == float("inf")


def test_what_is_not_exported(
    run_of: Callable[..., Run], exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of("constant_steering", "random")
    with pytest.raises(UserError, match="a checksum of the pixels decides"):
        export_run(run.folder)
    with pytest.raises(UserError, match="--int8 goes with --format onnx"):
        export_run(run.folder, "torch-export", int8=True)
    with pytest.raises(UserError, match="is a folder"):
        export_run(run.folder, out=tmp_path)
    with pytest.raises(UserError, match="no trained model in"):
        export_run(tmp_path)
    _, constant = exported("constant_steering")
    with pytest.raises(UserError, match="nothing to quantise"):
        quantise(constant.path, constant.description, Pictures(pixels(4), pixels(4), None, "noise"))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="needs onnx, onnxscript, onnxruntime") as raised:
        export_run(run_of("constant_steering").folder)
    assert raised.value.hint == "pip install 'kinesics[export]'"
    assert list(tmp_path.iterdir()) == []
