"""Detectors: their registry, what they find in drawn and real pictures, and networks given as files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kinesics.errors import UserError
from kinesics.vision.detectors import DEFAULT, DETECTORS, make_detector
from kinesics.vision.faces import Face, overlaps, suppress, whole
from kinesics.vision.media import read_picture

BOXES = Path(__file__).resolve().parents[2] / "benchmarks" / "face_boxes.csv"


def test_overlap_by_counting_pixels() -> None:
    rng = np.random.default_rng(0)
    boxes = np.column_stack([rng.integers(0, 20, (6, 2)), rng.integers(1, 20, (6, 2))])
    masks = np.zeros((6, 40, 40), dtype=bool)
    for k, (x, y, w, h) in enumerate(boxes):
        masks[k, y : y + h, x : x + w] = True
    expected = [[(a & b).sum() / (a | b).sum() for b in masks] for a in masks]
    assert overlaps(boxes, boxes) == pytest.approx(np.array(expected))
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))) == 0 and overlaps(boxes[:0], boxes).shape == (0, 6)


def test_suppression_keeps_the_surest() -> None:
    faces = [
        Face((0, 0, 10, 10), 0.5),
        Face((1, 0, 10, 10), 0.9),
        Face((30, 0, 10, 10), 0.1),
        Face((2, 0, 10, 10), 0.7),
    ]
    assert [face.score for face in suppress(faces)] == [0.9, 0.1]
    assert suppress([]) == []


def test_the_whole_picture() -> None:
    (face,) = whole(np.zeros((20, 30, 3), dtype=np.uint8))
    assert face.box == (0, 0, 30, 20)


def test_names(tmp_path: Path) -> None:
    assert DEFAULT in DETECTORS
    with pytest.raises(UserError, match="no face detector is called 'dlip'") as caught:
        make_detector("dlip")
    assert caught.value.hint == "did you mean dlib?"
    with pytest.raises(UserError, match="there is no such face detector"):
        make_detector(str(tmp_path / "none.onnx"))
    with pytest.raises(UserError, match="--upsample must be 0 to 3; got 7"):
        make_detector("dlib", upsample=7)


@pytest.mark.parametrize(("name", "module"), [("dlib", "dlib"), ("haar", "cv2")])
def test_missing_packages_are_named(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError) as caught:
        make_detector(name)
    assert "kinesics[vision]" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["dlib", "haar", "dlib+haar"])
def test_nothing_is_found_where_nothing_is(name: str) -> None:
    pytest.importorskip("dlib")
    detector = make_detector(name, video=True)
    assert detector(np.full((120, 160, 3), 127, dtype=np.uint8)) == []
    assert detector(np.zeros((1, 1, 3), dtype=np.uint8)) == []


def test_the_five_faces(shared: Path) -> None:
    """The default finds all five of multi_face.jpg, where the boxes made by hand are, and nothing else."""
    pytest.importorskip("dlib")
    table = pd.read_csv(BOXES).query("file == 'multi_face.jpg'")
    truth = table[["x", "y", "w", "h"]].to_numpy(dtype=np.float64)
    faces = make_detector()(read_picture(shared / "data" / "media_samples" / "multi_face.jpg"))
    share = overlaps(truth, np.array([face.box for face in faces]))
    assert len(faces) == 5 and (share.max(axis=1) >= 0.5).all() and (share.max(axis=0) >= 0.5).all()
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def network(path: Path, outputs: dict[str, np.ndarray], size: object = "side") -> Path:
    """An ONNX file that answers with constants whatever it is shown (plus 0 times the input's sum)."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, size, size])
    nodes = [
        helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value.astype(np.float32), f"c_{name}"))
        nodes.append(helper.make_node("Add", [f"c_{name}", "nothing"], [name]))
    exits = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in outputs.items()]
    graph = helper.make_graph(nodes, "detector", [entry], exits, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_yunet_from_a_file(tmp_path: Path) -> None:
    """One face: at stride 16, column 2, row 1 of a 64 x 64 input, 32 x 40 pixels, in the layout of YuNet (2023)."""
    pytest.importorskip("onnxruntime")
    outputs: dict[str, np.ndarray] = {}
    for stride in (8, 16, 32):
        cells = (64 // stride) ** 2
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, cells, width))
    cell = 1 * 4 + 2
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.81, 1.0
    outputs["bbox_16"][0, cell] = [0.5, 0.25, np.log(32 / 16), np.log(40 / 16)]
    outputs["kps_16"][0, cell] = [-0.5, 0, 0.5, 0, 0, 0.5, -0.4, 1, 0.4, 1]
    detector = make_detector(str(network(tmp_path / "yunet.onnx", outputs)))
    (face,) = detector(np.zeros((64, 64, 3), dtype=np.uint8))
    assert face.score == pytest.approx(0.9)
    x, y, w, h = face.box
    assert (x + w / 2, y + h / 2) == pytest.approx((40, 20 + 0.06 * 40)) and w == h == pytest.approx(0.82 * 40)
    assert face.landmarks == pytest.approx(np.array([[24, 16], [40, 16], [32, 24], [25.6, 32], [38.4, 32]]))


def test_scrfd_from_a_file_of_a_fixed_size(tmp_path: Path) -> None:
    """One face twice (two anchors), in a picture twice as large as the network's input."""
    pytest.importorskip("onnxruntime")
    cells = [2 * (64 // stride) ** 2 for stride in (8, 16, 32)]
    scores, boxes = [np.zeros((n, 1)) for n in cells], [np.zeros((n, 4)) for n in cells]
    place = 2 * (3 * 8 + 4)  # stride 8, row 3, column 4
    scores[0][place], scores[0][place + 1] = 0.7, 0.9
    boxes[0][place] = boxes[0][place + 1] = [2, 2, 2, 3]
    outputs = {f"s{k}": value for k, value in enumerate(scores)} | {f"b{k}": value for k, value in enumerate(boxes)}
    detector = make_detector(str(network(tmp_path / "scrfd.onnx", outputs, 64)))
    (face,) = detector(np.zeros((128, 128, 3), dtype=np.uint8))
    # corners (16, 8) and (48, 48) in the input, (32, 16) and (96, 96) in the picture
    x, y, w, h = face.box
    assert face.score == pytest.approx(0.9) and face.landmarks is None
    assert (x + w / 2, y + h / 2) == pytest.approx((64, 56 + 0.06 * 80)) and h == pytest.approx(0.82 * 80)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError, match="has 1 inputs and the outputs logits"):
        make_detector(str(network(tmp_path / "other.onnx", {"logits": np.zeros((1, 7))})))
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="is not a network"):
        make_detector(str(tmp_path / "broken.onnx"))
